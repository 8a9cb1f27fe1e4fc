package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// conforms says whether an output is what docs/schema promises of it. Unlike
// callers, it does not pass over fields that no schema knows.
func conforms(t testing.TB, schema string, data []byte) error {
	t.Helper()
	return validate(compileSchema(t, schema), data)
}

func compileSchema(t testing.TB, schema string) *jsonschema.Schema {
	t.Helper()
	path := filepath.Join("..", "..", "docs", "schema", schema+".json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	closed(doc)
	c := jsonschema.NewCompiler()
	if err := c.AddResource("file:///closed.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("file:///closed.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func validate(schema *jsonschema.Schema, data []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// closed forbids what is not listed.
func closed(doc any) {
	switch d := doc.(type) {
	case map[string]any:
		if _, ok := d["properties"].(map[string]any); ok {
			d["additionalProperties"] = false
		}
		for _, v := range d {
			closed(v)
		}
	case []any:
		for _, v := range d {
			closed(v)
		}
	}
}
