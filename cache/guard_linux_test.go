package cache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab/fakesecret"
)

// ringResult is what one cold process found.
type ringResult struct {
	Kind  string
	Text  string
	Value string
	Took  time.Duration // of the operation alone
	Bus   string        // DBUS_SESSION_BUS_ADDRESS after it
}

var kinds = []error{ErrNotFound, ErrLocked, ErrUnavailable, ErrTimeout, ErrTooBig}

// childRing does one operation on the real NewKeyring. RING is "get", "set",
// "delete" or "delete-all"; RING_LIMIT a deadline of the caller's,
// RING_DEADLINE one of the guard's own.
func childRing() error {
	uid := os.Getuid()
	if s := os.Getenv("RING_UID"); s != "" {
		uid, _ = strconv.Atoi(s)
	}
	ctx, start := context.Background(), time.Now()
	if limit, err := time.ParseDuration(os.Getenv("RING_LIMIT")); err == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if os.Getenv("RING_PROMPT") != "" {
		ctx = AllowPrompt(ctx)
	}
	var value []byte
	var err error
	deadline, _ := time.ParseDuration(os.Getenv("RING_DEADLINE"))
	k := NewKeyring(KeyringOptions{UID: uid, Deadline: deadline})
	if dir := os.Getenv("RING_RUN"); dir != "" {
		k.(*osKeyring).runUser = dir
	}
	switch os.Getenv("RING") {
	case "get":
		value, err = k.Get(ctx, "test:a")
	case "set":
		err = k.Set(ctx, "test:a", []byte("0123456789abcdef0123456789abcdef"))
	case "delete-all":
		err = k.DeleteAll(ctx)
	case "delete":
		err = k.Delete(ctx, "test:a")
	}
	r := ringResult{Value: string(value), Took: time.Since(start), Bus: os.Getenv("DBUS_SESSION_BUS_ADDRESS")}
	if err != nil {
		r.Text, r.Kind = err.Error(), "none"
		for _, kind := range kinds {
			if errors.Is(err, kind) {
				r.Kind = kind.Error()
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// ringProcess runs one operation in a process of its own: the D-Bus client
// keeps its connection as long as the process lives. It bears with a slow
// machine, unless env has another RING_DEADLINE.
func ringProcess(t testing.TB, op, address string, env ...string) ringResult {
	t.Helper()
	cmd := child(t, "ring", append([]string{"RING=" + op, "RING_DEADLINE=1m", "DBUS_SESSION_BUS_ADDRESS=" + address, "DISPLAY="}, env...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var r ringResult
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		t.Fatalf("%s: %v: %s%s", op, err, out, stderr.String())
	}
	return r
}

func (r ringResult) check(t testing.TB, what string, want error) {
	t.Helper()
	kind := ""
	if want != nil {
		kind = want.Error()
	}
	if r.Kind != kind {
		t.Errorf("%s: got %q (%s) after %v, want %q", what, r.Kind, r.Text, r.Took, kind)
	}
	if want != nil && !strings.Contains(r.Text, ";") {
		t.Errorf("%s: no remedy in %q", what, r.Text)
	}
}

// TestNoBus: without a bus nothing is started, though the D-Bus client would
// run dbus-launch.
func TestNoBus(t *testing.T) {
	dir := t.TempDir()
	trap := filepath.Join(dir, "dbus-launch")
	ran := filepath.Join(dir, "ran")
	must(t, os.WriteFile(trap, []byte("#!/bin/sh\ntouch '"+ran+"'\nexec sleep 60\n"), 0o755))
	mark := "CACHE_MARK=" + filepath.Base(dir) + strconv.Itoa(os.Getpid())
	for _, address := range []string{"", "autolaunch:", "unixexec:path=" + trap, "unixexec:path=" + trap + ";autolaunch:", "launchd:env=X", "nonce-tcp:host=localhost"} {
		for _, op := range []string{"get", "set", "delete"} {
			r := ringProcess(t, op, address, "PATH="+dir+":"+os.Getenv("PATH"), "RING_UID=4242424", mark)
			r.check(t, address+" "+op, ErrUnavailable)
			if r.Bus != address {
				t.Errorf("%q: the variable is %q now", address, r.Bus)
			}
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("dbus-launch was run")
	}
	if left := marked(mark); len(left) != 0 {
		t.Errorf("processes left behind: %v", left)
	}
}

// marked finds processes by something in their environment.
func marked(mark string) (found []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range dirs {
		if data, _ := os.ReadFile(path); bytes.Contains(data, []byte(mark)) {
			found = append(found, path)
		}
	}
	return found
}

// TestRemoteBus: no byte goes to a bus that is not a local socket, even if it
// stands beside one.
func TestRemoteBus(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	accepted := make(chan struct{}, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
			accepted <- struct{}{}
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	tcp := "tcp:host=127.0.0.1,port=" + port
	ringProcess(t, "get", tcp).check(t, "tcp", ErrUnavailable)
	ringProcess(t, "get", "unix:path=/nonexistent;"+tcp).check(t, "after a dead socket", ErrUnavailable)
	if _, err := os.Stat("/usr/bin/dbus-daemon"); err == nil {
		b := startFake(t, fakesecret.Behaviour{})
		list := tcp + ";" + b.address
		r := ringProcess(t, "set", list)
		r.check(t, "beside a local one", nil)
		if r.Bus != list {
			t.Errorf("the variable is %q now", r.Bus)
		}
	}
	select {
	case <-accepted:
		t.Error("it connected")
	default:
	}
}

// TestForeignBus: a bus that somebody else runs would learn our secrets. An
// abstract name is anybody's to take.
func TestForeignBus(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can listen as somebody else")
	}
	dir, err := os.MkdirTemp("", "bus-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777))
	abstract := "x509ch-test-" + strconv.Itoa(os.Getpid())
	for address, name := range map[string]string{
		"unix:abstract=" + abstract:    "@" + abstract,
		"unix:path=" + dir + "/bus":    dir + "/bus",
		"unix:path=" + dir + "/b%75s2": dir + "/bus2",
	} {
		l := listenAs(t, 65534, name)
		r := ringProcess(t, "get", address)
		l.Close()
		r.check(t, address, ErrUnavailable)
		if !strings.Contains(r.Text, "belongs to uid 65534") {
			t.Errorf("%s: %s", address, r.Text)
		}
	}
}

// listenAs listens as another user: the kernel notes the thread's effective
// uid, which only this thread changes.
func listenAs(t *testing.T, uid int, name string) net.Listener {
	t.Helper()
	type result struct {
		l   net.Listener
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		keep := ^uintptr(0)
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep); e != 0 {
			done <- result{nil, e}
			return
		}
		l, err := net.Listen("unix", name)
		done <- result{l, err}
	}()
	r := <-done
	must(t, r.err)
	return r.l
}

// TestDeadBus: nobody listens, nobody answers.
func TestDeadBus(t *testing.T) {
	dir, err := os.MkdirTemp("", "bus-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", dir+"/dead")
	must(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for _, path := range []string{dir + "/none", dir + "/dead", "/etc/passwd"} {
		ringProcess(t, "get", "unix:path="+path).check(t, path, ErrUnavailable)
	}

	silent, err := net.Listen("unix", dir+"/silent")
	must(t, err)
	defer silent.Close()
	go func() {
		var open []net.Conn // or the garbage collector closes them
		for {
			conn, err := silent.Accept()
			if err != nil {
				runtime.KeepAlive(open)
				return
			}
			open = append(open, conn)
		}
	}()
	var wg sync.WaitGroup
	for limit, want := range map[string]time.Duration{"200ms": 200 * time.Millisecond, "": quickDeadline, "90s": quickDeadline} {
		deadline := "RING_DEADLINE="
		if want < quickDeadline {
			deadline += "90s"
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := ringProcess(t, "get", "unix:path="+dir+"/silent", "RING_LIMIT="+limit, deadline)
			r.check(t, "a silent bus", ErrTimeout)
			if r.Took < want || r.Took > time.Minute {
				t.Errorf("limit %q: gave up after %v", limit, r.Took)
			}
		}()
	}
	wg.Wait()
}

// TestNoService: a bus without a Secret Service, and one that does not know
// how to start it.
func TestNoService(t *testing.T) {
	b := startBus(t)
	r := ringProcess(t, "get", b.address)
	r.check(t, "none", ErrUnavailable)
	if !strings.Contains(r.Text, "no Secret Service") {
		t.Error(r.Text)
	}
}

// TestSystemdBus: without the variable the bus that systemd makes is used, and
// the variable is unset again after it, for programs started later.
func TestSystemdBus(t *testing.T) {
	b := startFake(t, fakesecret.Behaviour{})
	dir := filepath.Join(b.dir, strconv.Itoa(os.Getuid()))
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Rename(b.dir+"/bus", dir+"/bus"))
	for _, op := range []string{"set", "get"} {
		r := ringProcess(t, op, "", "RING_RUN="+b.dir)
		r.check(t, op, nil)
		if r.Bus != "" {
			t.Errorf("the variable is %q now", r.Bus)
		}
	}
	must(t, os.Remove(dir+"/bus"))
	must(t, os.WriteFile(dir+"/bus", nil, 0o600))
	ringProcess(t, "get", "", "RING_RUN="+b.dir).check(t, "no socket", ErrUnavailable)
}

// TestActivation: on a desktop the bus starts the keyring for whoever asks
// first.
func TestActivation(t *testing.T) {
	b := startBus(t)
	exe, err := os.Executable()
	must(t, err)
	service := fmt.Sprintf("[D-BUS Service]\nName=%s\nExec=/usr/bin/env CACHE_CHILD=service %s\n", fakesecret.Name, exe)
	must(t, os.WriteFile(filepath.Join(b.dir, "services", "s.service"), []byte(service), 0o600))
	must(t, b.connect(t).BusObject().Call("org.freedesktop.DBus.ReloadConfig", 0).Err)
	ringProcess(t, "set", b.address).check(t, "set", nil)
	ringProcess(t, "get", b.address).check(t, "get", nil)
}
