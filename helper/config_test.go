package helper

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// writeFiles makes files below a new folder. A name that ends in "!MODE" gets
// that octal mode.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func loadFiles(t *testing.T, files map[string]string) *Config {
	t.Helper()
	dir := writeFiles(t, files)
	return LoadConfig(ConfigPaths{
		System:  filepath.Join(dir, "system.toml"),
		DropIns: filepath.Join(dir, "conf.d"),
		User:    filepath.Join(dir, "user.toml"),
	}, map[string]Backend{"test": &issuer{}}, "/home/jane")
}

func TestConfigMerge(t *testing.T) {
	c := loadFiles(t, map[string]string{
		"system.toml": `
default_profile = "site"
[profile.site]
backend = "test"
server = "one.example.org"
lifetime = "6h"
[store]
credentials = "runtime"`,
		"conf.d/10-vo.toml": `
[profile.vo]
backend = "test"
voms = "atlas"
match = ["root://*.cern.ch"]`,
		"conf.d/20-more.toml": "[profile.vo]\nlifetime = \"1h\"\n",
		"conf.d/ignored.txt":  "not TOML",
		"user.toml": `
default_profile = "vo"
[profile.site]
server = ["two.example.org", "three.example.org"]
ca_dir = "~/certs"
key = "p256"
crl = "allow_expired"
[store]
passphrases = "none"`,
	})
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
	site, err := c.Profile("site")
	if err != nil {
		t.Fatal(err)
	}
	vo, err := c.Profile("vo")
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, ok bool) {
		t.Helper()
		if !ok {
			t.Errorf("%s: site %+v, vo %+v, store %+v", what, site, vo, c.Store)
		}
	}
	check("later files win", c.DefaultProfile == "vo" && len(site.Settings.Strings("server")) == 2)
	check("what they leave out stays", site.Lifetime == 6*time.Hour && vo.Lifetime == time.Hour)
	check("a single string is a list", len(vo.VOMS) == 1 && vo.VOMS[0] == "atlas")
	check("home", site.CADir == "/home/jane/certs")
	check("key", site.Key == gsi.KeyP256 && vo.Key == gsi.KeyRSA2048)
	check("trust", site.Trust.CRL == gsi.CRLAllowExpired && vo.Trust == gsi.TrustOptions{SigningPolicy: gsi.PolicyRequire, CRL: gsi.CRLCheck})
	check("store", c.Store.Credentials == cache.Runtime && c.Store.Passphrases == cache.None)
}

// TestConfigRefused: what is wrong disables what it touches and is told with
// file and key; a mistyped "limited" must not become a proxy with full rights.
func TestConfigRefused(t *testing.T) {
	const good = "[profile.good]\nbackend = \"test\"\n"
	tests := []struct {
		name, text string
		mention    []string
		global     bool
	}{
		{"unknown key", "[profile.bad]\nbackend = \"test\"\nlimitd = true", []string{"user.toml", `"profile.bad.limitd"`, `"profile.bad.limited"`}, false},
		{"key of another backend", "[profile.bad]\nbackend = \"test\"\nportal = \"x\"", []string{`"profile.bad.portal"`}, false},
		{"no backend", "[profile.bad]\nlifetime = \"1h\"", []string{"backend"}, false},
		{"unknown backend", "[profile.bad]\nbackend = \"myproxi\"", []string{`"myproxi"`}, false},
		{"wrong type", "[profile.bad]\nbackend = \"test\"\nlimited = \"yes\"", []string{"profile.bad.limited must be true or false"}, false},
		{"duration", "[profile.bad]\nbackend = \"test\"\nlifetime = 12", []string{`profile.bad.lifetime must be a duration like "12h"`}, false},
		{"negative duration", "[profile.bad]\nbackend = \"test\"\nlifetime = \"-1h\"", []string{"profile.bad.lifetime"}, false},
		{"endless duration", "[profile.bad]\nbackend = \"test\"\nlifetime = \"9000h\"", []string{"profile.bad.lifetime", "year"}, false},
		{"key type", "[profile.bad]\nbackend = \"test\"\nkey = \"rsa1024\"", []string{`profile.bad.key has an unknown key type "rsa1024"`}, false},
		{"neither string nor list", "[profile.bad]\nbackend = \"test\"\nvoms = 1", []string{"profile.bad.voms must be a string or a list of strings"}, false},
		{"pattern", "[profile.bad]\nbackend = \"test\"\nmatch = [\"root://user@h\"]", []string{"profile.bad.match"}, false},
		{"voms", "[profile.bad]\nbackend = \"test\"\nvoms = [\"a\\nb\"]", []string{"profile.bad.voms"}, false},
		{"vomses", "[profile.bad]\nbackend = \"test\"\nvomses = [\"a\\rb\"]", []string{"profile.bad.vomses"}, false},
		{"relative ca_dir", "[profile.bad]\nbackend = \"test\"\nca_dir = \"certs\"", []string{"profile.bad.ca_dir", "absolute"}, false},
		{"policy", "[profile.bad]\nbackend = \"test\"\nsigning_policy = \"off\"", []string{"profile.bad.signing_policy", "require"}, false},
		{"no table", "profile.bad = 1", []string{"profile.bad", "table"}, false},
		{"unknown top-level key", "default_profil = \"good\"", []string{`"default_profil"`, `"default_profile"`}, true},
		{"unknown store", "[store]\ncredentials = \"disk\"", []string{"store.credentials", `"disk"`}, true},
		{"pass phrases in a file", "[store]\npassphrases = \"file\"", []string{"store.passphrases"}, true},
		{"relative runtime_dir", "[store]\nruntime_dir = \"run\"", []string{"store.runtime_dir"}, true},
		{"relative file_dir", "[store]\nfile_dir = \"x\"", []string{"store.file_dir", "absolute"}, true},
		{"key_ttl as a number", "[store]\nkey_ttl = 60", []string{"store.key_ttl", "string"}, true},
		{"key_ttl without a unit", "[store]\nkey_ttl = \"60\"", []string{"store.key_ttl", `"60"`, "24h"}, true},
		{"key_ttl below a second", "[store]\nkey_ttl = \"500ms\"", []string{"store.key_ttl"}, true},
		{"key_ttl beyond a day", "[store]\nkey_ttl = \"24h1s\"", []string{"store.key_ttl", "24h"}, true},
		{"negative key_ttl", "[store]\nkey_ttl = \"-1m\"", []string{"store.key_ttl"}, true},
		{"unknown store key", "[store]\nkey_tll = \"1m\"", []string{`"store.key_tll"`, `"store.key_ttl"`}, true},
		{"not TOML", "[profile.bad\n", []string{"user.toml", "line 2"}, true},
		{"not TOML, a pass word", "password = hunter", []string{"user.toml", "line 1", "expected value"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := loadFiles(t, map[string]string{"system.toml": good, "user.toml": test.text})
			_, err := c.Profile("bad")
			if code(err) != CodeNotConfigured {
				t.Fatalf("got %v", err)
			}
			text := err.Error() + " " + AsError(err).Hint
			if strings.Contains(text, "hunter") {
				t.Errorf("%q repeats a pass word", text)
			}
			for _, m := range test.mention {
				if !strings.Contains(text, m) {
					t.Errorf("%q does not mention %s", text, m)
				}
			}
			if _, err := c.Profile("good"); (err != nil) != test.global {
				t.Errorf("the other profile: %v", err)
			}
		})
	}
}

// TestConfigProfileName: names reach paths and hints.
func TestConfigProfileName(t *testing.T) {
	c := loadFiles(t, map[string]string{"user.toml": "[profile.\"../../x\"]\nbackend = \"test\"\n[profile.ok]\nbackend = \"test\"\n"})
	if _, err := c.Profile("../../x"); code(err) != CodeNotConfigured || !strings.Contains(err.Error(), "cannot be the name") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Profile("ok"); err != nil {
		t.Errorf("its neighbour: %v", err)
	}
}

func TestConfigFileModes(t *testing.T) {
	for _, mode := range []os.FileMode{0o620, 0o602, 0o666} {
		dir := writeFiles(t, map[string]string{"user.toml": "[profile.x]\nbackend = \"test\"\n"})
		user := filepath.Join(dir, "user.toml")
		if err := os.Chmod(user, mode); err != nil {
			t.Fatal(err)
		}
		c := LoadConfig(ConfigPaths{User: user}, map[string]Backend{"test": &issuer{}}, "")
		if _, err := c.Profile("x"); code(err) != CodePolicyRefused || !strings.Contains(err.Error(), user) {
			t.Errorf("mode %o: got %v", mode, err)
		}
		if err := os.Chmod(user, 0o644); err != nil {
			t.Fatal(err)
		}
		c = LoadConfig(ConfigPaths{User: user}, map[string]Backend{"test": &issuer{}}, "")
		if _, err := c.Profile("x"); err != nil {
			t.Errorf("mode 644: got %v", err)
		}
	}
}

// TestConfigNoFile: what is no file is no reason to change its mode. Root, who
// does what the sentence says, would shut everybody out of /tmp.
func TestConfigNoFile(t *testing.T) {
	open := filepath.Join(t.TempDir(), "tmp")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{open, os.DevNull} {
		e := LoadConfig(ConfigPaths{User: user, Required: true}, nil, "").Err()
		if e == nil || !strings.Contains(e.Message, user) {
			t.Fatalf("%s: got %v", user, e)
		}
		if text := e.Message + e.Hint; strings.Contains(text, "chmod") || strings.Contains(text, "remove") {
			t.Errorf("%s: advises %q", user, text)
		}
	}
}

func TestConfigMissing(t *testing.T) {
	dir := t.TempDir()
	c := LoadConfig(ConfigPaths{User: filepath.Join(dir, "none.toml"), Required: true}, nil, "")
	if code(c.Err()) != CodeNotConfigured {
		t.Errorf("a file that was named: got %v", c.Err())
	}
	c = LoadConfig(ConfigPaths{User: "config.toml", Required: true}, nil, "")
	if code(c.Err()) != CodeNotConfigured || !strings.Contains(c.Err().Error(), "absolute") {
		t.Errorf("a relative file: got %v", c.Err())
	}
	c = LoadConfig(ConfigPaths{User: filepath.Join(dir, "none.toml")}, nil, "")
	if c.Err() != nil {
		t.Errorf("the usual file: got %v", c.Err())
	}
	h := &Helper{Config: c, Getenv: func(string) string { return "" }}
	if _, err := h.choose(Selection{}); code(err) != CodeNotConfigured || !strings.Contains(AsError(err).Hint, "config.toml") {
		t.Errorf("nothing configured: got %v", err)
	}
}

func TestConfigPaths(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	tests := []struct {
		env      map[string]string
		home     string
		user     string
		required bool
	}{
		{nil, "/home/jane", "/home/jane/.config/x509-credential-helper/config.toml", false},
		{map[string]string{"XDG_CONFIG_HOME": "/cfg"}, "/home/jane", "/cfg/x509-credential-helper/config.toml", false},
		{map[string]string{"XDG_CONFIG_HOME": "cfg"}, "/home/jane", "/home/jane/.config/x509-credential-helper/config.toml", false},
		{map[string]string{"X509_CREDENTIAL_HELPER_CONFIG": "/x.toml"}, "/home/jane", "/x.toml", true},
		{nil, "", "", false},
	}
	for _, test := range tests {
		p := DefaultConfigPaths(env(test.env), test.home)
		if p.User != test.user || p.Required != test.required {
			t.Errorf("%v: got %+v", test.env, p)
		}
	}
}

func TestChoose(t *testing.T) {
	c := loadFiles(t, map[string]string{"user.toml": `
default_profile = "open"
[profile.open]
backend = "test"
[profile.cern]
backend = "test"
match = ["root://*.cern.ch", "davs://a.org"]
[profile.eos]
backend = "test"
match = ["root://eos.cern.ch"]
[profile.broken]
backend = "test"
match = ["root://eos.cern.ch/secret"]
limitd = true
[profile.twin]
backend = "test"
match = ["davs://a.org"]
[profile.torn]
backend = "test"
match = ["root://user:pass@eos.cern.ch", "root://eos.cern.ch/torn"]
[profile."../../x"]
backend = "test"
match = ["root://eos.cern.ch/x"]`})
	env := map[string]string{}
	h := &Helper{Config: c, Getenv: func(k string) string { return env[k] }}
	tests := []struct {
		name, env string
		s         Selection
		want      string
		code      Code
	}{
		{"default", "", Selection{}, "open", ""},
		{"name", "", Selection{Profile: "eos"}, "eos", ""},
		{"name goes before URL", "", Selection{Profile: "eos", URL: "root://x.cern.ch"}, "eos", ""},
		{"environment goes before URL", "cern", Selection{URL: "root://eos.cern.ch"}, "cern", ""},
		{"name goes before environment", "cern", Selection{Profile: "eos"}, "eos", ""},
		{"bad environment", "../x", Selection{}, "", CodeInvalidRequest},
		{"URL", "", Selection{URL: "root://x.cern.ch//y"}, "cern", ""},
		{"more literal labels", "", Selection{URL: "root://eos.cern.ch//y"}, "eos", ""},
		{"a broken profile keeps its URLs", "", Selection{URL: "root://eos.cern.ch/secret/x"}, "", CodeNotConfigured},
		{"and those beside a pattern that is none", "", Selection{URL: "root://eos.cern.ch/torn/x"}, "", CodeNotConfigured},
		{"and under an impossible name", "", Selection{URL: "root://eos.cern.ch/x/y"}, "", CodeNotConfigured},
		{"tie", "", Selection{URL: "davs://a.org/x"}, "", CodeNotConfigured},
		{"no match, open default", "", Selection{URL: "davs://b.org/x"}, "open", ""},
		{"unknown name", "", Selection{Profile: "cerm"}, "", CodeNotConfigured},
	}
	for _, test := range tests {
		env["X509_CREDENTIAL_PROFILE"] = test.env
		p, err := h.choose(test.s)
		if code(err) != test.code || err == nil && p.Name != test.want {
			t.Errorf("%s: got %v, %v", test.name, p, err)
		}
	}
	_, err := c.Profile("cerm")
	if AsError(err).Hint != `did you mean "cern"?` {
		t.Errorf("suggestion: %q", AsError(err).Hint)
	}
	_, err = c.Profile("torn")
	if text := err.Error(); strings.Contains(text, "pass") || !strings.Contains(text, "@eos.cern.ch") {
		t.Errorf("a pass word in a pattern: %q", text)
	}
	_, err = h.choose(Selection{URL: "davs://a.org/x"})
	if !strings.Contains(err.Error(), "cern") || !strings.Contains(err.Error(), "twin") {
		t.Errorf("a tie names both: %v", err)
	}
	c.DefaultProfile = "cern"
	if _, err := h.choose(Selection{URL: "davs://b.org/x"}); code(err) != CodeNoProfileForURL {
		t.Errorf("a default profile that has patterns: got %v", err)
	}
}

// FuzzConfig: no file makes the loader panic, and what it accepts keeps the
// rules that the rest relies on.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("default_profile = \"a\"\n[profile.a]\nbackend = \"test\"\nserver = [\"x\"]\n"))
	f.Add([]byte("[profile.\"../x\"]\nbackend = 1\n[store]\ncredentials = []\n"))
	f.Add([]byte("profile = 1\nstore = 2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &Config{profiles: map[string]*Profile{}}
		m := newMerger()
		if m.add("fuzz.toml", data) != nil {
			return
		}
		m.build(c, map[string]Backend{"test": &issuer{}}, "/home/jane")
		for _, p := range c.Profiles() {
			if p.err == nil && (!isName(p.Name) || p.Lifetime <= 0 || p.CADir != "" && !filepath.IsAbs(p.CADir)) {
				t.Errorf("accepted %+v", p)
			}
		}
	})
}

// TestRenewWindow: both thresholds of a profile, and what no window is.
func TestRenewWindow(t *testing.T) {
	for text, want := range map[string]RenewWindow{
		"50%-75%": {0.50, 0.75}, "1%-11%": {0.01, 0.11}, "85%-95%": {0.85, 0.95},
		"": {}, "50%": {}, "50-75": {}, "50%-": {}, "75%-50%": {}, "50%-59%": {}, "0%-50%": {}, "50%-96%": {}, "+5%-50%": {}, "050%-75%": {}, "50%-75%-80%": {},
	} {
		got, err := parseRenewWindow(text)
		if got != want || (err == nil) != (want != RenewWindow{}) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	c := loadFiles(t, map[string]string{"user.toml": `
[profile.a]
backend = "test"
[profile.b]
backend = "test"
min_lifetime = "20m"
renew_after = "30%-60%"
[profile.c]
backend = "test"
renew_after = "half"`})
	a, err := c.Profile("a")
	if err != nil || a.Renew != defaultRenew || a.MinLifetime != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	b, err := c.Profile("b")
	if err != nil || b.Renew != (RenewWindow{0.30, 0.60}) || b.MinLifetime != 20*time.Minute {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := c.Profile("c"); err == nil || !strings.Contains(err.Error(), "profile.c.renew_after must be two shares") {
		t.Errorf("c: %v", err)
	}
}

// TestConfigUnreadable: what anybody but root meets where a file is closed to
// them is one sentence with the way out.
func TestConfigUnreadable(t *testing.T) {
	path := filepath.Join(writeFiles(t, map[string]string{"a": ""}), "a", "config.toml") // closed to root, too
	_, err := safefile.ReadTrusted(path, 1)
	e := configReadError(path, err)
	if e.Code != CodeNotConfigured || strings.Count(e.Message, path) != 1 || !strings.HasSuffix(e.Message, "not a directory") || e.Hint == "" {
		t.Errorf("%+v", e)
	}
}
