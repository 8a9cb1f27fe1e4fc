package cache

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestKeyringErrors: a keyring that cannot be read is never taken for an empty
// one, and no key is made.
func TestKeyringErrors(t *testing.T) {
	for _, kind := range []error{ErrLocked, ErrTimeout, ErrUnavailable} {
		t.Run(kind.Error(), func(t *testing.T) {
			w := newWorld(t, Keyring, Keyring)
			keys := w.keys.(*Memory)
			keys.Fail = func(op, _ string) error { return &Error{Kind: kind, Text: "x", Remedy: "y"} }
			b := binding("atlas")
			_, getErr := w.Get(t.Context(), b)
			_, putErr := w.Put(t.Context(), entry(t, b, time.Hour))
			_, listErr := w.List(t.Context())
			_, secretErr := w.Secret(t.Context(), "pass:v1:x")
			for what, err := range map[string]error{"Get": getErr, "Put": putErr, "List": listErr, "Secret": secretErr, "Delete": w.Delete(t.Context(), b)} {
				if !errors.Is(err, kind) || isMiss(err) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if keys.Calls("set") != 0 {
				t.Error("a key was made")
			}
		})
	}
}

// TestKeyDamaged: a damaged data key is neither used nor replaced.
func TestKeyDamaged(t *testing.T) {
	for _, value := range []string{"", "x", "{}", `{"v":2,"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`, `{"v":1,"key":"AAAA"}`} {
		w := newWorld(t, Keyring, None)
		must(t, w.keys.Set(t.Context(), dataKeyAccount, []byte(value)))
		_, err := w.Put(t.Context(), entry(t, binding("atlas"), time.Hour))
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "secret-tool clear") {
			t.Errorf("%q: %v", value, err)
		}
		if got, _ := w.keys.Get(t.Context(), dataKeyAccount); string(got) != value {
			t.Errorf("%q was replaced", value)
		}
	}
}

// TestKeyReadOnce: one process asks the keyring once.
func TestKeyReadOnce(t *testing.T) {
	w := newWorld(t, Keyring, None)
	_, err := w.Put(t.Context(), entry(t, binding("atlas"), time.Hour))
	must(t, err)
	w.reopen(Keyring, None)
	keys := w.keys.(*Memory)
	before := keys.Calls("get")
	for range 3 {
		_, err := w.Get(t.Context(), binding("atlas"))
		must(t, err)
	}
	if n := keys.Calls("get") - before; n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestDirErrors(t *testing.T) {
	w := newWorld(t, Keyring, None)
	o := w.options(Keyring, None)
	boom := errors.New("no home directory")
	o.CacheDir = func() (string, error) { return "", boom }
	c := New(o)
	if _, err := c.Put(t.Context(), entry(t, binding("a"), time.Hour)); !errors.Is(err, boom) {
		t.Errorf("Put: %v", err)
	}
	if _, err := c.Get(t.Context(), binding("a")); !errors.Is(err, boom) || isMiss(err) {
		t.Errorf("Get: %v", err)
	}
	o.Credentials = "cloud"
	if _, err := New(o).Get(t.Context(), binding("a")); err == nil || !strings.Contains(err.Error(), "cloud") {
		t.Errorf("unknown store: %v", err)
	}
}

// TestKnownKey opens an entry that was made from the documented format alone,
// with Python's cryptography 48.0, so that a change of it shows.
func TestKnownKey(t *testing.T) {
	key, err := newDataKey(bytes.Repeat([]byte{7}, 32))
	must(t, err)
	id := key.entryID(binding("atlas"))
	if got := fmt.Sprintf("%x %x", key.kid, id[:8]); got != knownNames {
		t.Errorf("the names of version 1 changed: %s", got)
	}
	sealed, err := hex.DecodeString(knownSealed)
	must(t, err)
	plain, err := key.open(id, sealed)
	if err != nil || string(plain) != "a credential of version 1" {
		t.Errorf("an entry of version 1 does not open: %q, %v", plain, err)
	}
	again, err := key.seal(id, plain)
	must(t, err)
	if len(again) != len(sealed) || bytes.Equal(again[16:], sealed[16:]) {
		t.Error("salt and nonce must be fresh")
	}
}

const (
	knownNames  = "d21ebaa34d81ce2e b61a1bc5a6cb8489"
	knownSealed = "" +
		"5843484501010000d21ebaa34d81ce2e000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f6465" +
		"666768696a6b6c6d6e6feec5e2e3d672a724df2f4bbb3d81a35268be16376c9fb39e016a2712d908bb441bec157930bf1aaa" +
		"69"
)

// BenchmarkGetSealed: Auto looks on two more shelves.
func BenchmarkGetSealed(b *testing.B) {
	for _, store := range []Store{Keyring, Auto} {
		b.Run(string(store), func(b *testing.B) {
			w := newWorld(b, store, Keyring)
			e := entry(b, binding("atlas"), 12*time.Hour)
			if _, err := w.Put(context.Background(), e); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := w.Get(context.Background(), e.Binding); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPutSealed(b *testing.B) {
	w := newWorld(b, Keyring, None)
	e := entry(b, binding("atlas"), 12*time.Hour)
	for b.Loop() {
		if _, err := w.Put(context.Background(), e); err != nil {
			b.Fatal(err)
		}
	}
}

// overtaken is a keyring that two hosts share: of two who make a key at once
// the other is the last.
type overtaken struct{ *Memory }

func (k overtaken) Set(ctx context.Context, account string, _ []byte) error {
	key, err := randomKey()
	if err != nil {
		return err
	}
	return writeKey(ctx, k.Memory.Set, account, key)
}

// TestKeyOvertaken: the key that the keyring gives back is used, not the one
// that was written. What is sealed under that one nobody can read.
func TestKeyOvertaken(t *testing.T) {
	w := newWorld(t, Keyring, Keyring)
	w.keys = overtaken{NewMemory()}
	w.reopen(Keyring, Keyring)
	for _, lifetime := range []time.Duration{time.Hour, 100 * time.Hour} {
		_, err := w.Put(t.Context(), entry(t, binding(lifetime.String()), lifetime))
		must(t, err)
		w.reopen(Keyring, Keyring)
		if _, err := w.Get(t.Context(), binding(lifetime.String())); err != nil {
			t.Errorf("%v: %v", lifetime, err)
		}
	}
}
