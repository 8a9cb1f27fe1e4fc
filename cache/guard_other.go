//go:build !unix || darwin

package cache

import "context"

// preflight has nothing to look at here: macOS runs /usr/bin/security, Windows
// calls its credential manager. The deadline and the read-back remain.
func (k *osKeyring) preflight(context.Context) (restore func(), err error) {
	return func() {}, nil
}
