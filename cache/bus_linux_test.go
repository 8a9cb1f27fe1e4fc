package cache

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	dbus "github.com/godbus/dbus/v5"
)

// require skips a test whose programs are missing, or fails it where the
// laboratory is required.
func require(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		missing(t, p+" is missing: install the Debian packages dbus and gnome-keyring")
	}
}

func missing(t testing.TB, text string) {
	t.Helper()
	if os.Getenv("X509CH_LAB") == "require" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// bus is a private session bus.
type bus struct {
	dir     string
	address string
	daemon  *exec.Cmd
	killed  sync.Once
}

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>%s</listen><auth>EXTERNAL</auth><servicedir>%s</servicedir>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`

// startBus starts a bus that knows no service but those in services, a
// directory, which may be empty.
func startBus(t testing.TB) *bus {
	t.Helper()
	return startBusAt(t, "")
}

// startBusAt starts a bus at an address, or in its directory.
func startBusAt(t testing.TB, address string) *bus {
	t.Helper()
	require(t, "dbus-daemon")
	dir, err := os.MkdirTemp("", "bus-") // t.TempDir can be too long for a socket
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bus{dir: dir}
	if address == "" {
		address = "unix:path=" + dir + "/bus"
	}
	services := filepath.Join(dir, "services")
	must(t, os.Mkdir(services, 0o700))
	config := filepath.Join(dir, "bus.conf")
	must(t, os.WriteFile(config, fmt.Appendf(nil, busConfig, address, services), 0o600))
	b.daemon = exec.Command("dbus-daemon", "--config-file="+config, "--nofork", "--print-address=1")
	out, err := b.daemon.StdoutPipe()
	must(t, err)
	must(t, b.daemon.Start())
	t.Cleanup(b.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	b.address = strings.TrimSpace(line)
	return b
}

func (b *bus) kill() {
	b.killed.Do(func() {
		_ = b.daemon.Process.Kill()
		_ = b.daemon.Wait()
	})
}

func (b *bus) connect(t testing.TB) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(b.address)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// env is the environment of a process on this bus.
func (b *bus) env() []string {
	return []string{"DBUS_SESSION_BUS_ADDRESS=" + b.address, "HOME=" + b.dir, "XDG_RUNTIME_DIR=" + b.dir,
		"XDG_DATA_HOME=" + b.dir, "DISPLAY=", "WAYLAND_DISPLAY="}
}

// startKeyring starts the real gnome-keyring, unlocked, on a bus of its own.
func startKeyring(t testing.TB) *bus {
	t.Helper()
	b := startDaemon(t, "--foreground", "--unlock", "--components=secrets")
	conn := b.connect(t)
	waitFor(t, "an unlocked keyring", func() bool {
		// The service's name is there a moment before its collection is. Why
		// it is greeted first stands at readLocked.
		if _, err := conn.Object(secretsName, secretsPath).GetProperty(serviceType + ".Collections"); err != nil {
			return false
		}
		v, err := conn.Object(secretsName, loginPath).GetProperty(collectionType + ".Locked")
		return err == nil && v.Value() == false
	})
	return b
}

// startDaemon starts gnome-keyring-daemon and waits for its name.
func startDaemon(t testing.TB, args ...string) *bus {
	t.Helper()
	require(t, "gnome-keyring-daemon")
	b := startBus(t)
	must(t, os.Mkdir(filepath.Join(b.dir, "keyrings"), 0o700))
	cmd := exec.Command("gnome-keyring-daemon", args...)
	cmd.Env = append(os.Environ(), b.env()...)
	cmd.Stdin = strings.NewReader("only for tests")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("gnome-keyring-daemon: %v; it said: %s", cmd.ProcessState, stderr.String())
		}
	})
	conn := b.connect(t)
	waitFor(t, "gnome-keyring-daemon", func() (owned bool) {
		err := conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, secretsName).Store(&owned)
		return err == nil && owned
	})
	return b
}

func waitFor(t testing.TB, what string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ready() {
			return
		}
	}
	t.Fatalf("no %s after a minute", what)
}

// lock locks the real keyring.
func (b *bus) lock(t testing.TB) {
	t.Helper()
	var done []dbus.ObjectPath
	var prompt dbus.ObjectPath
	must(t, b.connect(t).Object(secretsName, "/org/freedesktop/secrets").
		Call("org.freedesktop.Secret.Service.Lock", 0, []dbus.ObjectPath{loginPath}).Store(&done, &prompt))
	if len(done) != 1 {
		t.Fatalf("locked %v, prompt %s", done, prompt)
	}
}
