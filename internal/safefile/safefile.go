package safefile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// UnsafeError is a file or directory that somebody else could have made,
// changed or read. It is never to be taken for an absent one.
type UnsafeError struct{ Path, Reason string }

// Error names the path, the reason and what helps.
func (e *UnsafeError) Error() string { return e.Problem() + "; " + e.Remedy() }

// Problem names the path and the reason.
func (e *UnsafeError) Problem() string { return e.Path + " is not safe to use: " + e.Reason }

// Remedy is what helps.
func (e *UnsafeError) Remedy() string { return "correct its owner and mode or remove it" }

var (
	// ErrLocked is what TryLock returns while another holds the lock.
	ErrLocked = errors.New("locked by another process")
	// ErrReadOnly is a directory that Writable has tried.
	ErrReadOnly = errors.New("cannot be written to")
	// ErrTooLarge is a file that is longer than the reader was told to expect.
	ErrTooLarge = errors.New("the file is larger than it may be")
)

// tempPrefix begins the names of files that are being written.
const tempPrefix = ".tmp-"

func tempName() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return tempPrefix + hex.EncodeToString(b[:])
}

// checkName refuses what is not one name inside a directory.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00") {
		return fmt.Errorf("%q is no file name", name)
	}
	return nil
}
