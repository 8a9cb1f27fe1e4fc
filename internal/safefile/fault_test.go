//go:build unix

package safefile

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRecordSurvives: a record that cannot be replaced stays as it was. It says
// which pass phrases a server has refused; half of it would be none, and the
// pass phrase would be sent again.
func TestRecordSurvives(t *testing.T) {
	d := privateDir(t)
	l, err := d.Lock(t.Context(), "l")
	must(t, err)
	must(t, l.Write([]byte("refused")))
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &old))
	signals := make(chan os.Signal, 1) // else the signal ends us
	signal.Notify(signals, unix.SIGXFSZ)
	defer signal.Stop(signals)
	must(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 100, Max: old.Max}))
	err = l.Write(bytes.Repeat([]byte("x"), 200))
	must(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &old))
	if !errors.Is(err, unix.EFBIG) {
		t.Errorf("a file of 200 bytes where 100 are allowed: %v", err)
	}
	if got, err := l.Read(1000); err != nil || string(got) != "refused" {
		t.Errorf("the record is %q, %v", got, err)
	}
	must(t, l.Close())
	noTemps(t, d)
}

// TestRecordOutlivesCleaner: who has lost the lock's file to a cleaner of old
// files still leaves a record for the next.
func TestRecordOutlivesCleaner(t *testing.T) {
	d := privateDir(t)
	l, err := d.Lock(t.Context(), "l")
	must(t, err)
	must(t, d.Remove("l"))
	must(t, l.Write([]byte("refused")))
	must(t, l.Close())
	l, err = d.Lock(t.Context(), "l")
	must(t, err)
	defer l.Close()
	if got, err := l.Read(1000); err != nil || string(got) != "refused" {
		t.Errorf("the record is %q, %v", got, err)
	}
	must(t, l.Write(nil))
	if got, err := l.Read(1000); err != nil || len(got) != 0 {
		t.Errorf("forgotten: %q, %v", got, err)
	}
}

// TestWriteBesideCleaner: a cleaner that takes every file away, again and
// again, may win, but never makes a write fail or a reader see half of one. It
// pauses for longer than a write takes, on slow machines, too: who cleans without
// a pause leaves nobody a file.
func TestWriteBesideCleaner(t *testing.T) {
	d := privateDir(t)
	const passes = 200
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range passes {
			names, _ := d.all()
			for _, name := range names {
				_ = d.Remove(name)
			}
			time.Sleep(rand.N(2 * time.Millisecond))
		}
	}()
	content := bytes.Repeat([]byte("0123456789"), 1000)
	for cleaning := true; cleaning; {
		select {
		case <-done:
			cleaning = false
		default:
		}
		must(t, d.replace("f", content, false))
		if got, err := d.Read("f", 1<<20); !errors.Is(err, fs.ErrNotExist) && (err != nil || !bytes.Equal(got, content)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

// TestRecordSweeps: what a writer of records that was killed left behind is
// gone an hour later.
func TestRecordSweeps(t *testing.T) {
	d := privateDir(t)
	temp := filepath.Join(d.Path(), tempName())
	must(t, os.WriteFile(temp, nil, 0o600))
	long := time.Now().Add(-2 * time.Hour)
	must(t, os.Chtimes(temp, long, long))
	l, err := d.Lock(t.Context(), "l")
	must(t, err)
	defer l.Close()
	must(t, l.Write([]byte("x")))
	noTemps(t, d)
}

// TestRecordUnsafe: a record that others can have made is no record, and no
// absent one either.
func TestRecordUnsafe(t *testing.T) {
	d := privateDir(t)
	l, err := d.Lock(t.Context(), "l")
	must(t, err)
	defer l.Close()
	must(t, l.Write([]byte("x")))
	names, err := d.Names()
	must(t, err)
	for _, name := range names {
		path := filepath.Join(d.Path(), name)
		must(t, os.Remove(path))
		must(t, os.Symlink("/etc/passwd", path))
	}
	if data, err := l.Read(1 << 20); !isUnsafe(err) {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
}

// TestUmaskEverywhere: a umask that takes our own rights must not make
// directories or locks that their owner cannot open again. Root opens
// everything: it is the mode that counts.
func TestUmaskEverywhere(t *testing.T) {
	for _, mask := range []int{0, 0o777} {
		root := filepath.Join(t.TempDir(), "a", "b")
		old := unix.Umask(mask)
		d, err := MakeDir(root)
		var sub *Dir
		var l *Lock
		if err == nil {
			sub, err = d.Sub("s")
		}
		if err == nil {
			l, err = sub.Lock(t.Context(), "l")
		}
		unix.Umask(old)
		must(t, err)
		must(t, errors.Join(l.Close(), sub.Close(), d.Close()))
		for path, want := range map[string]os.FileMode{filepath.Dir(root): 0o700, root: 0o700,
			filepath.Join(root, "s"): 0o700, filepath.Join(root, "s", "l"): 0o600} {
			fi, err := os.Stat(path)
			must(t, err)
			if fi.Mode().Perm() != want {
				t.Errorf("umask %03o: %s has mode %o", mask, path, fi.Mode().Perm())
			}
		}
	}
}

// TestMakeDirKeeps: what is there already keeps its mode: it may be shared.
func TestMakeDirKeeps(t *testing.T) {
	shared := filepath.Join(t.TempDir(), "shared")
	must(t, os.Mkdir(shared, 0o755))
	must(t, os.Chmod(shared, 0o755))
	d, err := MakeDir(filepath.Join(shared, "a", "b"))
	must(t, err)
	must(t, d.Close())
	if fi, err := os.Stat(shared); err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
}

func noTemps(t *testing.T, d *Dir) {
	t.Helper()
	names, err := d.all()
	must(t, err)
	for _, name := range names {
		if strings.HasPrefix(name, tempPrefix) {
			t.Errorf("left behind: %s", name)
		}
	}
}

// TestSyncUnknown: a file system that cannot be told to keep a directory takes
// files all the same.
func TestSyncUnknown(t *testing.T) {
	f, err := os.Open("/proc")
	if err != nil || !errors.Is(f.Sync(), unix.EINVAL) {
		t.Skip("no such file system is at hand")
	}
	d := &Dir{f: f}
	defer d.Close()
	if err := d.sync(); err != nil {
		t.Error(err)
	}
}

// TestForget: what is absent is no error, what cannot be removed is.
func TestForget(t *testing.T) {
	d := privateDir(t)
	must(t, d.Write("a", []byte("x")))
	must(t, d.Forget("a"))
	must(t, d.Forget("a"))
	if d.Exists("a") {
		t.Error("it is there")
	}
	must(t, os.Mkdir(filepath.Join(d.Path(), "b"), 0o700))
	if d.Forget("b") == nil {
		t.Error("a directory was removed as a file")
	}
}
