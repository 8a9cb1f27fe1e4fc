// Package files reads the files of trust directories and vomsdirs, which may be
// anything that somebody has put there.
package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
)

// Read returns a regular file of at most limit bytes to which not everybody may
// write: what is read decides who is trusted. It opens once and then looks at
// what it has opened; O_NONBLOCK keeps a FIFO from blocking the open for ever.
func Read(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case OpenToAll(f):
		return nil, errors.New("anybody may write to it: look what is in it, then run chmod o-w")
	case st.Size() > limit:
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	var data bytes.Buffer
	data.Grow(int(st.Size()) + bytes.MinRead) // no second buffer unless it grows
	if _, err := data.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	if int64(data.Len()) > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return data.Bytes(), nil
}

// OpenToAll reports whether anybody could exchange what is in an open file or
// directory. Where the file system is mounted read-only nobody can, whatever the
// mode: it is 1777 in volumes of Kubernetes.
func OpenToAll(f *os.File) bool {
	if runtime.GOOS == "windows" { // modes say nothing there
		return false
	}
	st, err := f.Stat()
	return err != nil || st.Mode().Perm()&0o002 != 0 && !readOnly(f)
}

// Cause drops operation and path from a file error; texts name the file
// themselves.
func Cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// IsDir reports whether path is a directory or leads to one.
func IsDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}
