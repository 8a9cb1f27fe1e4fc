package cache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// session is the life of a token that a server replaces: the keyring has
// "one", was ready for the next, and did not take "two".
func session(t *testing.T, w *world) *SecretLock {
	t.Helper()
	l := lockSecret(t, w)
	must(t, l.Put(t.Context(), secret.Secret("one")))
	must(t, l.Ready(t.Context(), nil))
	w.fails(ErrUnavailable)
	if err := l.Put(t.Context(), secret.Secret("two")); err == nil {
		t.Fatal("the keyring took it")
	}
	must(t, l.Rescue(secret.Secret("two")))
	return l
}

func reopenSecret(t *testing.T, w *world, l *SecretLock) *SecretLock {
	t.Helper()
	must(t, l.Close())
	w.reopen(Auto, Keyring)
	return lockSecret(t, w)
}

func wantSecret(t *testing.T, l *SecretLock, want, what string) {
	t.Helper()
	if got, err := l.Get(t.Context()); err != nil || string(got) != want {
		t.Errorf("%s: got %q, %v; want %q", what, []byte(got), err, want)
	}
}

// TestRescue: a token that the keyring did not take is not lost, and what the
// keyring has is not taken for the present one.
func TestRescue(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	l := session(t, w)
	l = reopenSecret(t, w, l)
	if got, err := l.Get(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without the keyring nobody can know: %q, %v", []byte(got), err)
	}
	path := only(t, w.cache, ".xche")
	if dir := filepath.Base(filepath.Dir(path)); !strings.HasPrefix(dir, longPrefix) || !isRescue(filepath.Base(path)) {
		t.Errorf("it is in %s", path)
	}
	checkNowhere(t, w.cache, "two")

	w.osKeys().Fail = func(op, _ string) error { // it can be read only
		if op != "get" {
			return unavailable("no", nil)
		}
		return nil
	}
	wantSecret(t, l, "two", "while the keyring takes nothing")
	w.fails(nil)
	wantSecret(t, l, "two", "the keyring takes it again")
	if v, err := w.keys.Get(t.Context(), account); err != nil || string(v) != "two" {
		t.Errorf("the keyring has %q, %v", v, err)
	}
	if files := filesBelow(t, w.cache); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
	if l.Rescue(secret.Secret("three")) == nil {
		t.Error("a rescue without Ready")
	}
}

// TestRescueReplaced: who stores or erases a secret means it; the rescued one
// does not come back, and is not lost while the keyring does not take another.
func TestRescueReplaced(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	l := reopenSecret(t, w, session(t, w))
	w.osKeys().Fail = func(op, _ string) error {
		if op == "set" {
			return unavailable("no", nil)
		}
		return nil
	}
	if err := l.Put(t.Context(), secret.Secret("three")); err == nil {
		t.Error("it was not kept")
	}
	wantSecret(t, l, "two", "a Put that failed")
	path := only(t, w.cache, ".xche")
	w.osKeys().Fail = func(op, _ string) error { // killed after it, the new one must be there
		if op != "set" {
			return nil
		}
		d, err := w.longShelf().openReally(t.Context())
		must(t, err)
		defer d.close()
		if r, err := d.loadRescue(filepath.Base(path)); err != nil || string(r.secret) != "three" {
			t.Errorf("while the keyring is written the rescued one is %v, %v", r, err)
		}
		return nil
	}
	must(t, l.Put(t.Context(), secret.Secret("three")))
	w.fails(nil)
	wantSecret(t, l, "three", "a Put")

	must(t, l.Close())
	l = reopenSecret(t, w, session(t, w))
	w.fails(nil)
	must(t, l.Delete(t.Context()))
	if got, err := l.Get(t.Context()); !isMiss(err) {
		t.Errorf("deleted: %q, %v", []byte(got), err)
	}
}

// TestRescueOthers: the rescued secret of one account, or of another host,
// says nothing about this one.
func TestRescueOthers(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	l := session(t, w)
	w.fails(nil)
	joe, err := w.LockSecret(t.Context(), "pass:v1:joe")
	must(t, err)
	t.Cleanup(func() { joe.Close() })
	must(t, joe.Put(t.Context(), secret.Secret("other")))
	wantSecret(t, joe, "other", "another account")

	other := w.otherHost(t, Auto, Keyring)
	o := lockSecret(t, other)
	must(t, o.Put(t.Context(), secret.Secret("another host's")))
	wantSecret(t, o, "another host's", "another host")
	wantSecret(t, l, "two", "the rescued one")

	// A file under another account's name opens for nobody.
	must(t, l.Ready(t.Context(), nil))
	must(t, l.Rescue(secret.Secret("three")))
	path := only(t, w.cache, ".xche")
	moved := filepath.Join(filepath.Dir(path), rescueName(l.rescuer.rescueID(joe.account)))
	must(t, os.Rename(path, moved))
	wantSecret(t, joe, "other", "a file that was moved")
	must(t, joe.Ready(t.Context(), nil))
	id := joe.rescuer.rescueID(joe.account)
	sealed, err := joe.rescuer.seal(id, []byte(`{"v":1,"account":"jane","secret":"eA=="}`))
	must(t, err)
	must(t, os.WriteFile(moved, sealed, 0o600))
	wantSecret(t, joe, "other", "a secret that says whose it is")
	must(t, joe.Rescue(secret.Secret("fresh")))
	wantSecret(t, joe, "fresh", "written over it")
}

// TestReady: before a server forgets the old token there is proof that the
// keyring takes writes, and the key is the keyring's present one.
func TestReady(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	l := lockSecret(t, w)
	must(t, l.Ready(t.Context(), nil)) // nothing to write back yet
	must(t, l.Put(t.Context(), secret.Secret("one")))
	sets := w.osKeys().Calls("set")
	must(t, l.Ready(t.Context(), nil))
	if n := w.osKeys().Calls("set") - sets; n != 1 {
		t.Errorf("the secret was written back %d times", n)
	}
	for _, kind := range []error{ErrLocked, ErrTimeout, ErrUnavailable} {
		for _, op := range []string{"get", "set"} {
			w.osKeys().Fail = func(o, _ string) error {
				if o == op {
					return &Error{Kind: kind}
				}
				return nil
			}
			if err := l.Ready(t.Context(), nil); !errors.Is(err, kind) {
				t.Errorf("%s %v: %v", op, kind, err)
			}
		}
	}
	for _, passphrases := range []Store{None, Runtime} {
		w.fails(nil)
		must(t, l.Close())
		w.reopen(Auto, passphrases)
		l = lockSecret(t, w)
		if l.Ready(t.Context(), nil) == nil || l.Rescue(secret.Secret("x")) == nil {
			t.Errorf("%s: secrets are kept", passphrases)
		}
	}
}

// TestReadyStuck: a rescued secret that went into the keyring, but whose file
// stays, would come back over the next one. Nobody is ready then.
func TestReadyStuck(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	must(t, session(t, w).Close())
	w.fails(nil)
	path := only(t, w.cache, ".xche")
	o := w.options(Auto, Keyring)
	o.Keys = setHook{w.keys, func(a string, _ []byte) {
		if a == account {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o700))
		}
	}}
	l, err := New(o).LockSecret(t.Context(), account)
	must(t, err)
	defer l.Close()
	if err := l.Ready(t.Context(), nil); err == nil {
		t.Error("it is ready")
	}
}

// TestRescueUnsafe: a directory that others can write to may hide what was
// rescued; the keyring's older secret is no answer then.
func TestRescueUnsafe(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	l := session(t, w)
	w.fails(nil)
	must(t, os.Chmod(filepath.Dir(only(t, w.cache, ".xche")), 0o777))
	if _, err := l.Get(t.Context()); !errors.As(err, new(*safefile.UnsafeError)) {
		t.Errorf("got %v", err)
	}
}

// TestReadyWaits: a key that another process is just replacing would be gone
// when the secret is to be rescued under it.
func TestReadyWaits(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	l := lockSecret(t, w)
	lock, err := w.tryLock(dataKeyLock)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Ready(ctx, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("beside somebody at the data keys: %v", err)
	}
	must(t, lock.Close())
	must(t, l.Ready(t.Context(), nil))
}

// TestSizeLimits: every kind of item of ours fits into the keyrings of Windows
// and macOS: both data keys and the longest pass phrase that a server takes. A
// token that does not fit is rescued for as long as it is needed.
func TestSizeLimits(t *testing.T) {
	for _, limit := range []int{2560, 3006} {
		w := newWorld(t, Auto, Keyring)
		w.osKeys().Limit = limit
		l := lockSecret(t, w)
		must(t, l.Put(t.Context(), bytes.Repeat([]byte("p"), 1023)))
		must(t, l.Ready(t.Context(), nil))
		for _, lifetime := range []time.Duration{time.Hour, 100 * time.Hour} {
			stored, err := w.Put(t.Context(), entry(t, binding("a"), lifetime))
			if err != nil || stored.In != Keyring {
				t.Errorf("limit %d: %+v, %v", limit, stored, err)
			}
		}
		for _, account := range []string{dataKeyAccount, longKeyAccount, l.account} {
			if value, err := w.keys.Get(t.Context(), account); err != nil || len(value) == 0 {
				t.Errorf("limit %d: %s has %d bytes, %v", limit, account, len(value), err)
			}
		}
		must(t, l.Put(t.Context(), make([]byte, limit)))
		big := secret.Secret(strings.Repeat("x", limit+1))
		if err := l.Put(t.Context(), big); !errors.Is(err, ErrTooBig) {
			t.Errorf("limit %d: %v", limit, err)
		}
		must(t, l.Rescue(big))
		l = reopenSecret(t, w, l)
		for range 2 {
			wantSecret(t, l, string(big), "too big for the keyring")
		}
		must(t, l.Put(t.Context(), secret.Secret("small")))
		wantSecret(t, l, "small", "after it")
		must(t, l.Close())
		must(t, w.Rotate(t.Context()))
		if list, err := w.List(t.Context()); err != nil || len(list) == 0 {
			t.Errorf("limit %d: %d entries under the new keys, %v", limit, len(list), err)
		}
	}
}

// FuzzRescue: what was sealed is read back, and nothing else is a secret.
func FuzzRescue(f *testing.F) {
	f.Add([]byte(`{"v":1,"account":"session:v1:rcauth:px:id","secret":"b3BlbiBzZXNhbWU="}`))
	f.Add([]byte(`{"v":1,"account":"","secret":"eA=="}`))
	f.Add([]byte(`{"v":2,"account":"a","secret":"eA=="}`))
	f.Add([]byte(`{"v":1,"account":"a","secret":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		account, s, ok := parseRescue(data)
		if !ok {
			if account != "" || s != nil {
				t.Errorf("%q, %q of what is none", account, []byte(s))
			}
			return
		}
		again, err := json.Marshal(rescueItem{V: 1, Account: account, Secret: s})
		if err != nil {
			t.Fatal(err)
		}
		a, b, ok := parseRescue(again)
		if !ok || a != account || string(b) != string(s) || account == "" {
			t.Errorf("%q, %q is read back as %q, %q", account, []byte(s), a, []byte(b))
		}
	})
}

// FuzzNames: names of files and directories come from whoever can write there.
func FuzzNames(f *testing.F) {
	id := strings.Repeat("0a", 32)
	for _, s := range []string{"rescue-" + id + ".xche", id + ".xche", "rescue-.xche", "rescue-" + id + ".xche.xche", "..", "RESCUE-" + id + ".xche"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if isRescue(name) && rescueName(idOf(strings.TrimPrefix(name, rescuePrefix))) != name {
			t.Errorf("%q is no name of ours", name)
		}
		d := &drawer{key: &dataKey{}}
		if d.isEntry(name) && (isRescue(name) || strings.ContainsAny(name, "/\\")) {
			t.Errorf("%q is an entry and more", name)
		}
	})
}
