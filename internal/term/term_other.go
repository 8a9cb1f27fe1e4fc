//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package term

import (
	"context"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// foreground is false: asking on this system is not written yet, and saying so
// sends people to --passphrase-stdin.
func (t *Terminal) foreground() bool { return false }

func (t *Terminal) read(context.Context, string, echo) (secret.Secret, error) {
	return nil, ErrNoTerminal
}
