package cache

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// TestWarmCalls: on a desktop a warm Get costs one read of the keyring, as
// before there were other stores, and with a copy in the kernel none.
func TestWarmCalls(t *testing.T) {
	for _, store := range []Store{Auto, Keyring} {
		for _, ttl := range []time.Duration{0, time.Hour} {
			w := newWorld(t, store, Keyring)
			w.ttl = ttl
			w.reopen(store, Keyring)
			b := binding("a")
			_, err := w.Put(t.Context(), entry(t, b, 12*time.Hour))
			must(t, err)
			for i, want := range []int{1, 1, 1} {
				if ttl > 0 && i > 0 {
					want = 0 // the first has made the copy
				}
				w.reopen(store, Keyring)
				calls := w.osKeys().Calls("get") + w.osKeys().Calls("set")
				for range 3 {
					_, err := w.Get(t.Context(), b)
					must(t, err)
				}
				if n := w.osKeys().Calls("get") + w.osKeys().Calls("set") - calls; n != want {
					t.Errorf("%s, %v: %d calls, want %d", store, ttl, n, want)
				}
			}
		}
	}
}

// TestColdCalls: a miss asks the keyring once, too: the long data key only
// where there is anything under it. A Put reads the key itself.
func TestColdCalls(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	_, err := w.Put(t.Context(), entry(t, binding("other"), time.Hour))
	must(t, err)
	count := func(what string, want int, f func()) {
		t.Helper()
		w.reopen(Auto, Keyring)
		before := w.osKeys().Calls("get")
		f()
		if n := w.osKeys().Calls("get") - before; n != want {
			t.Errorf("%s: %d calls, want %d", what, n, want)
		}
	}
	count("a miss", 1, func() { _, _ = w.Get(t.Context(), binding("a")) })
	count("a Put", 1, func() { _, _ = w.Put(t.Context(), entry(t, binding("a"), time.Hour)) })
	_, err = w.Put(t.Context(), entry(t, binding("long"), 100*time.Hour))
	must(t, err)
	count("a hit beside long ones", 1, func() { _, _ = w.Get(t.Context(), binding("a")) })
	count("a miss beside long ones", 2, func() { _, _ = w.Get(t.Context(), binding("b")) })
	w.reopen(File, Keyring)
	before := w.osKeys().Calls("get")
	for _, lifetime := range []time.Duration{time.Hour, 100 * time.Hour} {
		_, err = w.Put(t.Context(), entry(t, binding("file"), lifetime))
		must(t, err)
	}
	_, _ = w.Get(t.Context(), binding("none"))
	_, _ = w.List(t.Context())
	must(t, w.Delete(t.Context(), binding("file")))
	if n := w.osKeys().Calls("get") - before; n != 0 {
		t.Errorf("with the store file the keyring was asked %d times", n)
	}
}

// TestPutAgain: a key that is erased between being made and being used is made
// again, and a keyring that forgets each one is not asked for ever.
func TestPutAgain(t *testing.T) {
	for times, want := range map[int]bool{0: true, 1: true, 4: true, 5: false, 1000: false} {
		w := newWorld(t, Keyring, Keyring)
		left := times
		o := w.options(Keyring, Keyring)
		o.Keys = afterSet{w.keys, func() error {
			if left--; left < 0 {
				return nil
			}
			return w.keys.DeleteAll(t.Context())
		}}
		stored, err := New(o).Put(t.Context(), entry(t, binding("a"), time.Hour))
		if (err == nil) != want || want && stored.In != Keyring {
			t.Errorf("erased %d times: %+v, %v", times, stored, err)
		}
		if _, err := w.Get(t.Context(), binding("a")); (err == nil) != want {
			t.Errorf("erased %d times: Get: %v", times, err)
		}
		if n := w.osKeys().Calls("set"); n > 5 {
			t.Errorf("erased %d times: %d keys were made", times, n)
		}
	}
}

// afterSet is a keyring to which something happens after each write.
type afterSet struct {
	KeyStore
	then func() error
}

func (k afterSet) Set(ctx context.Context, account string, value []byte) error {
	return errors.Join(k.KeyStore.Set(ctx, account, value), k.then())
}

// TestCopyEnds: the copy lives as long as was configured from the moment the
// keyring was read, however often it is used.
func TestCopyEnds(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	w.ttl = time.Hour
	b := binding("a")
	get := func(kind error) error {
		w.fails(kind)
		w.reopen(Auto, Keyring)
		_, err := w.Get(t.Context(), b)
		return err
	}
	w.reopen(Auto, Keyring)
	_, err := w.Put(t.Context(), entry(t, b, 12*time.Hour))
	must(t, err)
	must(t, get(nil))
	for range 3 {
		w.pass(19 * time.Minute)
		if err := get(ErrLocked); err != nil {
			t.Errorf("with the copy: %v", err)
		}
	}
	w.pass(4 * time.Minute)
	if err := get(ErrLocked); !errors.Is(err, ErrLocked) {
		t.Errorf("after its time: %v", err)
	}
	must(t, get(nil))
	w.ttl = 0 // switched off
	if err := get(ErrLocked); !errors.Is(err, ErrLocked) {
		t.Errorf("switched off: %v", err)
	}
}

// TestCopyBounds: what is configured is between a second and a day.
func TestCopyBounds(t *testing.T) {
	for in, want := range map[time.Duration]time.Duration{-1: -1, 0: 0, 1: time.Second, time.Hour: time.Hour, 100 * time.Hour: 24 * time.Hour} {
		c := New(Options{KeyTTL: in, Kernel: NewMemory()})
		if c.o.KeyTTL != want || (c.short.copies != nil) != (want > 0) {
			t.Errorf("%v: %v", in, c.o.KeyTTL)
		}
		if c.long.copies != nil {
			t.Error("the long data key is copied")
		}
	}
}

// TestCopyReplaced: a Put seals under the key that the keyring has now, and a
// copy of another key does not survive it.
func TestCopyReplaced(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	w.ttl = time.Hour
	w.reopen(Auto, Keyring)
	b := binding("a")
	put := func() {
		t.Helper()
		_, err := w.Put(t.Context(), entry(t, b, 12*time.Hour))
		must(t, err)
	}
	put()
	w.reopen(Auto, Keyring)
	_, err := w.Get(t.Context(), b)
	must(t, err)
	must(t, w.keys.DeleteAll(t.Context())) // by hand; nobody has told us

	w.reopen(Auto, Keyring)
	if _, err := w.Get(t.Context(), b); err != nil {
		t.Errorf("with the copy: %v", err)
	}
	put() // this process has the old key in its memory
	if _, err := w.kernel.Get(t.Context(), copyAccount); !isMiss(err) {
		t.Errorf("the old copy is still there: %v", err)
	}
	w.ttl = 0
	w.reopen(Auto, Keyring)
	if _, err := w.Get(t.Context(), b); err != nil {
		t.Errorf("under the keyring's key: %v", err)
	}
}

// TestCopyUnsafe: a copy that somebody else can have made is not passed over. A
// Put, which does not use it, removes it.
func TestCopyUnsafe(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	w.ttl = time.Hour
	w.reopen(Auto, Keyring)
	e := entry(t, binding("a"), time.Hour)
	_, err := w.Put(t.Context(), e)
	must(t, err)
	must(t, w.kernel.Set(t.Context(), copyAccount, []byte("theirs")))
	w.kernel.Fail = func(op, account string) error {
		if v := w.kernel.items[copyAccount].value; op == "get" && account == copyAccount && string(v) == "theirs" {
			return &safefile.UnsafeError{Path: "the copy", Reason: "it belongs to uid 12"}
		}
		return nil
	}
	w.reopen(Auto, Keyring)
	if _, err := w.Get(t.Context(), e.Binding); !errors.As(err, new(*safefile.UnsafeError)) {
		t.Errorf("Get: %v", err)
	}
	_, err = w.Put(t.Context(), e)
	must(t, err)
	if _, err := w.Get(t.Context(), e.Binding); err != nil {
		t.Errorf("after a Put: %v", err)
	}
	w.reopen(Auto, Keyring)
	if _, err := w.Get(t.Context(), e.Binding); err != nil {
		t.Errorf("later: %v", err)
	}
}

// TestCopyLocked: nobody erases or replaces the key while it is being copied,
// and where somebody is at it no copy is made.
func TestCopyLocked(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	w.ttl = time.Hour
	_, err := w.Put(t.Context(), entry(t, binding("a"), time.Hour))
	must(t, err)
	held := func(string, string) error {
		if lock, err := w.tryLock(dataKeyLock); err == nil {
			lock.Close()
			t.Error("the lock of the data keys is free")
		}
		return nil
	}
	w.reopen(Auto, Keyring)
	w.kernel.Fail = func(op, account string) error {
		if op == "set" {
			return held(op, account)
		}
		return nil
	}
	w.osKeys().Fail = held
	_, err = w.Get(t.Context(), binding("a"))
	must(t, err)
	if _, err := w.kernel.Get(t.Context(), copyAccount); err != nil {
		t.Errorf("no copy: %v", err)
	}

	must(t, w.kernel.Delete(t.Context(), copyAccount))
	lock, err := w.tryLock(dataKeyLock)
	must(t, err)
	defer lock.Close()
	w.reopen(Auto, Keyring)
	_, err = w.Get(t.Context(), binding("a"))
	must(t, err)
	if _, err := w.kernel.Get(t.Context(), copyAccount); !isMiss(err) {
		t.Errorf("a copy was made: %v", err)
	}
}

// TestKernelTTL: the key of the kernel store outlives every entry under it,
// and no longer.
func TestKernelTTL(t *testing.T) {
	w := newWorld(t, Kernel, None)
	put := func(profile string) {
		t.Helper()
		e := entry(t, binding(profile), w.now.Sub(noon)+23*time.Hour)
		stored, err := w.Put(t.Context(), e)
		must(t, err)
		if stored.In != Kernel {
			t.Fatalf("%+v", stored)
		}
	}
	put("a")
	w.pass(20 * time.Hour)
	put("b")
	w.pass(22 * time.Hour)
	w.reopen(Kernel, None)
	if _, err := w.Get(t.Context(), binding("b")); err != nil {
		t.Errorf("42 h after the first: %v", err)
	}
	w.pass(2 * time.Hour)
	if _, err := w.kernel.Get(t.Context(), dataKeyAccount); !isMiss(err) {
		t.Errorf("the key outlives its day: %v", err)
	}
	if n := w.osKeys().Calls("get"); n != 0 {
		t.Errorf("the keyring was asked %d times", n)
	}
	must(t, w.kernel.Set(t.Context(), dataKeyAccount, []byte("damaged")))
	w.reopen(Kernel, None)
	put("c")
	if _, err := w.Get(t.Context(), binding("c")); err != nil {
		t.Errorf("after a damaged key: %v", err)
	}
}

// TestEraseAllReally: a copy of a key that was replaced since does not hide the
// entries that are under the new one.
func TestEraseAllReally(t *testing.T) {
	w := newWorld(t, Keyring, Keyring)
	w.ttl = time.Hour
	w.reopen(Keyring, Keyring)
	_, err := w.Put(t.Context(), entry(t, binding("a"), time.Hour))
	must(t, err)
	old, err := w.keys.Get(t.Context(), dataKeyAccount)
	must(t, err)
	must(t, w.Rotate(t.Context()))
	must(t, w.kernel.SetFor(t.Context(), copyAccount, old, time.Hour))
	w.reopen(Keyring, Keyring)
	if n, err := w.EraseAll(t.Context()); n != 1 || err != nil {
		t.Errorf("erased %d, %v", n, err)
	}
	left, err := filepath.Glob(filepath.Join(w.cache, "v1", "*", "*.xche"))
	if len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestCopyOutlived: a process that has read the copy of a key which was replaced
// finds the entry that another one has kept since under the key that counts.
func TestCopyOutlived(t *testing.T) {
	w := newWorld(t, Keyring, Keyring)
	w.ttl = time.Hour
	w.reopen(Keyring, Keyring)
	b := binding("a")
	_, err := w.Put(t.Context(), entry(t, binding("old"), time.Hour))
	must(t, err)
	_, _ = New(w.options(Keyring, Keyring)).Get(t.Context(), b) // makes the copy
	must(t, w.keys.DeleteAll(t.Context()))
	waiting := New(w.options(Keyring, Keyring))
	if _, err := waiting.Get(t.Context(), b); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	_, err = New(w.options(Keyring, Keyring)).Put(t.Context(), entry(t, b, time.Hour))
	must(t, err)
	if _, err := waiting.Get(t.Context(), b); err != nil {
		t.Errorf("who waited: %v", err)
	}
}
