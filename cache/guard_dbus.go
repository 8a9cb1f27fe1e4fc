//go:build unix && !darwin

package cache

import (
	"context"
	"errors"
	"slices"

	dbus "github.com/godbus/dbus/v5"
)

const (
	busVariable    = "DBUS_SESSION_BUS_ADDRESS"
	secretsName    = "org.freedesktop.secrets"
	secretsPath    = dbus.ObjectPath("/org/freedesktop/secrets")
	serviceType    = "org.freedesktop.Secret.Service"
	collectionType = "org.freedesktop.Secret.Collection"
	loginPath      = dbus.ObjectPath("/org/freedesktop/secrets/collection/login")
	defaultPath    = dbus.ObjectPath("/org/freedesktop/secrets/aliases/default")
)

// preflight makes sure that go-keyring will find a session bus of ours with a
// Secret Service whose collection is unlocked. It connects by the same shared
// connection that go-keyring uses and costs two round trips more. restore must
// be called when the keyring is no longer used.
func (k *osKeyring) preflight(ctx context.Context) (restore func(), err error) {
	restore = func() {}
	address, err := findBus(ctx, k.o.Getenv(busVariable), k.runUser, k.o.UID)
	if err != nil {
		return restore, err
	}
	if restore, err = k.setBus(address); err != nil {
		return restore, err
	}
	conn, err := dbus.SessionBus()
	if err != nil {
		return restore, unavailable("there is no connection to the D-Bus session bus", err)
	}
	isLocked, err := collectionLocked(ctx, conn)
	switch {
	case err != nil:
		return restore, err
	case isLocked && !promptAllowed(ctx):
		return restore, locked(nil)
	}
	return restore, nil
}

// setBus tells the D-Bus client where to connect. Without the variable it
// would run dbus-launch, which leaves a daemon behind at each call (measured).
func (k *osKeyring) setBus(address string) (restore func(), err error) {
	old := k.o.Getenv(busVariable)
	if old == address {
		return func() {}, nil
	}
	restore = func() { _ = k.o.Setenv(busVariable, old) }
	if old == "" {
		restore = func() { _ = k.o.Unsetenv(busVariable) }
	}
	return restore, k.o.Setenv(busVariable, address)
}

// collectionLocked reads the Locked property of the collection that go-keyring
// will use: reading never raises a prompt. A service that is not running is
// started only if the bus knows how.
func collectionLocked(ctx context.Context, conn *dbus.Conn) (bool, error) {
	isLocked, err := readLocked(ctx, conn)
	if hasName(err, "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner") {
		if err := activate(ctx, conn); err != nil {
			return false, err
		}
		isLocked, err = readLocked(ctx, conn)
	}
	if hasName(err, "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner") {
		return false, unavailable("no Secret Service runs on the D-Bus session bus", nil)
	}
	return isLocked, err
}

// readLocked greets the service first. gnome-keyring (42.1 to 50) takes note of
// a client when it hears of it, but now and then a moment after it has begun
// to answer: if the first question is one about a collection, it then finds no
// client and aborts, once in some ten thousand connections (measured), and is
// locked when it comes back. The list of collections belongs to no client.
func readLocked(ctx context.Context, conn *dbus.Conn) (bool, error) {
	if _, err := property(ctx, conn, secretsPath, serviceType, "Collections"); err != nil {
		return false, err
	}
	isLocked, err := lockedProperty(ctx, conn, loginPath)
	var call dbus.Error
	if errors.As(err, &call) && !hasName(err, "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.NoReply") {
		// No such collection, in the words of the service at hand.
		isLocked, err = lockedProperty(ctx, conn, defaultPath)
		if errors.As(err, &call) {
			err = &Error{Kind: ErrUnavailable, Text: "the keyring has no default collection", Err: err,
				Remedy: "make one by logging in to the desktop, or with: gnome-keyring-daemon --replace --unlock --components=secrets"}
		}
	}
	return isLocked, err
}

func lockedProperty(ctx context.Context, conn *dbus.Conn, path dbus.ObjectPath) (bool, error) {
	v, err := property(ctx, conn, path, collectionType, "Locked")
	if err != nil {
		return false, err
	}
	isLocked, ok := v.Value().(bool)
	if !ok {
		return false, errors.New("its Locked property is no boolean")
	}
	return isLocked, nil
}

func property(ctx context.Context, conn *dbus.Conn, path dbus.ObjectPath, iface, name string) (v dbus.Variant, err error) {
	call := conn.Object(secretsName, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, iface, name)
	return v, call.Store(&v)
}

// activate starts a Secret Service that is installed but not running: on a
// desktop the first program to ask does that. The bus is a running one.
func activate(ctx context.Context, conn *dbus.Conn) error {
	var names []string
	if err := conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.ListActivatableNames", 0).Store(&names); err != nil {
		return err
	}
	if !slices.Contains(names, secretsName) {
		return unavailable("no Secret Service runs on the D-Bus session bus", nil)
	}
	if err := conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.StartServiceByName", 0, secretsName, uint32(0)).Err; err != nil {
		return unavailable("the Secret Service cannot be started", err)
	}
	return nil
}

func hasName(err error, names ...string) bool {
	var call dbus.Error
	return errors.As(err, &call) && slices.Contains(names, call.Name)
}
