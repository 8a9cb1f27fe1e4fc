package cache

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// sealedAndPlain are the stores that write files in different ways.
var sealedAndPlain = []Store{Keyring, Kernel, Runtime, File}

// entryFile is the one file of an entry.
func (w *world) entryFile(t testing.TB, store Store) string {
	t.Helper()
	if store == Runtime || store == File {
		return only(t, w.run, ".cred")
	}
	return only(t, w.cache, ".xche")
}

// TestCutAnywhere: an entry that was cut off, at whatever byte, is a miss: a
// power failure or a careless copy must not make a credential without its key.
func TestCutAnywhere(t *testing.T) {
	for _, store := range sealedAndPlain {
		t.Run(string(store), func(t *testing.T) {
			w := newWorld(t, store, None)
			e := entry(t, binding("atlas"), time.Hour)
			_, err := w.Put(t.Context(), e)
			must(t, err)
			path := w.entryFile(t, store)
			data, err := os.ReadFile(path)
			must(t, err)
			for n := len(data) - 1; n >= 0; n -= stride(n) {
				must(t, os.Truncate(path, int64(n)))
				if got, err := w.Get(t.Context(), e.Binding); !isMiss(err) {
					t.Fatalf("%d of %d bytes: %+v, %v", n, len(data), got, err)
				}
			}
			heals(t, w, e)
		})
	}
}

// TestFlipAnywhere: a bit that has changed anywhere makes an entry a miss.
func TestFlipAnywhere(t *testing.T) {
	for _, store := range sealedAndPlain {
		t.Run(string(store), func(t *testing.T) {
			w := newWorld(t, store, None)
			e := entry(t, binding("atlas"), time.Hour)
			_, err := w.Put(t.Context(), e)
			must(t, err)
			path := w.entryFile(t, store)
			data, err := os.ReadFile(path)
			must(t, err)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			for i := 0; i < len(data); i += stride(i) {
				_, err := f.WriteAt([]byte{data[i] ^ 1<<(i%8)}, int64(i))
				must(t, err)
				if got, err := w.Get(t.Context(), e.Binding); !isMiss(err) {
					t.Fatalf("byte %d of %d: %+v, %v", i, len(data), got, err)
				}
				_, err = f.WriteAt(data[i:i+1], int64(i))
				must(t, err)
			}
			if _, err := w.Get(t.Context(), e.Binding); err != nil {
				t.Errorf("mended: %v", err)
			}
		})
	}
}

// stride thins out the middle of long loops where the race detector makes each
// step slow.
func stride(i int) int {
	if testing.Short() && i > 200 {
		return 41
	}
	return 1
}

// heals checks that the next Put makes up for a fault.
func heals(t *testing.T, w *world, e *Entry) {
	t.Helper()
	_, err := w.Put(t.Context(), e)
	must(t, err)
	got, err := w.Get(t.Context(), e.Binding)
	must(t, err)
	if !bytes.Equal(got.PEM, e.PEM) {
		t.Error("another credential came back")
	}
}

// TestOtherKeysEntry: the same binding's entry of another key answers for
// nothing, not even under the right name in the right directory.
func TestOtherKeysEntry(t *testing.T) {
	for _, store := range []Store{Keyring, Kernel} {
		w := newWorld(t, store, None)
		e := entry(t, binding("atlas"), time.Hour)
		_, err := w.Put(t.Context(), e)
		must(t, err)
		mine := w.entryFile(t, store)
		other := newWorld(t, store, None)
		_, err = other.Put(t.Context(), e)
		must(t, err)
		theirs, err := os.ReadFile(other.entryFile(t, store))
		must(t, err)
		must(t, os.WriteFile(mine, theirs, 0o600))
		if got, err := w.Get(t.Context(), e.Binding); !isMiss(err) {
			t.Errorf("%s: %+v, %v", store, got, err)
		}
		heals(t, w, e)
	}
}

// TestLostKey: without its data key a store is empty, not broken: entries are
// misses, the next Put makes a key, and nobody is answered by what was before.
// An item that is damaged is not replaced: it may be another's.
func TestLostKey(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, w *world) error{
		"lost": func(t *testing.T, w *world) error { return w.keys.Delete(t.Context(), dataKeyAccount) },
		"replaced": func(t *testing.T, w *world) error {
			return w.keys.Set(t.Context(), dataKeyAccount, []byte(`{"v":1,"key":"`+strings.Repeat("A", 43)+`="}`))
		},
		"damaged":        func(t *testing.T, w *world) error { return w.keys.Set(t.Context(), dataKeyAccount, []byte("{")) },
		"empty":          func(t *testing.T, w *world) error { return w.keys.Set(t.Context(), dataKeyAccount, nil) },
		"future version": func(t *testing.T, w *world) error { return w.keys.Set(t.Context(), dataKeyAccount, []byte(`{"v":2}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Keyring, Keyring)
			e := entry(t, binding("atlas"), time.Hour)
			_, err := w.Put(t.Context(), e)
			must(t, err)
			must(t, lose(t, w))
			w.reopen(Keyring, Keyring)
			_, getErr := w.Get(t.Context(), e.Binding)
			_, listErr := w.List(t.Context())
			_, putErr := w.Put(t.Context(), e)
			if name == "lost" || name == "replaced" {
				if !isMiss(getErr) || listErr != nil || putErr != nil {
					t.Errorf("Get %v, List %v, Put %v", getErr, listErr, putErr)
				}
				heals(t, w, e)
				return
			}
			for what, err := range map[string]error{"Get": getErr, "List": listErr, "Put": putErr} {
				var typed *Error
				if !errors.Is(err, ErrUnavailable) || isMiss(err) || !errors.As(err, &typed) || typed.Remedy == "" {
					t.Errorf("%s: %v", what, err)
				}
			}
			w.reopen(Auto, Keyring) // which does without
			heals(t, w, e)
		})
	}
}

// TestClockJumps: whatever the clock does, an entry is served only while it is
// good, and comes back with the right time if it was not swept.
func TestClockJumps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, store := range sealedAndPlain {
		w := newWorld(t, store, None)
		e := entry(t, binding("atlas"), time.Hour)
		_, err := w.Put(t.Context(), e)
		must(t, err)
		for _, jump := range []struct {
			by   time.Duration
			hit  bool
			what string
		}{{0, true, "now"}, {50 * year, false, "far ahead"}, {-50 * year, true, "back"}, {-60 * year, true, "before it was made"}, {60 * year, true, "now"}} {
			w.mu.Lock()
			w.now = w.now.Add(jump.by) // not the time since the start
			w.mu.Unlock()
			if store == Kernel && !jump.hit { // whose keys have a clock of their own
				w.kernel.Clock = func() time.Time { return noon }
			}
			w.reopen(store, None)
			if _, err := w.Get(t.Context(), e.Binding); jump.hit != (err == nil) || err != nil && !isMiss(err) {
				t.Errorf("%s, %s: %v", store, jump.what, err)
			}
		}
		w.mu.Lock()
		w.now = noon.Add(50 * year)
		w.mu.Unlock()
		far := entry(t, binding("cms"), time.Hour)
		_, err = w.Put(t.Context(), far)
		must(t, err)
		w.mu.Lock()
		w.now = noon
		w.mu.Unlock()
		if _, err := w.Get(t.Context(), e.Binding); !isMiss(err) {
			t.Errorf("%s: what was swept by a wrong clock: %v", store, err)
		}
		heals(t, w, e)
	}
}

// TestRefusalAndClock: how long a refused pass phrase waits is counted by the
// time since the start of the machine: no change of the clock sends it sooner,
// or keeps it longer. After a restart it may be sent once.
func TestRefusalAndClock(t *testing.T) {
	for _, passphrases := range []Store{Keyring, None} {
		w := newWorld(t, Runtime, passphrases)
		l, err := w.LockSecret(t.Context(), "pass:v1:x")
		must(t, err)
		defer l.Close()
		must(t, l.Refuse(t.Context(), []byte("wrong"), "px.example.org", "no"))
		refused := func() bool {
			t.Helper()
			r, err := l.Refused(t.Context(), []byte("wrong"))
			must(t, err)
			return r != nil
		}
		for _, by := range []time.Duration{0, 10 * time.Hour, -20 * time.Hour, 1e6 * time.Hour, -1e6 * time.Hour} {
			w.mu.Lock()
			w.now = noon.Add(by)
			w.mu.Unlock()
			if !refused() {
				t.Errorf("the clock jumped by %v, and the pass phrase is sent again", by)
			}
		}
		kept := w.boot
		w.boot = Instant{Boot: "second", Since: kept.Since + time.Second}
		if refused() {
			t.Error("after a restart nobody knows how long ago it was")
		}
		w.boot = Instant{Boot: "first", Since: kept.Since - time.Minute}
		if refused() {
			t.Error("a record of the future, where all starts have one name")
		}
		w.boot = kept
		w.boot.Since += time.Minute
		if refused() {
			t.Error("a minute later")
		}
	}
}

// TestCutRecord: a record of a lock is whole or none. One that was damaged all
// the same is none; it is never an error that would keep everybody out.
func TestCutRecord(t *testing.T) {
	w := newWorld(t, None, None)
	l, err := w.LockSecret(t.Context(), "pass:v1:x")
	must(t, err)
	must(t, l.Refuse(t.Context(), []byte("wrong"), "px.example.org", "no"))
	must(t, l.Close())
	path := only(t, w.run, ".rec")
	data, err := os.ReadFile(path)
	must(t, err)
	for n := 0; n < len(data); n += 7 {
		must(t, os.WriteFile(path, data[:n], 0o600))
		l, err := w.LockSecret(t.Context(), "pass:v1:x")
		must(t, err)
		if r, err := l.Refused(t.Context(), []byte("wrong")); r != nil || err != nil {
			t.Errorf("%d bytes: %v, %v", n, r, err)
		}
		must(t, l.Close())
	}
}

// TestLeftovers: what killed writers left, in whatever directory a Put writes
// to, is gone an hour later, and what one writes now is not.
func TestLeftovers(t *testing.T) {
	for _, store := range sealedAndPlain {
		w := newWorld(t, store, None)
		e := entry(t, binding("atlas"), time.Hour)
		_, err := w.Put(t.Context(), e)
		must(t, err)
		dir := filepath.Dir(w.entryFile(t, store))
		name := func(b byte) string {
			return filepath.Join(dir, ".tmp-"+hex.EncodeToString(bytes.Repeat([]byte{b}, 12)))
		}
		for i, age := range []time.Duration{2 * time.Hour, time.Minute} {
			must(t, os.WriteFile(name(byte(i)), nil, 0o600))
			must(t, os.Chtimes(name(byte(i)), noon.Add(-age), noon.Add(-age)))
		}
		_, err = w.Put(t.Context(), e)
		must(t, err)
		_, old := os.Lstat(name(0))
		_, young := os.Lstat(name(1))
		if old == nil || young != nil {
			t.Errorf("%s: the old one %v, the young one %v", store, old, young)
		}
	}
}

// FuzzUnsummed: what counts as a whole plain entry is what was written as one,
// and under no other name.
func FuzzUnsummed(f *testing.F) {
	for _, plain := range []string{"", "x", strings.Repeat("entry", 100)} {
		f.Add(summed("name", []byte(plain)))
		f.Add([]byte(plain))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, err := unsummed("name", data)
		switch {
		case err == nil && !bytes.Equal(summed("name", plain), data):
			t.Errorf("%q is not what is written", data)
		case err == nil:
			if _, err := unsummed("other", data); !errors.Is(err, errDamaged) {
				t.Errorf("under another name: %v", err)
			}
		case !errors.Is(err, errDamaged):
			t.Errorf("got %v", err)
		}
	})
}

// TestRescueFullDisk: the file of a secret that was rescued earlier cannot be
// written any more. The keyring takes the next one all the same, and the older
// one does not come back.
func TestRescueFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	w := newWorld(t, Auto, Keyring)
	must(t, os.Mkdir(w.cache, 0o700))
	if err := unix.Mount("none", w.cache, "tmpfs", 0, "mode=0700,nr_inodes=20"); err != nil {
		missing(t, "a file system of its own cannot be mounted: "+err.Error())
	}
	t.Cleanup(func() { must(t, unix.Unmount(w.cache, 0)) })
	must(t, session(t, w).Close())
	w.fails(nil)
	for i := range 20 {
		if err := os.Mkdir(filepath.Join(w.cache, fmt.Sprint(i)), 0o700); errors.Is(err, unix.ENOSPC) {
			break
		}
	}
	l := lockSecret(t, w)
	must(t, l.Put(t.Context(), secret.Secret("three")))
	wantSecret(t, l, "three", "on a full disk")
}
