package rcauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

const (
	gridClientID = "myproxy:oa4mp,2012:/client_id/test"
	gridSecret   = "s3cr3t-AbC_d-e"
	gridRedirect = "https://gateway.example.org/callback" // pasted: no port is needed
	gridDN       = "/C=XX/O=Sandbox/OU=People/CN=Jane Roe"
)

// grid is a portal with a user, a helper with this backend, and the one clock of
// all of them.
type grid struct {
	*helper.Helper
	backend *Backend
	box     *sandbox.Sandbox
	portal  *sandbox.Portal
	keys    *faultyKeys
	files   cache.KeyStore // in place of keys
	dir     string
	config  string // of profile p, beside portal and client

	mu      sync.Mutex
	now     time.Time
	subject string // who sits at the browser
	deny    bool
	away    bool     // nobody is at the terminal
	asked   []string // what the terminal was asked for
}

func (g *grid) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *grid) pass(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = g.now.Add(d)
}

// sandboxKeys are the RSA keys of all portals of this package's tests.
var sandboxKeys = sync.OnceValue(sandbox.NewKeys)

func gridUser() sandbox.PortalUser {
	return sandbox.PortalUser{Subject: "jane@sandbox.invalid", Name: "Jane Roe"}
}

func gridClient() sandbox.PortalClient {
	return sandbox.PortalClient{ID: gridClientID, Secret: gridSecret, RedirectURIs: []string{gridRedirect}, RefreshLife: 30 * 24 * time.Hour}
}

// newGrid starts a portal; config are more lines of the profile p.
func newGrid(t testing.TB, config string, change ...func(*sandbox.PortalOptions, *sandbox.PortalClient)) *grid {
	t.Helper()
	g := &grid{now: time.Now().Truncate(time.Second), dir: t.TempDir(), config: config, keys: &faultyKeys{Memory: cache.NewMemory()}}
	var err error
	g.box, err = sandbox.Start(t.Context(), sandbox.Options{Dir: filepath.Join(g.dir, "box"), Clock: g.clock, Keys: sandboxKeys(),
		VOMS: sandbox.VOMSAttached, VOs: map[string][]string{"testvo": {"/testvo", "/testvo/Role=pilot"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.box.Close)
	o, c := sandbox.PortalOptions{Users: []sandbox.PortalUser{gridUser()}}, gridClient()
	for _, f := range change {
		f(&o, &c)
	}
	o.Clients = []sandbox.PortalClient{c}
	if g.portal, err = g.box.StartPortal(o); err != nil {
		t.Fatal(err)
	}
	g.backend = New(Options{Getenv: func(string) string { return "" }, Clock: g.clock})
	g.Helper = g.newHelper(t, g.keys)
	return g
}

// profile is the configuration.
func (g *grid) profile() string {
	return fmt.Sprintf("default_profile = \"p\"\n[profile.p]\nbackend = \"rcauth\"\nportal = %q\nclient_id = %q\nredirect_uri = %q\nca_dir = %q\n%s\n",
		g.portal.URL(), gridClientID, gridRedirect, g.box.TrustDir(), g.config)
}

// newHelper is one more program of the same user.
func (g *grid) newHelper(t testing.TB, keys cache.KeyStore) *helper.Helper {
	t.Helper()
	return g.helperOf(t, g.profile(), keys)
}

// portalCA is the file of the CA of the portal's own certificate.
func (g *grid) portalCA(t testing.TB) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(g.box.TrustDir(), "*.0"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files[0]
}

func (g *grid) helperOf(t testing.TB, config string, keys cache.KeyStore) *helper.Helper {
	t.Helper()
	file := filepath.Join(g.dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return g.bareHelper(helper.LoadConfig(helper.ConfigPaths{User: file}, map[string]helper.Backend{Name: g.backend}, ""), keys)
}

// bareHelper is a program with that configuration.
func (g *grid) bareHelper(c *helper.Config, keys cache.KeyStore) *helper.Helper {
	sub := func(name string) func() (string, error) {
		return func() (string, error) { return filepath.Join(g.dir, name), nil }
	}
	return &helper.Helper{
		Config:     c,
		Backends:   map[string]helper.Backend{Name: g.backend},
		Cache:      cache.New(cache.Options{Credentials: c.Store.Credentials, Passphrases: c.Store.Passphrases, CacheDir: sub("cache"), RuntimeDir: sub("run"), Keys: keys, Clock: g.clock}),
		Clock:      g.clock,
		Terminal:   g,
		Identities: helper.NewIdentities(filepath.Join(g.dir, "state")),
		Getenv:     func(string) string { return "" },
		Program:    "/usr/bin/x509-credential-helper",
		Version:    "test",
		Seed:       "host:0",
		UI:         &pasting{g: g, shown: make(chan string, 1)},
	}
}

// Foreground implements helper.Terminal.
func (g *grid) Foreground() bool { return !g.away }

// ReadSecret implements helper.Terminal.
func (g *grid) ReadSecret(_ context.Context, prompt string) (secret.Secret, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, prompt)
	return secret.Secret(gridSecret), nil
}

// pasting is somebody who goes through the login in a browser elsewhere and
// pastes the address at which it ends.
type pasting struct {
	g     *grid
	shown chan string
}

func (u *pasting) Show(_ context.Context, p helper.LoginPrompt) error {
	if p.Problem != "" {
		return errors.New(p.Problem)
	}
	u.shown <- p.URL
	return nil
}

func (u *pasting) Paste(ctx context.Context) (string, error) {
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case address := <-u.shown:
		b := u.g.portal.Browser()
		b.Subject, b.Deny = u.g.subject, u.g.deny
		return b.Authorize(ctx, address)
	}
}

func (g *grid) login(t testing.TB) *helper.LoginAnswer {
	t.Helper()
	a, err := g.Login(t.Context(), helper.LoginRequest{})
	if err != nil {
		e := helper.AsError(err)
		t.Fatalf("login: %s: %v (%s)", e.Code, e, e.Hint)
	}
	return a
}

// bypass is a get that wants a new proxy.
func bypass(change ...func(*helper.GetRequest)) *helper.GetRequest {
	r := helper.DefaultGetRequest()
	r.Cache = helper.CacheBypass
	for _, f := range change {
		f(r)
	}
	return r
}

func (g *grid) get(t testing.TB, change ...func(*helper.GetRequest)) *helper.GetAnswer {
	t.Helper()
	a, err := g.Get(t.Context(), bypass(change...))
	if err != nil {
		e := helper.AsError(err)
		t.Fatalf("get: %s: %v (%s) %v", e.Code, e, e.Hint, e.Causes)
	}
	return a
}

// refused is a get that has to fail.
func (g *grid) refused(t testing.TB, want helper.Code, change ...func(*helper.GetRequest)) *helper.Error {
	t.Helper()
	a, err := g.Get(t.Context(), bypass(change...))
	if err == nil {
		t.Fatalf("get: a proxy of %s, want %s", a.Credential.Identity, want)
	}
	e := helper.AsError(err)
	if e.Code != want {
		t.Fatalf("get: %s: %v; want %s", e.Code, e, want)
	}
	return e
}

// session is what the keyring has.
func (g *grid) session(t testing.TB) *session {
	t.Helper()
	kept, err := g.keys.Get(t.Context(), g.account("session"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseSession(kept)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (g *grid) account(what string) string {
	return what + ":v1:rcauth:" + url.QueryEscape(g.portal.URL()) + ":" + url.QueryEscape(gridClientID)
}

func (g *grid) refreshes() (n int) {
	for _, c := range g.portal.Calls("token") {
		if c.Form.Get("grant_type") == "refresh_token" {
			n++
		}
	}
	return n
}

// faultyKeys is a keyring that can be told not to take anything.
type faultyKeys struct {
	*cache.Memory
	mu   sync.Mutex
	full func(account string) error
}

func (k *faultyKeys) Set(ctx context.Context, account string, value []byte) error {
	k.mu.Lock()
	full := k.full
	k.mu.Unlock()
	if full != nil {
		if err := full(account); err != nil {
			return err
		}
	}
	return k.Memory.Set(ctx, account, value)
}

func (k *faultyKeys) fill(full func(account string) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.full = full
}

func hasWarning(list []helper.Warning, code string) bool { return warning(list, code) != "" }

// warning is the message of a warning, "" if there is none.
func warning(list []helper.Warning, code string) string {
	for _, w := range list {
		if w.Code == code {
			return w.Message
		}
	}
	return ""
}

// TestLoginThenGet: one login in a browser, then proxies without anybody; the
// session is in the keyring, and each proxy rotates its token.
func TestLoginThenGet(t *testing.T) {
	g := newGrid(t, "")
	g.refused(t, helper.CodeInteractionRequired)
	a := g.login(t)
	if !a.Browser || a.Kept != "keyring" || a.Get.Credential.Identity != gridDN {
		t.Errorf("login: %+v, %s", a, a.Get.Credential.Identity)
	}
	if left := a.Until.Sub(g.clock()); left < 10*24*time.Hour || left > 11*24*time.Hour {
		t.Errorf("the next login is in %v, want the end of the portal's proxy, 11 days", left)
	}
	if len(g.asked) != 1 || !strings.Contains(g.asked[0], gridClientID) {
		t.Errorf("asked %q", g.asked)
	}
	first := g.session(t)
	got := g.get(t)
	if got.Credential.Identity != gridDN || got.Credential.Fingerprint == a.Get.Credential.Fingerprint {
		t.Errorf("get: %+v", got)
	}
	for _, w := range append(a.Get.Warnings, got.Warnings...) {
		t.Errorf("warning %s: %s", w.Code, w.Message)
	}
	second := g.session(t)
	if second.RefreshToken == first.RefreshToken || !second.Began.IsZero() || second.Nonce != first.Nonce {
		t.Errorf("the session after a refresh: %+v", second)
	}
	if len(g.portal.Calls("userinfo")) != 1 {
		t.Error("userinfo is for the login alone")
	}
	for _, c := range g.portal.Calls("getproxy") {
		if c.Form.Has("proxylifetime") && !c.Form.Has("info") {
			t.Error("a lifetime that nobody asked for was sent")
		}
	}
	g.login(t) // the secret is kept
	if len(g.asked) != 1 {
		t.Errorf("asked again: %q", g.asked)
	}
}

// TestRefreshIsShared: what 20 goroutines of two wishes need is two proxies, and
// no two refreshes overlap: the portal would refuse the second.
func TestRefreshIsShared(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	g.pass(time.Minute)
	var done []<-chan error
	for i := range 20 {
		h := g.newHelper(t, g.keys)
		done = append(done, safego.Go(func() error {
			r := bypass()
			if i%2 == 0 {
				limited := true
				r.Limited = &limited
			}
			_, err := h.Get(context.WithoutCancel(t.Context()), r)
			return err
		}))
	}
	for _, d := range done {
		if err := <-d; err != nil {
			t.Error(err)
		}
	}
	if n := g.refreshes(); n > 20 || n < 2 {
		t.Errorf("%d refreshes", n)
	}
	g.get(t)
}
