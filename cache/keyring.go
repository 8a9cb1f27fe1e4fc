package cache

import (
	"context"
	"crypto/subtle"
	"errors"
	"os"
	"time"

	keyring "github.com/zalando/go-keyring"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// KeyringOptions are what the keyring's guard needs of the process.
type KeyringOptions struct {
	// Getenv, Setenv and Unsetenv are those of package os where they are nil.
	// The D-Bus client reads the process's environment, so others are for
	// tests.
	Getenv   func(string) string
	Setenv   func(key, value string) error
	Unsetenv func(key string) error
	// UID is ours: the session bus must belong to it.
	UID int
	// Deadline is how long a call may take where nobody is asked; 0 is 3 s.
	Deadline time.Duration
}

// How long the keyring may take: nobody waits at a prompt for 3 seconds; a
// user who is asked for a pass word needs longer.
const (
	quickDeadline  = 3 * time.Second
	promptDeadline = 60 * time.Second
)

// ring is go-keyring, in this process or in a test.
type ring interface {
	Get(service, user string) (string, error)
	Set(service, user, password string) error
	Delete(service, user string) error
}

type goKeyring struct{}

func (goKeyring) Get(service, user string) (string, error) { return keyring.Get(service, user) }
func (goKeyring) Set(service, user, password string) error {
	return keyring.Set(service, user, password)
}
func (goKeyring) Delete(service, user string) error { return keyring.Delete(service, user) }

// osKeyring is go-keyring behind a guard. Alone it waits for ever on a locked
// collection or a silent bus, panics when the bus goes away, and starts a
// D-Bus daemon where there is none (all measured with v0.2.8).
type osKeyring struct {
	o    KeyringOptions
	ring ring
	// runUser has each user's directory with the bus that systemd makes.
	runUser string
	// check makes sure that ring can be called; restore ends what it set up.
	check func(ctx context.Context) (restore func(), err error)
	// slot lets in one call at a time. A call that came too late keeps it
	// until it really ends: what hangs once would hang again.
	slot chan struct{}
}

// NewKeyring returns the operating system's keyring. It does no I/O until it
// is used.
//
// While a call runs, DBUS_SESSION_BUS_ADDRESS of this process is the address
// that was checked; after it, the variable is as it was. A call that never
// ends keeps it, so a program that starts another one gives it the environment
// of its own start.
func NewKeyring(o KeyringOptions) KeyStore {
	if o.Deadline == 0 {
		o.Deadline = quickDeadline
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Setenv == nil {
		o.Setenv = os.Setenv
	}
	if o.Unsetenv == nil {
		o.Unsetenv = os.Unsetenv
	}
	k := &osKeyring{o: o, ring: goKeyring{}, runUser: "/run/user", slot: make(chan struct{}, 1)}
	k.check = k.preflight
	return k
}

// Name is "keyring".
func (k *osKeyring) Name() string { return "keyring" }

// Get returns the secret kept for account.
func (k *osKeyring) Get(ctx context.Context, account string) ([]byte, error) {
	var value string
	err := k.guarded(ctx, func() (err error) {
		value, err = k.ring.Get(Service, account)
		return err
	})
	if errors.Is(err, keyring.ErrNotFound) {
		return nil, absent(account)
	}
	if err != nil {
		return nil, err
	}
	return []byte(value), nil
}

// errNotKept is a write that the keyring confirmed and did not do: what a
// dismissed prompt looks like.
var errNotKept = errors.New("what was written is not what is read back")

// Set keeps secret and reads it back.
func (k *osKeyring) Set(ctx context.Context, account string, secret []byte) error {
	if len(secret) > MaxSecret {
		return tooBig(len(secret), MaxSecret)
	}
	return k.guarded(ctx, func() error {
		if err := k.ring.Set(Service, account, string(secret)); err != nil {
			return err
		}
		back, err := k.ring.Get(Service, account)
		if errors.Is(err, keyring.ErrNotFound) {
			return errNotKept
		}
		if err == nil && subtle.ConstantTimeCompare([]byte(back), secret) != 1 {
			return errNotKept
		}
		return err
	})
}

// Delete forgets account and looks whether it is gone.
func (k *osKeyring) Delete(ctx context.Context, account string) error {
	return k.guarded(ctx, func() error {
		err := k.ring.Delete(Service, account)
		if err == nil {
			if _, err = k.ring.Get(Service, account); err == nil {
				return errNotKept
			}
		}
		if errors.Is(err, keyring.ErrNotFound) {
			return nil
		}
		return err
	})
}

// guarded runs f after the preflight, within the deadline. Neither can be
// called off, so on a timeout they are left behind.
func (k *osKeyring) guarded(ctx context.Context, f func() error) error {
	limit := k.o.Deadline
	if promptAllowed(ctx) {
		limit = promptDeadline
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case k.slot <- struct{}{}:
	case <-ctx.Done():
		return late(ctx)
	}
	done := safego.Go(func() error {
		defer func() { <-k.slot }()
		restore, err := k.check(ctx)
		defer restore()
		if err != nil {
			return err
		}
		return f()
	})
	select {
	case err := <-done:
		return classify(ctx, err)
	case <-ctx.Done():
		return late(ctx)
	}
}

// late is what a call returns that was given up.
func late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return &Error{Kind: ErrTimeout, Text: "the keyring did not answer in time",
		Remedy: "see whether a dialog of it is waiting, or restart it: gnome-keyring-daemon --replace --components=secrets", Err: context.DeadlineExceeded}
}
