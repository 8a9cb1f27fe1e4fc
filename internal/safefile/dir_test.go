//go:build unix

package safefile

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func privateDir(t *testing.T) *Dir {
	t.Helper()
	d, err := MakeDir(filepath.Join(t.TempDir(), "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// giveAway makes a file belong to somebody else, which only root can do.
func giveAway(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file of another owner")
	}
	must(t, os.Lchown(path, 65534, 65534))
}

func isUnsafe(err error) bool { return errors.As(err, new(*UnsafeError)) }

func TestWriteRead(t *testing.T) {
	d := privateDir(t)
	for _, data := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("0123456789"), 10_000)} {
		must(t, d.Write("f", data))
		got, err := d.Read("f", 1<<20)
		must(t, err)
		if !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back as %d", len(data), len(got))
		}
	}
	fi, err := os.Lstat(filepath.Join(d.Path(), "f"))
	must(t, err)
	if fi.Mode() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
	if !d.Exists("f") || d.Exists("g") {
		t.Error("Exists is wrong")
	}
	must(t, d.Remove("f"))
	must(t, d.Remove("f"))
	if _, err := d.Read("f", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

// TestUmask: a strange umask of the user must not make a file that they cannot
// read, and none may widen it.
func TestUmask(t *testing.T) {
	d := privateDir(t)
	for _, mask := range []int{0, 0o777} {
		old := unix.Umask(mask)
		err := d.Write("f", []byte("x"))
		unix.Umask(old)
		must(t, err)
		fi, err := os.Stat(filepath.Join(d.Path(), "f"))
		must(t, err)
		if fi.Mode() != 0o600 {
			t.Errorf("umask %o: mode %v", mask, fi.Mode())
		}
	}
}

func TestReadTooLarge(t *testing.T) {
	d := privateDir(t)
	must(t, d.Write("f", []byte("12345")))
	if _, err := d.Read("f", 5); err != nil {
		t.Error(err)
	}
	if _, err := d.Read("f", 4); !errors.Is(err, ErrTooLarge) || isUnsafe(err) {
		t.Errorf("got %v", err)
	}
}

// TestReadUnsafe: each way in which somebody else can have a hand in a file.
func TestReadUnsafe(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, path string)
	}{
		{"readable by the group", func(t *testing.T, p string) { must(t, os.Chmod(p, 0o640)) }},
		{"readable by all", func(t *testing.T, p string) { must(t, os.Chmod(p, 0o644)) }},
		{"writable by all", func(t *testing.T, p string) { must(t, os.Chmod(p, 0o602)) }},
		{"symbolic link", func(t *testing.T, p string) {
			must(t, os.Rename(p, p+".real"))
			must(t, os.Symlink(p+".real", p))
		}},
		{"dangling link", func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, os.Symlink("/nonexistent", p))
		}},
		{"hard link", func(t *testing.T, p string) { must(t, os.Link(p, p+".other")) }},
		{"foreign owner", giveAway},
		{"directory", func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, os.Mkdir(p, 0o700))
		}},
		{"pipe", func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, unix.Mkfifo(p, 0o600))
		}},
		{"socket", func(t *testing.T, p string) {
			must(t, os.Remove(p))
			l, err := net.Listen("unix", p)
			must(t, err)
			t.Cleanup(func() { l.Close() })
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := privateDir(t)
			must(t, d.Write("f", []byte("content")))
			tt.make(t, filepath.Join(d.Path(), "f"))
			start := time.Now()
			data, err := d.Read("f", 1<<20)
			if !isUnsafe(err) || errors.Is(err, fs.ErrNotExist) || data != nil {
				t.Errorf("Read: got %q, %v", data, err)
			}
			if _, err := d.TryLock("f"); !isUnsafe(err) {
				t.Errorf("TryLock: got %v", err)
			}
			if time.Since(start) > 30*time.Second {
				t.Error("it blocked")
			}
		})
	}
}

// TestWriteReplacesLink: a link that lies in the way is replaced, not followed.
func TestWriteReplacesLink(t *testing.T) {
	d := privateDir(t)
	victim := filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(victim, []byte("old"), 0o600))
	must(t, os.Symlink(victim, filepath.Join(d.Path(), "f")))
	must(t, d.Write("f", []byte("new")))
	if got, _ := os.ReadFile(victim); string(got) != "old" {
		t.Errorf("the link's target was written: %q", got)
	}
	if got, err := d.Read("f", 10); err != nil || string(got) != "new" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestWriteFails: a failed write leaves neither a temporary file nor a changed
// old one.
func TestWriteFails(t *testing.T) {
	d := privateDir(t)
	must(t, os.Mkdir(filepath.Join(d.Path(), "f"), 0o700)) // rename cannot replace it
	if err := d.Write("f", []byte("x")); err == nil {
		t.Fatal("a directory was replaced")
	}
	if list, _ := os.ReadDir(d.Path()); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

func TestOpenDirUnsafe(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, path string)
	}{
		{"0755", func(t *testing.T, p string) { must(t, os.Chmod(p, 0o755)) }},
		{"0710", func(t *testing.T, p string) { must(t, os.Chmod(p, 0o710)) }},
		{"foreign owner", giveAway},
		{"link", func(t *testing.T, p string) {
			must(t, os.Rename(p, p+".real"))
			must(t, os.Symlink(p+".real", p))
		}},
		{"file", func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, os.WriteFile(p, nil, 0o600))
		}},
		{"pipe", func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, unix.Mkfifo(p, 0o600))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := privateDir(t)
			sub, err := d.Sub("s")
			must(t, err)
			sub.Close()
			path := filepath.Join(d.Path(), "s")
			tt.make(t, path)
			for what, open := range map[string]func() (*Dir, error){
				"OpenDir": func() (*Dir, error) { return OpenDir(path) },
				"MakeDir": func() (*Dir, error) { return MakeDir(path) },
				"Sub":     func() (*Dir, error) { return d.Sub("s") },
				"OpenSub": func() (*Dir, error) { return d.OpenSub("s") },
			} {
				if _, err := open(); !isUnsafe(err) {
					t.Errorf("%s: got %v", what, err)
				}
			}
		})
	}
}

func TestDirAbsent(t *testing.T) {
	if _, err := OpenDir(filepath.Join(t.TempDir(), "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenDir: %v", err)
	}
	if _, err := privateDir(t).OpenSub("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenSub: %v", err)
	}
}

// TestNames: a name is never a path.
func TestNames(t *testing.T) {
	d := privateDir(t)
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/etc/passwd", "a\x00b", `a\b`} {
		_, rerr := d.Read(name, 1)
		_, serr := d.Sub(name)
		_, oerr := d.OpenSub(name)
		_, lerr := d.TryLock(name)
		for what, err := range map[string]error{"Read": rerr, "Write": d.Write(name, nil), "Remove": d.Remove(name), "Sub": serr, "OpenSub": oerr, "TryLock": lerr} {
			if err == nil || !strings.Contains(err.Error(), "no file name") {
				t.Errorf("%s(%q): %v", what, name, err)
			}
		}
		if d.Exists(name) {
			t.Errorf("Exists(%q)", name)
		}
	}
	must(t, d.Write("b", nil))
	must(t, d.Write("a", nil))
	names, err := d.Names()
	if err != nil || strings.Join(names, " ") != "a b" {
		t.Errorf("Names: %v, %v", names, err)
	}
	again, err := d.Names()
	if err != nil || len(again) != 2 {
		t.Errorf("a second listing differs: %v, %v", again, err)
	}
}

// TestRemoveTemps: what a killed writer left goes, what one writes now stays,
// and neither is listed.
func TestRemoveTemps(t *testing.T) {
	d := privateDir(t)
	old, young := tempName(), tempName()
	for _, name := range []string{old, young, "f"} {
		must(t, os.WriteFile(filepath.Join(d.Path(), name), nil, 0o600))
	}
	hourAgo := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(filepath.Join(d.Path(), old), hourAgo, hourAgo))
	must(t, os.Chtimes(filepath.Join(d.Path(), "f"), hourAgo, hourAgo))
	must(t, d.RemoveTemps(time.Now().Add(-time.Minute)))
	if d.Exists(old) || !d.Exists(young) || !d.Exists("f") {
		t.Errorf("old %v, young %v, f %v", d.Exists(old), d.Exists(young), d.Exists("f"))
	}
	if names, _ := d.Names(); len(names) != 1 {
		t.Errorf("listed: %v", names)
	}
}

func TestReadTrusted(t *testing.T) {
	tests := []struct {
		name   string
		make   func(t *testing.T, path string)
		unsafe bool
	}{
		{"private", func(*testing.T, string) {}, false},
		{"readable by all", func(t *testing.T, p string) { must(t, os.Chmod(p, 0o644)) }, false},
		{"linked to, as configuration managers do", func(t *testing.T, p string) {
			must(t, os.Rename(p, p+".real"))
			must(t, os.Symlink(p+".real", p))
		}, false},
		{"writable by the group", func(t *testing.T, p string) { must(t, os.Chmod(p, 0o664)) }, true},
		{"writable by all", func(t *testing.T, p string) { must(t, os.Chmod(p, 0o606)) }, true},
		{"link to what all can write", func(t *testing.T, p string) {
			must(t, os.Chmod(p, 0o666))
			must(t, os.Rename(p, p+".real"))
			must(t, os.Symlink(p+".real", p))
		}, true},
		{"foreign owner", giveAway, true},
		{"directory", func(t *testing.T, p string) { must(t, os.Remove(p)); must(t, os.Mkdir(p, 0o700)) }, true},
		{"pipe", func(t *testing.T, p string) { must(t, os.Remove(p)); must(t, unix.Mkfifo(p, 0o600)) }, true},
		{"too long", func(t *testing.T, p string) { must(t, os.WriteFile(p, make([]byte, 101), 0o600)) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.toml")
			must(t, os.WriteFile(path, []byte("x = 1"), 0o600))
			tt.make(t, path)
			data, err := ReadTrusted(path, 100)
			if isUnsafe(err) != tt.unsafe || (err == nil) == tt.unsafe {
				t.Errorf("got %q, %v", data, err)
			}
		})
	}
	if _, err := ReadTrusted(filepath.Join(t.TempDir(), "x"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}
