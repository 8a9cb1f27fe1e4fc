//go:build unix

package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// unknown opens what may turn out to be a pipe without waiting for its other
// end. For what cannot be one it would be work for nothing: package os then asks
// the kernel whether the descriptor can be polled.
const unknown = unix.O_NONBLOCK

// openat opens without following a link in the last element. A link and a file
// that may not be opened are unsafe, not absent; a new file that may not be made
// is only not made.
func openat(dirfd int, name, path string, flags int, perm uint32) (int, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(dirfd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
	})
	switch {
	case err == nil:
		return fd, nil
	case isLink(dirfd, name):
		// ELOOP, but ENOTDIR with O_DIRECTORY, EMLINK on FreeBSD and EFTYPE on NetBSD.
		return -1, &UnsafeError{path, "it is a symbolic link"}
	case errors.Is(err, fs.ErrPermission) && flags&unix.O_EXCL == 0:
		return -1, &UnsafeError{path, "it may not be opened (" + err.Error() + ")"}
	case err == unix.ENXIO, err == unix.EISDIR:
		// A socket, a pipe that nobody reads, a directory opened to write.
		return -1, &UnsafeError{path, "it is no regular file"}
	}
	return -1, &fs.PathError{Op: "open", Path: path, Err: err}
}

func isLink(dirfd int, name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && uint32(st.Mode)&unix.S_IFMT == unix.S_IFLNK
}

// fileID tells one file from another.
type fileID struct{ dev, ino uint64 }

func idOf(st *unix.Stat_t) fileID { return fileID{uint64(st.Dev), uint64(st.Ino)} }

// checkPrivate judges an open file: a regular one of ours with one name that
// nobody else may open.
func checkPrivate(fd int, path string) (*unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &fs.PathError{Op: "fstat", Path: path, Err: err}
	}
	if uint32(st.Mode)&unix.S_IFMT != unix.S_IFREG {
		return nil, &UnsafeError{path, "it is no regular file"}
	}
	if err := checkOwner(&st, path); err != nil {
		return nil, err
	}
	if st.Nlink > 1 {
		return nil, &UnsafeError{path, "it has a second hard link"}
	}
	return &st, nil
}

func checkPrivateDir(fd int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "fstat", Path: path, Err: err}
	}
	return checkOwner(&st, path)
}

func checkOwner(st *unix.Stat_t, path string) error {
	if uid := os.Geteuid(); int(st.Uid) != uid {
		return &UnsafeError{path, fmt.Sprintf("it belongs to uid %d, we are %d", st.Uid, uid)}
	}
	if mode := uint32(st.Mode) & 0o7777; mode&0o077 != 0 {
		return &UnsafeError{path, fmt.Sprintf("its mode %04o lets others in", mode)}
	}
	return nil
}

// retry repeats what a signal interrupted.
func retry(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return n, err
		}
	}
}
