//go:build unix && !darwin

package cache

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"

	dbus "github.com/godbus/dbus/v5"
)

const (
	busVariable    = "DBUS_SESSION_BUS_ADDRESS"
	runtimeVar     = "XDG_RUNTIME_DIR"
	secretsName    = "org.freedesktop.secrets"
	secretsPath    = dbus.ObjectPath("/org/freedesktop/secrets")
	serviceType    = "org.freedesktop.Secret.Service"
	collectionType = "org.freedesktop.Secret.Collection"
	itemType       = "org.freedesktop.Secret.Item"
	loginPath      = dbus.ObjectPath("/org/freedesktop/secrets/collection/login")
	defaultPath    = dbus.ObjectPath("/org/freedesktop/secrets/aliases/default")
)

// preflight makes sure that go-keyring will find a session bus of ours with a
// Secret Service whose collection is unlocked. It connects by the same shared
// connection that go-keyring uses and costs one round trip more. restore must
// be called when the keyring is no longer used: a keyring that is not used has
// no connection.
func (k *osKeyring) preflight(ctx context.Context) (restore func(), err error) {
	restore = func() {}
	address, err := findBus(ctx, k.o.Getenv(busVariable), []string{k.o.Getenv(runtimeVar), userDir(k.runUser, k.o.UID)}, k.o.UID)
	if err != nil {
		return restore, err
	}
	environment, err := k.setBus(address)
	if err != nil {
		return environment, err
	}
	conn, err := connect(ctx)
	if err != nil {
		return environment, unavailable("there is no connection to the D-Bus session bus", spoken{err})
	}
	// Closed, because a process that then waits for another one would keep its
	// place on a bus that admits only so many.
	restore = func() { _ = conn.Close(); environment() }
	_, isLocked, err := findCollection(ctx, conn)
	switch {
	case err != nil:
		return restore, err
	case isLocked && !promptAllowed(ctx):
		return restore, locked(nil)
	}
	return restore, nil
}

// connect returns the connection that go-keyring will use.
func connect(ctx context.Context) (conn *dbus.Conn, err error) {
	err = patiently(ctx, func() (err error) {
		conn, err = dbus.SessionBus()
		return err
	})
	return conn, err
}

// patiently calls f again while too many wait at the bus for a connection:
// older ones let no more than 30 queue, and a stampede is more. The kernel then
// refuses at once.
func patiently(ctx context.Context, f func() error) error {
	err := f()
	for errors.Is(err, syscall.EAGAIN) && ctx.Err() == nil {
		sleep(ctx, 5*time.Millisecond)
		err = f()
	}
	return err
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

// activationGrace is how long a service that we started may take to show its
// collection: its name is on the bus a moment before.
const activationGrace = 500 * time.Millisecond

// findCollection returns the collection that go-keyring will use and reads its
// Locked property: that never raises a prompt. A service that is not running
// is started only if the bus knows how.
func findCollection(ctx context.Context, conn *dbus.Conn) (path dbus.ObjectPath, isLocked bool, err error) {
	path, isLocked, err = readLocked(ctx, conn)
	if hasName(err, noService...) {
		if err := activate(ctx, conn); err != nil {
			return "", false, err
		}
		for end := time.Now().Add(activationGrace); ; sleep(ctx, 10*time.Millisecond) {
			path, isLocked, err = readLocked(ctx, conn)
			if !errors.Is(err, errNoCollection) || time.Now().After(end) || ctx.Err() != nil {
				break
			}
		}
	}
	switch {
	case hasName(err, noService...):
		return "", false, unavailable("no Secret Service runs on the D-Bus session bus", nil)
	case errors.Is(err, errNoCollection):
		return "", false, &Error{Kind: ErrUnavailable, Text: "the keyring has no default collection", Err: err,
			Remedy: "make one by logging in to the desktop, or with: gnome-keyring-daemon --replace --unlock --components=secrets"}
	}
	return path, isLocked, err
}

var errNoCollection = errors.New("it is unknown")

// readLocked greets the service first. gnome-keyring (42.1 to 50) takes note of
// a client when it hears of it, but now and then a moment after it has begun
// to answer: if the first question is one about a collection, it then finds no
// client and aborts, once in some ten thousand connections (measured), and is
// locked when it comes back. The list of collections belongs to no client.
func readLocked(ctx context.Context, conn *dbus.Conn) (dbus.ObjectPath, bool, error) {
	if err := property(ctx, conn, secretsPath, serviceType, "Collections", new(dbus.Variant)); err != nil {
		return "", false, err
	}
	for _, path := range []dbus.ObjectPath{loginPath, defaultPath} {
		isLocked, err := lockedProperty(ctx, conn, path)
		var call dbus.Error
		if !errors.As(err, &call) || hasName(err, noService...) || hasName(err, noReply...) {
			return path, isLocked, err
		}
		// No such collection, in the words of the service at hand.
	}
	return "", false, errNoCollection
}

func lockedProperty(ctx context.Context, conn *dbus.Conn, path dbus.ObjectPath) (bool, error) {
	var v dbus.Variant
	if err := property(ctx, conn, path, collectionType, "Locked", &v); err != nil {
		return false, err
	}
	isLocked, ok := v.Value().(bool)
	if !ok {
		return false, errors.New("its Locked property is no boolean")
	}
	return isLocked, nil
}

func property(ctx context.Context, conn *dbus.Conn, path dbus.ObjectPath, iface, name string, v *dbus.Variant) error {
	return conn.Object(secretsName, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, iface, name).Store(v)
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

// itemVanished: another process removed or replaced the item between the
// search and its use. go-keyring says of one that was to be unlocked just then
// that it was not unlocked: a look at it, which raises no prompt, tells.
func itemVanished(ctx context.Context, err error) bool {
	if hasName(err, noObject...) {
		return true
	}
	quoted, ok := strings.CutPrefix(err.Error(), notUnlocked)
	path := dbus.ObjectPath(strings.Trim(quoted, "'"))
	if !ok || path == loginPath || path == defaultPath || !path.IsValid() {
		return false
	}
	conn, err := connect(ctx)
	if err != nil {
		return false
	}
	return hasName(property(ctx, conn, path, itemType, "Locked", new(dbus.Variant)), noObject...)
}

// countItems counts the items that go-keyring finds.
func (k *osKeyring) countItems(ctx context.Context, account string) (int, error) {
	conn, err := connect(ctx)
	if err != nil {
		return 0, err
	}
	path, _, err := findCollection(ctx, conn)
	if err != nil {
		return 0, err
	}
	want := map[string]string{"service": Service}
	if account != "" {
		want["username"] = account
	}
	var found []dbus.ObjectPath
	err = conn.Object(secretsName, path).CallWithContext(ctx, collectionType+".SearchItems", dbus.FlagNoAutoStart, want).Store(&found)
	return len(found), err
}
