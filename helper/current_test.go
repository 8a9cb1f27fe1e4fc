package helper

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// prover is an issuer that knows its user by a credential, or by what a local
// secret opens, and not by a pass phrase.
type prover struct {
	*issuer
	secrets []SecretRef
	wants   string // kind of a secret to get

	current  *gsi.Credential
	err      error
	identity string
	opened   string
}

func (p *prover) Target(profile *Profile) (*Target, error) {
	t, err := p.issuer.Target(profile)
	t.Secrets = p.secrets
	return t, err
}

func (p *prover) Obtain(ctx context.Context, spec *Spec) (*Result, error) {
	p.current, p.err = spec.Current(ctx)
	p.identity = spec.Identity
	if p.wants != "" {
		value, err := spec.Secrets.Get(ctx, p.wants)
		if err != nil {
			return nil, err
		}
		p.opened = string(value)
	}
	return p.issuer.Obtain(ctx, spec)
}

const fileProfiles = "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\n[profile.q]\nbackend = \"test\"\nkey = \"p256\"\n" +
	"[store]\ncredentials = \"runtime\"\n"

func newProver(t *testing.T, config string) (*world, *prover) {
	t.Helper()
	w := newWorld(t, config)
	w.issuer.pass = ""
	p := &prover{issuer: w.issuer}
	w.Backends["test"] = p
	return w, p
}

func fingerprint(t *testing.T, c *gsi.Credential) string {
	t.Helper()
	if c == nil {
		return ""
	}
	info, err := gsi.Inspect(c.Chain)
	if err != nil {
		t.Fatal(err)
	}
	if c.Key == nil {
		t.Error("the credential has no key")
	}
	return info.Fingerprint
}

// TestCurrent: the backend gets the newest credential that is still valid, of
// this profile alone, with full rights if there is one.
func TestCurrent(t *testing.T) {
	w, p := newProver(t, fileProfiles)
	w.keys.Fail = func(op, account string) error {
		t.Errorf("the keyring was asked: %s %s", op, account)
		return cache.ErrUnavailable
	}
	step := func(what, request, want string) *GetAnswer {
		t.Helper()
		w.now = w.now.Add(time.Minute)
		a := w.must(t, request)
		if got := fingerprint(t, p.current); got != want || p.err != nil {
			t.Errorf("%s: got %q, %v, want %q", what, got, p.err, want)
		}
		return a
	}
	step("another profile", `{"profile":"q"}`, "")
	limited := step("nothing there", `{"limited":true}`, "").Credential
	first := step("a limited one is better than none", `{"cache":"bypass","lifetime":7200}`, limited.Fingerprint).Credential
	second := step("full rights first, though it ends sooner", `{"cache":"bypass"}`, first.Fingerprint).Credential
	third := step("the next generation", `{"cache":"bypass","lifetime":3600}`, second.Fingerprint).Credential
	step("for other rights", `{"cache":"bypass","limited":true,"lifetime":60}`, third.Fingerprint)
	// An expired one proves nothing; the limited one has ended, too.
	w.now = third.NotAfter
	step("expired", `{}`, "")
}

// TestCurrentIdentity: a profile has one identity, and what is left of another
// is not used to renew.
func TestCurrentIdentity(t *testing.T) {
	w, p := newProver(t, fileProfiles)
	first := w.must(t, `{}`).Credential
	if err := w.Identities.Set("p", first.Identity); err != nil {
		t.Fatal(err)
	}
	w.must(t, `{"cache":"bypass"}`)
	if p.current == nil || p.identity != first.Identity {
		t.Errorf("got %v for %q", p.current, p.identity)
	}
	if err := w.Identities.Set("p", "/O=Lab/CN=Joe"); err != nil {
		t.Fatal(err)
	}
	w.refused(t, `{"cache":"bypass"}`, CodeInvalidCredential) // the server still says Jane
	if p.current != nil || p.identity != "/O=Lab/CN=Joe" {
		t.Errorf("got %v for %q", p.current, p.identity)
	}
}

// TestCurrentHidden: a store that does not answer is an error where no other one
// has anything, so that nobody takes it for an empty one.
func TestCurrentHidden(t *testing.T) {
	w, p := newProver(t, "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\n[store]\ncredentials = \"keyring\"\n")
	w.must(t, `{}`)
	w.useKeys(w.keys) // another process: this one has the data key
	w.failWith(cache.ErrLocked)
	_, _ = w.ask(t, `{"cache":"bypass"}`)
	if p.current != nil || code(p.err) != CodeKeyringLocked {
		t.Errorf("got %v, %v", p.current, p.err)
	}
}

// TestLoginWithoutSecret: a login only tries, with what the profile says and not
// with what is in the cache, and remembers the identity.
func TestLoginWithoutSecret(t *testing.T) {
	w, p := newProver(t, fileProfiles)
	first := w.must(t, `{}`).Credential
	if err := w.Identities.Set("p", "/O=Lab/CN=Joe"); err != nil {
		t.Fatal(err)
	}
	a, err := w.Login(t.Context(), LoginRequest{})
	if err != nil || !a.NoSecret || a.Kept != "" || a.Why != nil || a.Get.Source != SourceBackend || a.Get.Credential.Fingerprint == first.Fingerprint {
		t.Fatalf("got %+v, %v", a, err)
	}
	if p.current != nil || p.identity != "" {
		t.Errorf("the backend got %v for %q", p.current, p.identity)
	}
	if id, err := w.Identities.Get("p"); err != nil || id != first.Identity {
		t.Errorf("remembered: %q, %v", id, err)
	}
	if _, err := w.Login(t.Context(), LoginRequest{Passphrase: []byte("right")}); code(err) != CodeInvalidRequest || !strings.Contains(err.Error(), "needs no pass phrase") {
		t.Errorf("with a pass phrase: got %v", err)
	}
	if _, err := w.Store(t.Context(), &StoreRequest{Kind: "passphrase", Value: []byte("right")}); code(err) != CodeInvalidRequest {
		t.Errorf("store: got %v", err)
	}
	status, err := w.Status(t.Context())
	if err != nil || status.Profiles[0].Passphrase != "none" || status.Profiles[0].State != StateValid {
		t.Errorf("status: got %+v, %v", status, err)
	}
}

// A refusal where there is no secret is nobody's pass phrase: the key's has
// nothing to do with it.
func TestRefusalWithoutSecret(t *testing.T) {
	w, p := newProver(t, fileProfiles)
	p.secrets = []SecretRef{{Kind: "key_passphrase", Account: "keypass:v1:x", Local: true}}
	p.wants = "key_passphrase"
	if _, err := w.Store(t.Context(), &StoreRequest{Kind: "key_passphrase", Value: []byte("sesame")}); err != nil {
		t.Fatal(err)
	}
	// A backend should not say so.
	w.issuer.err = Errorf(CodeAuthenticationFailed, "no")
	if e := w.refused(t, `{}`, CodeAuthenticationFailed); e.Action != nil || e.RetryAfter != 0 || e.Message != "no" {
		t.Errorf("got %+v", e)
	}
	if w.issuer.count() != 1 || p.opened != "sesame" {
		t.Errorf("%d calls, opened %q", w.issuer.count(), p.opened)
	}
}

// TestRefusalWaits: a server that refuses to renew is left alone for a while, or
// each task of each job on a node would ask it. What a login says is tried at
// once, and so is everything after a success.
func TestRefusalWaits(t *testing.T) {
	w, _ := newProver(t, fileProfiles)
	calls := 0
	asked := func(what string, want bool) {
		t.Helper()
		if got := w.issuer.count() > calls; got != want {
			t.Errorf("%s: asked %v, want %v", what, got, want)
		}
		calls = w.issuer.count()
	}
	for _, c := range []Code{CodeAuthorizationDenied, CodeServerRefused, CodeNotFound} {
		w.issuer.err = Errorf(c, "the policy says no").WithHint("change it")
		for _, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
			w.refused(t, `{"cache":"bypass"}`, c)
			asked("first", true)
			w.slept += wait - 10*time.Second
			e := w.refused(t, `{"cache":"bypass"}`, c)
			asked("soon after", false)
			if e.RetryAfter > 10 || e.Hint != "change it" || e.Profile != "p" || e.Retryable ||
				!strings.HasPrefix(e.Message, `the server refused profile "p", and it is not asked again for `) || !strings.HasSuffix(e.Message, " s: the policy says no") {
				t.Errorf("got %+v", e)
			}
			w.slept += 10 * time.Second
		}
		w.refused(t, `{"cache":"bypass"}`, c)
		asked("after that", true)
		if _, err := w.Login(t.Context(), LoginRequest{}); code(err) != c {
			t.Errorf("login: got %v", err)
		}
		asked("login", true)
		w.issuer.err = nil
		if _, err := w.Login(t.Context(), LoginRequest{}); err != nil {
			t.Fatal(err)
		}
		asked("login that works", true)
	}
	// What no server said, or what may pass, is no reason to wait.
	for _, c := range []Code{CodeBackendUnavailable, CodeTimeout, CodeInteractionRequired, CodeInvalidCredential, CodePolicyRefused} {
		w.issuer.err = Errorf(c, "no")
		for range 2 {
			if e := w.refused(t, `{"cache":"bypass"}`, c); e.Message != "no" {
				t.Errorf("got %+v", e)
			}
			asked(string(c), true)
		}
	}
}

// TestLocalSecret: the pass phrase of a file is asked for when the file needs
// it, and kept by a login that worked.
func TestLocalSecret(t *testing.T) {
	w, p := newProver(t, fileProfiles)
	p.secrets = []SecretRef{{Kind: "key_passphrase", Account: "keypass:v1:x", Question: `Pass phrase of "x"`, Local: true}}
	w.must(t, `{}`) // it may not be encrypted at all

	p.wants = "key_passphrase"
	e := w.refused(t, `{"cache":"bypass"}`, CodeInteractionRequired)
	if e.Action == nil || e.Action.Kind != "login" || !strings.Contains(e.Message, "no pass phrase of the key is stored") {
		t.Errorf("got %+v", e)
	}
	w.terminal.foreground, w.terminal.text = true, "open sesame"
	w.must(t, `{"cache":"bypass","interactive":"auto"}`)
	w.must(t, `{"cache":"bypass","interactive":"auto"}`)
	if len(w.terminal.asked) != 2 || p.opened != "open sesame" {
		t.Errorf("asked %q, opened %q", w.terminal.asked, p.opened)
	}
	a, err := w.Login(t.Context(), LoginRequest{})
	if err != nil || a.Kept != "keyring" || a.NoSecret {
		t.Fatalf("login: got %+v, %v", a, err)
	}
	w.terminal.foreground = false
	w.must(t, `{"cache":"bypass"}`)
	if len(w.terminal.asked) != 3 {
		t.Errorf("asked %q", w.terminal.asked)
	}
	// The file has another pass phrase by now: a login can mend that.
	w.issuer.err = Errorf(CodeInteractionRequired, "does not open")
	if e := w.refused(t, `{"cache":"bypass"}`, CodeInteractionRequired); e.Action == nil || e.Action.Kind != "login" || e.Message != "does not open" {
		t.Errorf("got %+v", e)
	}
	w.issuer.err = nil
	// A login asks anew, and one that fails replaces nothing.
	w.terminal.foreground, w.terminal.text = true, "wrong"
	w.issuer.err = errors.New("does not open")
	if _, err := w.Login(t.Context(), LoginRequest{}); err == nil || p.opened != "wrong" {
		t.Errorf("got %v, opened %q", err, p.opened)
	}
	w.issuer.err, w.terminal.foreground = nil, false
	if w.must(t, `{"cache":"bypass"}`); p.opened != "open sesame" {
		t.Errorf("opened %q", p.opened)
	}
	if e, err := w.Erase(t.Context(), &EraseRequest{What: []string{"key_passphrase"}}); err != nil || len(e.Erased.Secrets) != 1 {
		t.Errorf("erase: got %+v, %v", e, err)
	}
}

// TestPathKeys: paths of profiles are absolute or below the home.
func TestPathKeys(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.toml")
	for value, want := range map[string]string{
		"/abs/file": "/abs/file", "~/x/y": "/home/jane/x/y", "rel": "", "~": "", "~joe/x": "", "": "",
	} {
		if err := os.WriteFile(config, []byte("[profile.p]\nbackend = \"test\"\nfile = \""+value+"\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := LoadConfig(ConfigPaths{User: config}, map[string]Backend{"test": &pathBackend{}}, "/home/jane")
		p, err := c.Profile("p")
		if want == "" {
			if code(err) != CodeNotConfigured || !strings.Contains(err.Error(), "absolute path") {
				t.Errorf("%q: got %v", value, err)
			}
		} else if err != nil || p.Settings.String("file") != want {
			t.Errorf("%q: got %v, %v", value, p, err)
		}
	}
}

type pathBackend struct{ issuer }

func (*pathBackend) Keys() []Key { return []Key{{"file", KindPath}} }
