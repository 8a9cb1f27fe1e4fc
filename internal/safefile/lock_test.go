//go:build unix

package safefile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be the other processes of the lock tests.
func TestMain(m *testing.M) {
	switch os.Getenv("SAFEFILE_CHILD") {
	case "":
		os.Exit(m.Run())
	case "hold":
		childHold()
	case "count":
		childCount()
	}
}

func childLock() *Lock {
	d, err := OpenDir(os.Getenv("SAFEFILE_DIR"))
	if err == nil {
		var l *Lock
		if l, err = d.Lock(context.Background(), "l"); err == nil {
			return l
		}
	}
	fmt.Println(err)
	os.Exit(1)
	return nil
}

func childHold() {
	childLock()
	fmt.Println("held")
	time.Sleep(time.Minute)
}

// childCount adds one to a number in the lock's file, with time for others to
// get in between if they could.
func childCount() {
	l := childLock()
	data, _ := l.Read(100)
	n, _ := strconv.Atoi(string(data))
	time.Sleep(time.Millisecond)
	if err := errors.Join(l.Write([]byte(strconv.Itoa(n+1))), l.Close()); err != nil {
		os.Exit(1)
	}
}

func child(t *testing.T, what string, d *Dir) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "SAFEFILE_CHILD="+what, "SAFEFILE_DIR="+d.Path(), "GORACE=atexit_sleep_ms=0")
	return cmd
}

func TestLockExcludes(t *testing.T) {
	d := privateDir(t)
	first, err := d.Lock(t.Context(), "l")
	must(t, err)
	if _, err := d.TryLock("l"); !errors.Is(err, ErrLocked) {
		t.Errorf("TryLock while held: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := d.Lock(ctx, "l"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock past its deadline: %v", err)
	}
	must(t, first.Close())
	// The waiter that gave up gets the lock in the end, before or after the
	// next one, and must let go of it.
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		next, err := d.Lock(ctx, "l")
		must(t, err)
		must(t, next.Close())
		time.Sleep(50 * time.Millisecond)
	}
}

// TestLockFree: a free lock is taken even by a caller with no
// time left; what it does then is its own affair.
func TestLockFree(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l, err := privateDir(t).Lock(ctx, "l")
	must(t, err)
	must(t, l.Close())
}

func TestLockContent(t *testing.T) {
	l, err := privateDir(t).Lock(t.Context(), "l")
	must(t, err)
	defer l.Close()
	for _, s := range []string{"a long record", "short", ""} {
		must(t, l.Write([]byte(s)))
		if got, err := l.Read(100); err != nil || string(got) != s {
			t.Errorf("got %q, %v; want %q", got, err, s)
		}
	}
	must(t, l.Write(make([]byte, 101)))
	if _, err := l.Read(100); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too long: %v", err)
	}
}

// awaitWaiter returns when somebody waits for the lock of a file.
func awaitWaiter(t *testing.T, path string) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	for range 3000 {
		locks, err := os.ReadFile("/proc/locks")
		if err != nil { // where there is none
			time.Sleep(50 * time.Millisecond)
			return
		}
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, "-> ") && strings.Contains(line, fmt.Sprintf(":%d ", st.Ino)) {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("nobody waits for the lock")
}

// TestLockUnlinked: who waits for a lock whose file a cleaner has removed must
// not believe to hold it while another holds the file that took its place.
func TestLockUnlinked(t *testing.T) {
	d := privateDir(t)
	first, err := d.Lock(t.Context(), "l")
	must(t, err)
	got := make(chan *Lock)
	go func() {
		l, err := d.Lock(context.Background(), "l")
		if err != nil {
			t.Error(err)
		}
		got <- l
	}()
	awaitWaiter(t, filepath.Join(d.Path(), "l")) // it waits for the old file now
	must(t, d.Remove("l"))
	second, err := d.TryLock("l")
	must(t, err)
	must(t, first.Close())
	select {
	case <-got:
		t.Fatal("two hold the lock")
	case <-time.After(100 * time.Millisecond):
	}
	must(t, second.Close())
	must(t, (<-got).Close())
}

// TestLockTakeOver: the kernel frees the lock of a process that is killed.
func TestLockTakeOver(t *testing.T) {
	d := privateDir(t)
	cmd := child(t, "hold", d)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the child says %q", line)
	}
	if _, err := d.TryLock("l"); !errors.Is(err, ErrLocked) {
		t.Errorf("while the child holds it: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { cmd.Process.Kill() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second) // less than the child sleeps
	defer cancel()
	l, err := d.Lock(ctx, "l")
	must(t, err)
	must(t, l.Close())
	_ = cmd.Wait()
}

func TestLockProcesses(t *testing.T) {
	d := privateDir(t)
	const n = 20
	var wg sync.WaitGroup
	for range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := child(t, "count", d).Run(); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if got, err := d.Read("l"+recordSuffix, 100); err != nil || string(got) != strconv.Itoa(n) {
		t.Errorf("%d processes counted to %s, %v", n, got, err)
	}
}

func TestLockGoroutines(t *testing.T) {
	d := privateDir(t)
	const n = 50
	var wg sync.WaitGroup
	var inside, count atomic.Int32
	for range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			l, err := d.Lock(t.Context(), "l")
			if err != nil {
				t.Error(err)
				return
			}
			if inside.Add(1) != 1 {
				t.Error("two hold the lock")
			}
			count.Add(1)
			inside.Add(-1)
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if count.Load() != n {
		t.Errorf("counted %d", count.Load())
	}
}

func TestLockDirGone(t *testing.T) {
	d := privateDir(t)
	must(t, os.RemoveAll(filepath.Dir(d.Path())))
	if _, err := d.Lock(t.Context(), "l"); err == nil {
		t.Error("locked in a directory that is gone")
	}
}
