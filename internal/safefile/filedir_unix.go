//go:build unix

package safefile

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Writable finds file systems that are mounted read-only, which the mode does
// not show.
func Writable(path string) error {
	if err := unix.Access(path, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s %w: %w", path, ErrReadOnly, err)
	}
	return nil
}
