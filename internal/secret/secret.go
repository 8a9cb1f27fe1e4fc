// Package secret has the type that every pass phrase, token and private key
// travels in: a byte slice that never shows itself when it is printed, logged
// or marshalled.
package secret

import (
	"fmt"
	"io"
)

// Redacted is what a Secret shows in place of its bytes.
const Redacted = "[redacted]"

// Secret is a byte slice that redacts itself. Callers of a library may assign
// a plain []byte to it; code that needs the bytes converts back explicitly.
type Secret []byte

// String implements fmt.Stringer.
func (Secret) String() string { return Redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return Redacted }

// Format implements fmt.Formatter for every verb: %x and %d of a byte slice
// would otherwise print the bytes.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, Redacted) }

// MarshalJSON implements json.Marshaler.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText implements encoding.TextMarshaler, which log/slog asks for too.
func (Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// Wipe overwrites the bytes. It is best effort: Go, the keyring's client and
// TLS make copies that nobody can reach.
func (s Secret) Wipe() { clear(s) }
