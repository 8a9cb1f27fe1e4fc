package cache

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	dbus "github.com/godbus/dbus/v5"
	keyring "github.com/zalando/go-keyring"
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

func stubbed(r ring) *osKeyring {
	k := NewKeyring(KeyringOptions{}).(*osKeyring)
	k.ring = r
	k.check = func(context.Context) (func(), error) { return func() {}, nil }
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
		if !errors.Is(err, ErrTimeout) || time.Since(start) > time.Second {
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
