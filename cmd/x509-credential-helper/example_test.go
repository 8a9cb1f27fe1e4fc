package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
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
	all = strings.Replace(all, "\nredirect_ports = ", "\n#redirect_ports = ", 1) // redirect_uri is in its place
	nothing := func(string) string { return "" }
	backends := map[string]helper.Backend{
		myproxy.Name: myproxy.New(myproxy.Options{Getenv: nothing}),
		rcauth.Name:  rcauth.New(rcauth.Options{Getenv: nothing}),
	}
	for name, text := range map[string]string{"as it is": string(example), "with every key": all} {
		file := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := helper.LoadConfig(helper.ConfigPaths{User: file}, backends, "/home/jane")
		for _, profile := range []string{"atlas", "batch", "egi"} {
			p, err := c.Profile(profile)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := backends[p.Backend].Target(p); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, backend := range backends {
		for _, key := range helper.ProfileKeys(backend) {
			if !strings.Contains(all, "\n"+key.Name+" = ") && !strings.Contains(all, "\n#"+key.Name+" = ") {
				t.Errorf("the example does not show the key %q", key.Name)
			}
		}
	}
}
