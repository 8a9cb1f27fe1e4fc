package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// keyringPassword opens the collection. It protects nothing.
const keyringPassword = "lab only"

// Names of the Secret Service and of its collection, as gnome-keyring has them.
const (
	secretService  = "org.freedesktop.secrets"
	secretPath     = "/org/freedesktop/secrets"
	collectionPath = "/org/freedesktop/secrets/collection/login"
	collectionType = "org.freedesktop.Secret.Collection"
	itemType       = "org.freedesktop.Secret.Item"
)

// Keyring is a running gnome-keyring-daemon on a D-Bus of its own. Nothing can
// be activated on that bus: a call to a service that is not there fails at
// once, and no dialog is ever shown.
type Keyring struct {
	// Env is the whole environment of a user's session: HOME, PATH,
	// XDG_RUNTIME_DIR (0700, on a tmpfs where there is one),
	// DBUS_SESSION_BUS_ADDRESS, LOGNAME … Processes that a test starts with it
	// must be gone when the test ends.
	Env []string
	// Home and Runtime are the directories that Env names.
	Home, Runtime string
	// Address is that of the bus.
	Address string

	t      TB
	dir    string
	conn   *dbus.Conn
	bus    *server
	daemon *server
}

// Item is one item of the keyring, without its secret.
type Item struct {
	Label      string
	Attributes map[string]string
}

// StartKeyring starts a keyring whose collection "login" is empty and
// unlocked.
func StartKeyring(t TB) *Keyring {
	t.Helper()
	k := StartBus(t)
	k.startDaemon()
	return k
}

func (k *Keyring) startDaemon() {
	k.t.Helper()
	k.daemon = start(k.t, "gnome-keyring-daemon", k.dir, k.Env, strings.NewReader(keyringPassword), nil,
		"gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
	k.daemon.waitFor("collection on the bus", func() bool {
		locked, err := k.locked()
		return err == nil && !locked
	})
}

// StartLockedKeyring starts a keyring whose collection "login" is locked.
func StartLockedKeyring(t TB) *Keyring {
	t.Helper()
	k := StartKeyring(t)
	k.Lock()
	return k
}

// StartBus starts a session with a bus and no keyring on it.
func StartBus(t TB) *Keyring {
	t.Helper()
	Require(t, SecretService)
	id := LeakCheck(t)
	k := &Keyring{t: t, dir: tempDir(t, "session"), Runtime: tempDirIn(t, tmpfs(), "run")}
	k.Home = filepath.Join(k.dir, "home")
	for _, dir := range []string{k.Home, filepath.Join(k.Home, ".local/share/keyrings")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatalf("%v", err)
		}
	}
	socket := filepath.Join(k.Runtime, "bus")
	k.Address = "unix:path=" + socket
	k.Env = slices.Clip([]string{id, "HOME=" + k.Home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "LOGNAME=lab", "USER=lab",
		"XDG_RUNTIME_DIR=" + k.Runtime, "DBUS_SESSION_BUS_ADDRESS=" + k.Address})
	config := filepath.Join(k.dir, "bus.conf")
	writeFile(t, config, fmt.Appendf(nil, busConfig, k.Address), 0o600)
	k.bus = start(t, "dbus-daemon", k.dir, k.Env, nil, nil, "dbus-daemon", "--config-file="+config,
		"--nofork", "--nopidfile", "--nosyslog")
	t.Cleanup(k.Stop)
	k.bus.waitFor("connection", func() bool {
		conn, err := dbus.Connect(k.Address)
		k.conn = conn
		return err == nil
	})
	return k
}

// busConfig has the limits of a session's bus, which are far from those that a
// bus has without any.
const busConfig = `<busconfig>
  <type>session</type>
  <limit name="max_completed_connections">100000</limit>
  <limit name="max_incomplete_connections">10000</limit>
  <limit name="max_connections_per_user">100000</limit>
  <limit name="max_match_rules_per_connection">50000</limit>
  <limit name="max_replies_per_connection">50000</limit>
  <listen>%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
`

// tmpfs is where to put a runtime directory: programs that look for one refuse
// a disk.
func tmpfs() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// Lock locks the collection.
func (k *Keyring) Lock() {
	k.t.Helper()
	var locked []dbus.ObjectPath
	var prompt dbus.ObjectPath
	err := k.call(secretPath, "org.freedesktop.Secret.Service.Lock", []dbus.ObjectPath{collectionPath}).Store(&locked, &prompt)
	if err != nil || !k.Locked() {
		k.t.Fatalf("the keyring cannot be locked: %v", err)
	}
}

// Unlock unlocks the collection without a dialog, by the interface that the
// login manager's module uses.
func (k *Keyring) Unlock() {
	k.t.Helper()
	var out dbus.Variant
	var session dbus.ObjectPath
	err := k.call(secretPath, "org.freedesktop.Secret.Service.OpenSession", "plain", dbus.MakeVariant("")).Store(&out, &session)
	if err == nil {
		master := struct {
			Session     dbus.ObjectPath
			Parameters  []byte
			Value       []byte
			ContentType string
		}{session, nil, []byte(keyringPassword), "text/plain"}
		err = k.call(secretPath, "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface.UnlockWithMasterPassword",
			dbus.ObjectPath(collectionPath), master).Err
	}
	if err != nil || k.Locked() {
		k.t.Fatalf("the keyring cannot be unlocked: %v", err)
	}
}

// Locked says whether the collection is locked.
func (k *Keyring) Locked() bool {
	k.t.Helper()
	locked, err := k.locked()
	if err != nil {
		k.t.Fatalf("keyring: %v", err)
	}
	return locked
}

// locked asks for the list of collections first: a first question about one of
// them can make the daemon abort.
func (k *Keyring) locked() (locked bool, err error) {
	if _, err := k.conn.Object(secretService, secretPath).GetProperty("org.freedesktop.Secret.Service.Collections"); err != nil {
		return false, err
	}
	err = k.conn.Object(secretService, collectionPath).StoreProperty(collectionType+".Locked", &locked)
	return locked, err
}

// Items lists what the collection holds.
func (k *Keyring) Items() []Item {
	k.t.Helper()
	var paths []dbus.ObjectPath
	if err := k.conn.Object(secretService, collectionPath).StoreProperty(collectionType+".Items", &paths); err != nil {
		k.t.Fatalf("keyring: %v", err)
	}
	items := make([]Item, len(paths))
	for i, path := range paths {
		object := k.conn.Object(secretService, path)
		if err := object.StoreProperty(itemType+".Label", &items[i].Label); err != nil {
			k.t.Fatalf("keyring: %v", err)
		}
		if err := object.StoreProperty(itemType+".Attributes", &items[i].Attributes); err != nil {
			k.t.Fatalf("keyring: %v", err)
		}
	}
	return items
}

// call bounds every call: a frozen daemon does not answer.
func (k *Keyring) call(path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	call := k.conn.Object(secretService, path).Go(method, 0, make(chan *dbus.Call, 1), args...)
	select {
	case <-call.Done:
	case <-time.After(startTimeout):
		k.t.Fatalf("keyring: no answer to %s", method)
	}
	return call
}

// Freeze stops the daemon: calls on the bus get no answer. Thaw lets it go on.
func (k *Keyring) Freeze() { k.daemon.signal(sigStop) }

// Thaw ends Freeze.
func (k *Keyring) Thaw() { k.daemon.signal(sigCont) }

// Kill kills the daemon: the bus has no keyring any more.
func (k *Keyring) Kill() { k.daemon.kill() }

// Restart starts the daemon anew after Kill, unlocked and with what it had.
func (k *Keyring) Restart() {
	k.t.Helper()
	k.daemon.end()
	k.startDaemon()
}

// KillBus kills the bus. The daemon then ends by itself.
func (k *Keyring) KillBus() {
	k.bus.kill()
	if k.daemon != nil {
		k.daemon.ended = true
	}
}

// Newest is the number of the newest connection that is open on the bus, which
// numbers them in their order: whoever connects from now on has a higher one,
// whether the bus has noticed the end of earlier ones or not.
func (k *Keyring) Newest() (newest int) {
	k.t.Helper()
	var names []string
	if err := k.conn.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names); err != nil {
		k.t.Fatalf("bus: %v", err)
	}
	for _, name := range names {
		if number, ok := strings.CutPrefix(name, ":1."); ok {
			n, _ := strconv.Atoi(number)
			newest = max(newest, n)
		}
	}
	return newest
}

// Connect opens another connection to the bus until the test ends.
func (k *Keyring) Connect() *dbus.Conn {
	k.t.Helper()
	conn, err := dbus.Connect(k.Address)
	if err != nil {
		k.t.Fatalf("bus: %v", err)
	}
	k.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Stop ends the daemon and the bus.
func (k *Keyring) Stop() {
	k.t.Helper()
	if k.conn != nil {
		k.conn.Close()
	}
	for _, s := range []*server{k.daemon, k.bus} {
		if s != nil {
			s.end()
		}
	}
	k.daemon, k.bus, k.conn = nil, nil, nil
}
