package voms

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseLSC(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string // names joined by '|', chains by " || "
	}{
		{"usual", "/DC=ch/CN=voms\n/DC=ch/CN=CA\n", "/DC=ch/CN=voms|/DC=ch/CN=CA"},
		{"no end of line", "/CN=a\n/CN=b", "/CN=a|/CN=b"},
		{"Windows", "/CN=a\r\n/CN=b\r\n", "/CN=a|/CN=b"},
		{"blanks and comments", "# who\n\n \t\n  /CN=a b  \n\n/CN=b\n#\n", "/CN=a b|/CN=b"},
		{"quoted", "\"/CN=a \"\n \"/CN=b\"\t\n", "/CN=a|/CN=b"},
		{"separator of libvomsapi", "/CN=a\n/CN=b\n------ NEXT CHAIN ------\n/CN=c\n/CN=d\n", "/CN=a|/CN=b || /CN=c|/CN=d"},
		{"separator of the Java library", "/CN=a\n/CN=b\n------NEXT CHAIN------\n/CN=c\n/CN=d\n", "/CN=a|/CN=b || /CN=c|/CN=d"},
		{"separators around", "------ NEXT CHAIN ------\n/CN=a\n/CN=b\n------ NEXT CHAIN ------\n", "/CN=a|/CN=b"},
		{"a CA's CA", "/CN=a\n/CN=b\n/CN=b\n/CN=c\n", "/CN=a|/CN=b|/CN=b|/CN=c"},
	} {
		got, err := ParseLSC([]byte(tt.text))
		var chains []string
		for _, c := range got {
			chains = append(chains, strings.Join(c, "|"))
		}
		if text := strings.Join(chains, " || "); err != nil || text != tt.want {
			t.Errorf("%s: %q, %v", tt.name, text, err)
		}
	}
	for why, text := range map[string]string{
		"empty":                   "",
		"comments only":           "# nothing\n\n",
		"separators only":         "------ NEXT CHAIN ------\n",
		"no issuer":               "/CN=a\n",
		"no issuer in the second": "/CN=a\n/CN=b\n------ NEXT CHAIN ------\n/CN=c\n",
		"another form of names":   "CN=a,C=XX\nCN=b,C=XX\n",
		"another separator":       "/CN=a\n/CN=b\n------ next ------\n/CN=c\n/CN=d\n",
		"open quotation":          "\"/CN=a\n/CN=b\n",
		"control character":       "/CN=a\x1b[2J\n/CN=b\n",
		"NUL":                     "/CN=a\x00\n/CN=b\n",
		"a line too long":         "/CN=" + strings.Repeat("a", maxLSCLine) + "\n/CN=b\n",
		"chain too long":          strings.Repeat("/CN=a\n", 2*maxCertificates+2),
		"too many chains":         strings.Repeat("/CN=a\n/CN=b\n------ NEXT CHAIN ------\n", maxLSCChains+1),
		"too large":               strings.Repeat("\n", maxLSC+1),
	} {
		if got, err := ParseLSC([]byte(text)); err == nil {
			t.Errorf("%s: %q", why, got)
		}
	}
}

// TestUnsafeNames: VO and host come from a stranger's certificate and become a
// file's name.
func TestUnsafeNames(t *testing.T) {
	for _, s := range []string{"voms.example.org", "voms-02.pd.infn.it", "localhost", "1.2.3.4"} {
		if !isHost(s) {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range []string{"", ".", "..", ".hidden", "-x", "a/b", "a\\b", "a:b", "a_b", "a\x00", "a b", "ü", "[::1]", strings.Repeat("a", maxHost+1)} {
		if isHost(s) {
			t.Errorf("%q is a host", s)
		}
	}
	for _, s := range []string{"", ".", "..", "../x", "a/b", "a\\b", "a\x00", "C:"} {
		if isName(s) {
			t.Errorf("%q is a VO", s)
		}
	}
}

func write(t *testing.T, text string, elements ...string) string {
	t.Helper()
	path := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLSCFile(t *testing.T) {
	path := t.TempDir()
	dir, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "/CN=a\n/CN=b\n", path, "vo", "good.lsc")
	write(t, "nonsense\n", path, "vo", "bad.lsc")
	write(t, strings.Repeat("#", maxLSC+1), path, "vo", "large.lsc")
	if err := os.Mkdir(filepath.Join(path, "vo", "dir.lsc"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("good.lsc", filepath.Join(path, "vo", "link.lsc")); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"good", "link"} {
		if chains, file, e := dir.lsc("vo", host); e != nil || len(chains) != 1 || file != filepath.Join(path, "vo", host+".lsc") {
			t.Errorf("%s: %q %s %v", host, chains, file, e)
		}
	}
	for _, host := range []string{"bad", "large", "dir"} {
		chains, file, e := dir.lsc("vo", host)
		if chains != nil || e == nil || e.Reason != ReasonBadFile || e.File != file || !strings.Contains(e.Error(), host+".lsc") {
			t.Errorf("%s: %q %v", host, chains, e)
		}
	}
	for _, vo := range []string{"vo", "other"} {
		if chains, _, e := dir.lsc(vo, "none"); chains != nil || e != nil {
			t.Errorf("%s: %q %v", vo, chains, e)
		}
	}
}

// TestCertificatesInTheDirectory: files that are no certificate are passed over.
func TestCertificatesInTheDirectory(t *testing.T) {
	path := t.TempDir()
	dir, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	c := newCert(t, "voms.example.org", newKey(t))
	write(t, "", path, "vo", "empty.pem")
	write(t, pemText(newCert(t, "other", newKey(t))), path, "vo", "other.pem")
	write(t, strings.Replace(pemText(c), "M", "N", 1), path, "vo", "broken.pem")
	write(t, pemText(c), path, "vo", "c.txt")
	write(t, strings.Repeat("\n", maxAAFile)+pemText(c), path, "vo", "large.pem")
	if got := dir.authorities("vo", c.RawSubject); got != nil {
		t.Errorf("found %d", len(got))
	}
	write(t, pemText(c), path, "b.pem")
	write(t, "text before\n"+pemText(c), path, "vo", "a.pem")
	var files []string
	for _, aa := range dir.authorities("vo", c.RawSubject) {
		files = append(files, strings.TrimPrefix(aa.file, path+string(filepath.Separator)))
	}
	if want := []string{filepath.Join("vo", "a.pem"), "b.pem"}; !slices.Equal(files, want) {
		t.Errorf("found %q", files)
	}
}

func TestOpenAndFindDir(t *testing.T) {
	path := t.TempDir()
	file := write(t, "", path, "file")
	for _, p := range []string{filepath.Join(path, "none"), file} {
		if _, err := OpenDir(p); reasonOf(err) != ReasonNoDirectory || !strings.Contains(err.Error(), p) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if dir, err := OpenDir(path); err != nil || dir.Path() != path {
		t.Errorf("%v", err)
	}
	env := func(value string) func(string) string {
		return func(name string) string {
			if name == "X509_VOMS_DIR" {
				return value
			}
			return ""
		}
	}
	other := t.TempDir()
	for _, tt := range []struct{ configured, env, want string }{
		{path, "", path}, {path, other, path}, {"", other, other},
		{filepath.Join(path, "none"), other, ""}, {"", filepath.Join(path, "none"), ""}, {"relative", "", ""}, {"", "relative", ""}, {file, "", ""},
	} {
		got, err := FindDir(tt.configured, env(tt.env))
		if got != tt.want || (err == nil) != (tt.want != "") || err != nil && reasonOf(err) != ReasonNoDirectory {
			t.Errorf("%q, %q: %q, %v", tt.configured, tt.env, got, err)
		}
	}
	// What there is by default depends on the machine.
	if got, err := FindDir("", env("")); got != DefaultDir && reasonOf(err) != ReasonNoDirectory {
		t.Errorf("%q, %v", got, err)
	}
}
