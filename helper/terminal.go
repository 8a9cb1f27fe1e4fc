package helper

import (
	"context"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// Terminal is where people are, never standard input or output.
type Terminal interface {
	// Foreground says whether there is a terminal and we are in its
	// foreground process group: only then may somebody be asked.
	Foreground() bool
	// ReadSecret shows the prompt and reads a line without showing it. It
	// returns ctx's error if that ends first, with the terminal as it was.
	ReadSecret(ctx context.Context, prompt string) (secret.Secret, error)
}
