package lab

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func secretTool(k *Keyring, stdin string, args ...string) (string, error) {
	cmd := exec.Command("timeout", append([]string{"60", "secret-tool"}, args...)...)
	cmd.Env, cmd.Stdin = k.Env, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestKeyring: a real client stores and finds; a locked keyring gives nothing
// away and comes back.
func TestKeyring(t *testing.T) {
	k := StartKeyring(t)
	if n := len(k.Items()); n != 0 {
		t.Errorf("%d items in a new keyring", n)
	}
	if out, err := secretTool(k, "s3cret", "store", "--label=Test", "service", "x", "username", "jane"); err != nil {
		t.Fatalf("store: %v, %s", err, out)
	}
	items := k.Items()
	if len(items) != 1 || items[0].Label != "Test" || items[0].Attributes["username"] != "jane" {
		t.Fatalf("items: %v", items)
	}
	if out, err := secretTool(k, "", "lookup", "service", "x"); err != nil || out != "s3cret" {
		t.Errorf("lookup: %v, %q", err, out)
	}
	k.Lock()
	if !k.Locked() {
		t.Error("not locked")
	}
	if out, err := secretTool(k, "", "lookup", "service", "x"); err == nil || strings.Contains(out, "s3cret") {
		t.Errorf("lookup in a locked keyring: %v, %q", err, out)
	}
	k.Unlock()
	if out, err := secretTool(k, "", "lookup", "service", "x"); err != nil || out != "s3cret" {
		t.Errorf("lookup after unlocking: %v, %q", err, out)
	}
}

// TestLockedKeyring starts as a machine does where nobody has logged in.
func TestLockedKeyring(t *testing.T) {
	k := StartLockedKeyring(t)
	if !k.Locked() {
		t.Error("not locked")
	}
	if out, err := secretTool(k, "v", "store", "--label=Test", "service", "x"); err == nil || len(k.Items()) != 0 {
		t.Errorf("stored in a locked keyring: %v, %s", err, out)
	}
}

// TestFrozenKeyring: clients of a frozen daemon wait, and its end is clean.
func TestFrozenKeyring(t *testing.T) {
	k := StartKeyring(t)
	k.Freeze()
	cmd := exec.Command("timeout", "0.3", "secret-tool", "lookup", "service", "x")
	cmd.Env = k.Env
	started := time.Now()
	if err := cmd.Run(); err == nil || time.Since(started) < 300*time.Millisecond {
		t.Errorf("the frozen daemon answered: %v after %v", err, time.Since(started))
	}
}

// TestBusAlone: on a bus without a keyring a client is told so at once, and
// nothing is started for it.
func TestBusAlone(t *testing.T) {
	k := StartBus(t)
	if out, err := secretTool(k, "", "lookup", "service", "x"); err == nil || !strings.Contains(out, "org.freedesktop.secrets") {
		t.Errorf("got %v, %q", err, out)
	}
}
