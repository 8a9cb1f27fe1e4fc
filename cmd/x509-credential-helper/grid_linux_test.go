package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// grid is a user's machine with a real keyring, and a MyProxy server that is
// either the real one or the sandbox. The user is jane, and her pass phrase is
// passphrase. A scenario that both can play runs against both: the real server
// judges the sandbox, the sandbox reaches what is hard to provoke.
type grid struct {
	*world
	keyring  *lab.Keyring
	addr     string
	trustDir string

	connections func() int
	stop        func()            // the server refuses connections from now on
	silence     func() func()     // it says nothing to whoever comes next, until the function is called
	setTrust    func(t lab.Trust) // another trust directory
	named       func(name string) // stores another credential of jane under a name
}

// gridOptions say how a grid's server is to be.
type gridOptions struct {
	host    lab.HostKind
	ca      bool // an online CA, not a repository
	strict  bool // ignores VOMS, grants 2 h
	member  bool // of testvo, whose attributes are attached; only the sandbox can
	maximum uint16
	profile string // more lines of the profile
}

// onBoth runs a scenario against the real server and against the sandbox.
func onBoth(t *testing.T, o gridOptions, scenario func(t *testing.T, g *grid)) {
	t.Helper()
	t.Run("real", func(t *testing.T) { scenario(t, realGrid(t, o)) })
	t.Run("sandbox", func(t *testing.T) { scenario(t, sandboxGrid(t, o)) })
}

// newGrid makes the machine.
func newGrid(t *testing.T) *grid {
	t.Helper()
	k := lab.StartKeyring(t)
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, program: program}
	w.env = append(slices.Clone(k.Env), raceExit, "X509_CREDENTIAL_HELPER_CONFIG="+w.path("config.toml"),
		kernelVar+"="+kernelName(t), lab.LeakCheck(t))
	return &grid{world: w, keyring: k}
}

// write writes the configuration: profile lab, and whatever more says.
func (g *grid) write(profile string) {
	g.t.Helper()
	text := fmt.Sprintf("default_profile = \"lab\"\n[profile.lab]\nbackend = \"myproxy\"\nserver = %q\nusername = %q\nca_dir = %q\n%s\n"+
		"[store]\nruntime_dir = %q\n", g.addr, jane, g.trustDir, profile, g.path("run"))
	if err := os.WriteFile(g.path("config.toml"), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func realGrid(t *testing.T, o gridOptions) *grid {
	t.Helper()
	g := newGrid(t)
	options := lab.MyProxyOptions{Host: o.host, TLSMin: o.maximum, TLSMax: o.maximum}
	switch {
	case o.ca:
		options.Mode, options.Users = lab.OnlineCA, map[string]string{jane: passphrase}
	case o.strict:
		options.Mode = lab.Strict
	}
	mp := lab.StartMyProxy(t, options)
	user := mp.CA.User("Jane Doe")
	if !o.ca {
		mp.Store(jane, passphrase, user)
	}
	g.addr, g.trustDir = mp.Addr, mp.TrustDir
	g.connections, g.stop = mp.Connections, mp.Stop
	g.silence = func() func() { mp.Freeze(); return mp.Thaw }
	g.setTrust = func(trust lab.Trust) { g.trustDir = mp.CA.TrustDir(trust) }
	if o.host == lab.HostRevoked {
		g.setTrust = func(trust lab.Trust) {
			trust.Revoked = mp.Host.Chain[:1]
			g.trustDir = mp.CA.TrustDir(trust)
		}
		g.setTrust(lab.Trust{})
	}
	g.named = func(name string) { mp.Store(jane, passphrase, user, "-k", name) }
	g.write(o.profile)
	return g
}

// sandboxHosts are the sandbox's words for the lab's host certificates.
var sandboxHosts = map[lab.HostKind]sandbox.Host{
	lab.HostSAN: sandbox.HostGood, lab.HostCN: sandbox.HostCommonName, lab.HostHostCN: sandbox.HostService,
	lab.HostMyProxyCN: sandbox.HostMyProxy, lab.HostWrongName: sandbox.HostWrongName, lab.HostExpired: sandbox.HostExpired,
	lab.HostRevoked: sandbox.HostRevoked, lab.HostUntrusted: sandbox.HostUntrusted,
}

func sandboxGrid(t *testing.T, o gridOptions) *grid {
	t.Helper()
	g := newGrid(t)
	options := sandbox.Options{
		Dir: g.path("sandbox"), Keys: sandboxKeys(), Host: sandboxHosts[o.host], MinTLS: o.maximum, MaxTLS: o.maximum,
		VOMS: sandbox.VOMSUnreachable,
	}
	switch {
	case o.ca:
		options.Mode = sandbox.CA
	case o.strict:
		options.VOMS, options.MaxLifetime = sandbox.VOMSIgnored, 2*time.Hour
	case o.member:
		options.VOMS, options.VOs = sandbox.VOMSAttached, map[string][]string{"testvo": {"/testvo", "/testvo/Role=pilot"}}
	}
	s, err := sandbox.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	add := func(u sandbox.User) {
		u.Name, u.Passphrase, u.CommonName = jane, passphrase, "Jane Doe"
		if err := s.AddUser(u); err != nil {
			t.Fatal(err)
		}
	}
	add(sandbox.User{})
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	g.server = s
	g.addr, g.trustDir = "localhost:"+port, s.TrustDir()
	g.connections, g.stop = s.Connections, s.Close
	// Only to the next one: the one after it may come before the function is
	// called, and unlike the frozen server's it would never be answered.
	g.silence = func() func() {
		s.Next(sandbox.Faults{Silent: sandbox.StageAccept})
		return func() {}
	}
	g.setTrust = func(trust lab.Trust) {
		err := s.SetTrust(sandbox.Trust{NoPolicy: trust.NoPolicy, PolicyForbids: trust.Policy != "", ExpiredCRL: trust.CRL == lab.CRLExpired})
		if err != nil {
			t.Fatal(err)
		}
	}
	g.named = func(name string) { add(sandbox.User{CredentialName: name}) }
	g.write(o.profile)
	return g
}

// store keeps a pass phrase as programs do it.
func (g *grid) store(value string) {
	g.t.Helper()
	request, err := json.Marshal(map[string]any{"secret": map[string]string{"kind": "passphrase", "value": value}})
	if err != nil {
		g.t.Fatal(err)
	}
	r := g.run(string(request), "store")
	if r.status != 0 {
		g.t.Fatalf("store: %s", r.stdout)
	}
}

// get serves a request that has to succeed.
func (g *grid) get(request string) *helper.GetAnswer {
	g.t.Helper()
	r := g.run(request, "get")
	if r.status != 0 {
		g.t.Fatalf("get %s: status %d, %s%s", request, r.status, r.stdout, r.stderr)
	}
	return decodeGet(g.t, r.stdout)
}

func decodeGet(t testing.TB, stdout string) *helper.GetAnswer {
	t.Helper()
	var a helper.GetAnswer
	if _, err := oneObject(stdout); err != nil {
		t.Fatalf("%v: %.300s", err, stdout)
	}
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatal(err)
	}
	return &a
}

// refused serves a request that has to fail with a code.
func (g *grid) refused(request string, code helper.Code) *helper.Error {
	g.t.Helper()
	return g.refusal(g.run(request, "get"), code)
}

// refusal is the error of an answer, which has to be one clear sentence with
// the right code and without the pass phrase.
func (g *grid) refusal(r result, code helper.Code) *helper.Error {
	g.t.Helper()
	if _, err := oneObject(r.stdout); err != nil {
		g.t.Fatalf("%v: %.300s", err, r.stdout)
	}
	var a struct{ Error *helper.Error }
	if err := json.Unmarshal([]byte(r.stdout), &a); err != nil {
		g.t.Fatal(err)
	}
	switch e := a.Error; {
	case e == nil:
		g.t.Fatalf("succeeded, expected %s", code)
	case e.Code != code || r.status != code.ExitStatus():
		g.t.Fatalf("%s, status %d: %s; expected %s", e.Code, r.status, e.Message, code)
	case strings.Contains(r.stdout+r.stderr, passphrase):
		g.t.Errorf("the answer holds the pass phrase")
	case strings.ContainsAny(e.Message, "\n\r\x1b") || len(e.Message) > 600:
		g.t.Errorf("not one clear sentence: %q", e.Message)
	}
	g.t.Logf("%s: %s | %s", a.Error.Code, a.Error.Message, a.Error.Hint)
	return a.Error
}
