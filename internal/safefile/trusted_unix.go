//go:build unix

package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ReadTrusted reads a file that decides what this program does, such as its
// configuration: a regular file of at most max bytes that belongs to root or to
// us and that nobody else can write. A symbolic link may lead to it. What
// breaks a rule is an *UnsafeError.
func ReadTrusted(path string, max int64) ([]byte, error) {
	data, _, err := ReadTrustedMode(path, max)
	return data, err
}

// ReadTrustedMode is ReadTrusted for callers who mind, too, who else can read
// the file: perm are its permission bits, 0 on Windows.
func ReadTrustedMode(path string, max int64) (data []byte, perm fs.FileMode, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) { // a socket
		return nil, 0, &UnsafeError{path, "it is no regular file"}
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, 0, &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	mode, us := uint32(st.Mode), os.Geteuid()
	switch {
	case mode&unix.S_IFMT != unix.S_IFREG:
		return nil, 0, &UnsafeError{path, "it is no regular file"}
	case st.Uid != 0 && int(st.Uid) != us:
		return nil, 0, &UnsafeError{path, fmt.Sprintf("it belongs to uid %d, not to root or us (%d)", st.Uid, us)}
	case mode&0o022 != 0:
		return nil, 0, &UnsafeError{path, fmt.Sprintf("its mode %04o lets others write it", mode&0o7777)}
	case st.Size > max:
		return nil, 0, &UnsafeError{path, fmt.Sprintf("it has %d bytes, more than %d", st.Size, max)}
	}
	data, err = readAll(f, st.Size, max)
	return data, fs.FileMode(mode & 0o777), err
}
