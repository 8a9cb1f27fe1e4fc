package cache

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	dbus "github.com/godbus/dbus/v5"
	keyring "github.com/zalando/go-keyring"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// stubRing is a go-keyring that does what a test says.
type stubRing struct {
	get    func() (string, error)
	set    func() error
	delete func() error
}

func (r stubRing) Get(string, string) (string, error) { return r.get() }
func (r stubRing) Set(string, string, string) error   { return r.set() }
func (r stubRing) Delete(string, string) error        { return r.delete() }
func (r stubRing) DeleteAll(string) error             { return r.delete() }

func stubbed(r ring) *osKeyring {
	k := NewKeyring(KeyringOptions{Deadline: time.Hour}).(*osKeyring)
	k.ring, k.one = r, new(oneCall)
	k.check = func(context.Context) (func(), error) { return func() {}, nil }
	k.vanished = func(context.Context, error) bool { return false }
	k.count = func(_ context.Context, account string) (int, error) { return k.found(account) }
	return k
}

// TestClassify: each way in which go-keyring fails has its kind, a remedy, and
// no word of the secret.
func TestClassify(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"absent", keyring.ErrNotFound, ErrNotFound},
		{"too big", keyring.ErrSetDataTooBig, ErrTooBig},
		{"no keyring here", keyring.ErrUnsupportedPlatform, ErrUnavailable},
		{"unlock failed", errors.New("failed to unlock correct collection '/x'"), ErrLocked},
		{"item locked", dbus.Error{Name: "org.freedesktop.Secret.Error.IsLocked"}, ErrLocked},
		{"daemon went away", dbus.Error{Name: "org.freedesktop.DBus.Error.NoReply"}, ErrUnavailable},
		{"connection closed", dbus.ErrClosed, ErrUnavailable},
		{"other", errors.New("strange"), ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := stubbed(stubRing{get: func() (string, error) { return "", tt.err }})
			_, err := k.Get(t.Context(), "a")
			var e *Error
			if !errors.Is(err, tt.want) || !errors.As(err, &e) || e.Remedy == "" {
				t.Errorf("got %#v", err)
			}
		})
	}
}

// TestPanic: go-keyring panics when the bus goes away. The helper must not,
// and must not call it a defect of its own.
func TestPanic(t *testing.T) {
	k := stubbed(stubRing{get: func() (string, error) { var s *dbus.Signal; return s.Name, nil }})
	if _, err := k.Get(t.Context(), "a"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := k.Get(t.Context(), "a"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the second time: %v", err)
	}
}

// TestReadBack: a keyring that confirms and does nothing, as with a dismissed
// prompt, is found out.
func TestReadBack(t *testing.T) {
	done := func() error { return nil }
	for name, get := range map[string]func() (string, error){
		"kept nothing":  func() (string, error) { return "", keyring.ErrNotFound },
		"kept the old":  func() (string, error) { return "old secret", nil },
		"cut it":        func() (string, error) { return "new", nil },
		"cannot say so": func() (string, error) { return "", errors.New("no") },
	} {
		err := stubbed(stubRing{set: done, get: get}).Set(t.Context(), "a", []byte("new secret"))
		if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "secret\"") {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := stubbed(stubRing{delete: done, get: func() (string, error) { return "still there", nil }}).Delete(t.Context(), "a")
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("Delete: %v", err)
	}
}

// TestTooBigNotSent: what does not fit everywhere is not even tried.
func TestTooBigNotSent(t *testing.T) {
	k := stubbed(stubRing{set: func() error { t.Error("it was sent"); return nil }})
	if err := k.Set(t.Context(), "a", make([]byte, MaxSecret+1)); !errors.Is(err, ErrTooBig) {
		t.Errorf("got %v", err)
	}
}

// TestDeadline: a call that hangs is left behind at the context's deadline,
// and one that comes after it does not hang, either.
func TestDeadline(t *testing.T) {
	release := make(chan struct{})
	calls := 0
	k := stubbed(stubRing{get: func() (string, error) { calls++; <-release; return "late", nil }})
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		start := time.Now()
		_, err := k.Get(ctx, "a")
		cancel()
		if !errors.Is(err, ErrTimeout) || time.Since(start) > 30*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := k.Get(ctx, "a"); !errors.Is(err, context.Canceled) || errors.Is(err, ErrTimeout) {
		t.Errorf("cancelled: %v", err)
	}
	close(release)
	if got, err := k.Get(t.Context(), "a"); err != nil || string(got) != "late" {
		t.Errorf("after it came back: %q, %v", got, err)
	}
	if calls != 2 {
		t.Errorf("%d calls reached the keyring", calls)
	}
}

// TestHungOnce: a process calls the keyring several times. After the first
// call has hung for as long as it may, the others do not wait for it again.
func TestHungOnce(t *testing.T) {
	release := make(chan struct{})
	var calls atomic.Int32
	k := stubbed(stubRing{get: func() (string, error) { calls.Add(1); <-release; return "late", nil }})
	for k.o.Deadline = 100 * time.Millisecond; calls.Load() == 0; k.o.Deadline *= 2 { // a slow machine does not get there
		k.one = new(oneCall)
		if _, err := k.Get(t.Context(), "a"); !errors.Is(err, ErrTimeout) {
			t.Fatalf("got %v", err)
		}
	}
	k.o.Deadline = time.Hour // of the next calls: whoever waits, waits for ever
	for range 3 {
		if _, err := k.Get(t.Context(), "a"); !errors.Is(err, ErrTimeout) {
			t.Errorf("the next one: %v", err)
		}
	}
	if err := k.Set(AllowPrompt(t.Context()), "a", nil); !errors.Is(err, ErrTimeout) {
		t.Errorf("one that may ask: %v", err)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls reached the keyring", n)
	}
	close(release)
	waitUntil(t, func() bool { _, err := k.Get(t.Context(), "a"); return err == nil })
}

// waitUntil polls for what another goroutine does.
func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// TestLeftAlone: a keyring that did not answer in time is not asked again for a
// while, even where the call could be called off, as the first look can. After
// that it has another chance.
func TestLeftAlone(t *testing.T) {
	var looks atomic.Int32
	k := stubbed(stubRing{get: func() (string, error) { return "well", nil }})
	k.o.Deadline = 10 * time.Millisecond
	k.check = func(ctx context.Context) (func(), error) {
		if looks.Add(1) == 1 {
			<-ctx.Done()
		}
		return func() {}, ctx.Err()
	}
	for range 3 {
		if _, err := k.Get(t.Context(), "a"); !errors.Is(err, ErrTimeout) {
			t.Errorf("got %v", err)
		}
	}
	waitUntil(t, func() bool { return looks.Load() > 0 })
	if n := looks.Load(); n != 1 {
		t.Errorf("it was looked at %d times", n)
	}
	k.o.Deadline = time.Minute
	k.one.until = time.Now() // half a minute later
	waitUntil(t, func() bool { _, err := k.Get(t.Context(), "a"); return err == nil })
}

// TestHasteOfOthers: a caller in a hurry who gives up does not make a keyring
// that is only slow look hung to the others.
func TestHasteOfOthers(t *testing.T) {
	started, release := make(chan struct{}, 2), make(chan struct{})
	k := stubbed(stubRing{get: func() (string, error) { started <- struct{}{}; <-release; return "slow", nil }})
	k.o.Deadline = time.Minute
	hurried, cancel := context.WithCancel(t.Context())
	first := safego.Go(func() error { _, err := k.Get(hurried, "a"); return err })
	<-started
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the hurried one: %v", err)
	}
	second := safego.Go(func() error { _, err := k.Get(t.Context(), "a"); return err })
	close(release)
	if err := <-second; err != nil {
		t.Errorf("the patient one: %v", err)
	}
}

// TestTooLate: what was given up before it began is not done later.
func TestTooLate(t *testing.T) {
	ready, done := make(chan struct{}), make(chan struct{})
	k := stubbed(stubRing{
		set: func() error { t.Error("it was written after the caller had been told that it was not"); return nil },
		get: func() (string, error) { close(done); return "", nil },
	})
	k.check = func(context.Context) (func(), error) { <-ready; return func() {}, nil }
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := k.Set(ctx, "a", []byte("secret")); !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v", err)
	}
	close(ready)
	_, _ = k.Get(t.Context(), "a") // it is let in after the first one
	<-done
}

// TestForeignWords: what other programs say is cut and cleaned before it is
// shown.
func TestForeignWords(t *testing.T) {
	words := "line\n\x1b[31mred " + strings.Repeat("ä", 10000)
	for _, name := range []string{"com.example.Strange", "org.freedesktop.DBus.Error.NoReply"} {
		k := stubbed(stubRing{get: func() (string, error) { return "", dbus.Error{Name: name, Body: []any{words}} }})
		_, err := k.Get(t.Context(), "a")
		if text := err.Error(); strings.ContainsAny(text, "\n\x1b") || len(text) > 800 || !utf8.ValidString(text) {
			t.Errorf("%d bytes: %.100q", len(text), text)
		}
		if !hasName(err, name) {
			t.Errorf("the cause is lost: %v", err)
		}
	}
}

// TestDeleteAllReadBack: a keyring that confirms and still has our items.
func TestDeleteAllReadBack(t *testing.T) {
	kept := func() (string, error) { return "still there", nil }
	gone := func() (string, error) { return "", keyring.ErrNotFound }
	broken := errors.New("broken")
	tests := map[string]struct {
		get  func() (string, error)
		del  error
		want error
	}{
		"done":              {gone, nil, nil},
		"nothing was there": {gone, keyring.ErrNotFound, nil},
		"not done":          {kept, nil, ErrUnavailable},
		"refused":           {gone, broken, ErrUnavailable},
	}
	for name, tt := range tests {
		err := stubbed(stubRing{get: tt.get, delete: func() error { return tt.del }}).DeleteAll(t.Context())
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
