package cache

import (
	"context"
	"errors"
	"strings"

	dbus "github.com/godbus/dbus/v5"
	keyring "github.com/zalando/go-keyring"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// What to do about a keyring that cannot be used.
const (
	noKeyringRemedy = "log in to a desktop session, or start one: dbus-run-session, then gnome-keyring-daemon --unlock; " +
		"or set credentials to \"runtime\" to do without"
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
	var call dbus.Error
	switch {
	case err == nil, errors.As(err, &own), errors.Is(err, keyring.ErrNotFound):
		return err
	case ctx.Err() != nil:
		return late(ctx)
	case errors.Is(err, keyring.ErrSetDataTooBig):
		return &Error{Kind: ErrTooBig, Text: "the secret does not fit into the keyring", Remedy: "use a shorter one"}
	case errors.Is(err, keyring.ErrUnsupportedPlatform):
		return unavailable("there is no keyring on this platform", nil)
	case errors.Is(err, errNotKept):
		return &Error{Kind: ErrUnavailable, Text: "the keyring did not do what it confirmed", Remedy: "answer its dialog, or look at it with its own program", Err: err}
	case errors.As(err, new(*safego.PanicError)):
		// v0.2.8 dereferences nil when the bus goes away in mid-call.
		return unavailable("the connection to the keyring was lost", nil)
	case errors.As(err, &call) && call.Name == "org.freedesktop.DBus.Error.NoReply":
		// What the bus says when the service ends in mid-call.
		return &Error{Kind: ErrUnavailable, Text: "the keyring went away", Remedy: "try again, or restart it: gnome-keyring-daemon --replace --components=secrets", Err: err}
	case errors.As(err, &call) && call.Name == "org.freedesktop.Secret.Error.IsLocked",
		strings.HasPrefix(err.Error(), "failed to unlock correct collection"): // go-keyring has no value for it
		return locked(nil)
	}
	return unavailable("the keyring cannot be used", err)
}
