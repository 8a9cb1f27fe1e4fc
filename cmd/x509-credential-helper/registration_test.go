package main

import (
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
)

// TestRegistrationOld: the form of a portal before 0.2.0 has no scopes and no box,
// and takes https addresses only: what cannot be typed into it is not printed.
func TestRegistrationOld(t *testing.T) {
	r := &registration{
		profile: "egi", portal: "https://p.example.org/mp-oa2-server", form: "https://p.example.org/mp-oa2-server/register", version: rcauth.Version01,
		redirects: []string{"http://127.0.0.1:8180/callback"}, scopes: strings.Fields(rcauth.DefaultScopes), ports: []int{8180}, portsAreNew: true,
	}
	text := r.text()
	form, _, _ := strings.Cut(text, "Callback URLs: one a line")
	for _, bad := range []string{"Scopes", "limited", "http://127.0.0.1"} {
		if strings.Contains(form, bad) {
			t.Errorf("the form has %q:\n%s", bad, form)
		}
	}
	for _, want := range []string{"redirect_uri = \"https://www.example.org/callback\"", "ends with pasting the address", "older than 0.2.0"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "redirect_ports = [") {
		t.Errorf("ports are of no use there:\n%s", text)
	}
	r.redirects = []string{"https://gateway.example.org/cb"}
	if text := r.text(); !strings.Contains(text, "Callback URLs           https://gateway.example.org/cb\n") || strings.Contains(text, "www.example.org") {
		t.Errorf("with an https address:\n%s", text)
	}
}

// TestRegistrationText: what a configuration or a portal says cannot write to the
// terminal otherwise than as text.
func TestRegistrationText(t *testing.T) {
	r := &registration{profile: "egi", portal: "https://p/\x1b[2J", form: "https://p/\x1b]0;x\a", clientID: "a\x1b[1m", version: rcauth.Version02,
		redirects: []string{"http://127.0.0.1:1/\x1b"}, scopes: []string{"openid\x1b"}}
	if text := r.text(); strings.ContainsAny(text, "\x1b\a") {
		t.Errorf("%q", text)
	}
}
