//go:build unix

package consumer

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// mayRun says whether we may run a file; its mode does not say for whom its bits
// are, nor that its file system is mounted with noexec. execvp(3) would look
// further, too.
func mayRun(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) == nil
}

// onlyOurs refuses a directory of programs into which others could put some.
func onlyOurs(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("look at the directory of the shims: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", dir)
	case info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()):
		return fmt.Errorf("%s belongs to somebody else, who could put other programs there; take another directory", dir)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others may put programs into %s (mode %04o); run: chmod go-w %s", dir, info.Mode().Perm(), dir)
	}
	return nil
}
