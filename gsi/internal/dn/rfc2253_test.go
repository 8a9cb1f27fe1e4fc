package dn

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hardName has what breaks readers of RFC 2253: a comma and quotes in values,
// letters outside ASCII, an e-mail address, and an element of two attributes.
func hardName(t testing.TB) []byte {
	return build(t,
		part{dc, tagIA5, "org", false},
		part{o, tagUTF8, `Lab, "Inc"`, false},
		part{ou, tagPrintable, "Jane", false}, part{email, tagIA5, "j@x.org", true},
		part{cn, tagUTF8, "Jürgen Müller, Dr.", false},
	)
}

// TestMatchesOpenSSLsTexts: every way in which openssl prints a name in RFC
// 2253's order is read; its other order is no RFC 2253 and would be another
// name.
func TestMatchesOpenSSLsTexts(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("X509CH_LAB") == "require" {
			t.Fatal("openssl is not installed (Debian: openssl)")
		}
		t.Skip("openssl is not installed (Debian: openssl)")
	}
	raw := hardName(t)
	other := build(t,
		part{dc, tagIA5, "org", false},
		part{o, tagUTF8, "Lab", false}, part{o, tagUTF8, "Inc", false},
		part{cn, tagUTF8, "Jürgen Müller, Dr.", false},
	)
	file := filepath.Join(t.TempDir(), "c.pem")
	if err := os.WriteFile(file, certificateOf(t, raw), 0o600); err != nil {
		t.Fatal(err)
	}
	for option, want := range map[string]bool{
		"RFC2253":                      true,
		"RFC2253,-esc_msb":             true, // UTF-8 as it is
		"RFC2253,sep_comma_plus_space": true,
		"RFC2253,space_eq":             true,
		"RFC2253,lname":                true,
		"RFC2253,oid":                  true,
		"RFC2253,dump_all":             true, // values as #DER
		"RFC2253,use_quote":            true,
		"compat":                       true,
		"RFC2253,-dn_rev":              false,
		"oneline":                      false,
	} {
		out, err := exec.Command("openssl", "x509", "-noout", "-subject", "-in", file, "-nameopt", option).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", option, err, out)
		}
		text := strings.TrimSuffix(strings.TrimPrefix(string(out), "subject="), "\n")
		if Match(raw, text) != want {
			t.Errorf("%s: %s matches: %v", option, text, !want)
		}
		if Match(other, text) {
			t.Errorf("%s: %s matches another name", option, text)
		}
	}
}

// TestRFC2253Texts: the same name by hand, and what is close to it but wrong.
func TestRFC2253Texts(t *testing.T) {
	raw := hardName(t)
	const start, end = `CN=Jürgen Müller\, Dr.,`, `,O=Lab\, \"Inc\",DC=org`
	for _, tt := range []struct {
		text string
		want bool
	}{
		{start + "E=j@x.org+OU=Jane" + end, true},
		{start + "OU=Jane+E=j@x.org" + end, true},
		{start + "OU=Jane + Email = j@x.org" + end, true},
		{start + "OU=Jane+1.2.840.113549.1.9.1=j@x.org" + end, true},
		{start + "OU=Jane+1.2.840.113549.1.9.1=#16076a40782e6f7267" + end, true},
		{`CN=J\c3\BCrgen M\C3\bcller\2C Dr.,E=j@x.org+OU=Jane` + end, true},
		{`CN="Jürgen Müller, Dr.",E=j@x.org+OU=Jane,O="Lab, \"Inc\"",DC=org`, true},
		{start + `E=j@x.org+OU=Jane,O=Lab\2c \22Inc\22,DC=org`, true},

		{"CN=Jürgen Müller, Dr.,E=j@x.org+OU=Jane" + end, false},                  // comma not escaped
		{start + "E=j@x.org,OU=Jane" + end, false},                                // two elements
		{start + "E=j@x.org" + end, false},                                        // half an element
		{start + "OU=Jane+OU=Jane" + end, false},                                  // one attribute twice
		{start + "OU=Jane+E=j@x.org+E=j@x.org" + end, false},                      // one too many
		{start + "E=J@x.org+OU=Jane" + end, false},                                // values are compared exactly
		{start + "OU=Jane+1.2.840.113549.1.9.1=#0c076a40782e6f7267" + end, false}, // another string type
		{`CN=J\FCrgen M\FCller\, Dr.,E=j@x.org+OU=Jane` + end, false},             // Latin-1 is no UTF-8
		{"CN=Jurgen Muller\\, Dr.,E=j@x.org+OU=Jane" + end, false},                // other letters
		{"CN=Ju\u0308rgen Mu\u0308ller\\, Dr.,E=j@x.org+OU=Jane" + end, false},    // the same to the eye only
		{start + `E=j@x.org+OU=Jane,O=Lab\, \"Inc\",DC=org,`, false},              // something follows
		{start + `E=j@x.org+OU=Jane,O=Lab\, \"Inc\",DC=org\`, false},              // escapes nothing
		{start + `E=j@x.org+OU=Jane,O=Lab\, "Inc",DC=org`, false},                 // bare quotes
		{start + `E=j@x.org+OU=Jane,O="Lab, \"Inc\",DC=org`, false},               // a quote too few
		{start + `E=j@x.org+OU=Jane,O="Lab, \"Inc\"" x,DC=org`, false},            // text after the quotes
		{start + `E=j@x.org+OU=Jane,O=Lab\, \"Inc\",DC=#1603`, false},             // DER cut off
		{start + `E=j@x.org+OU=Jane,O=Lab\, \"Inc\",DC=#160`, false},              // half a byte
		{start + `E=j@x.org+OU=Jane,O=Lab\, \"Inc\",DC=#`, false},                 // no byte
		{start + `E=j@x.org+OU=Jane,O=Lab\, \"Inc\",DC=org+`, false},              // nothing joined
		{start + `E=j@x.org+OU=Jane,O=Lab\, \"Inc\",DC=org,DC=org`, false},        // one element more
	} {
		if got := Match(raw, tt.text); got != tt.want {
			t.Errorf("%s: matches: %v", tt.text, got)
		}
	}
}
