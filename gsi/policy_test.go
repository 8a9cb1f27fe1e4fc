package gsi

import (
	"strings"
	"testing"
)

const labCA = "/C=XX/O=Lab/CN=Lab CA"

func TestSigningPolicy(t *testing.T) {
	const head = "access_id_CA X509 '" + labCA + "'\npos_rights globus CA:sign\n"
	subjects := func(value string) string { return head + "cond_subjects globus " + value + "\n" }
	for _, tt := range []struct {
		why, policy, subject string
		want                 bool
	}{
		{"wildcard", subjects(`'"/C=XX/O=Lab/*"'`), "/C=XX/O=Lab/CN=Jane", true},
		{"outside of it", subjects(`'"/C=XX/O=Lab/*"'`), "/C=XX/O=Laboratory/CN=Jane", false},
		{"the wildcard is not nothing", subjects(`'"/C=XX/O=Lab/*"'`), "/C=XX/O=Lab/", false},
		{"exact", subjects(`'"/C=XX/O=Lab/CN=Jane"'`), "/C=XX/O=Lab/CN=Jane", true},
		{"longer than exact", subjects(`'"/C=XX/O=Lab/CN=Jane"'`), "/C=XX/O=Lab/CN=Jane Doe", false},
		{"wildcard inside", subjects(`'"/C=XX/*/CN=Jane"'`), "/C=XX/O=Lab/CN=Jane", true},
		{"two wildcards", subjects(`'"/C=*/O=Lab/*"'`), "/C=XX/O=Lab/CN=Jane", true},
		{"second pattern", subjects(`'"/C=YY/*" "/C=XX/*"'`), "/C=XX/O=Lab/CN=Jane", true},
		{"pattern over two lines", subjects("'\"/C=YY/*\"\n   \"/C=XX/*\"'"), "/C=XX/O=Lab/CN=Jane", true},
		{"no inner quotes", subjects(`'/C=XX/O=Lab/*'`), "/C=XX/O=Lab/CN=Jane", true},
		{"double quotes outside", subjects(`"'/C=YY/*' '/C=XX/*'"`), "/C=XX/O=Lab/CN=Jane", true},
		{"double quotes outside, no inner", subjects(`"/C=XX/*"`), "/C=XX/O=Lab/CN=Jane", true},
		{"no case, as Globus", subjects(`'"/c=xx/o=LAB/*"'`), "/C=XX/O=Lab/CN=Jane", true},
		{"Email is emailAddress", subjects(`'"/C=XX/Email=a@b"'`), "/C=XX/emailAddress=a@b", true},
		{"USERID is UID", subjects(`'"/C=XX/USERID=jane"'`), "/C=XX/UID=jane", true},
		{"escaped slash", subjects(`'"/C=XX/CN=host\/a"'`), "/C=XX/CN=host/a", true},
		{"a value that plays an attribute", subjects(`'"/C=XX/O=Lab/CN=a"'`), `/C=XX/O=Lab\/CN=a`, false},
		{"umlaut in UTF-8", subjects(`'"/C=XX/O=M` + "\u00fc" + `nchen/*"'`), `/C=XX/O=M\xC3\xBCnchen/CN=a`, true},
		{"umlaut as OpenSSL prints it", subjects(`'"/C=XX/O=M\xC3\xBCnchen/*"'`), `/C=XX/O=M\xC3\xBCnchen/CN=a`, true},
		{"no condition grants everything", head, "/C=YY/CN=anybody", true},
		{"all conditions must hold", head + "cond_subjects globus '/C=XX/*'\ncond_subjects globus '/C=XX/O=B/*'", "/C=XX/O=Lab/CN=Jane", false},
		{"unknown condition grants nothing", head + "cond_weekday globus 'Mon'", "/C=XX/CN=a", false},
		{"comments and tabs", "# a comment 'with a quote\n" + strings.ReplaceAll(subjects(`'"/C=XX/*"'`), " X509", "\tX509") + "# end", "/C=XX/CN=a", true},
		{"no end of line", strings.TrimSpace(subjects(`'"/C=XX/*"'`)), "/C=XX/CN=a", true},
		{"CRLF", strings.ReplaceAll(subjects(`'"/C=XX/*"'`), "\n", "\r\n"), "/C=XX/CN=a", true},
		{"another CA's entry", strings.ReplaceAll(subjects(`'"/C=XX/*"'`), "Lab CA", "Other CA"), "/C=XX/CN=a", false},
		{"second entry is ours", strings.ReplaceAll(subjects(`'"/C=YY/*"'`), "Lab CA", "Other CA") + subjects(`'"/C=XX/*"'`), "/C=XX/CN=a", true},
		{"two entries for us", subjects(`'"/C=YY/*"'`) + subjects(`'"/C=XX/*"'`), "/C=XX/CN=a", true},
		{"anybody", "access_id_ANYBODY\npos_rights globus CA:sign\ncond_subjects globus '/C=XX/*'", "/C=XX/CN=a", true},
		{"two CAs in one entry", "access_id_CA X509 '/CN=Other'\n" + subjects(`'"/C=XX/*"'`), "/C=XX/CN=a", true},
		{"another right", strings.ReplaceAll(subjects(`'"/C=XX/*"'`), "CA:sign", "CA:other"), "/C=XX/CN=a", false},
		{"negative right wins", subjects(`'"/C=XX/*"'`) + "neg_rights globus CA:sign\ncond_subjects globus '/C=XX/CN=a*'", "/C=XX/CN=ab", false},
		{"negative right for others", subjects(`'"/C=XX/*"'`) + "neg_rights globus CA:sign\ncond_subjects globus '/C=XX/CN=b*'", "/C=XX/CN=ab", true},
	} {
		policy, err := parsePolicy([]byte(tt.policy))
		if err != nil {
			t.Errorf("%s: %v", tt.why, err)
			continue
		}
		if got := policy.allows(labCA, tt.subject); got != tt.want {
			t.Errorf("%s: %v for %s by\n%s", tt.why, got, tt.subject, tt.policy)
		}
	}
}

func TestSigningPolicyErrors(t *testing.T) {
	for why, text := range map[string]string{
		"empty":                 "",
		"comment alone":         "# nothing",
		"no rights":             "access_id_CA X509 '/CN=x'",
		"quote not closed":      "access_id_CA X509 '/CN=x",
		"value missing":         "access_id_CA X509",
		"right before a CA":     "pos_rights globus CA:sign",
		"condition before any":  "access_id_CA X509 '/CN=x'\ncond_subjects globus '/*'",
		"unknown word":          "access_id_CA X509 '/CN=x'\npos_rights globus CA:sign\ngrant everything now",
		"inner quote unpaired":  "access_id_CA X509 '/CN=x'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/*'",
		"text between patterns": "access_id_CA X509 '/CN=x'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/*\", \"/C=YY/*\"'",
		"endless":               strings.Repeat("a ", maxPolicyTokens+1),
	} {
		if p, err := parsePolicy([]byte(text)); err == nil {
			t.Errorf("%s: parsed as %v", why, p)
		}
	}
}
