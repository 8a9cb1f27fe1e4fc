package cache

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	keyring "github.com/zalando/go-keyring"
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
	DeleteAll(service string) error
}

type goKeyring struct{}

func (goKeyring) Get(service, user string) (string, error) { return keyring.Get(service, user) }
func (goKeyring) Set(service, user, password string) error {
	return keyring.Set(service, user, password)
}
func (goKeyring) Delete(service, user string) error { return keyring.Delete(service, user) }
func (goKeyring) DeleteAll(service string) error    { return keyring.DeleteAll(service) }

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
	// vanished says whether a call failed because an item that was found was
	// removed or replaced before it could be used.
	vanished func(ctx context.Context, err error) bool
	// count says how many items there are of an account, or of all with "".
	count func(ctx context.Context, account string) (int, error)
	one   *oneCall
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
	k := &osKeyring{o: o, ring: goKeyring{}, runUser: "/run/user", one: &ofProcess}
	k.check, k.vanished, k.count = k.preflight, itemVanished, k.countItems
	return k
}

// Name is "keyring".
func (k *osKeyring) Name() string { return "keyring" }

// Get returns the secret kept for account.
func (k *osKeyring) Get(ctx context.Context, account string) ([]byte, error) {
	var value string
	err := k.guarded(ctx, func(ctx context.Context) (err error) {
		value, err = k.read(ctx, account)
		return err
	})
	switch {
	case errors.Is(err, keyring.ErrNotFound):
		return nil, absent(account)
	case err != nil:
		return nil, err
	case len(value) > MaxSecret: // Set would not have kept it
		return nil, &Error{Kind: ErrUnavailable, Text: fmt.Sprintf("the keyring's item %q is not ours: it has %d bytes", account, len(value)),
			Remedy: "look at it with the keyring's own program, and remove it"}
	}
	return []byte(value), nil
}

func (k *osKeyring) read(ctx context.Context, account string) (value string, err error) {
	err = k.steadily(ctx, func() (err error) {
		value, err = k.ring.Get(Service, account)
		return err
	})
	return value, err
}

// errNotKept is a write that the keyring confirmed and did not do: what a
// dismissed prompt looks like.
var errNotKept = errors.New("what was written is not what is read back")

// Set keeps secret and reads it back.
func (k *osKeyring) Set(ctx context.Context, account string, secret []byte) error {
	if len(secret) > MaxSecret {
		return tooBig(len(secret), MaxSecret)
	}
	return k.guarded(ctx, func(ctx context.Context) error {
		err := k.steadily(ctx, func() error { return k.ring.Set(Service, account, string(secret)) })
		if err != nil {
			return err
		}
		back, err := k.read(ctx, account)
		if errors.Is(err, keyring.ErrNotFound) {
			return errNotKept
		}
		if err == nil && subtle.ConstantTimeCompare([]byte(back), secret) != 1 {
			return errNotKept
		}
		return err
	})
}

// Delete forgets account and looks whether it is gone. There can be several
// items, because other programs may have made theirs with our attributes. A
// call after which there are as many as before would be in vain again: that is
// a dismissed prompt.
func (k *osKeyring) Delete(ctx context.Context, account string) error {
	return k.guarded(ctx, func(ctx context.Context) error {
		for before := math.MaxInt; ; {
			left, err := k.count(ctx, account)
			switch {
			case err != nil || left == 0:
				return err
			case left >= before:
				return errNotKept
			}
			before = left
			err = k.steadily(ctx, func() error { return k.ring.Delete(Service, account) })
			if err != nil && !errors.Is(err, keyring.ErrNotFound) {
				return err
			}
		}
	})
}

// DeleteAll forgets every account of ours and looks whether they are gone.
func (k *osKeyring) DeleteAll(ctx context.Context) error {
	return k.guarded(ctx, func(ctx context.Context) error {
		err := k.steadily(ctx, func() error { return k.ring.DeleteAll(Service) })
		if err != nil && !errors.Is(err, keyring.ErrNotFound) {
			return err
		}
		left, err := k.count(ctx, "")
		if err == nil && left > 0 {
			return errNotKept
		}
		return err
	})
}

// found is count for a keyring that cannot be asked how many items it has.
func (k *osKeyring) found(account string) (int, error) {
	_, err := k.ring.Get(Service, account)
	if errors.Is(err, keyring.ErrNotFound) {
		return 0, nil
	}
	return 1, err
}
