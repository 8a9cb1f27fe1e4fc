package safefile

import (
	"fmt"
	"os"
	"path/filepath"

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
	if path := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(path) && OnTmpfs(path) {
		if d, err := OpenDir(path); err == nil {
			_ = d.Close()
			return made(filepath.Join(path, appDir))
		}
	}
	return sharedMemoryDir("/dev/shm")
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
