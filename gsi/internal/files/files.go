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
	"syscall"
)

// Read returns a regular file of at most limit bytes. It opens once and then
// looks at what it has opened; O_NONBLOCK keeps a FIFO from blocking the open
// for ever.
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
