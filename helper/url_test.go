package helper

import (
	"strings"
	"testing"
)

func TestPatternMatches(t *testing.T) {
	tests := []struct {
		pattern, url string
		want         bool
	}{
		{"root://eos.cern.ch", "root://eos.cern.ch", true},
		{"root://eos.cern.ch", "root://eos.cern.ch//eos/atlas/x", true},
		{"root://eos.cern.ch", "ROOT://EOS.CERN.CH./x", true},
		{"root://eos.cern.ch", "root://eos.cern.ch:1094//x", true},
		{"root://eos.cern.ch", "davs://eos.cern.ch/x", false},
		{"root://eos.cern.ch", "root://eos.cern.ch.evil.org/x", false},
		{"root://eos.cern.ch", "root://xeos.cern.ch/x", false},
		{"root://*.cern.ch", "root://eos.cern.ch/x", true},
		{"root://*.cern.ch", "root://a.b.cern.ch/x", true},
		{"root://*.cern.ch", "root://cern.ch/x", false},
		{"root://*.cern.ch", "root://evilcern.ch/x", false},
		{"root://eos.cern.ch:1094", "root://eos.cern.ch:1094/x", true},
		{"root://eos.cern.ch:1094", "root://eos.cern.ch:1095/x", false},
		{"root://eos.cern.ch:1094", "root://eos.cern.ch/x", false},
		{"davs://h/eos/atlas", "davs://h/eos/atlas", true},
		{"davs://h/eos/atlas", "davs://h/eos/atlas/x/y", true},
		{"davs://h/eos/atlas", "davs://h//eos///atlas//x", true},
		{"davs://h/eos/atlas", "davs://h/eos/atlasfoo", false},
		{"davs://h/eos/atlas", "davs://h/eos", false},
		{"davs://h/eos/*/raw", "davs://h/eos/atlas/raw/1", true},
		{"davs://h/eos/*/raw", "davs://h/eos/a/b/raw", false},
		{"davs://h/eos/atlas/*", "davs://h/eos/atlas", false},
		{"davs://h/a%20b", "davs://h/a b/c", true},
		{"davs://h/eos/atlas", "davs://h/eos%2Fatlas/x", false},
		{"davs://h/eos/atlas", "davs://h/eos/atlas?x=/../..#f", true},
		{"davs://h/eos/atlas", "davs://h/%65os/atlas", true},
		{"https://[::1]:8443", "https://[0:0:0:0:0:0:0:1]:8443/x", true},
		{"https://127.0.0.1", "https://127.0.0.1/x", true},
	}
	for _, test := range tests {
		p, err := ParsePattern(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		u, err := parseURL(test.url)
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		if got := p.Matches(u); got != test.want {
			t.Errorf("%s matches %s: got %v", test.pattern, test.url, got)
		}
	}
}

// TestURLRefused: what the tool behind us could read in another way than we do
// is refused, not guessed.
func TestURLRefused(t *testing.T) {
	for _, u := range []string{
		"", "se.example.org", "/path", "://h", "1root://h", "ro ot://h", "root:/h", "mailto:x",
		"root://", "root:///path", "file:///etc/passwd", "root://:1094/x", "root://./x",
		"root://user@h/x", "root://user:pass@h/x", "root://@h/x", "root://a.b@c.d@h/",
		"root://h\\evil/x", "root://h/a\\b", "root://h/a%5cb",
		"root://h/\x00", "root://h/\n", "root://h/%00", "root://h/%0a", "root://h\t/x",
		"root://h%2eevil/x", "root://%68/x",
		"root://h/../x", "root://h/./x", "root://h/a/..", "root://h/%2e%2e/x", "root://h/.%2E/x", "root://h/%2e/x",
		"root://h/..%2fx", "root://h/a%2f..%2Fb", "root://h/a%2F.", "root://h/a%2f%2e%2e",
		"root://h/%zz", "root://h/%2", "root://h..x/", "root://.h/", "root://hö.de/",
		"root://h:0/", "root://h:65536/", "root://h:01094/", "root://h:+1/", "root://h:/", "root://h:10:20/", "root://h:x/",
		"https://[::1/", "https://[::1]x/", "https://[1.2.3.4]/", "https://::1/",
		"root://h/" + strings.Repeat("x", 9000),
	} {
		if loc, err := parseURL(u); err == nil {
			t.Errorf("%.60q was accepted as %+v", u, loc)
		}
	}
	for _, p := range []string{
		"*.cern.ch", "root://*", "root://*.", "root://a.*.ch", "root://a*.ch", "*://h", "root://h/a*", "root://h?x", "root://**.ch",
	} {
		if _, err := ParsePattern(p); err == nil {
			t.Errorf("pattern %q was accepted", p)
		}
	}
}

// TestPatternOrder: the pattern that says more wins, whatever the order of the
// configuration.
func TestPatternOrder(t *testing.T) {
	descending := []string{
		"root://a.cern.ch:1094/x/y", "root://a.cern.ch:1094/x", "root://a.cern.ch:1094",
		"root://a.cern.ch/x/y/z", "root://a.cern.ch", "root://*.cern.ch:1094/x", "root://*.cern.ch/x/y", "root://*.cern.ch", "root://*.ch:1094/x/y/z",
	}
	for i, a := range descending {
		for j, b := range descending {
			p, _ := ParsePattern(a)
			q, _ := ParsePattern(b)
			if got, want := sign(p.compare(q)), sign(j-i); got != want {
				t.Errorf("%s against %s: got %d, want %d", a, b, got, want)
			}
		}
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// FuzzURL: no URL makes the parser panic, and none that is accepted keeps what
// could lead elsewhere.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"root://*.cern.ch", "davs://h:1/a/%2e%2e/b", "https://[::1]:8443//x?y#z", "root://user@h", "a://b.c/%41"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = ParsePattern(s)
		u, err := parseURL(s)
		if err != nil {
			return
		}
		if len(u.labels) == 0 || u.scheme == "" {
			t.Errorf("%q: no host or scheme", s)
		}
		for _, seg := range u.path {
			if seg == "" || seg == "." || seg == ".." || strings.ContainsAny(seg, "\\\x00\r\n") {
				t.Errorf("%q: segment %q", s, seg)
			}
		}
		for _, l := range u.labels {
			if l == "" || strings.ContainsAny(l, "@%/\\ ") {
				t.Errorf("%q: label %q", s, l)
			}
		}
	})
}
