//go:build unix

package gsi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownDir refuses a directory in which somebody else could exchange files.
func ownDir(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("nobody can say whose the directory of trusted CAs is")
	}
	if uid := os.Geteuid(); int(st.Uid) != uid {
		return fmt.Errorf("the directory of trusted CAs belongs to uid %d, this is uid %d", st.Uid, uid)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("others may write to the directory of trusted CAs (mode %04o): run chmod go-w", mode)
	}
	return nil
}

// foreign says whose a directory is that is neither root's nor ours.
func foreign(path string) (uid uint32, is bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 || int(st.Uid) == os.Geteuid() {
		return 0, false
	}
	return st.Uid, true
}

// lockDir lets one installation after the other compare and write. It is a
// courtesy: another user who may read the directory can hold the lock as well,
// and some file systems have none; after a while it goes on without.
func lockDir(root *os.Root, most time.Duration) (unlock func()) {
	d, err := root.Open(".")
	if err != nil {
		return func() {}
	}
	for end := time.Now().Add(most); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Now().After(end) {
			return func() { d.Close() }
		}
	}
}
