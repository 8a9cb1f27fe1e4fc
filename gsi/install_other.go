//go:build !unix

package gsi

import (
	"io/fs"
	"os"
	"time"
)

// ownDir: whose a directory is, and who may write to it, is not in its mode
// here.
func ownDir(fs.FileInfo) error { return nil }

func foreign(string) (uid uint32, is bool) { return 0, false }

// lockDir: directories have no locks here.
func lockDir(*os.Root, time.Duration) (unlock func()) { return func() {} }
