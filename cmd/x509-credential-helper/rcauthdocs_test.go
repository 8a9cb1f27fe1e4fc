package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// TestRCauthDocs: docs/rcauth.md names what the code has: profile keys, commands
// and their flags, the values of the form, the CAs; and the other documents have
// the warnings and the accounts in the keyring.
func TestRCauthDocs(t *testing.T) {
	ports := strings.Join(strings.Fields(fmt.Sprint(defaultPorts)), ", ") // [8180, 8181, 8182]
	words := map[string][]string{
		"rcauth.md": append(strings.Fields(rcauth.DefaultScopes), "login --print-registration", "--no-browser", "--idp ENTITYID",
			"trust check PROFILE", strconv.Itoa(refreshSeconds), "redirect_ports = "+ports),
		"protocol.md": {"issuer_not_trusted_here", "limited_by_portal", "subject_not_released", "login_soon", "no_refresh_token", "session_rescued", "next_login"},
		"security.md": {"session:v1:rcauth:", "client:v1:rcauth:", "session_rescued", "rcauth revoke"},
	}
	for _, command := range new(process).rcauthCommand().Subcommands {
		words["rcauth.md"] = append(words["rcauth.md"], "rcauth "+command.Name)
	}
	for _, key := range rcauth.New(rcauth.Options{}).Keys() {
		words["rcauth.md"] = append(words["rcauth.md"], key.Name)
	}
	for _, a := range rcauth.Anchors() {
		words["rcauth.md"] = append(words["rcauth.md"], "`ca_"+a.Name+"`", "`"+a.Hash+"`", "apt-get install "+a.Debian, "dnf install ca_"+a.Name)
	}
	for file, words := range words {
		data, err := os.ReadFile("../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range words {
			if !strings.Contains(string(data), word) {
				t.Errorf("docs/%s does not have %s", file, word)
			}
		}
	}
}

// TestRCauthAdvice: of the two CAs only what is missing or has expired is spoken
// of, and where the package may be as old, with where to get a newer one.
func TestRCauthAdvice(t *testing.T) {
	const newer = "https://dl.igtf.org/distribution/igtf/current/"
	good := func(i int) gsi.Anchor { return gsi.Anchor{Hash: rcauth.Anchors()[i].Hash} }
	old := good(0)
	old.Severity, old.Problems = gsi.SeverityError, []gsi.AnchorProblem{{Severity: gsi.SeverityError, Reason: gsi.TrustExpired}}
	for name, tt := range map[string]struct {
		installed   []gsi.Anchor
		words, none []string
	}{
		"both good": {[]gsi.Anchor{good(1), {Hash: "01234567"}, good(0)}, nil, []string{"install"}},
		"none":      {nil, []string{"igtf-policy-iota", "igtf-policy-classic", "on the storage"}, []string{newer}},
		"expired":   {[]gsi.Anchor{old, good(1)}, []string{"5f40742a", "apt-get install igtf-policy-iota", newer}, []string{"87250dfa"}},
	} {
		anchors := rcauthAnchors("/certs", tt.installed)
		text := rcauthAdvice(anchors)
		missing := func(word string) bool { return !strings.Contains(text, word) }
		if len(anchors) != 2 || anchors[0].Hash != "5f40742a" || slices.ContainsFunc(tt.words, missing) {
			t.Errorf("%s: %+v\n%s", name, anchors, text)
		}
		for _, word := range tt.none {
			if !missing(word) {
				t.Errorf("%s: it speaks of %s:\n%s", name, word, text)
			}
		}
	}
}
