package gsi

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const subName = "/C=XX/O=Lab/CN=Sub CA"

// TestNamespaces: what the language says, and what it must not be made to say.
func TestNamespaces(t *testing.T) {
	for why, tt := range map[string]struct {
		text    string
		subject string
		own     bool
		allowed bool
	}{
		"as the IGTF writes it": {"#NAMESPACES-VERSION: 1.0\n# CA alias : x\nTO Issuer \"" + subName + "\" \\\n  PERMIT Subject \"/C=XX/O=Lab/.*\"\n", "/C=XX/O=Lab/CN=Jane", false, true},
		"without continuation":  {"TO Issuer \"" + subName + "\"\nPERMIT Subject \"/C=XX/O=Lab/.*\"", "/C=XX/O=Lab/CN=Jane", false, true},
		"CRLF":                  {"TO Issuer \"" + subName + "\" \\\r\n PERMIT Subject \"/C=XX/O=Lab/.*\"\r\n", "/C=XX/O=Lab/CN=Jane", false, true},
		"single quotes, case":   {"to issuer '" + subName + "' permit subject '/c=xx/o=lab/.*'", "/C=XX/O=Lab/CN=Jane", false, true},
		"comment at the end":    {"TO Issuer SELF PERMIT Subject \"/C=XX/.*\" # \"", "/C=XX/O=Lab/CN=Jane", true, true},
		"SELF, of its own file": {"TO Issuer SELF PERMIT Subject \"/C=XX/.*\"", "/C=XX/O=Lab/CN=Jane", true, true},
		"SELF, of another's":    {"TO Issuer SELF PERMIT Subject \"/C=XX/.*\"", "/C=XX/O=Lab/CN=Jane", false, false},
		"another CA":            {"TO Issuer \"/C=XX/CN=Other\" PERMIT Subject \"/C=XX/.*\"", "/C=XX/O=Lab/CN=Jane", true, false},
		"no rule matches":       {"TO Issuer SELF PERMIT Subject \"/C=YY/.*\"", "/C=XX/O=Lab/CN=Jane", true, false},
		"two rules":             {"TO Issuer SELF PERMIT Subject \"/C=YY/.*\"\nTO Issuer SELF PERMIT Subject \"/C=XX/.*\"", "/C=XX/O=Lab/CN=Jane", true, true},
		"whole names only":      {"TO Issuer SELF PERMIT Subject \"/C=XX/O=Lab\"", "/C=XX/O=Lab/CN=Jane", true, false},
		"whole names, in front": {"TO Issuer SELF PERMIT Subject \"/O=Lab/.*\"", "/C=XX/O=Lab/CN=Jane", true, false},
		"a glob is none":        {"TO Issuer SELF PERMIT Subject \"/C=XX/O=Lab/*\"", "/C=XX/O=Lab/CN=Jane", true, false},
		"anchors":               {"TO Issuer SELF PERMIT Subject \"^/C=XX/.*$\"", "/C=XX/O=Lab/CN=Jane", true, true},
		"deny after permit":     {"TO Issuer SELF PERMIT Subject \"/C=XX/.*\"\nTO Issuer SELF DENY Subject \".*/CN=Jane\"", "/C=XX/O=Lab/CN=Jane", true, false},
		"deny before permit":    {"TO Issuer SELF Deny Subject \".*/CN=Jane\"\nTO Issuer SELF PERMIT Subject \"/C=XX/.*\"", "/C=XX/O=Lab/CN=Jane", true, false},
		"deny of others":        {"TO Issuer SELF DENY Subject \".*/CN=Jane\"\nTO Issuer SELF PERMIT Subject \"/C=XX/.*\"", "/C=XX/O=Lab/CN=Joe", true, true},
		"deny of another CA":    {"TO Issuer \"/CN=x\" DENY Subject \".*\"\nTO Issuer SELF PERMIT Subject \"/C=XX/.*\"", "/C=XX/O=Lab/CN=Joe", true, true},
		"names of types":        {"TO Issuer SELF PERMIT Subject \"/C=XX/E=.*\"", "/C=XX/emailAddress=jane@example.org", true, true},
		"a dot is any":          {"TO Issuer SELF PERMIT Subject \"/O=a.b\"", "/O=axb", true, true},
		"a dot with backslash":  {`TO Issuer SELF PERMIT Subject "/O=a\.b"`, "/O=axb", true, false},
		"a set":                 {"TO Issuer SELF PERMIT Subject \"/O=[a-c]x[^0-9]*\"", "/O=bxyz", true, true},
		"a set, not":            {"TO Issuer SELF PERMIT Subject \"/O=[a-c]x[^0-9]*\"", "/O=bxy1", true, false},
		"a parenthesis":         {"TO Issuer SELF PERMIT Subject \"/O=Lab [(]old[)]/.*\"", "/O=Lab (old)/CN=x", true, true},
		"outside ASCII, raw":    {"TO Issuer SELF PERMIT Subject \"/O=Universität/.*\"", `/O=Universit\xC3\xA4t/CN=x`, true, true},
		"outside ASCII, hex":    {`TO Issuer SELF PERMIT Subject "/O=Universit\xC3\xA4t/.*"`, `/O=Universit\xC3\xA4t/CN=x`, true, true},
		"quote in a pattern":    {`TO Issuer SELF PERMIT Subject "/O=a\"b"`, `/O=a"b`, true, true},
		"star of nothing":       {"TO Issuer SELF PERMIT Subject \"/O=ab*c\"", "/O=ac", true, true},
		"star of many":          {"TO Issuer SELF PERMIT Subject \"/O=ab*c\"", "/O=abbbc", true, true},
		"empty subject":         {"TO Issuer SELF PERMIT Subject \"/C=XX/.*\"", "", true, false},
	} {
		n, err := parseNamespaces([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", why, err)
			continue
		}
		if got := n.allows(subName, tt.subject, tt.own); got != tt.allowed {
			t.Errorf("%s: allowed %v", why, got)
		}
	}
}

// TestNamespacesRefused: a file is understood whole or not at all.
func TestNamespacesRefused(t *testing.T) {
	rule := func(subject string) string { return `TO Issuer SELF PERMIT Subject "` + subject + `"` }
	for why, text := range map[string]string{
		"empty":               "",
		"comments only":       "# TO Issuer SELF PERMIT Subject \"x\"\n",
		"other version":       "#NAMESPACES-VERSION: 2.0\n" + rule("x"),
		"cut short":           "TO Issuer SELF PERMIT",
		"cut after a rule":    rule("x") + " TO",
		"other word":          "FOR Issuer SELF PERMIT Subject \"x\"",
		"quoted keyword":      "TO \"Issuer\" SELF PERMIT Subject \"x\"",
		"neither":             "TO Issuer SELF ALLOW Subject \"x\"",
		"quoted PERMIT":       "TO Issuer SELF \"PERMIT\" Subject \"x\"",
		"bare issuer":         "TO Issuer 1234abcd PERMIT Subject \"x\"",
		"bare subject":        "TO Issuer SELF PERMIT Subject x",
		"no quote at the end": "TO Issuer SELF PERMIT Subject \"x\n" + rule("y"),
		"empty quotes":        rule(""),
		"backslash inside":    "TO Issuer \\ SELF PERMIT Subject \"x\"",
		"alternatives":        rule("/CN=(a|b)"),
		"alternatives of BRE": rule(`/CN=a\|b`),
		"plus":                rule("/CN=a+"),
		"question mark":       rule("/CN=ab?"),
		"counted":             rule("/CN=a{1000}"),
		"anchor inside":       rule("/CN=a$/.*"),
		"class of Java":       rule(`/CN=\w*`),
		"class of POSIX":      rule("/CN=[[:alpha:]]*"),
		"set not closed":      rule("/CN=[abc"),
		"empty set":           rule("/CN=[]"),
		"range backwards":     rule("/CN=[z-a]"),
		"star first":          rule("*"),
		"two stars":           rule("a**"),
		"backslash last":      rule(`a\\`) + " " + rule(`a\`),
		"long":                rule(strings.Repeat("a", maxNSPattern+1)),
		"many":                strings.Repeat(rule("x")+"\n", maxNamespaceRules+1),
	} {
		if n, err := parseNamespaces([]byte(text)); err == nil {
			t.Errorf("%s: %d rules", why, len(n))
		}
	}
}

// TestNSPatternTime: no pattern makes a name take long; with backtracking this
// one would take longer than anybody waits.
func TestNSPatternTime(t *testing.T) {
	p, err := parseNSPattern(strings.Repeat("a*", 500) + "b")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if p.match(strings.Repeat("a", 2000)) {
		t.Error("it matches")
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

func (f *trustFixture) namespaces(t testing.TB, ca *authority, text string) {
	t.Helper()
	f.add(t, ca, ".namespaces", []byte(text))
}

// TestTrustNamespaces: where and when .namespaces count in a directory.
func TestTrustNamespaces(t *testing.T) {
	permit := func(ca, subject string) string {
		return "TO Issuer " + ca + " PERMIT Subject \"" + subject + "\"\n"
	}
	all := permit("SELF", "/C=XX/O=Lab/.*")
	sub := func(ext string) func(*trustFixture) string {
		return func(f *trustFixture) string { return f.name(t, f.sub, ext) }
	}
	for why, tt := range map[string]struct {
		change func(*trustFixture)
		mode   PolicyMode
		reason TrustReason // "" for trusted
		file   func(*trustFixture) string
	}{
		"in place of the policy":        {func(f *trustFixture) { f.namespaces(t, f.sub, all) }, "", "", nil},
		"not understood":                {func(f *trustFixture) { f.namespaces(t, f.sub, "x") }, "", TrustBadFile, sub(".namespaces")},
		"for others":                    {func(f *trustFixture) { f.namespaces(t, f.sub, permit("SELF", "/C=YY/.*")) }, "", TrustPolicy, sub(".namespaces")},
		"for others, policies optional": {func(f *trustFixture) { f.namespaces(t, f.sub, permit("SELF", "/C=YY/.*")) }, PolicyIfPresent, TrustPolicy, sub(".namespaces")},
		"for others, policies ignored":  {func(f *trustFixture) { f.namespaces(t, f.sub, permit("SELF", "/C=YY/.*")) }, PolicyIgnore, "", nil},
		"the signing policy is asked alone": {func(f *trustFixture) {
			f.policy(t, f.sub, "/C=XX/O=Lab/*")
			f.namespaces(t, f.sub, permit("SELF", "/C=YY/.*"))
		}, "", "", nil},
		"and not overruled": {func(f *trustFixture) {
			f.policy(t, f.sub, "/C=YY/*")
			f.namespaces(t, f.sub, all)
		}, "", TrustPolicy, sub(".signing_policy")},
		"the root speaks of the sub-CA": {func(f *trustFixture) { f.namespaces(t, f.root, permit(`"`+subName+`"`, "/C=XX/O=Lab/.*")) }, "", "", nil},
		"the root speaks, its own file is about another": {func(f *trustFixture) {
			f.namespaces(t, f.sub, permit(`"/CN=Other"`, ".*"))
			f.namespaces(t, f.root, permit(`"`+subName+`"`, "/C=XX/O=Lab/.*"))
		}, "", "", nil},
		"its own file goes first": {func(f *trustFixture) {
			f.namespaces(t, f.sub, permit("SELF", "/C=YY/.*"))
			f.namespaces(t, f.root, permit(`"`+subName+`"`, "/C=XX/O=Lab/.*"))
		}, "", TrustPolicy, sub(".namespaces")},
		"only the root's own rule": {func(f *trustFixture) { f.namespaces(t, f.root, all) }, "", TrustNoPolicy, sub(".signing_policy")},
		"the root's file is broken": {func(f *trustFixture) { f.namespaces(t, f.root, "x") }, "", TrustBadFile,
			func(f *trustFixture) string { return f.name(t, f.root, ".namespaces") }},
		"its own file is about another": {func(f *trustFixture) { f.namespaces(t, f.sub, permit(`"/CN=Other"`, ".*")) }, "", TrustPolicy, sub(".namespaces")},
		"under the old hash": {func(f *trustFixture) {
			write(t, filepath.Join(f.dir, SubjectHashOld(f.sub.cert.RawSubject)+".namespaces"), []byte(all))
		}, "", "", nil},
	} {
		t.Run(why, func(t *testing.T) {
			f := newTrust(t)
			f.remove(t, f.sub, ".signing_policy")
			tt.change(f)
			err := f.open(t).Verify(f.user.Chain, testTime, TrustOptions{SigningPolicy: tt.mode})
			switch {
			case tt.reason != "":
				wantTrust(t, err, tt.reason, tt.file(f))
			case err != nil:
				t.Error(err)
			}
		})
	}
}
