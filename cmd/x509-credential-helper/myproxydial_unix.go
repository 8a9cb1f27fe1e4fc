//go:build unix

package main

import (
	"errors"
	"syscall"
)

// portInUse says whether another local port may do better: this one is taken, or
// was lately for the same server.
func portInUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
