package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// TestTwoProfiles: a file goes from a server that knows one user to one that
// knows another, with the real xrdcp, in one command. gfal-copy, which replaces
// what the URL says, is refused before it fails; curl and davix find the proxy
// that they do not look for.
func TestTwoProfiles(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.XRootDServer, lab.XRootDClient, lab.XRootDHTTP, lab.GFAL, lab.Curl, lab.Davix)
	g := newGrid(t)
	mp := lab.StartMyProxy(t, lab.MyProxyOptions{})
	g.addr, g.trustDir = mp.Addr, mp.TrustDir
	var servers []*lab.XRootD
	config := "default_profile = \"jane\"\n"
	for _, user := range []string{"jane", "joe"} {
		c := mp.CA.User(user)
		mp.Store(user, passphrase, c)
		x := lab.StartXRootDWith(t, mp.CA, lab.XRootDOptions{HTTP: true, Users: []string{c.DN()}})
		if err := os.Chmod(x.Data, 0o777); err != nil {
			t.Fatal(err)
		}
		servers = append(servers, x)
		config += fmt.Sprintf("[profile.%s]\nbackend = \"myproxy\"\nserver = %q\nusername = %q\nca_dir = %q\nmatch = [%q, %q, %q]\n",
			user, g.addr, user, g.trustDir, x.URL, x.HTTPS, x.DAVS())
	}
	config += fmt.Sprintf("[store]\nruntime_dir = %q\n", g.path("run"))
	if err := os.WriteFile(g.path("config.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g.env = append(g.env, "GFAL_PYTHONBIN=/usr/bin/python3")
	for _, user := range []string{"jane", "joe"} {
		g.storeFor(user)
	}
	from, to := servers[0], servers[1]
	if err := os.WriteFile(filepath.Join(from.Data, "file"), []byte("from afar"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := g.run("", "exec", "--", "xrdcp", "--nopbar", from.URL+"//data/file", to.URL+"//data/copy")
	if data, err := os.ReadFile(filepath.Join(to.Data, "copy")); r.status != 0 || err != nil || string(data) != "from afar" {
		t.Fatalf("%+v, %v", r, err)
	}
	for name, argv := range map[string][]string{
		"gfal-copy": {"gfal-copy", from.URL + "//data/file", to.URL + "//data/other"},
		"mixed":     {"gfal-copy", from.DAVS() + "/data/file", to.URL + "//data/other"},
		"curl":      {"curl", "-sS", from.HTTPS + "/data/file", "--next", to.HTTPS + "/data/copy"},
	} {
		r := g.run("", append([]string{"exec", "--"}, argv...)...)
		if r.status != 125 || !strings.Contains(r.stderr, `need two profiles, "jane" and "joe"`) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for name, argv := range map[string][]string{
		"curl":       {"curl", "-sS", to.HTTPS + "/data/copy"},
		"curl twice": {"curl", "-sS", "-o", "/dev/null", to.HTTPS + "/data/copy", "--next", "-sS", to.HTTPS + "/data/copy"},
		"davix":      {"davix-get", to.HTTPS + "/data/copy"},
		"davix davs": {"davix-get", to.DAVS() + "/data/copy"},
		"gfal root":  {"gfal-cat", to.URL + "//data/copy"},
		"gfal davs":  {"gfal-cat", to.DAVS() + "/data/copy"},
		"xrdfs":      {"xrdfs", to.URL, "cat", "/data/copy"},
		"xrdfs host": {"xrdfs", strings.TrimPrefix(to.URL, "root://"), "cat", "/data/copy"},
	} {
		if r := g.run("", append([]string{"exec", "--"}, argv...)...); r.status != 0 || strings.TrimSpace(r.stdout) != "from afar" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// storeFor keeps the pass phrase of a profile.
func (g *grid) storeFor(profile string) {
	g.t.Helper()
	r := g.run(fmt.Sprintf(`{"profile":%q,"secret":{"kind":"passphrase","value":%q}}`, profile, passphrase), "store")
	if r.status != 0 {
		g.t.Fatalf("store: %s", r.stdout)
	}
}
