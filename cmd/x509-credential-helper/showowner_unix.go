//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// ownerOf is the user number of a file's owner.
func ownerOf(st fs.FileInfo) int {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}
