package cache

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// world is a cache on directories of its own with a clock that is moved by hand.
type world struct {
	*Cache
	mu   sync.Mutex
	now  time.Time
	boot Instant
	keys KeyStore
	// kernel is one kernel's keyring, ttl how long a copy lives there.
	kernel *Memory
	ttl    time.Duration
	cache  string
	run    string
}

func newWorld(t testing.TB, credentials, passphrases Store) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{now: noon, boot: Instant{Boot: "first", Since: time.Hour}, keys: NewMemory(),
		kernel: NewMemory(), cache: filepath.Join(dir, "cache"), run: filepath.Join(dir, "run")}
	w.kernel.Clock = w.clock
	w.reopen(credentials, passphrases)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// otherHost is a machine with a keyring of its own and the same home.
func (w *world) otherHost(t testing.TB, credentials, passphrases Store) *world {
	t.Helper()
	other := newWorld(t, credentials, passphrases)
	other.cache = w.cache
	other.reopen(credentials, passphrases)
	return other
}

// osKeys are the calls of the operating system's keyring.
func (w *world) osKeys() *Memory { return w.keys.(*Memory) }

// fails makes the keyring fail in one way, or not at all.
func (w *world) fails(kind error) {
	w.osKeys().Fail = nil
	if kind != nil {
		w.osKeys().Fail = func(string, string) error { return &Error{Kind: kind, Text: "it fails", Remedy: "mend it"} }
	}
}

// reopen is a new process with the same directories and keyring.
func (w *world) reopen(credentials, passphrases Store) {
	w.Cache = New(w.options(credentials, passphrases))
}

func (w *world) options(credentials, passphrases Store) Options {
	return Options{Credentials: credentials, Passphrases: passphrases, Keys: w.keys, Kernel: w.kernel, KeyTTL: w.ttl,
		CacheDir:   func() (string, error) { return w.cache, nil },
		RuntimeDir: func() (string, error) { return w.run, nil },
		Clock:      w.clock,
		Boot:       func() (Instant, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.boot, nil },
	}
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
	w.boot.Since += d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// credential is a PEM with a certificate that ends at notAfter and text of the
// size of a real proxy around it.
func credential(t testing.TB, notAfter time.Time) []byte {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // every process makes the same
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Jane"},
		NotBefore: noon.Add(-time.Hour), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes.Repeat([]byte("secret"), 1000)})...)
}

func binding(profile string) Binding {
	return Binding{Profile: profile, Backend: "myproxy", Endpoint: "px.example.org:7512", Principal: "jane",
		VOMS: []string{"atlas:/atlas/Role=production"}, Key: "rsa2048"}
}

func entry(t testing.TB, b Binding, lifetime time.Duration) *Entry {
	t.Helper()
	end := noon.Add(lifetime)
	return &Entry{Binding: b, Identity: "/DC=org/CN=Jane", Subject: "/DC=org/CN=Jane/CN=1", Fingerprint: "sha256:00",
		NotBefore: noon.Add(-time.Hour), NotAfter: end, FetchedAt: noon, Asked: 24 * time.Hour, Granted: lifetime,
		RefreshAfter: noon.Add(lifetime / 2), PEM: credential(t, end)}
}

func isMiss(err error) bool { return errors.Is(err, ErrNotFound) }

// only returns the one file with that ending below a directory.
func only(t testing.TB, dir, ext string) string {
	t.Helper()
	var found []string
	must(t, filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		if err == nil && filepath.Ext(path) == ext {
			found = append(found, path)
		}
		return err
	}))
	if len(found) != 1 {
		t.Fatalf("%d files *%s below %s: %v", len(found), ext, dir, found)
	}
	return found[0]
}

func TestMemory(t *testing.T) {
	testKeyStore(t, NewMemory())
	m := NewMemory()
	m.Limit = 3
	if err := m.Set(t.Context(), "a", []byte("1234")); !errors.Is(err, ErrTooBig) {
		t.Errorf("over its limit: %v", err)
	}
	m.Fail = func(op, account string) error { return locked(nil) }
	if _, err := m.Get(t.Context(), "a"); !errors.Is(err, ErrLocked) {
		t.Errorf("told to fail: %v", err)
	}
}

// testKeyStore is what every key store must do.
func testKeyStore(t *testing.T, k KeyStore) {
	t.Helper()
	ctx := t.Context()
	if _, err := k.Get(ctx, "test:absent"); !isMiss(err) {
		t.Errorf("absent: %v", err)
	}
	must(t, k.Delete(ctx, "test:absent"))
	for _, v := range [][]byte{[]byte("a"), []byte("pä ss\twörd % \x00 \xff"), bytes.Repeat([]byte("x"), MaxSecret), {}} {
		must(t, k.Set(ctx, "test:a", v))
		got, err := k.Get(ctx, "test:a")
		if err != nil || !bytes.Equal(got, v) {
			t.Errorf("%d bytes: got %d, %v", len(v), len(got), err)
		}
	}
	must(t, k.Set(ctx, "test:b", []byte("other")))
	must(t, k.Delete(ctx, "test:a"))
	if _, err := k.Get(ctx, "test:a"); !isMiss(err) {
		t.Errorf("deleted: %v", err)
	}
	if got, err := k.Get(ctx, "test:b"); err != nil || string(got) != "other" {
		t.Errorf("the neighbour: %q, %v", got, err)
	}
	if err := k.Set(ctx, "test:a", make([]byte, MaxSecret+1)); !errors.Is(err, ErrTooBig) {
		t.Errorf("too big: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := k.Get(gone, "test:b"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	must(t, k.Delete(ctx, "test:b"))
}
