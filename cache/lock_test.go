package cache

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestEntryLock: one holder, whoever asks; other bindings are free.
func TestEntryLock(t *testing.T) {
	w := newWorld(t, None, None)
	b := binding("atlas")
	held, err := w.LockEntry(t.Context(), b)
	must(t, err)
	if _, err := w.TryLockEntry(b); !errors.Is(err, ErrBusy) {
		t.Errorf("TryLockEntry: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := w.LockEntry(ctx, b); !errors.Is(err, ErrBusy) {
		t.Errorf("LockEntry past its deadline: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.LockEntry(gone, b); !errors.Is(err, context.Canceled) || errors.Is(err, ErrBusy) {
		t.Errorf("LockEntry cancelled: %v", err)
	}
	other, err := w.TryLockEntry(binding("cms"))
	must(t, err)
	must(t, other.Close())
	must(t, held.Close())
	// Not TryLockEntry: who gave up holds it for a moment before letting go.
	again, err := w.LockEntry(t.Context(), b)
	must(t, err)
	must(t, again.Close())
}

// TestFailureShared: who was waiting while the holder failed shares the
// failure; who came later does not, and nobody does after a restart.
func TestFailureShared(t *testing.T) {
	w := newWorld(t, None, None)
	b := binding("atlas")
	early := w.Now()
	w.pass(time.Second)
	leader, err := w.LockEntry(t.Context(), b)
	must(t, err)
	if _, ok := leader.Failure(early); ok {
		t.Error("a failure before any")
	}
	w.pass(time.Second)
	must(t, leader.Fail([]byte("wrong pass phrase")))
	must(t, leader.Close())
	w.pass(time.Nanosecond)
	late := w.Now()

	waiter, err := w.LockEntry(t.Context(), b)
	must(t, err)
	defer waiter.Close()
	if rec, ok := waiter.Failure(early); !ok || string(rec) != "wrong pass phrase" {
		t.Errorf("who waited got %q, %v", rec, ok)
	}
	if _, ok := waiter.Failure(late); ok {
		t.Error("who came later got it, too")
	}
	if _, ok := waiter.Failure(Instant{Boot: "second", Since: 0}); ok {
		t.Error("who came after a restart got it")
	}
	if _, ok := waiter.Failure(Instant{}); ok {
		t.Error("who has no idea of the time got it")
	}
	// Where every start of the system has the same name, a record can be later
	// than now: it is from before the restart.
	w.mu.Lock()
	w.boot.Since = time.Second
	w.mu.Unlock()
	if _, ok := waiter.Failure(w.Now()); ok {
		t.Error("who came after a restart that has no name got it")
	}
}

// TestState: what a holder keeps is there for the next, beside a failure.
func TestState(t *testing.T) {
	w := newWorld(t, None, None)
	b := binding("atlas")
	start := w.Now()
	l, err := w.LockEntry(t.Context(), b)
	must(t, err)
	if l.State() != nil {
		t.Errorf("a state before any: %q", l.State())
	}
	must(t, l.SetState([]byte{0, 1, 255}))
	w.pass(time.Second)
	must(t, l.Fail([]byte("f")))
	must(t, l.Close())
	l, err = w.LockEntry(t.Context(), b)
	must(t, err)
	if string(l.State()) != "\x00\x01\xff" {
		t.Errorf("got %q", l.State())
	}
	if _, ok := l.Failure(start); !ok {
		t.Error("the failure is gone")
	}
	if err := l.SetState(make([]byte, maxLockFile)); err == nil {
		t.Error("an endless state was kept")
	}
	must(t, l.Close())
	// What a crash in mid-write leaves is nothing, not an error.
	path := only(t, w.run, ".rec")
	must(t, os.Truncate(path, 10))
	l, err = w.LockEntry(t.Context(), b)
	must(t, err)
	defer l.Close()
	if l.State() != nil {
		t.Errorf("half a record: %q", l.State())
	}
}

// TestTakeOver: a process that is killed while it fetches frees the entry and
// the secret for the next.
func TestTakeOver(t *testing.T) {
	w := newWorld(t, None, None)
	cmd := child(t, "hold", "CACHE_RUN="+w.run)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the child says %q", line)
	}
	if _, err := w.TryLockEntry(binding("atlas")); !errors.Is(err, ErrBusy) {
		t.Errorf("while the child holds it: %v", err)
	}
	time.AfterFunc(30*time.Millisecond, func() { cmd.Process.Kill() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second) // less than the child sleeps
	defer cancel()
	e, err := w.LockEntry(ctx, binding("atlas"))
	must(t, err)
	defer e.Close()
	s, err := w.LockSecret(ctx, "pass:v1:x")
	must(t, err)
	defer s.Close()
	_ = cmd.Wait()
}

func childHold() error {
	run := os.Getenv("CACHE_RUN")
	c := New(Options{RuntimeDir: func() (string, error) { return run, nil }})
	if _, err := c.LockEntry(context.Background(), binding("atlas")); err != nil {
		return err
	}
	if _, err := c.LockSecret(context.Background(), "pass:v1:x"); err != nil {
		return err
	}
	fmt.Println("held")
	time.Sleep(time.Minute)
	return nil
}

// fileKeys is a key store of files, for tests with several processes. Its
// writes are slow, so that a race would be seen.
type fileKeys string

func (k fileKeys) Name() string               { return "files" }
func (k fileKeys) path(account string) string { return filepath.Join(string(k), account) }

func (k fileKeys) Get(_ context.Context, account string) ([]byte, error) {
	data, err := os.ReadFile(k.path(account))
	if os.IsNotExist(err) {
		return nil, absent(account)
	}
	return data, err
}

func (k fileKeys) Set(_ context.Context, account string, value []byte) error {
	f, err := os.OpenFile(filepath.Join(string(k), "writes"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("w")
	time.Sleep(20 * time.Millisecond)
	temp := k.path(account) + ".new" // a keyring never shows half a value
	return errors.Join(err, f.Close(), os.WriteFile(temp, value, 0o600), os.Rename(temp, k.path(account)))
}

func (k fileKeys) Delete(_ context.Context, account string) error { return os.Remove(k.path(account)) }

func (k fileKeys) DeleteAll(context.Context) error { return errors.New("not here") }

// TestKeyRaceGoroutines: however many want the data key first, there is one,
// and everything sealed can be read.
func TestKeyRaceGoroutines(t *testing.T) {
	w := newWorld(t, Keyring, None)
	keys := fileKeys(t.TempDir())
	w.keys = keys
	const n = 50
	e := entry(t, binding(""), time.Hour)
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			e := *e
			e.Binding.Profile = fmt.Sprint(i)
			if _, err := New(w.options(Keyring, None)).Put(t.Context(), &e); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	checkKeyRace(t, w, keys, n)
}

func TestKeyRaceProcesses(t *testing.T) {
	w := newWorld(t, Keyring, None)
	keys := fileKeys(t.TempDir())
	w.keys = keys
	const n = 20
	pem := filepath.Join(t.TempDir(), "pem")
	must(t, os.WriteFile(pem, credential(t, noon.Add(time.Hour)), 0o600))
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			cmd := child(t, "put", "CACHE_RUN="+w.run, "CACHE_DIR="+w.cache, "CACHE_KEYS="+string(keys), "CACHE_PEM="+pem, fmt.Sprintf("CACHE_PROFILE=%d", i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}()
	}
	wg.Wait()
	checkKeyRace(t, w, keys, n)
}

func childPut() error {
	pem, err := os.ReadFile(os.Getenv("CACHE_PEM"))
	if err != nil {
		return err
	}
	var keys KeyStore = fileKeys(os.Getenv("CACHE_KEYS"))
	if keys == fileKeys("") {
		keys = NewKeyring(KeyringOptions{UID: os.Getuid(), Deadline: time.Minute})
	}
	c := New(Options{
		Credentials: Keyring,
		Keys:        keys,
		CacheDir:    func() (string, error) { return os.Getenv("CACHE_DIR"), nil },
		RuntimeDir:  func() (string, error) { return os.Getenv("CACHE_RUN"), nil },
		Clock:       func() time.Time { return noon },
	})
	_, err = c.Put(context.Background(), &Entry{Binding: binding(os.Getenv("CACHE_PROFILE")), NotAfter: noon.Add(time.Hour), PEM: pem})
	return err
}

func checkKeyRace(t *testing.T, w *world, keys fileKeys, n int) {
	t.Helper()
	if writes, _ := os.ReadFile(filepath.Join(string(keys), "writes")); string(writes) != "w" {
		t.Errorf("the key was written %d times", len(writes))
	}
	w.reopen(Keyring, None)
	list, err := w.List(t.Context())
	if err != nil || len(list) != n {
		t.Errorf("%d of %d entries can be read, %v", len(list), n, err)
	}
	must(t, filepath.Walk(w.cache, func(path string, _ os.FileInfo, err error) error {
		if strings.Contains(path, ".tmp-") {
			t.Errorf("left behind: %s", path)
		}
		return err
	}))
}
