package safefile

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// memoryDir is a directory on a file system in memory.
func memoryDir(t *testing.T) string {
	t.Helper()
	if !OnTmpfs("/dev/shm") {
		t.Skip("/dev/shm is not in memory here")
	}
	dir, err := os.MkdirTemp("/dev/shm", "safefile-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func env(pairs ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestOnTmpfs(t *testing.T) {
	if OnTmpfs("/proc") || OnTmpfs("/nonexistent") {
		t.Error("not every path is in memory")
	}
}

func TestRuntimeDirConfigured(t *testing.T) {
	path := filepath.Join(t.TempDir(), "on", "a", "disk")
	got, err := RuntimeDir(path, env("XDG_RUNTIME_DIR", memoryDir(t)))
	must(t, err)
	fi, err := os.Stat(path)
	must(t, err)
	if got != path || fi.Mode().Perm() != 0o700 {
		t.Errorf("got %s, %v", got, fi.Mode())
	}
	if _, err := RuntimeDir("relative", env()); err == nil || !strings.Contains(err.Error(), "runtime_dir") {
		t.Errorf("relative: %v", err)
	}
	must(t, os.Chmod(path, 0o755))
	if _, err := RuntimeDir(path, env()); !isUnsafe(err) || !strings.Contains(err.Error(), "runtime_dir") {
		t.Errorf("0755: %v", err)
	}
}

func TestRuntimeDirSession(t *testing.T) {
	dir := memoryDir(t)
	got, err := RuntimeDir("", env("XDG_RUNTIME_DIR", dir))
	must(t, err)
	if got != filepath.Join(dir, "x509-credential-helper") {
		t.Errorf("got %s", got)
	}
}

// TestRuntimeDirFallback: a session directory that others can enter, that is on
// a disk or somebody else's, as after su, is not used.
func TestRuntimeDirFallback(t *testing.T) {
	open := memoryDir(t)
	must(t, os.Chmod(open, 0o755))
	shared := filepath.Join("/dev/shm", "x509-credential-helper-"+strconv.Itoa(os.Geteuid()))
	if _, err := os.Lstat(shared); err != nil {
		t.Cleanup(func() { os.Remove(shared) })
	}
	onDisk := "/proc"
	for _, dir := range []string{"", open, onDisk, "relative", "/nonexistent"} {
		got, err := RuntimeDir("", env("XDG_RUNTIME_DIR", dir))
		must(t, err)
		if got != shared {
			t.Errorf("XDG_RUNTIME_DIR=%q: got %s", dir, got)
		}
	}
}

// TestLockDir: the locks of a process without XDG_RUNTIME_DIR are where those of
// the user's session are, as long as that can be used; its files are not.
func TestLockDir(t *testing.T) {
	runUser := memoryDir(t)
	session := filepath.Join(runUser, strconv.Itoa(os.Geteuid()))
	shared := filepath.Join("/dev/shm", "x509-credential-helper-"+strconv.Itoa(os.Geteuid()))
	if _, err := os.Lstat(shared); err != nil {
		t.Cleanup(func() { os.Remove(shared) })
	}
	want := func(what, dir string, variable ...string) {
		t.Helper()
		if got, err := lockDir(runUser, env(variable...)); err != nil || got != dir {
			t.Errorf("%s: got %s, %v", what, got, err)
		}
	}
	want("no session", shared)
	must(t, os.Mkdir(session, 0o700))
	ours := filepath.Join(session, "x509-credential-helper")
	want("cron", ours)
	want("the session", ours, "XDG_RUNTIME_DIR", session)
	want("su", ours, "XDG_RUNTIME_DIR", "/nonexistent")
	other := memoryDir(t)
	want("another one by the variable", filepath.Join(other, "x509-credential-helper"), "XDG_RUNTIME_DIR", other)
	if got, err := LockDir(other, env()); err != nil || got != other {
		t.Errorf("configured: got %s, %v", got, err)
	}
	if got, err := RuntimeDir("", env()); err != nil || got != shared {
		t.Errorf("files: got %s, %v", got, err)
	}
	must(t, os.Remove(ours))
	must(t, os.WriteFile(ours, nil, 0o600))
	want("not to be used", shared)
	must(t, os.Chmod(session, 0o755))
	want("open to others", shared)
	must(t, os.RemoveAll(session))
	want("the session has ended", shared, "XDG_RUNTIME_DIR", session)
}

// TestOtherRuntimeDirs: what is removed from there was ours alone, and a test or
// a service with a directory of its own removes nothing of the user's.
func TestOtherRuntimeDirs(t *testing.T) {
	own, private, open := memoryDir(t), memoryDir(t), memoryDir(t)
	must(t, os.Chmod(open, 0o755))
	link := filepath.Join(private, "link")
	must(t, os.Symlink(private, link))
	usual := []string{private, own, open, link, private + "/missing"}
	if got := otherDirs(own, slices.Clone(usual)); !slices.Equal(got, []string{private}) {
		t.Errorf("got %v", got)
	}
	if got := otherDirs("/unusual", usual); len(got) != 0 {
		t.Errorf("a directory of one's own: %v", got)
	}
	if got := OtherRuntimeDirs(own, env()); len(got) != 0 {
		t.Errorf("configured: %v", got)
	}
}

// TestSharedMemoryDirTaken: anybody can be the first to make our name in
// /dev/shm. That is refused, and the text names the way out.
func TestSharedMemoryDirTaken(t *testing.T) {
	shm := memoryDir(t)
	ours := filepath.Join(shm, "x509-credential-helper-"+strconv.Itoa(os.Geteuid()))
	tests := map[string]func(t *testing.T){
		"link":          func(t *testing.T) { must(t, os.Symlink(t.TempDir(), ours)) },
		"file":          func(t *testing.T) { must(t, os.WriteFile(ours, nil, 0o600)) },
		"world":         func(t *testing.T) { must(t, os.Mkdir(ours, 0o700)); must(t, os.Chmod(ours, 0o777)) },
		"foreign owner": func(t *testing.T) { must(t, os.Mkdir(ours, 0o700)); giveAway(t, ours) },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			defer os.Remove(ours)
			prepare(t)
			if _, err := sharedMemoryDir(shm); !isUnsafe(err) || !strings.Contains(err.Error(), "set runtime_dir") {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := sharedMemoryDir("/proc"); err == nil || !strings.Contains(err.Error(), "set runtime_dir") {
		t.Errorf("no memory: %v", err)
	}
}
