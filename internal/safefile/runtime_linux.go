package safefile

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// OnTmpfs says whether path lies on a file system that is never on a disk,
// swap aside.
func OnTmpfs(path string) bool {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return false
	}
	return int64(st.Type) == unix.TMPFS_MAGIC || int64(st.Type) == unix.RAMFS_MAGIC
}

func platformRuntimeDir(getenv func(string) string) (string, error) {
	if path := getenv("XDG_RUNTIME_DIR"); isSessionDir(path) {
		return made(filepath.Join(path, appDir))
	}
	return sharedMemoryDir("/dev/shm")
}

func platformLockDir(getenv func(string) string) (string, error) {
	return lockDir("/run/user", getenv)
}

func platformRuntimeDirs() []string {
	uid := strconv.Itoa(os.Geteuid())
	return []string{filepath.Join("/run/user", uid, appDir), filepath.Join("/dev/shm", appDir+"-"+uid)}
}

// lockDir finds the session's directory without the variable, where systemd
// makes it. In a service to which it is read-only there is nothing to agree on.
func lockDir(runUser string, getenv func(string) string) (string, error) {
	session := filepath.Join(runUser, strconv.Itoa(os.Geteuid()))
	if !isSessionDir(getenv("XDG_RUNTIME_DIR")) && isSessionDir(session) {
		if path := filepath.Join(session, appDir); usable(path) == nil {
			return path, nil
		}
	}
	return platformRuntimeDir(getenv)
}

// isSessionDir: it is in memory, ours and closed to others.
func isSessionDir(path string) bool {
	if !filepath.IsAbs(path) || !OnTmpfs(path) {
		return false
	}
	d, err := OpenDir(path)
	if err == nil {
		_ = d.Close()
	}
	return err == nil
}

// sharedMemoryDir is for sessions without XDG_RUNTIME_DIR: cron, su, batch
// jobs, containers. Anybody can make the name there first; then it is not ours
// and is refused.
func sharedMemoryDir(shm string) (string, error) {
	if !OnTmpfs(shm) {
		return "", fmt.Errorf("no runtime directory: XDG_RUNTIME_DIR is not a private directory in memory and %s is not in memory; "+
			"set runtime_dir to a private directory on a local file system", shm)
	}
	return made(filepath.Join(shm, fmt.Sprintf("%s-%d", appDir, os.Geteuid())))
}
