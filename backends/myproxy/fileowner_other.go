//go:build !unix

package myproxy

import "io/fs"

// fileOwner knows no numbers here.
func fileOwner(fs.FileInfo) (uid int, ok bool) { return 0, false }
