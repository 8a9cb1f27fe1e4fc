package cache

import (
	"context"
	"time"
)

// Store names a place where something is kept.
type Store string

// The stores of credentials. Pass phrases go to Keyring or None.
const (
	// Auto: Keyring, and where that cannot be used Kernel, then Runtime.
	Auto Store = "auto"
	// Keyring: files sealed under a key in the operating system's keyring; a
	// pass phrase is a keyring item itself.
	Keyring Store = "keyring"
	// Kernel: files sealed under a key in the Linux kernel's keyring, which
	// is gone after a day or a restart of the machine.
	Kernel Store = "kernel"
	// Runtime: plain 0600 files below the runtime directory.
	Runtime Store = "runtime"
	// File: as Runtime, for machines where only an ordinary directory is
	// there. No keyring is ever asked.
	File Store = "file"
	// None: nothing is kept.
	None Store = "none"
)

// Service is the name under which every keyring item of ours is filed.
const Service = "x509-credential-helper"

// MaxSecret bounds the value of a keyring item, in bytes: Windows takes 2560,
// macOS 3006 for our names, and what works on one machine should on the next.
const MaxSecret = 2560

// KeyStore keeps tiny secrets: the data key, pass phrases, tokens. Its errors
// are *Error, or wrap the context's.
type KeyStore interface {
	// Name is "keyring" or, in tests, "memory".
	Name() string
	// Get returns the secret kept for account, or ErrNotFound.
	Get(ctx context.Context, account string) ([]byte, error)
	// Set keeps secret for account and returns after it was read back.
	Set(ctx context.Context, account string, secret []byte) error
	// Delete forgets account. What is absent is no error.
	Delete(ctx context.Context, account string) error
	// DeleteAll forgets every account of our Service.
	DeleteAll(ctx context.Context) error
}

// TimedStore is a KeyStore that forgets by itself: the kernel's keyring.
type TimedStore interface {
	KeyStore
	// SetFor keeps secret for account for that long, and no longer.
	SetFor(ctx context.Context, account string, secret []byte, ttl time.Duration) error
}

// Stored says where Put kept an entry.
type Stored struct {
	In  Store // None if nowhere
	Why error // why not in the first choice, or nil
}

// StoreState is a store of credentials and what keeps it from being used.
type StoreState struct {
	Store Store
	Err   error // nil: usable
}

type promptKey struct{}

// AllowPrompt lets key stores ask the user to unlock the keyring, and wait 60
// seconds for an answer. Without it nothing ever raises a dialog and the
// deadline is 3 seconds. A deadline of ctx that is earlier wins.
func AllowPrompt(ctx context.Context) context.Context {
	return context.WithValue(ctx, promptKey{}, true)
}

func promptAllowed(ctx context.Context) bool {
	ok, _ := ctx.Value(promptKey{}).(bool)
	return ok
}
