package helper

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// issuer is a Backend without a network: it signs proxies with an end entity
// certificate of its own, and can be told to do it wrong.
type issuer struct {
	mu    sync.Mutex
	calls int
	pass  string // the pass phrase it wants; "" wants none
	deaf  bool   // takes the pass phrase and does not answer

	eec     *gsi.Credential
	clock   func() time.Time
	grant   time.Duration // longest lifetime that it grants
	limited *bool         // what it makes of the policy that was asked for; nil: obeys
	during  func(context.Context)
	err     error
	spoil   func(*Result)
	voms    func() (pkix.Extension, error) // attributes to attach
}

func (*issuer) Keys() []Key {
	return []Key{{"server", KindStrings}, {"username", KindString}}
}

func (i *issuer) Target(p *Profile) (*Target, error) {
	t := &Target{Endpoint: "test.example.org:7512", Principal: "jane"}
	if i.pass != "" {
		t.Secrets = []SecretRef{{Kind: "passphrase", Account: "pass:v1:test:jane", Question: `Pass phrase of "jane"`}}
	}
	return t, nil
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls
}

func (i *issuer) Obtain(ctx context.Context, spec *Spec) (*Result, error) {
	i.mu.Lock()
	i.calls++
	i.mu.Unlock()
	if i.pass != "" {
		got, err := spec.Secrets.Get(ctx, "passphrase")
		if err != nil {
			return nil, err
		}
		if spec.Sending != nil {
			if err := spec.Sending(ctx); err != nil {
				return nil, err
			}
		}
		if i.deaf {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if string(got) != i.pass {
			return nil, Errorf(CodeAuthenticationFailed, "invalid credential passphrase")
		}
	}
	if i.during != nil {
		i.during(ctx)
	}
	if i.err != nil {
		return nil, i.err
	}
	der, err := spec.CSR(ctx)
	if err != nil {
		return nil, err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	limited := spec.Limited
	if i.limited != nil {
		limited = *i.limited
	}
	now := i.clock()
	options := gsi.IssueOptions{Now: now, Lifetime: min(spec.Lifetime, i.grant)}
	if limited {
		options.Rights = gsi.RightsLimited
	}
	if i.voms != nil {
		extension, err := i.voms()
		if err != nil {
			return nil, err
		}
		options.Extensions = append(options.Extensions, extension)
	}
	proxy, err := gsi.Issue(i.eec, csr.PublicKey, options)
	if err != nil {
		return nil, err
	}
	res := &Result{Chain: append([]*x509.Certificate{proxy}, i.eec.Chain...), Server: "test.example.org"}
	if i.spoil != nil {
		i.spoil(res)
	}
	return res, nil
}

// fakeTerminal answers every question with the same text.
type fakeTerminal struct {
	foreground bool
	text       string
	asked      []string
}

func (f *fakeTerminal) Foreground() bool { return f.foreground }
func (f *fakeTerminal) ReadSecret(_ context.Context, prompt string) (secret.Secret, error) {
	f.asked = append(f.asked, prompt)
	return secret.Secret(f.text), nil
}

// world is a Helper with everything around it in memory or below a temporary
// folder, and a clock that tests set.
type world struct {
	*Helper
	issuer   *issuer
	terminal *fakeTerminal
	keys     *cache.Memory
	kernel   *cache.Memory
	now      time.Time
	slept    time.Duration // beside the time that really passes
	dir      string
}

// makeCA returns a CA certificate and an end entity signed by it, both P-256:
// what is tested here does not depend on the kind of key.
func makeCA(t testing.TB, now time.Time, cn string) (ca *x509.Certificate, eec *gsi.Credential) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	sign := func(template, parent *x509.Certificate, pub *ecdsa.PrivateKey, key *ecdsa.PrivateKey) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &pub.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	template := func(cn string) *x509.Certificate {
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		if err != nil {
			t.Fatal(err)
		}
		return &x509.Certificate{
			SerialNumber: serial,
			Subject:      pkix.Name{Organization: []string{"Lab"}, CommonName: cn},
			NotBefore:    now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		}
	}
	caKey, key := newKey(), newKey()
	root := template("Test CA")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	ca = sign(root, root, caKey, caKey)
	return ca, &gsi.Credential{Chain: []*x509.Certificate{sign(template(cn), ca, key, caKey)}, Key: key}
}

func newWorld(t testing.TB, config string) *world {
	t.Helper()
	w := &world{now: time.Now().Truncate(time.Second), dir: t.TempDir(), keys: cache.NewMemory(), kernel: cache.NewMemory(), terminal: &fakeTerminal{}}
	clock := func() time.Time { return w.now }
	_, eec := makeCA(t, w.now, "Jane")
	w.issuer = &issuer{eec: eec, clock: clock, grant: 12 * time.Hour, pass: "right"}
	user := filepath.Join(w.dir, "config.toml")
	if config == "" {
		config = "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\nca_dir = \"" + w.dir + "/none\"\n"
	}
	if err := os.WriteFile(user, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	backends := map[string]Backend{"test": w.issuer}
	c := LoadConfig(ConfigPaths{User: user}, backends, "")
	w.Helper = &Helper{
		Config:     c,
		Backends:   backends,
		Clock:      clock,
		Terminal:   w.terminal,
		Identities: NewIdentities(filepath.Join(w.dir, "state")),
		Getenv:     func(string) string { return "" },
		Program:    "/usr/bin/x509-credential-helper",
		Version:    "test",
		Seed:       "host:0",
	}
	w.useKeys(w.keys)
	return w
}

// useKeys opens the cache with another keyring.
func (w *world) useKeys(keys cache.KeyStore) {
	sub := func(name string) func() (string, error) {
		return func() (string, error) { return filepath.Join(w.dir, name), nil }
	}
	w.Cache = cache.New(cache.Options{
		Credentials: w.Config.Store.Credentials, Passphrases: w.Config.Store.Passphrases,
		CacheDir: sub("cache"), RuntimeDir: sub("run"), Keys: keys, Kernel: w.kernel, Clock: w.Clock,
		Boot: func() (cache.Instant, error) {
			now, err := cache.BootInstant()
			now.Since += w.slept
			return now, err
		},
	})
}

// bindingOf is where the answer of a request is kept.
func (w *world) bindingOf(t testing.TB, request string) cache.Binding {
	t.Helper()
	r, err := parseGet([]byte(request))
	if err != nil {
		t.Fatal(err)
	}
	wish, err := w.newWish(r)
	if err != nil {
		t.Fatal(err)
	}
	return wish.binding
}

// storePass keeps the right pass phrase.
func (w *world) storePass(t testing.TB, value string) {
	t.Helper()
	if _, err := w.Store(t.Context(), &StoreRequest{Kind: "passphrase", Value: secret.Secret(value)}); err != nil {
		t.Fatal(err)
	}
}

// ask serves a get request given as JSON.
func (w *world) ask(t testing.TB, request string) (*GetAnswer, *Error) {
	t.Helper()
	r, err := parseGet([]byte(request))
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.Get(t.Context(), r)
	if err != nil {
		return nil, AsError(err)
	}
	return a, nil
}

// must is ask for what has to succeed.
func (w *world) must(t testing.TB, request string) *GetAnswer {
	t.Helper()
	a, e := w.ask(t, request)
	if e != nil {
		t.Fatalf("%s: %s: %v (%s)", request, e.Code, e, e.Hint)
	}
	return a
}

// refused is ask for what has to fail.
func (w *world) refused(t testing.TB, request string, want Code) *Error {
	t.Helper()
	_, e := w.ask(t, request)
	if e == nil {
		t.Fatalf("%s: succeeded, want %s", request, want)
	}
	if e.Code != want {
		t.Fatalf("%s: got %s: %v; want %s", request, e.Code, e, want)
	}
	return e
}
