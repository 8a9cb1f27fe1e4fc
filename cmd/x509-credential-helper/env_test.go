package main

import (
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/consumer"
)

// TestEnvOddPaths: a path that a format cannot carry is refused, and never
// written as another one.
func TestEnvOddPaths(t *testing.T) {
	for path, refuse := range map[string]string{
		"/run/it's $HOME `id` \\ \"x\"": "",
		"/run/a\nb":                     "sh fish csh",
		"/run/a\rb":                     "sh fish csh",
		"/run/a!b":                      "csh",
		"/run/\xff":                     "json",
	} {
		for shell, write := range shells {
			text, err := write(&handedOut{proxy: consumer.Proxy{File: path}})
			if refused := strings.Contains(refuse, shell) && (shell != "sh" || strings.HasPrefix(refuse, "sh")); (err != nil) != refused {
				t.Errorf("%s, %q: %q, %v", shell, path, text, err)
			}
		}
	}
}

// TestWantsJSON: only who asks for JSON gets errors in it. To a shell, which
// evaluates what it gets, backquotes in an error text are a program.
func TestWantsJSON(t *testing.T) {
	for words, want := range map[string]bool{
		"env": false, "env --shell json": true, "env --shell=json": true, "env -shell json lab": true, "env lab --shell json": true,
		"env json": false, "env --profile json": false, "env --profile=json": false, "env --shell sh json": false, "env json --shell": false,
		"env --url root://se.example.org//?shell=json": false, "env shell=json": false, "env shell json": false, "env --shell": false,
	} {
		if got := wantsJSON(strings.Fields(words)); got != want {
			t.Errorf("%s: %v, want %v", words, got, want)
		}
	}
}
