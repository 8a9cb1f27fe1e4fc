package cache

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab/fakesecret"
)

const (
	asks      = "RING_PROMPT=1"
	hurry     = "RING_LIMIT=300ms"
	dismissed = fakesecret.Dismiss
)

// TestFake: each fault of a Secret Service.
func TestFake(t *testing.T) {
	type behaviour = fakesecret.Behaviour
	tests := []struct {
		name    string
		service behaviour
		op      string
		env     []string
		want    error
		unlocks bool // it may ask to unlock, which can raise a prompt
	}{
		{"works", behaviour{}, "set", nil, nil, true},
		{"only the default collection", behaviour{NoLogin: true}, "set", nil, nil, true},
		{"no collection", behaviour{NoLogin: true, NoDefault: true}, "get", nil, ErrUnavailable, false},
		{"empty", behaviour{}, "get", nil, ErrNotFound, true},
		{"locked", behaviour{Locked: true}, "get", nil, ErrLocked, false},
		{"locked, set", behaviour{Locked: true}, "set", nil, ErrLocked, false},
		{"locked, delete", behaviour{Locked: true}, "delete", nil, ErrLocked, false},
		{"locked, delete all", behaviour{Locked: true}, "delete-all", nil, ErrLocked, false},
		{"locked default", behaviour{Locked: true, NoLogin: true}, "get", nil, ErrLocked, false},
		{"user unlocks", behaviour{Locked: true, OnPrompt: fakesecret.Accept}, "set", []string{asks}, nil, true},
		{"user dismisses", behaviour{Locked: true, OnPrompt: dismissed}, "get", []string{asks}, ErrLocked, true},
		{"user is away", behaviour{Locked: true}, "get", []string{asks, hurry}, ErrTimeout, true},
		{"property hangs", behaviour{At: fakesecret.Hang("Locked")}, "get", []string{hurry}, ErrTimeout, false},
		{"search hangs", behaviour{At: fakesecret.Hang("SearchItems")}, "get", []string{hurry}, ErrTimeout, true},
		{"set dismissed", behaviour{PromptSet: true, OnPrompt: dismissed}, "set", nil, ErrUnavailable, true},
		{"set forgotten", behaviour{Forget: true}, "set", nil, ErrUnavailable, true},
		{"dies before", behaviour{At: fakesecret.Die("Locked")}, "get", nil, ErrUnavailable, false},
		{"dies after the look", behaviour{At: fakesecret.Die("Collections")}, "get", nil, ErrUnavailable, true},
		{"dies in a search", behaviour{At: fakesecret.Die("SearchItems")}, "get", nil, ErrUnavailable, true},
		{"dies in a set", behaviour{At: fakesecret.Die("CreateItem")}, "set", nil, ErrUnavailable, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := startFake(t, tt.service)
			r := ringProcess(t, tt.op, f.address, tt.env...)
			r.check(t, tt.op, tt.want)
			unlocks, prompts := f.Counts()
			if !tt.unlocks && unlocks+prompts != 0 {
				t.Errorf("%d unlocks and %d prompts were raised", unlocks, prompts)
			}
			if r.Bus != f.address && tt.want != ErrTimeout { // what still hangs may connect again
				t.Errorf("the variable is %q now", r.Bus)
			}
		})
	}
}

// TestBusDiesAtPrompt: go-keyring panics then.
func TestBusDiesAtPrompt(t *testing.T) {
	f := startFake(t, fakesecret.Behaviour{})
	f.Behave(fakesecret.Behaviour{Locked: true, At: f.busDies("Prompt")})
	ringProcess(t, "get", f.address, asks).check(t, "get", ErrUnavailable)
}

// TestBusDies: the bus goes away under calls of every kind, at any moment.
func TestBusDies(t *testing.T) {
	for i := range 4 {
		b := startFake(t, fakesecret.Behaviour{})
		time.AfterFunc(time.Duration(i)*10*time.Millisecond, b.kill)
		for _, op := range []string{"set", "get", "delete"} {
			r := ringProcess(t, op, b.address, "RING_LIMIT=2s")
			if r.Kind == "none" {
				t.Errorf("%s: %s", op, r.Text)
			}
		}
	}
}

// TestCrowdedBus: a socket lets only so many wait for a connection, thirty at
// older buses, and the kernel refuses the others at once. In a stampede that
// is no reason to give up.
func TestCrowdedBus(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	defer syscall.Close(fd)
	must(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}))
	must(t, syscall.Listen(fd, 0))
	first, err := net.Dial("unix", path)
	must(t, err)
	defer first.Close()
	if _, err := net.Dial("unix", path); !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("a second one may wait, too: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := checkPeer(ctx, busSocket{name: path}, os.Getuid()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("while it is full: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _, _, _ = syscall.Accept(fd) })
	if err := checkPeer(t.Context(), busSocket{name: path}, os.Getuid()); err != nil {
		t.Errorf("after it was full: %v", err)
	}
}

// TestRuntimeBus: without the variable the bus is looked for where other
// programs look: in XDG_RUNTIME_DIR first, which need not be systemd's.
func TestRuntimeBus(t *testing.T) {
	f := startFake(t, fakesecret.Behaviour{})
	none := "RING_RUN=" + filepath.Join(f.dir, "none")
	ringProcess(t, "set", "", none, "XDG_RUNTIME_DIR="+f.dir).check(t, "set", nil)
	for _, dir := range []string{"", ".", f.dir + "/none", strings.Repeat("/x", 60)} {
		ringProcess(t, "get", "", none, "XDG_RUNTIME_DIR="+dir).check(t, dir, ErrUnavailable)
	}
}

// TestSeveralBuses: the first address that leads to a bus of ours is taken.
func TestSeveralBuses(t *testing.T) {
	f := startFake(t, fakesecret.Behaviour{})
	must(t, f.Put(item("test:a", "1")))
	for _, list := range []string{
		"unix:path=/nonexistent;" + f.address,
		";;" + f.address + ",guid=00;unix:path=/nonexistent",
		"unixexec:path=/bin/false;autolaunch:;" + f.address,
		"unix:abstract=x509ch-nobody;" + f.address,
	} {
		r := ringProcess(t, "get", list)
		r.check(t, list, nil)
		if r.Bus != list {
			t.Errorf("the variable is %q now", r.Bus)
		}
	}
}

// TestAbstractBus: a socket without a file, as older sessions have it.
func TestAbstractBus(t *testing.T) {
	b := startBusAt(t, "unix:abstract=x509ch-test-"+strconv.Itoa(os.Getpid()))
	_, err := fakesecret.Start(b.connect(t), fakesecret.Behaviour{})
	must(t, err)
	ringProcess(t, "set", b.address).check(t, "set", nil)
}
