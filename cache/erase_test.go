package cache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// TestEraseAll: nothing of ours is left anywhere, whatever the store is now;
// what is not ours stays.
func TestEraseAll(t *testing.T) {
	for _, now := range []struct{ credentials, passphrases Store }{
		{Auto, Keyring}, {Keyring, Keyring}, {Kernel, Keyring}, {Runtime, Keyring}, {Kernel, None}, {Runtime, None}, {None, None},
	} {
		store := now.credentials
		w := newWorld(t, Auto, Keyring)
		w.ttl = time.Hour
		w.reopen(Auto, Keyring)
		profiles := fill(t, w)
		w.reopen(Auto, Keyring)
		_, err := w.Get(t.Context(), binding("keyring")) // makes the copy
		must(t, err)
		l := session(t, w)
		w.fails(nil)
		must(t, l.Close())
		_, err = w.WriteToolFile("atlas-00000000.pem", credential(t, noon.Add(time.Hour)))
		must(t, err)
		notes := filepath.Join(w.run, "proxy", "notes")
		must(t, os.WriteFile(notes, nil, 0o600))

		w.reopen(store, now.passphrases)
		n, err := w.EraseAll(t.Context())
		if err != nil || n != len(profiles) {
			t.Errorf("%s: %d, %v", store, n, err)
		}
		for name, value := range keyValues(t, w) {
			if value != "" {
				t.Errorf("%s: %s is left", store, name)
			}
		}
		if v, err := w.keys.Get(t.Context(), account); !isMiss(err) {
			t.Errorf("%s: the secret is left: %q", store, v)
		}
		for _, path := range filesBelow(t, w.run, w.cache) {
			if path != notes && !strings.HasSuffix(path, ".lock") {
				t.Errorf("%s: %s is left", store, path)
			}
		}
		for range 2 {
			n, err = w.EraseAll(t.Context())
			if err != nil || n != 0 {
				t.Errorf("%s, again: %d, %v", store, n, err)
			}
			w.reopen(Auto, Keyring)
			for _, p := range profiles {
				if _, err := w.Get(t.Context(), binding(p)); !isMiss(err) {
					t.Errorf("%s: %s: %v", store, p, err)
				}
			}
		}
	}
}

// TestEraseAllNothing: on a machine where nothing was ever kept, or nothing
// can be, there is no error.
func TestEraseAllNothing(t *testing.T) {
	for _, store := range []Store{Auto, Kernel, Runtime, File, None} {
		w := newWorld(t, store, Keyring)
		w.fails(ErrUnavailable)
		w.kernel.Fail = w.osKeys().Fail
		if n, err := w.EraseAll(t.Context()); n != 0 || err != nil {
			t.Errorf("%s: %d, %v", store, n, err)
		}
		o := w.options(store, None)
		o.Kernel = nil
		o.CacheDir = func() (string, error) { return "", errors.New("no home") }
		if n, err := New(o).EraseAll(t.Context()); n != 0 || err != nil {
			t.Errorf("%s, no home: %d, %v", store, n, err)
		}
	}
}

// TestEraseAllLocked: what cannot be reached is an error, and the rest goes.
func TestEraseAllLocked(t *testing.T) {
	for _, kind := range []error{ErrLocked, ErrTimeout} {
		w := newWorld(t, Auto, Keyring)
		fill(t, w)
		w.fails(kind)
		w.reopen(Auto, Keyring)
		n, err := w.EraseAll(t.Context())
		if n != 2 || !errors.Is(err, kind) {
			t.Errorf("%d, %v", n, err)
		}
		if files := filesBelow(t, w.run); len(files) > 1 { // the lock
			t.Errorf("left: %v", files)
		}
	}
	w := newWorld(t, Keyring, Keyring)
	w.fails(ErrUnavailable)
	if _, err := w.EraseAll(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the chosen keyring is gone: %v", err)
	}
}

// TestEraseAllMeanwhile: others put and get all the time. Nobody sees an
// error, and what was sealed before the erase opens for nobody after it, not
// even with a copy of the key in the kernel.
func TestEraseAllMeanwhile(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	for round := range rounds {
		w := newWorld(t, Auto, Keyring)
		w.ttl = time.Hour
		w.reopen(Auto, Keyring)
		e := entry(t, binding("a"), time.Hour)
		e.PEM = e.PEM[:strings.Index(string(e.PEM), "-----BEGIN PRIVATE")] // small is fast
		_, err := w.Put(t.Context(), e)
		must(t, err)
		old, err := w.keys.Get(t.Context(), dataKeyAccount)
		must(t, err)

		var wg sync.WaitGroup
		work := func(f func(c *Cache) error) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range 3 {
					if err := f(New(w.options(Auto, Keyring))); err != nil && !isMiss(err) {
						t.Errorf("round %d: %v", round, err)
					}
				}
			}()
		}
		for range 2 {
			work(func(c *Cache) error { _, err := c.Put(t.Context(), e); return err })
			work(func(c *Cache) error { _, err := c.Get(t.Context(), e.Binding); return err })
		}
		_, err = w.EraseAll(t.Context())
		must(t, err)
		wg.Wait()
		for what, keys := range map[string]KeyStore{dataKeyAccount: w.keys, copyAccount: w.kernel} {
			if v, _ := keys.Get(t.Context(), what); string(v) == string(old) {
				t.Errorf("round %d: the old key is still %s", round, what)
			}
		}
	}
}

// TestEraseAllSecretInUse: a secret that is written back later is another one.
func TestEraseAllThenPut(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	l := session(t, w)
	w.fails(nil)
	_, err := w.EraseAll(t.Context())
	must(t, err)
	must(t, l.Put(t.Context(), secret.Secret("three")))
	wantSecret(t, l, "three", "stored after it")
}
