package helper

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// conforms says whether a message is what docs/schema promises of it.
func conforms(t testing.TB, message string, data []byte) error {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "docs", "schema", message+".json"))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// TestRequestSchemas: the schemas and the parsers agree about what is a good
// request, so that a caller who goes by the schema is not surprised.
func TestRequestSchemas(t *testing.T) {
	parsers := map[string]func(string) error{
		"get":   func(s string) error { _, err := parseGet([]byte(s)); return err },
		"store": func(s string) error { _, err := parseStore([]byte(s)); return err },
		"erase": func(s string) error { _, err := parseErase([]byte(s)); return err },
		"list":  func(s string) error { return parseList([]byte(s)) },
	}
	fingerprint := `"sha256:` + strings.Repeat("0a", 32) + `"`
	requests := []string{
		`{}`, `{"version":1}`, `{"version":2}`, `{"version":"1"}`, `[]`, `{"profile":"atlas"}`, `{"profile":"Atlas"}`, `{"profile":""}`,
		`{"url":"root://se.example.org//x"}`, `{"url":""}`, `{"url":1}`, `{"client":{"name":"gfal-copy"}}`, `{"client":{"pid":1}}`, `{"client":"x"}`,
		`{"min_lifetime":0}`, `{"min_lifetime":-1}`, `{"min_lifetime":31536001}`, `{"min_lifetime":"1h"}`, `{"min_lifetime":1.5}`,
		`{"lifetime":0}`, `{"lifetime":1}`, `{"timeout":0}`, `{"timeout":3600}`, `{"timeout":3601}`,
		`{"voms":[]}`, `{"voms":["atlas:/atlas/Role=x"]}`, `{"voms":"atlas"}`, `{"voms":[""]}`, `{"voms":null}`,
		`{"limited":true}`, `{"limited":"true"}`, `{"Limited":true}`, `{"limitd":true}`,
		`{"cache":"only"}`, `{"cache":"maybe"}`, `{"output":"path"}`, `{"output":"xml"}`, `{"interactive":"auto"}`, `{"interactive":true}`,
		`{"secret":{"kind":"passphrase","value":"x"}}`, `{"secret":{"kind":"pin","value":"x"}}`, `{"secret":{"kind":"passphrase","value":""}}`,
		`{"secret":{"kind":"passphrase","value":"a\nb"}}`, `{"secret":{"kind":"passphrase"}}`, `{"secret":"x"}`,
		`{"secret":{"kind":"passphrase","value":"` + strings.Repeat("x", maxSecret+1) + `"}}`,
		`{"what":["all"]}`, `{"what":"all"}`, `{"what":["everything"]}`, `{"fingerprint":` + fingerprint + `}`, `{"fingerprint":"x"}`,
		`{"reason":"rejected"}`, `{"reason":"rejected","fingerprint":` + fingerprint + `}`, `{"reason":"bored"}`,
	}
	agreed := 0
	for verb, parse := range parsers {
		for _, request := range requests {
			parsed, valid := parse(request), conforms(t, verb+".request", []byte(request))
			if (parsed == nil) != (valid == nil) {
				t.Errorf("%s %.80s: the parser says %v, the schema %v", verb, request, parsed, valid)
			}
			if parsed == nil {
				agreed++
			}
		}
	}
	if agreed < 20 {
		t.Errorf("only %d requests were good", agreed)
	}
}
