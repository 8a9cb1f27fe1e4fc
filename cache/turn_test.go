package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowKeys is a keyring that counts how many use it at once.
type slowKeys struct {
	*Memory
	now, most, calls atomic.Int32
	serve            func(ctx context.Context) error
}

func (s *slowKeys) Get(ctx context.Context, account string) ([]byte, error) {
	s.calls.Add(1)
	n := s.now.Add(1)
	defer s.now.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	if err := s.serve(ctx); err != nil {
		return nil, err
	}
	return s.Memory.Get(ctx, account)
}

// process is a KeyStore as another process would have it: locks are between
// open files.
func process(t *testing.T, keys KeyStore, run string, slots int) *turns {
	t.Helper()
	turned := TakeTurns(keys, func() (string, error) { return run, nil }).(*turns)
	turned.slots = slots
	turned.patience = time.Hour // whoever waits in vain, waits for ever
	return turned
}

func herdOf(n int, f func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { f(i) })
	}
	group.Wait()
}

// awaitWaiters returns when so many wait for one of the first slots, or after
// some time where nobody can tell.
func awaitWaiters(t *testing.T, run string, slots, n int) {
	t.Helper()
	if _, err := os.Stat("/proc/locks"); err != nil {
		time.Sleep(200 * time.Millisecond)
		return
	}
	waitUntil(t, func() bool {
		waiting := 0
		for i := range slots {
			waiting += waiters(filepath.Join(run, "lock", slotName(i)))
		}
		return waiting >= n
	})
}

// waiters counts those who wait for the lock of a file.
func waiters(path string) (n int) {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	inode := fmt.Sprintf(":%v ", reflect.Indirect(reflect.ValueOf(info.Sys())).FieldByName("Ino"))
	locks, _ := os.ReadFile("/proc/locks")
	for line := range strings.Lines(string(locks)) {
		if strings.Contains(line, "-> ") && strings.Contains(line, inode) {
			n++
		}
	}
	return n
}

// TestTurns: never more at once than there are slots, and all of them in the
// end.
func TestTurns(t *testing.T) {
	keys := &slowKeys{Memory: NewMemory(), serve: func(context.Context) error { time.Sleep(time.Millisecond); return nil }}
	must(t, keys.Set(t.Context(), "a", []byte("x")))
	run := filepath.Join(t.TempDir(), "run")
	herdOf(60, func(int) {
		if v, err := process(t, keys, run, 3).Get(t.Context(), "a"); err != nil || string(v) != "x" {
			t.Errorf("%q, %v", v, err)
		}
	})
	if n := keys.most.Load(); n > 3 {
		t.Errorf("%d at once, expected 3", n)
	}
	if n := keys.calls.Load(); n != 60 {
		t.Errorf("%d calls, expected 60", n)
	}
	herdOf(3, func(int) { testKeyStore(t, process(t, NewMemory(), run, 1)) })
}

// TestTurnOfOne: what is done within one turn takes no second one, and knows
// whether others were before.
func TestTurnOfOne(t *testing.T) {
	keys := &slowKeys{Memory: NewMemory(), serve: func(context.Context) error { return nil }}
	must(t, keys.Set(t.Context(), "a", []byte("x")))
	run := filepath.Join(t.TempDir(), "run")
	var group sync.WaitGroup
	var second atomic.Bool
	// A second slot would be waited for until then, and not had.
	limited, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	one := func(f func(ctx context.Context, waited bool)) {
		k := process(t, keys, run, 1)
		err := inTurn(limited, k, func(ctx context.Context, waited bool) error {
			f(ctx, waited)
			_, err := k.Get(ctx, "a")
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	one(func(ctx context.Context, waited bool) {
		if waited {
			t.Error("waited for nobody")
		}
		group.Go(func() {
			one(func(_ context.Context, waited bool) { second.Store(waited) })
		})
		awaitWaiters(t, run, 1, 1)
	})
	group.Wait()
	if !second.Load() {
		t.Error("nobody was before")
	}
	if err := inTurn(t.Context(), NewMemory(), func(_ context.Context, waited bool) error { return nil }); err != nil {
		t.Error(err)
	}
}

// TestSilentKeyring: those who wait behind one whom the keyring did not answer
// share its failure; a later one tries anew.
func TestSilentKeyring(t *testing.T) {
	const n = 40
	silent := true
	var first sync.Once
	run := filepath.Join(t.TempDir(), "run")
	keys := &slowKeys{Memory: NewMemory()}
	keys.serve = func(ctx context.Context) error {
		if !silent {
			return nil
		}
		first.Do(func() { awaitWaiters(t, run, 2, n-2) })
		return late(ctx)
	}
	must(t, keys.Set(t.Context(), "a", []byte("x")))
	herdOf(n, func(int) {
		k := process(t, keys, run, 2)
		for range 2 { // a process with several questions waits once
			if _, err := k.Get(t.Context(), "a"); !errors.Is(err, ErrTimeout) {
				t.Errorf("got %v", err)
			}
		}
	})
	if n := keys.calls.Load(); n > 8 {
		t.Errorf("a silent keyring was asked %d times, expected 4, by the two that were first", n)
	}
	silent = false
	herdOf(10, func(int) {
		if _, err := process(t, keys, run, 2).Get(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	})
}

// outOfTime is a context whose deadline is when the test says so.
type outOfTime struct {
	context.Context
	now chan struct{}
}

func (o outOfTime) Deadline() (time.Time, bool) { return time.Now().Add(time.Hour), true }
func (o outOfTime) Done() <-chan struct{}       { return o.now }
func (o outOfTime) Err() error {
	select {
	case <-o.now:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// TestHasteInTurn: that a caller had little time says nothing of the keyring to
// those behind it.
func TestHasteInTurn(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	keys := &slowKeys{Memory: NewMemory()}
	asked := make(chan struct{}, 10)
	hasty := outOfTime{t.Context(), make(chan struct{})}
	keys.serve = func(ctx context.Context) error {
		asked <- struct{}{}
		if _, limited := ctx.Deadline(); !limited {
			return nil
		}
		awaitWaiters(t, run, 1, 1) // the other
		close(hasty.now)
		return late(ctx)
	}
	must(t, keys.Set(t.Context(), "a", []byte("x")))
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := process(t, keys, run, 1).Get(hasty, "a"); !errors.Is(err, ErrTimeout) {
			t.Errorf("the hasty one: %v", err)
		}
	})
	<-asked
	if _, err := process(t, keys, run, 1).Get(t.Context(), "a"); err != nil {
		t.Errorf("the other: %v", err)
	}
	group.Wait()
}

// TestWithoutTurn: nobody waits for ever for a process that was stopped with
// its turn, for a user at a prompt, where others wait for it, or where there are no locks; and a
// caller's deadline is its own.
func TestWithoutTurn(t *testing.T) {
	keys := &slowKeys{Memory: NewMemory(), serve: func(context.Context) error { return nil }}
	must(t, keys.Set(t.Context(), "a", []byte("x")))
	run := filepath.Join(t.TempDir(), "run")
	k := process(t, keys, run, 1)
	k.patience = 20 * time.Millisecond
	get := func(ctx context.Context, keys KeyStore) error {
		_, err := keys.Get(ctx, "a")
		return err
	}
	err := inTurn(t.Context(), process(t, keys, run, 1), func(context.Context, bool) error {
		if err := get(t.Context(), k); err != nil {
			t.Errorf("behind one that is stopped: %v", err)
		}
		k.patience = time.Hour
		if err := get(AllowPrompt(t.Context()), k); err != nil {
			t.Errorf("with prompts: %v", err)
		}
		if err := get(Ahead(t.Context()), k); err != nil {
			t.Errorf("ahead of others: %v", err)
		}
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := get(short, k); !errors.Is(err, ErrTimeout) {
			t.Errorf("out of time: %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if err := get(gone, k); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		return nil
	})
	must(t, err)
	must(t, os.RemoveAll(run))
	must(t, os.WriteFile(run, nil, 0o600))
	must(t, get(t.Context(), k))
	must(t, os.Remove(run))
	must(t, os.MkdirAll(filepath.Join(run, "lock"), 0o700))
	must(t, os.WriteFile(filepath.Join(run, "lock", slotName(0)), []byte(`{"v":`), 0o600))
	must(t, get(t.Context(), k))
}

// TestTurnsWithCopies: who has waited for its turn looks for the copy of the
// data key that one before it has made, and does not ask the keyring. The first
// is not answered before all others wait: who comes when a slot is free asks.
func TestTurnsWithCopies(t *testing.T) {
	const n = 40
	w := newWorld(t, Keyring, Keyring)
	b := binding("p")
	_, err := w.Put(t.Context(), entry(t, b, time.Hour))
	must(t, err)
	var first sync.Once
	keys := &slowKeys{Memory: w.keys.(*Memory), serve: func(context.Context) error {
		first.Do(func() { awaitWaiters(t, w.run, 1, n-1) })
		return nil
	}}
	kernel := NewMemory()
	herdOf(n, func(int) {
		o, k := w.options(Keyring, Keyring), process(t, keys, w.run, 1)
		o.Keys, o.Kernel, o.KeyTTL = k, kernel, time.Minute
		if _, err := New(o).Get(t.Context(), b); err != nil {
			t.Error(err)
		}
	})
	if n := keys.calls.Load(); n != 1 {
		t.Errorf("%d asked the keyring, expected one", n)
	}
}

// TestLateNotes: only what a keyring did while we waited is known of it now: an
// older note is of a keyring that may be well since, and one of the future is of
// before a restart.
func TestLateNotes(t *testing.T) {
	k := process(t, NewMemory(), filepath.Join(t.TempDir(), "run"), 1)
	now, err := BootInstant()
	must(t, err)
	slot, _, err := k.take(t.Context())
	must(t, err)
	defer slot.Close()
	at := func(d time.Duration) Instant { return Instant{Boot: now.Boot, Since: now.Since + d} }
	for noted, want := range map[time.Duration]bool{-time.Millisecond: true, -2 * time.Millisecond: false, time.Hour: false} {
		data, err := json.Marshal(at(noted))
		must(t, err)
		must(t, slot.Write(data))
		if got := wasLate(slot, at(-1500*time.Microsecond)); got != want {
			t.Errorf("noted %v from now, begun 1.5 ms ago: %v", noted, got)
		}
	}
}
