package myproxy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

// exampleConfig is MyProxyClient's own example, shortened.
const exampleConfig = `#
# MyProxyClient configuration file
[DEFAULT]
# Delete this element and take setting from MYPROXY_SERVER environment
hostname=myproxy.somewhere.ac.uk

port=7513
#serverDN=/O=NDG/OU=Raphael/CN=raphael
openSSLConfFilePath=$CONF_DIR/openssl.conf
proxyCertMaxLifetime=86400
proxyCertLifetime: 64801

caCertDir = ${CONF_DIR}/ca

[test]
username: testuser
passphrase: canary-pass-phrase

[other]
hostname = other.example.org
serverDN = /O=NDG/CN=host/other 100%% "quoted\"
`

func lookup(key string) (string, bool) {
	value, ok := map[string]string{"CONF_DIR": "/conf", "EMPTY": "", "REL": "rel"}[key]
	return value, ok
}

func TestClientConfig(t *testing.T) {
	c, err := parseClientConfig("my.cfg", "", []byte(exampleConfig), lookup)
	must(t, err)
	want := ClientConfig{Hostname: "myproxy.somewhere.ac.uk", Port: 7513, CACertDir: "/conf/ca",
		Lifetime: 64801 * time.Second, MaxLifetime: 24 * time.Hour}
	warnings := c.Warnings
	c.Warnings = nil
	if !equalConfig(*c, want) {
		t.Errorf("got %+v, want %+v", *c, want)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "line 9: openSSLConfFilePath is ignored") {
		t.Errorf("warnings %q", warnings)
	}
	// Another section has what it leaves out from DEFAULT.
	c, err = parseClientConfig("my.cfg", "other", []byte(exampleConfig), lookup)
	must(t, err)
	if c.Hostname != "other.example.org" || c.Port != 7513 || c.ServerDN != `/O=NDG/CN=host/other 100% "quoted\"` {
		t.Errorf("section other: got %+v", *c)
	}
}

func equalConfig(a, b ClientConfig) bool {
	return a.Hostname == b.Hostname && a.Port == b.Port && a.ServerDN == b.ServerDN && a.CACertDir == b.CACertDir &&
		a.Lifetime == b.Lifetime && a.MaxLifetime == b.MaxLifetime
}

// Every error names the line and no value.
func TestClientConfigErrors(t *testing.T) {
	for _, tc := range []struct {
		text, section string
		line          int
		reason        string
	}{
		{"", "", 0, `nothing in a section "DEFAULT"`},
		{"[DEFAULT]\n", "", 0, `nothing in a section "DEFAULT"`},
		{"[DEFAULT]\nport=1\n", "nosuch", 0, `nothing in a section "nosuch"`},
		{"port=1\n", "", 1, "before the first [SECTION]"},
		{"[DEFAULT\nport=1\n", "", 1, "no name of a section"},
		{"[]\nport=1\n", "", 1, "no name of a section"},
		{"[DEFAULT]\nport\n", "", 2, "neither a section"},
		{"[DEFAULT]\n=canary\n", "", 2, "has no key"},
		{"[DEFAULT]\nhostname=a\n  canary\n", "", 3, "begins with a blank"},
		{"[DEFAULT]\nport=1\nport=2\n", "", 3, "stands in this section already"},
		{"[DEFAULT]\nPORT=1\n", "", 2, `unknown key "PORT"`},
		{"[DEFAULT]\r\n\r\nusername=canary\r\n", "", 3, `unknown key "username"`},
		{"[DEFAULT]\nport=0\n", "", 2, "port is no port"},
		{"[DEFAULT]\nport=70000\n", "", 2, "port is no port"},
		{"[DEFAULT]\nport=canary\n", "", 2, "port is no port"},
		{"[DEFAULT]\nhostname=jane:canary@host\n", "", 2, "neither a host name"},
		{"[DEFAULT]\nhostname=\n", "", 2, "neither a host name"},
		{"[DEFAULT]\nproxyCertLifetime=12h\n", "", 2, "number of seconds"},
		{"[DEFAULT]\nproxyCertLifetime=0\n", "", 2, "number of seconds"},
		{"[DEFAULT]\nproxyCertMaxLifetime=9223372036854775807\n", "", 2, "number of seconds"},
		{"[DEFAULT]\ncaCertDir=$NOSUCH/ca\n", "", 2, `the variable "NOSUCH"`},
		{"[DEFAULT]\ncaCertDir=$EMPTY/ca\n", "", 2, `the variable "EMPTY"`},
		{"[DEFAULT]\ncaCertDir=$REL/ca\n", "", 2, "absolute path"},
		{"[DEFAULT]\ncaCertDir=canary\n", "", 2, "absolute path"},
		{"[DEFAULT]\nserverDN=/CN=%(canary)s\n", "", 2, "single %"},
		{"[DEFAULT]\nserverDN=/CN=\x1b[31mcanary\n", "", 2, "control character"},
		{"[DEFAULT]\nserverDN=/CN=\xff\n", "", 2, "not UTF-8"},
	} {
		_, err := parseClientConfig("my.cfg", tc.section, []byte(tc.text), lookup)
		var e *ConfigError
		if !errors.As(err, &e) || e.Line != tc.line || !strings.Contains(e.Reason, tc.reason) {
			t.Errorf("%q: got %v, want line %d, %q", tc.text, err, tc.line, tc.reason)
			continue
		}
		if !strings.HasPrefix(err.Error(), `"my.cfg"`) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: the text is %q", tc.text, err)
		}
	}
}

// The file decides where pass phrases go, so others must not be able to write
// to it.
func TestReadMyProxyClientConfig(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CONF_DIR", dir)
	path := file(t, dir, "my.cfg", []byte(exampleConfig), 0o644)
	c, err := ReadMyProxyClientConfig(path, "")
	if err != nil || c.CACertDir != filepath.Join(dir, "ca") {
		t.Errorf("got %+v, %v", c, err)
	}
	var e *ConfigError
	if _, err := ReadMyProxyClientConfig(filepath.Join(dir, "absent"), ""); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &e) {
		t.Errorf("absent: got %v", err)
	}
	if _, err := ReadMyProxyClientConfig(path, "nosuch"); !errors.As(err, &e) || e.Path != path {
		t.Errorf("no such section: got %v", err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	must(t, os.Chmod(path, 0o664))
	if _, err := ReadMyProxyClientConfig(path, ""); !errors.As(err, &e) || !strings.Contains(err.Error(), "lets others write") {
		t.Errorf("writable: got %v", err)
	}
	if _, err := ReadMyProxyClientConfig(dir, ""); !errors.As(err, &e) || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a directory: got %v", err)
	}
}

func TestClientConfigProfile(t *testing.T) {
	c, err := parseClientConfig("my.cfg", "", []byte(exampleConfig), lookup)
	must(t, err)
	const want = `[profile.atlas]
backend = "myproxy"
server = "myproxy.somewhere.ac.uk:7513"
lifetime = "64801s"
max_lifetime = "24h"
ca_dir = "/conf/ca"
# line 9: openSSLConfFilePath is ignored: servers do not look at the names in a certificate request, so ours has none
`
	if got := c.Profile("atlas"); got != want {
		t.Errorf("got\n%s", got)
	}
	for _, tc := range []struct {
		c    ClientConfig
		name string
		want string
	}{
		{ClientConfig{Hostname: "h"}, "a.b", "[profile.\"a.b\"]\nbackend = \"myproxy\"\nserver = \"h\"\n"},
		{ClientConfig{Hostname: "::1", Port: 7512}, "x", "[profile.x]\nbackend = \"myproxy\"\nserver = \"[::1]:7512\"\n"},
		{ClientConfig{Port: 1}, "x", "[profile.x]\nbackend = \"myproxy\"\n# no hostname was given, only port 1: set server = \"HOST:1\"\n"},
		{ClientConfig{Lifetime: 90 * time.Minute}, "x", "[profile.x]\nbackend = \"myproxy\"\nlifetime = \"90m\"\n"},
	} {
		if got := tc.c.Profile(tc.name); got != tc.want {
			t.Errorf("got\n%s\nwant\n%s", got, tc.want)
		}
	}
}

// FuzzClientConfig: whatever is in the file, it is refused with a line or
// becomes a profile that says the same in TOML.
func FuzzClientConfig(f *testing.F) {
	for _, seed := range []string{exampleConfig, "[DEFAULT]\nhostname=::1\nport:1", "\ufeff[DEFAULT]\nserverDN=\"\\\t'", "[a]\n[DEFAULT]\ncaCertDir=${CONF_DIR}$$"} {
		f.Add([]byte(seed), "DEFAULT", "test")
	}
	f.Add([]byte("[x]\nport=1"), "x", "a\nb\".\\")
	f.Fuzz(func(t *testing.T, data []byte, section, name string) {
		c, err := parseClientConfig("my.cfg", section, data, lookup)
		var e *ConfigError
		if err != nil {
			if !errors.As(err, &e) || e.Path == "" {
				t.Fatalf("got %v", err)
			}
			return
		}
		text := c.Profile(name)
		var doc struct {
			Profile map[string]struct {
				Backend     string
				Server      string
				ServerDN    string `toml:"server_dn"`
				Lifetime    string
				MaxLifetime string `toml:"max_lifetime"`
				CADir       string `toml:"ca_dir"`
			}
		}
		meta, err := toml.Decode(text, &doc)
		if err != nil || len(meta.Undecoded()) > 0 || len(doc.Profile) != 1 {
			t.Fatalf("no TOML: %v, %q\n%s", err, meta.Undecoded(), text)
		}
		for _, p := range doc.Profile {
			life, _ := time.ParseDuration(p.Lifetime)
			longest, _ := time.ParseDuration(p.MaxLifetime)
			hosts, err := ParseServers([]string{p.Server}, DefaultPort)
			if p.ServerDN != c.ServerDN || p.CADir != c.CACertDir || life != c.Lifetime || longest != c.MaxLifetime ||
				err != nil || (len(hosts) == 1) != (c.Hostname != "") || p.Backend != Name {
				t.Errorf("%+v became\n%s", *c, text)
			}
		}
	})
}
