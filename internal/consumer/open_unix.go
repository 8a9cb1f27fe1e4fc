//go:build unix

package consumer

import (
	"fmt"
	"os"
	"syscall"
)

// openProxy opens first and looks at what it has then. Measured: xrootd 5.5.3
// with TLS refuses a file that others may read, and everybody a FIFO.
func openProxy(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open the proxy file: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("the proxy file %s is no regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		err = fmt.Errorf("the proxy file %s may be used by others (mode %04o)", path, info.Mode().Perm())
	case info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()):
		err = fmt.Errorf("the proxy file %s belongs to somebody else", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
