package cache

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"

	dbus "github.com/godbus/dbus/v5"
	keyring "github.com/zalando/go-keyring"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// What to do about a keyring that cannot be used.
const (
	noKeyringRemedy = "log in to a desktop session, or start one: dbus-run-session, then gnome-keyring-daemon --unlock; " +
		"or do without: with credentials = \"auto\", log in for each proxy"
	lockedRemedy = "unlock it by logging in to the desktop, or with: gnome-keyring-daemon --replace --unlock --components=secrets"
)

func unavailable(text string, err error) error {
	return &Error{Kind: ErrUnavailable, Text: text, Remedy: noKeyringRemedy, Err: err}
}

func locked(err error) error {
	return &Error{Kind: ErrLocked, Text: "the keyring is locked", Remedy: lockedRemedy, Err: err}
}

// classify turns what go-keyring and D-Bus return into the kinds of this
// package. keyring.ErrNotFound stays for the caller, who knows the account.
func classify(ctx context.Context, err error) error {
	var own *Error
	switch {
	case err == nil, errors.Is(err, keyring.ErrNotFound):
		return err
	case errors.As(err, &own) && own.Kind != ErrUnavailable:
		return err
	case ctx.Err() != nil: // whatever could not be had in time
		return late(ctx)
	case own != nil:
		return err
	case errors.Is(err, keyring.ErrSetDataTooBig):
		return &Error{Kind: ErrTooBig, Text: "the secret does not fit into the keyring", Remedy: "use a shorter one"}
	case errors.Is(err, keyring.ErrUnsupportedPlatform):
		return unavailable("there is no keyring on this platform", nil)
	case errors.Is(err, errNotKept):
		return &Error{Kind: ErrUnavailable, Text: "the keyring did not do what it confirmed", Remedy: "answer its dialog, or look at it with its own program", Err: err}
	case errors.As(err, new(*safego.PanicError)), errors.Is(err, dbus.ErrClosed), errors.Is(err, io.EOF):
		// v0.2.8 dereferences nil when the bus goes away in mid-call.
		return unavailable("the connection to the keyring was lost", nil)
	case hasName(err, noReply...), hasName(err, noService...):
		return &Error{Kind: ErrUnavailable, Text: "the keyring went away", Remedy: "try again, or restart it: gnome-keyring-daemon --replace --components=secrets", Err: spoken{err}}
	case hasName(err, "org.freedesktop.Secret.Error.IsLocked"), strings.HasPrefix(err.Error(), notUnlocked):
		return locked(nil)
	}
	return unavailable("the keyring cannot be used", spoken{err})
}

// Names of D-Bus errors: the service ended in mid-call; there is none; it does
// not know the object, in the words of old and new ones.
var (
	noReply   = []string{"org.freedesktop.DBus.Error.NoReply"}
	noService = []string{"org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner"}
	noObject  = []string{"org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownMethod",
		"org.freedesktop.DBus.Error.UnknownInterface", "org.freedesktop.Secret.Error.NoSuchObject"}
)

func hasName(err error, names ...string) bool {
	var call dbus.Error
	return errors.As(err, &call) && slices.Contains(names, call.Name)
}

// notUnlocked begins go-keyring's error for a refused unlocking, which has no
// value of its own; a path in quotes follows.
const notUnlocked = "failed to unlock correct collection "

// spoken is an error in the words of another program: they come from outside.
type spoken struct{ error }

// maxSpoken bounds them, in bytes.
const maxSpoken = 300

// Error is one line that a terminal can show.
func (s spoken) Error() string {
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s.error.Error())
	if len(text) > maxSpoken {
		text = strings.ToValidUTF8(text[:maxSpoken], "") + "..."
	}
	return text
}

// Unwrap returns the error itself.
func (s spoken) Unwrap() error { return s.error }
