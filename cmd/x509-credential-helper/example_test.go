package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// TestConfigExample: the example is a good configuration, also with every
// comment taken away from its keys, and shows every key that there is.
func TestConfigExample(t *testing.T) {
	example, err := os.ReadFile("../../config.toml.example")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^# ([a-z_]+ = )`).ReplaceAllString(string(example), "$1")
	backend := myproxy.New(myproxy.Options{Getenv: func(string) string { return "" }})
	backends := map[string]helper.Backend{myproxy.Name: backend}
	for name, text := range map[string]string{"as it is": string(example), "with every key": all} {
		file := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := helper.LoadConfig(helper.ConfigPaths{User: file}, backends, "/home/jane")
		for _, profile := range []string{"atlas", "batch"} {
			p, err := c.Profile(profile)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := backend.Target(p); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, key := range helper.ProfileKeys(backend) {
		if !strings.Contains(all, "\n"+key.Name+" = ") {
			t.Errorf("the example does not show the key %q", key.Name)
		}
	}
}
