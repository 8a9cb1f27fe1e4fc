//go:build unix

package myproxy

import (
	"io/fs"
	"syscall"
)

// fileOwner is whose a file is.
func fileOwner(info fs.FileInfo) (uid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}
