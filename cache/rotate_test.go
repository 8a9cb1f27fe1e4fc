package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// fill puts something into every store and returns what Get should find.
func fill(t *testing.T, w *world) []string {
	t.Helper()
	put := func(profile string, lifetime time.Duration, in Store) {
		t.Helper()
		stored, err := w.Put(t.Context(), entry(t, binding(profile), lifetime))
		if err != nil || stored.In != in {
			t.Fatalf("%s: %+v, %v", profile, stored, err)
		}
	}
	put("keyring", time.Hour, Keyring)
	put("long", 100*time.Hour, Keyring)
	w.fails(ErrLocked)
	put("kernel", time.Hour, Kernel)
	w.kernel.Fail = func(string, string) error { return unavailable("no", nil) }
	put("runtime", time.Hour, Runtime)
	w.kernel.Fail = nil
	w.fails(nil)
	return []string{"keyring", "long", "kernel", "runtime"}
}

// TestRotate: after it everything is there under other keys, and nothing opens
// with the old ones.
func TestRotate(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	w.ttl = time.Hour
	w.reopen(Auto, Keyring)
	profiles := fill(t, w)
	l := session(t, w)
	w.fails(nil)
	must(t, l.Close())
	w.reopen(Auto, Keyring)
	_, err := w.Get(t.Context(), binding("keyring")) // makes the copy
	must(t, err)

	before := keyValues(t, w)
	files := filesBelow(t, w.cache)
	must(t, w.Rotate(t.Context()))
	for name, old := range before {
		if now := keyValues(t, w)[name]; now == old || now == "" && !strings.Contains(name, copyAccount) {
			t.Errorf("%s was %q and is %q", name, old, now)
		}
	}
	for _, path := range filesBelow(t, w.cache) {
		for _, old := range files {
			if path == old {
				t.Errorf("%s is still there", path)
			}
		}
	}
	for range 2 {
		for _, p := range profiles {
			if _, err := w.Get(t.Context(), binding(p)); err != nil {
				t.Errorf("%s: %v", p, err)
			}
		}
		w.reopen(Auto, Keyring)
	}
	l = lockSecret(t, w)
	wantSecret(t, l, "two", "the rescued secret")
	if v, _ := w.keys.Get(t.Context(), account); string(v) != "two" {
		t.Errorf("the keyring has %q", v)
	}
}

func keyValues(t *testing.T, w *world) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, account := range []string{dataKeyAccount, longKeyAccount} {
		v, _ := w.keys.Get(t.Context(), account)
		values["keyring "+account] = string(v)
	}
	for _, account := range []string{dataKeyAccount, copyAccount} {
		v, _ := w.kernel.Get(t.Context(), account)
		values["kernel "+account] = string(v)
	}
	return values
}

// TestRotateRefuses: nothing is changed while a secret is in use, when a
// rescued one cannot be moved, or where there is nothing to rotate.
func TestRotateRefuses(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	fill(t, w)
	l := session(t, w)
	w.fails(nil)
	before := fmt.Sprint(keyValues(t, w))
	if err := w.Rotate(t.Context()); !errors.Is(err, ErrBusy) {
		t.Errorf("while a secret is in use: %v", err)
	}
	must(t, l.Close())
	w.osKeys().Fail = func(op, a string) error {
		if op == "set" && a == account {
			return unavailable("no", nil)
		}
		return nil
	}
	for range 2 {
		if err := w.Rotate(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a rescued secret that the keyring does not take: %v", err)
		}
		w.osKeys().Fail = func(op, a string) error {
			if op == "set" && a == account { // a bus whose socket is gone
				return unavailable("no", fs.ErrNotExist)
			}
			return nil
		}
	}
	for _, kind := range []error{ErrLocked, ErrTimeout, ErrUnavailable} {
		w.fails(kind)
		if err := w.Rotate(t.Context()); !errors.Is(err, kind) {
			t.Errorf("%v: %v", kind, err)
		}
	}
	w.fails(nil)
	if after := fmt.Sprint(keyValues(t, w)); after != before {
		t.Errorf("keys were replaced")
	}
	l = lockSecret(t, w)
	wantSecret(t, l, "two", "after all that")
	must(t, l.Close())

	must(t, newWorld(t, Auto, Keyring).Rotate(t.Context())) // no key yet
	c := New(Options{Credentials: File, RuntimeDir: func() (string, error) { return w.run, nil }})
	if err := c.Rotate(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without keys: %v", err)
	}
}

// TestRotateKilled: wherever it ends, by a keyring that fails from one call on
// or by a directory that cannot be had any more, no secret is lost, no entry
// is a wrong one, and the next attempt comes to the end.
func TestRotateKilled(t *testing.T) {
	for _, dying := range []string{"keyring", "kernel", "directory"} {
		done := false
		for step := 0; !done; step++ {
			if step > 200 {
				t.Fatalf("%s: it never comes to the end", dying)
			}
			w := newWorld(t, Auto, Keyring)
			profiles := fill(t, w)
			l := session(t, w)
			w.fails(nil)
			must(t, l.Close())
			o := w.options(Auto, Keyring)
			left := step
			die := func() error {
				if left--; left < 0 {
					return unavailable("killed", nil)
				}
				return nil
			}
			switch dying {
			case "keyring":
				w.osKeys().Fail = func(string, string) error { return die() }
			case "kernel":
				w.kernel.Fail = func(string, string) error { return die() }
			case "directory":
				o.CacheDir = func() (string, error) { return w.cache, die() }
			}
			err := New(o).Rotate(t.Context())
			done = left >= 0
			if done && err != nil {
				t.Errorf("%s: nothing failed, but %v", dying, err)
			}
			w.fails(nil)
			w.kernel.Fail = nil
			checkAfterKill(t, w, profiles, fmt.Sprintf("%s, step %d", dying, step))
		}
	}
}

func checkAfterKill(t *testing.T, w *world, profiles []string, what string) {
	t.Helper()
	for range 2 {
		w.reopen(Auto, Keyring)
		for _, p := range profiles {
			e, err := w.Get(t.Context(), binding(p))
			if err != nil && !isMiss(err) || err == nil && e.Binding.Profile != p {
				t.Errorf("%s: %s: %v", what, p, err)
			}
		}
		l := lockSecret(t, w)
		wantSecret(t, l, "two", what)
		must(t, l.Close())
		if err := w.Rotate(t.Context()); err != nil {
			t.Errorf("%s: the next: %v", what, err)
		}
	}
	for _, path := range filesBelow(t, w.cache) {
		if strings.Contains(path, ".tmp-") {
			t.Errorf("%s: left: %s", what, path)
		}
	}
}

// TestRotateLateRescue: who has other locks than ours, such as another host with
// our keyring, may rescue a secret when the rotation has already begun.
func TestRotateLateRescue(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	fill(t, w)
	l := lockSecret(t, w)
	must(t, l.Put(t.Context(), secret.Secret("one")))
	must(t, l.Ready(t.Context(), nil))
	must(t, l.Close())
	o := w.options(Auto, Keyring)
	o.Keys = setHook{w.keys, func(account string, _ []byte) {
		if account == longKeyAccount {
			must(t, l.Rescue(secret.Secret("two")))
		}
	}}
	must(t, New(o).Rotate(t.Context()))
	w.reopen(Auto, Keyring)
	wantSecret(t, lockSecret(t, w), "two", "rescued after the others were settled")
}

// setHook is a keyring that does something else first.
type setHook struct {
	KeyStore
	before func(account string, value []byte)
}

func (k setHook) Set(ctx context.Context, account string, value []byte) error {
	k.before(account, value)
	return k.KeyStore.Set(ctx, account, value)
}

// TestRotateEntryLost: an entry that cannot be written under the new key is a
// miss, the others are not, and nothing is left under the old key.
func TestRotateEntryLost(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	profiles := append(fill(t, w), "other")
	_, err := w.Put(t.Context(), entry(t, binding("other"), time.Hour))
	must(t, err)
	o := w.options(Auto, Keyring)
	o.Keys = setHook{w.keys, func(account string, value []byte) {
		secret, _ := parseDataKey(value)
		key, err := newDataKey(secret)
		must(t, err)
		s, lost := w.keyringShelf(), "keyring"
		if account == longKeyAccount {
			s, lost = w.longShelf(), "long"
		}
		d := &drawer{shelf: s, key: key}
		inTheWay := filepath.Join(w.cache, filepath.Join(s.path(key)...), d.name(binding(lost)))
		must(t, os.MkdirAll(inTheWay, 0o700))
	}}
	before := filesBelow(t, w.cache)
	must(t, New(o).Rotate(t.Context()))
	for _, path := range filesBelow(t, w.cache) {
		if slices.Contains(before, path) {
			t.Errorf("%s is still there", path)
		}
	}
	w.reopen(Auto, Keyring)
	for _, p := range profiles[2:] {
		if _, err := w.Get(t.Context(), binding(p)); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// TestRotateHalf: where only the first key was replaced, no copy of the old one
// hides what is under the new.
func TestRotateHalf(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	w.ttl = time.Hour
	w.reopen(Auto, Keyring)
	fill(t, w)
	w.reopen(Auto, Keyring)
	_, err := w.Get(t.Context(), binding("keyring")) // makes the copy
	must(t, err)
	w.osKeys().Fail = func(op, account string) error {
		if op == "set" && account == longKeyAccount {
			return locked(nil)
		}
		return nil
	}
	if err := w.Rotate(t.Context()); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	w.reopen(Auto, Keyring)
	for _, p := range []string{"keyring", "long"} {
		if _, err := w.Get(t.Context(), binding(p)); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// TestRotateNotReplaced: a keyring that still has the old key has not rotated,
// and what is under that key stays.
func TestRotateNotReplaced(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	fill(t, w)
	o := w.options(Auto, Keyring)
	o.Keys = deafKeys{w.keys}
	if err := New(o).Rotate(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	w.reopen(Auto, Keyring)
	for _, p := range []string{"keyring", "long"} {
		if _, err := w.Get(t.Context(), binding(p)); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// deafKeys confirms what it does not do.
type deafKeys struct{ KeyStore }

func (deafKeys) Set(context.Context, string, []byte) error { return nil }

// TestRotateMeanwhile: who was ready to rescue before a rotation began keeps it
// from beginning, and who gets ready during one uses the new key.
func TestRotateMeanwhile(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	l := lockSecret(t, w)
	must(t, l.Put(t.Context(), secret.Secret("one")))
	must(t, l.Ready(t.Context(), nil))
	if err := w.Rotate(t.Context()); !errors.Is(err, ErrBusy) {
		t.Errorf("a rescue may be under way: %v", err)
	}
	must(t, l.Close())
	other := New(w.options(Auto, Keyring)) // with the old key in its memory
	_, err := other.Put(t.Context(), entry(t, binding("long"), 100*time.Hour))
	must(t, err)
	must(t, w.Rotate(t.Context()))
	late, err := other.LockSecret(t.Context(), account)
	must(t, err)
	must(t, late.Ready(t.Context(), nil))
	must(t, late.Rescue(secret.Secret("two")))
	must(t, late.Close())
	w.reopen(Auto, Keyring)
	l = lockSecret(t, w)
	wantSecret(t, l, "two", "rescued by a process from before")
}
