package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// node is a batch node with every directory there may be.
type node struct{ run, shm, tmp, cache, home string }

func newNode(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	n := &node{filepath.Join(dir, "run"), filepath.Join(dir, "shm"), filepath.Join(dir, "tmp"), filepath.Join(dir, "cache"), filepath.Join(dir, "home")}
	for _, d := range []string{n.run, n.shm, n.tmp, n.cache, n.home} {
		must(t, os.Mkdir(d, 0o700))
	}
	must(t, os.Chmod(n.shm, 0o1777))
	must(t, os.Chmod(n.tmp, 0o1777))
	return n
}

func (n *node) fileDir(configured string) (string, error) {
	return fileDir(configured, n.shm, env("XDG_RUNTIME_DIR", n.run, "TMPDIR", n.tmp, "XDG_CACHE_HOME", n.cache), n.home)
}

var ownName = fmt.Sprintf("x509-credential-helper-%d", os.Geteuid())

// TestFileDirOrder: memory before disk, local before the home directory, and
// whatever is missing is passed over.
func TestFileDirOrder(t *testing.T) {
	n := newNode(t)
	steps := []struct {
		want string
		then func()
	}{
		{filepath.Join(n.run, "x509-credential-helper"), func() { n.run = "" }},
		{filepath.Join(n.shm, ownName), func() { must(t, os.RemoveAll(n.shm)) }},
		{filepath.Join(n.tmp, ownName), func() { n.tmp = "relative" }},
		{filepath.Join(n.cache, "x509-credential-helper", "file"), func() { n.cache = "" }},
		{filepath.Join(n.home, ".cache", "x509-credential-helper", "file"), func() { n.home = "" }},
	}
	for _, s := range steps {
		for range 2 { // made, then found
			got, err := n.fileDir("")
			if err != nil || got != s.want {
				t.Fatalf("got %q, %v; want %q", got, err, s.want)
			}
		}
		if fi, err := os.Stat(s.want); err != nil || fi.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: %v, %v", s.want, fi, err)
		}
		s.then()
	}
	if got, err := n.fileDir(""); err == nil || !strings.Contains(err.Error(), "set file_dir") {
		t.Errorf("nothing is there: %q, %v", got, err)
	}
	if _, err := os.Stat(n.shm); err == nil {
		t.Error("it made its own /dev/shm")
	}
}

// TestFileDirUnsafe: what others may have made or can enter is passed over, at
// each place.
func TestFileDirUnsafe(t *testing.T) {
	spoil := map[string]func(t *testing.T, path string){
		"foreign owner": func(t *testing.T, p string) { must(t, os.MkdirAll(p, 0o700)); giveAway(t, p) },
		"0755":          func(t *testing.T, p string) { must(t, os.MkdirAll(p, 0o700)); must(t, os.Chmod(p, 0o755)) },
		"link": func(t *testing.T, p string) {
			must(t, os.MkdirAll(filepath.Dir(p), 0o700))
			must(t, os.Symlink(t.TempDir(), p))
		},
		"file": func(t *testing.T, p string) {
			must(t, os.MkdirAll(filepath.Dir(p), 0o700))
			must(t, os.WriteFile(p, nil, 0o600))
		},
	}
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			path := []string{filepath.Join(n.run, "x509-credential-helper"), filepath.Join(n.shm, ownName), filepath.Join(n.tmp, ownName),
				filepath.Join(n.cache, "x509-credential-helper", "file")}
			for i, p := range path {
				got, err := n.fileDir("")
				if err != nil || got != p {
					t.Fatalf("got %q, %v; want %q", got, err, p)
				}
				must(t, os.Remove(p))
				spoil(t, path[i])
			}
			_, err := n.fileDir("")
			if !isUnsafe(err) {
				t.Errorf("got %v", err)
			}
			for _, p := range path {
				if !strings.Contains(err.Error(), p) {
					t.Errorf("%s is not in %v", p, err)
				}
			}
		})
	}
}

// TestFileDirSession: after su XDG_RUNTIME_DIR is somebody else's; a session
// directory that others can enter is none.
func TestFileDirSession(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, p string){
		"foreign owner": giveAway,
		"0755":          func(t *testing.T, p string) { must(t, os.Chmod(p, 0o755)) },
		"missing":       func(t *testing.T, p string) { must(t, os.Remove(p)) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			spoil(t, n.run)
			if got, err := n.fileDir(""); err != nil || got != filepath.Join(n.shm, ownName) {
				t.Errorf("got %q, %v", got, err)
			}
			if list, _ := os.ReadDir(n.run); len(list) != 0 {
				t.Errorf("left there: %v", list)
			}
		})
	}
}

// TestFileDirConfigured: what is configured is used, or is an error that names
// the setting; nothing else is tried.
func TestFileDirConfigured(t *testing.T) {
	n := newNode(t)
	path := filepath.Join(t.TempDir(), "on", "scratch")
	if got, err := n.fileDir(path); err != nil || got != path {
		t.Errorf("got %q, %v", got, err)
	}
	must(t, os.Chmod(path, 0o750))
	if _, err := n.fileDir(path); !isUnsafe(err) || !strings.Contains(err.Error(), "file_dir") {
		t.Errorf("0750: %v", err)
	}
	if _, err := n.fileDir("scratch"); err == nil || !strings.Contains(err.Error(), "file_dir") {
		t.Errorf("relative: %v", err)
	}
	if list, _ := os.ReadDir(n.shm); len(list) != 0 {
		t.Errorf("made elsewhere: %v", list)
	}
}

// TestFileDirReadOnly: a directory of ours on a file system that was mounted
// read-only is no place for credentials.
func TestFileDirReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	dir := t.TempDir()
	err := unix.Mount("none", dir, "tmpfs", unix.MS_RDONLY, "mode=0700")
	switch {
	case err == nil:
	case os.Getenv("X509CH_LAB") == "require":
		t.Fatal(err)
	default:
		t.Skipf("root may not mount here, as in many containers: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	if err := usable(dir); !errors.Is(err, unix.EROFS) {
		t.Errorf("got %v", err)
	}
}
