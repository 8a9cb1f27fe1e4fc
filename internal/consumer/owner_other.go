//go:build !unix

package consumer

import "errors"

// mayRun is asked for shims only.
func mayRun(string) bool { return false }

// onlyOurs: a shim is a symbolic link and becomes the tool; this system has no
// use for the one and no way to do the other.
func onlyOurs(string) error {
	return errors.New("shims need symbolic links and execve(2), which this system does not have; use exec")
}
