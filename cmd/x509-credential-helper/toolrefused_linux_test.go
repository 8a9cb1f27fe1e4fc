package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// TestRefusedWithReason: where there is no proxy that could work, exec and shims
// say why in a sentence, and the tool, which would hide it, is not started.
func TestRefusedWithReason(t *testing.T) {
	t.Parallel()
	g := newToolsGrid(t)
	ran, bin := g.path("ran"), g.path("bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "gfal-copy"), []byte("#!/bin/sh\ntouch '"+ran+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	user := gsi.Credential(*g.mp.CA.User("Jane Doe"))
	g.seed("dead", &user, -time.Minute)
	g.seed("live", &user, seedLife)
	at := func(host string) string { return "root://" + host + ".example.org" }
	renewal := "auth = \"renewal\"\nseed = \"" + g.dir + "/%s\"\n"
	g.profile("never", "", at("never"))
	g.profile("expired", fmt.Sprintf(renewal, "live")+`credential_name = "short"`, at("expired"))
	g.profile("p256", `key = "p256"`, at("p256"), "davs://p256.example.org")
	g.profile("dead", fmt.Sprintf(renewal, "dead"), at("dead"))
	g.profile("voms", fmt.Sprintf(renewal, "live")+"credential_name = \"plain\"\nvoms = [\"othervo\"]", at("voms"))
	g.profile("one", "", "davs://one.example.org")
	g.profile("two", "", "davs://two.example.org")
	g.text.WriteString("[profile.silent]\nbackend = \"myproxy\"\nserver = \"localhost:1\"\nusername = \"jane\"\nca_dir = \"" + g.mp.TrustDir +
		"\"\nmatch = [\"" + at("silent") + "\"]\nmin_lifetime = \"20m\"\n" + fmt.Sprintf(renewal, "live")) // the seed will not do

	g.login("p256")
	begin := time.Now()
	g.deposit("plain", &user)
	soon := max(20*time.Second, 10*time.Since(begin)) // a slow machine needs more until it has used it
	short := gsi.Credential(*g.mp.CA.UserUntil("Jane Doe", time.Now().Add(soon)))
	g.deposit("short", &short)
	r := g.run("", "path", "--min-lifetime", "1s", "expired")
	if r.status != 0 {
		t.Fatalf("a short proxy: %+v", r)
	}
	file := strings.TrimSpace(r.stdout)
	time.Sleep(time.Until(short.Chain[0].NotAfter) + time.Second)
	g.waitFor("the end of a proxy, and of what the server has", func() bool { return g.run("", "show", "--exists", file).status == 1 })
	for _, tc := range []struct {
		name  string
		urls  []string
		parts []string // of what is said
	}{
		{"never logged in", []string{at("never")}, []string{"\"gfal-copy\" was not started: no pass phrase is stored", "run: x509-credential-helper login never"}},
		{"expired", []string{at("expired")}, []string{"\"gfal-copy\" was not started: its proxy expired", "ago, and there is no new one: ", "stored there has expired"}},
		{"a key that XRootD cannot use", []string{at("p256")}, []string{"takes only proxies with an RSA key"}},
		{"a seed that has expired", []string{at("dead")}, []string{"an expired proxy cannot renew anything"}},
		{"the server gives no such attributes", []string{at("voms")}, []string{"\"gfal-copy\" was not started: ", "othervo"}},
		{"no server", []string{at("silent")}, []string{"\"gfal-copy\" was not started: ", "localhost:1"}},
		{"two profiles at once", []string{"davs://one.example.org/a", "davs://two.example.org/b"}, []string{`need two profiles, "one" and "two"`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, way := range []string{"exec", "shim"} {
				cmd := toolWays[way](g, nil, append([]string{"gfal-copy"}, append(tc.urls, "file:///dev/null")...))
				cmd.Env = append(append([]string{}, cmd.Env...), "PATH="+g.shims+":"+bin+":/usr/bin:/bin")
				r := g.finish(cmd)
				for _, part := range tc.parts {
					if !strings.Contains(r.stderr, part) {
						t.Errorf("%s: expected %q: %s", way, part, r.stderr)
					}
				}
				if _, err := os.Stat(ran); err == nil || r.status != 125 {
					t.Errorf("%s: %+v, the tool: %v", way, r, err)
				}
				t.Logf("%s: %s", way, r.stderr)
			}
		})
	}
}

// seed writes a proxy of a user to begin a renewal with.
func (g *toolsGrid) seed(name string, user *gsi.Credential, life time.Duration) {
	g.t.Helper()
	key, err := gsi.GenerateKey(g.t.(*testing.T).Context(), gsi.KeyRSA2048)
	if err != nil {
		g.t.Fatal(err)
	}
	proxy, err := user.Derive(key, gsi.IssueOptions{Now: time.Now().Add(-time.Hour), Lifetime: time.Hour + life})
	if err == nil {
		err = myproxy.WriteProxyFile(g.path(name), proxy)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// deposit stores a credential that proxies of the same user can be renewed from.
func (g *toolsGrid) deposit(name string, c *gsi.Credential) {
	g.t.Helper()
	trust := func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir(g.mp.TrustDir) }
	client := &myproxy.Client{Hosts: []string{g.mp.Addr}, Trust: trust}
	_, err := client.Put(g.t.(*testing.T).Context(), myproxy.PutRequest{
		Username: jane, CredentialName: name, NoPassphrase: true, Credential: c, Policy: myproxy.Policy{Renewer: "*"},
	})
	if err != nil {
		g.t.Fatal(err)
	}
}
