package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// node is a batch node: a scratch directory, a seed that was carried there, no
// pass phrase, and a session bus on which nobody may be called.
type node struct {
	*grid
	user *gsi.Credential
}

func newNode(t *testing.T, addr, trustDir string, connections func() int, user *gsi.Credential) *node {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), program: program}
	if err := os.Chmod(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.env = []string{
		raceExit, "PATH=" + os.Getenv("PATH"), "HOME=" + w.path("home"), "TMPDIR=" + w.dir,
		"X509_CREDENTIAL_HELPER_CONFIG=" + w.path("config.toml"), "X509_CREDENTIAL_HELPER_STORE=file",
		"DBUS_SESSION_BUS_ADDRESS=unix:path=" + trap(t), "SLURM_JOB_ID=1",
	}
	n := &node{&grid{world: w, addr: addr, trustDir: trustDir, connections: connections}, user}
	client := &myproxy.Client{Hosts: []string{addr}, Trust: func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir(trustDir) }}
	_, err = client.Put(t.Context(), myproxy.PutRequest{
		Username: jane, CredentialName: "batch", NoPassphrase: true, Credential: user, Policy: myproxy.Policy{Renewer: "*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	n.configure(fmt.Sprintf("auth = \"renewal\"\nseed = %q", w.path("seed.pem")))
	return n
}

// brief is the life of a seed that a job does not use as it is: less than four
// times what it needs.
const brief = 35 * time.Minute

// trap is a session bus's socket that fails the test if somebody connects.
func trap(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := safego.Go(func() error {
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			c.Close()
			t.Error("the session bus was called")
		}
	})
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

func (n *node) configure(keys string) {
	n.t.Helper()
	text := fmt.Sprintf("default_profile = \"batch\"\n[profile.batch]\nbackend = \"myproxy\"\nserver = %q\nusername = %q\n"+
		"credential_name = \"batch\"\nca_dir = %q\nkey = \"p256\"\n%s\n[store]\nruntime_dir = %q\n", n.addr, jane, n.trustDir, keys, n.path("run"))
	if err := os.WriteFile(n.path("config.toml"), []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// seed puts a proxy of a user there, from one hour ago until life after now.
func (n *node) seed(user *gsi.Credential, life time.Duration) {
	n.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	proxy, err := user.Derive(key, gsi.IssueOptions{Now: time.Now().Add(-time.Hour), Lifetime: time.Hour + life})
	if err == nil {
		_ = os.Remove(n.path("seed.pem"))
		err = myproxy.WriteProxyFile(n.path("seed.pem"), proxy)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// onNodes runs a scenario with the real server and with the sandbox. There is a
// second user, for whom the profile is not.
func onNodes(t *testing.T, scenario func(t *testing.T, n *node, other *gsi.Credential)) {
	t.Helper()
	t.Run("real", func(t *testing.T) {
		mp := lab.StartMyProxy(t, lab.MyProxyOptions{})
		user, other := gsi.Credential(*mp.CA.User("Jane Doe")), gsi.Credential(*mp.CA.User("Joe"))
		scenario(t, newNode(t, mp.Addr, mp.TrustDir, mp.Connections, &user), &other)
	})
	t.Run("sandbox", func(t *testing.T) {
		s, err := sandbox.Start(t.Context(), sandbox.Options{Dir: t.TempDir(), Keys: sandboxKeys()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		for _, cn := range []string{"Jane Doe", "Joe"} {
			if err := s.AddUser(sandbox.User{Name: cn, Passphrase: passphrase, CommonName: cn}); err != nil {
				t.Fatal(err)
			}
		}
		n := newNode(t, s.Addr(), s.TrustDir(), s.Connections, s.Credential("Jane Doe", ""))
		scenario(t, n, s.Credential("Joe", ""))
	})
}

// TestRenewalGenerations: each proxy is fetched by the one before it, the seed
// by then long gone, and the chain does not grow. No pass phrase and no keyring
// are needed, nor asked for.
func TestRenewalGenerations(t *testing.T) {
	onNodes(t, func(t *testing.T, n *node, _ *gsi.Credential) {
		n.seed(n.user, time.Minute)
		before := n.connections()
		seen := map[string]bool{}
		for generation := 1; generation <= 3; generation++ {
			a := n.get(`{"cache":"bypass","lifetime":3600}`)
			if a.Source != helper.SourceBackend || a.StoredIn != "file" || len(a.Warnings) > 0 || seen[a.Credential.Fingerprint] {
				t.Fatalf("generation %d: %+v", generation, a)
			}
			seen[a.Credential.Fingerprint] = true
			if left := a.Credential.ExpiresIn; left < 3400 || left > 3600 {
				t.Errorf("generation %d lives %d s", generation, left)
			}
			chain, err := gsi.ParseCertificates(a.Credential.PEM)
			if err != nil || len(chain) != 3 { // EEC, what is stored, this
				t.Errorf("generation %d: %d certificates, %v", generation, len(chain), err)
			}
			if generation == 1 {
				if err := os.Remove(n.path("seed.pem")); err != nil {
					t.Fatal(err)
				}
			}
		}
		if a := n.get(`{}`); a.Source != helper.SourceCache {
			t.Errorf("after that: %+v", a)
		}
		if got := n.connections() - before; got != 3 {
			t.Errorf("%d connections for three generations", got)
		}
		r := n.run("", "status", "--json")
		if r.status != 0 || !strings.Contains(r.stdout, `"passphrase":"none"`) || conforms(t, "status", []byte(r.stdout)) != nil {
			t.Errorf("status: %+v", r)
		}
		// Without a valid proxy nobody can renew, and nobody is asked.
		if r := n.run(`{}`, "erase"); r.status != 0 {
			t.Fatalf("erase: %+v", r)
		}
		e := n.refused(`{}`, helper.CodeInteractionRequired)
		if !strings.Contains(e.Message, "there is no valid proxy to go on with") || n.connections()-before != 3 {
			t.Errorf("%d connections, %+v", n.connections()-before, e)
		}
	})
}

// TestRenewalSeed: what is wrong with the seed is said in a sentence, before a
// connection is made; a login binds the profile to one identity.
func TestRenewalSeed(t *testing.T) {
	onNodes(t, func(t *testing.T, n *node, other *gsi.Credential) {
		before := n.connections()
		n.seed(n.user, -time.Second)
		if e := n.refused(`{}`, helper.CodeInteractionRequired); !strings.Contains(e.Message, "an expired proxy cannot renew anything") {
			t.Errorf("expired: %+v", e)
		}
		n.seed(n.user, brief)
		chmod(t, n.path("seed.pem"), 0o660)
		n.refused(`{}`, helper.CodePolicyRefused)
		if got := n.connections(); got != before {
			t.Errorf("%d connections for seeds that are no use", got-before)
		}
		chmod(t, n.path("seed.pem"), 0o440)
		if a := n.get(`{}`); len(a.Warnings) != 1 || a.Warnings[0].Code != "seed_readable" {
			t.Errorf("a readable seed: %+v", a.Warnings)
		}

		r := n.run("", "login")
		if r.status != 0 || !strings.Contains(r.stdout, "CN=Jane Doe") || !strings.Contains(r.stdout, "no pass phrase is needed for the next one") {
			t.Fatalf("login: %+v", r)
		}
		n.seed(other, brief)
		if r := n.run(`{}`, "erase"); r.status != 0 {
			t.Fatalf("erase: %+v", r)
		}
		before = n.connections()
		if e := n.refused(`{}`, helper.CodeInvalidCredential); !strings.Contains(e.Message, "is a proxy of") || !strings.Contains(e.Hint, "login batch") {
			t.Errorf("another's seed: %+v", e)
		}
		if got := n.connections(); got != before {
			t.Errorf("%d connections with another's seed", got-before)
		}
		// The server knows better than the one who logs in.
		if r := n.run("", "login"); r.status != helper.CodeAuthorizationDenied.ExitStatus() || !strings.Contains(r.stderr, "somebody else") {
			t.Errorf("login with another's seed: %+v", r)
		}
	})
}

// TestRenewalRefused: a server that refuses to renew is asked once and not by
// each task; with another seed a login is enough.
func TestRenewalRefused(t *testing.T) {
	onNodes(t, func(t *testing.T, n *node, other *gsi.Credential) {
		n.seed(other, brief)
		before := n.connections()
		if e := n.refused(`{}`, helper.CodeAuthorizationDenied); e.RetryAfter != 0 || !strings.Contains(e.Hint, "somebody else") {
			t.Errorf("refused: %+v", e)
		}
		for range 3 {
			e := n.refused(`{"cache":"bypass"}`, helper.CodeAuthorizationDenied)
			if e.RetryAfter < 1 || e.RetryAfter > 60 || !strings.Contains(e.Message, "it is not asked again for") || !strings.Contains(e.Hint, "somebody else") {
				t.Errorf("again: %+v", e)
			}
		}
		if got := n.connections() - before; got != 1 {
			t.Errorf("%d connections for one refusal", got)
		}
		n.seed(n.user, brief)
		if r := n.run("", "login"); r.status != 0 {
			t.Errorf("login: %+v", r)
		}
		if a := n.get(`{}`); a.Source != helper.SourceCache || n.connections()-before != 2 {
			t.Errorf("after it: %d connections, %+v", n.connections()-before, a)
		}
	})
}

// TestRenewalHerd: the tasks of a node that begin together renew once, though
// there is no secret whose lock they could wait for, and a dead seed makes no
// connection at all.
func TestRenewalHerd(t *testing.T) {
	onNodes(t, func(t *testing.T, n *node, _ *gsi.Credential) {
		const tasks = 12
		herd := func() (out []result) {
			var calls []*call
			for range tasks {
				cmd := n.command("get")
				cmd.Stdin = strings.NewReader(`{}`)
				calls = append(calls, n.start(cmd))
			}
			for _, c := range calls {
				out = append(out, c.wait())
			}
			return out
		}
		n.seed(n.user, -time.Second)
		before := n.connections()
		for _, r := range herd() {
			n.refusal(r, helper.CodeInteractionRequired)
		}
		if got := n.connections() - before; got != 0 {
			t.Errorf("%d connections with a seed that has expired", got)
		}
		n.seed(n.user, brief)
		proxies := map[string]int{}
		for _, r := range herd() {
			if r.status != 0 {
				t.Fatalf("%+v", r)
			}
			proxies[decodeGet(t, r.stdout).Credential.Fingerprint]++
		}
		if got := n.connections() - before; got != 1 || len(proxies) != 1 {
			t.Errorf("%d connections and %d proxies for %d tasks", got, len(proxies), tasks)
		}
	})
}

// TestRenewalHeldSeed: a seed that lives long enough is used as it is, by all
// tasks and without a server; the first renewal is that of the node. A fresher
// seed, as a submit host carries it there, spares that one, too. Attributes and
// rights that a seed has not got are no reason to use it.
func TestRenewalHeldSeed(t *testing.T) {
	onNodes(t, func(t *testing.T, n *node, _ *gsi.Credential) {
		n.seed(n.user, 41*time.Minute)
		before := n.connections()
		a := n.get(`{}`)
		if a.StoredIn != "file" || a.Credential.ExpiresIn > 41*60 || a.Credential.ExpiresIn < 40*60 || len(a.Warnings) > 0 {
			t.Errorf("%+v", a)
		}
		if e := n.get(`{"min_lifetime":1800}`); e.Credential.Fingerprint != a.Credential.Fingerprint || n.connections() != before {
			t.Errorf("%d connections, %+v", n.connections()-before, e)
		}
		if l := n.get(`{"limited":true}`); !l.Credential.Limited || n.connections()-before != 1 {
			t.Errorf("%d connections for other rights, %+v", n.connections()-before, l)
		}
		if b := n.get(`{"cache":"bypass"}`); b.Credential.Fingerprint == a.Credential.Fingerprint || n.connections()-before != 2 {
			t.Errorf("%d connections for a bypass, %+v", n.connections()-before, b)
		}
		if b := n.get(`{"min_lifetime":2400}`); b.Source != helper.SourceCache {
			t.Errorf("%+v", b)
		}
	})
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
