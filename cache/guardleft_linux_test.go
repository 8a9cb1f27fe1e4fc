package cache

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dbus "github.com/godbus/dbus/v5"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab/fakesecret"
)

// ours lists the goroutines that the guard has left behind: those in its code,
// in go-keyring's, or in that of a D-Bus connection beside the tests' own.
func ours(connections int) (found []string) {
	buf := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		switch {
		case strings.Contains(stack, "testing.tRunner"):
		case strings.Contains(stack, "osKeyring"), strings.Contains(stack, "go-keyring"):
			found = append(found, stack)
		case strings.Contains(stack, "dbus.(*Conn).inWorker("):
			if connections--; connections < 0 {
				found = append(found, stack)
			}
		}
	}
	return found
}

// TestNothingLeft: no goroutine, no connection and no changed environment is
// left by a call, whatever its outcome; one goroutine by a call that hangs, as
// long as it does.
func TestNothingLeft(t *testing.T) {
	f := startFake(t, fakesecret.Behaviour{})
	t.Setenv(busVariable, f.address)
	k := NewKeyring(KeyringOptions{UID: os.Getuid(), Deadline: time.Minute})
	must(t, k.Set(t.Context(), "test:a", []byte("1")))
	if _, err := k.Get(t.Context(), "test:b"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	f.Behave(fakesecret.Behaviour{Locked: true})
	if _, err := k.Get(t.Context(), "test:a"); !errors.Is(err, ErrLocked) {
		t.Error(err)
	}
	f.Behave(fakesecret.Behaviour{At: fakesecret.Hang("Locked")}) // a call that can be called off
	short := NewKeyring(KeyringOptions{UID: os.Getuid(), Deadline: 50 * time.Millisecond})
	t.Cleanup(halfAMinuteLater)
	if _, err := short.Get(t.Context(), "test:a"); !errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
	waitUntil(t, func() bool { return len(ours(1)) == 0 })

	var searched atomic.Bool
	hang := fakesecret.Hang("SearchItems")
	f.Behave(fakesecret.Behaviour{At: func(s *fakesecret.Service, method string) *dbus.Error {
		searched.CompareAndSwap(false, method == "SearchItems")
		return hang(s, method)
	}})
	for deadline := 50 * time.Millisecond; !searched.Load(); deadline *= 2 { // slow machines do not get there
		halfAMinuteLater()
		short := NewKeyring(KeyringOptions{UID: os.Getuid(), Deadline: deadline})
		if _, err := short.Get(t.Context(), "test:a"); !errors.Is(err, ErrTimeout) {
			t.Fatal(err)
		}
	}
	// Another keyring of the same process shares its environment: it neither
	// waits for ever nor breaks the first one.
	if _, err := k.Get(t.Context(), "test:a"); !errors.Is(err, ErrTimeout) {
		t.Errorf("the next one: %v", err)
	}
	waitUntil(t, func() bool { return len(ours(2)) == 1 })
	f.kill()
	waitUntil(t, func() bool { return len(ours(0)) == 0 })
	if got := os.Getenv(busVariable); got != f.address {
		t.Errorf("the variable is %q now", got)
	}
}

// halfAMinuteLater a keyring that was late may be asked again.
func halfAMinuteLater() {
	ofProcess.mu.Lock()
	defer ofProcess.mu.Unlock()
	ofProcess.until = time.Time{}
}

// TestNothingLeftOfFaults: the same for each call of the keyring and each fault
// of a Secret Service. What hangs is gone when the service is.
func TestNothingLeftOfFaults(t *testing.T) {
	type behaviour = fakesecret.Behaviour
	calls := map[string]func(KeyStore, context.Context) error{
		"get":        func(k KeyStore, ctx context.Context) error { _, err := k.Get(ctx, "test:a"); return err },
		"set":        func(k KeyStore, ctx context.Context) error { return k.Set(ctx, "test:a", []byte("2")) },
		"delete":     func(k KeyStore, ctx context.Context) error { return k.Delete(ctx, "test:a") },
		"delete all": func(k KeyStore, ctx context.Context) error { return k.DeleteAll(ctx) },
	}
	for _, fault := range []struct {
		name string
		be   behaviour
		want error
		only string // that call; else all
	}{
		{"ok", behaviour{}, nil, ""},
		{"locked", behaviour{Locked: true}, ErrLocked, ""},
		{"prompt never answered", behaviour{PromptSet: true}, ErrTimeout, "set"},
		{"prompt never answered", behaviour{PromptDel: true}, ErrTimeout, "delete"},
		{"dismissed", behaviour{PromptSet: true, OnPrompt: dismissed}, ErrUnavailable, "set"},
		{"dismissed", behaviour{PromptDel: true, OnPrompt: dismissed}, ErrUnavailable, "delete"},
		{"no reply", behaviour{At: fakesecret.Hang("Locked")}, ErrTimeout, ""},
		{"no reply in the middle", behaviour{At: fakesecret.Hang("Unlock")}, ErrTimeout, ""},
		{"dies", behaviour{At: fakesecret.Die("SearchItems")}, ErrUnavailable, ""},
	} {
		for op, call := range calls {
			if fault.only != "" && fault.only != op {
				continue
			}
			t.Run(fault.name+", "+op, func(t *testing.T) {
				f := startFake(t, behaviour{})
				must(t, f.Put(item("test:a", "1")))
				t.Setenv(busVariable, f.address)
				t.Cleanup(halfAMinuteLater)
				f.Behave(fault.be)
				o := KeyringOptions{UID: os.Getuid(), Deadline: 2 * time.Minute}
				if fault.want == ErrTimeout {
					o.Deadline = 200 * time.Millisecond
				}
				if err := call(NewKeyring(o), t.Context()); !errors.Is(err, fault.want) {
					t.Errorf("got %v", err)
				}
				if fault.want == ErrTimeout {
					f.kill()
				}
				waitUntil(t, func() bool { return len(ours(1)) == 0 })
			})
		}
	}
}
