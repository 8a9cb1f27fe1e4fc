package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// keyringWorld is a world in the session of a real keyring.
func keyringWorld(t *testing.T, k *lab.Keyring) *world {
	t.Helper()
	w := newWorld(t, inKeyring)
	env := slices.DeleteFunc(slices.Clone(w.env), func(kv string) bool { return strings.HasPrefix(kv, "PATH=") })
	w.env = append(slices.Clone(k.Env), env[1:]...) // HOME is the session's
	return w
}

// TestKeyring: the whole way with a pass phrase that is kept: store it, fetch
// without anybody there, be served from the cache, log out.
func TestKeyring(t *testing.T) {
	w := keyringWorld(t, lab.StartKeyring(t))
	request := fmt.Sprintf(`{"secret":{"kind":"passphrase","value":%q}}`, passphrase)
	check(t, w, "store", w.run(request, "store"), "")
	for i, source := range []string{"backend", "cache"} {
		r := w.run("{}", "get")
		check(t, w, "get", r, "")
		if a, _ := oneObject(r.stdout); a.Source != source {
			t.Errorf("get %d came from %q, expected %q", i, a.Source, source)
		}
	}
	if r := w.run("", "exec", "--", "sh", "-c", `echo "$DBUS_SESSION_BUS_ADDRESS"`); !slices.Contains(w.env, "DBUS_SESSION_BUS_ADDRESS="+strings.TrimSpace(r.stdout)) {
		t.Errorf("the command has another bus than we: %+v", r)
	}
	if r := w.run("", "status"); !strings.Contains(r.stdout, "keyring      keyring") {
		t.Errorf("status: %+v", r)
	}
	if r := w.run("", "logout"); r.stdout != "erased: 1 proxy, the pass phrase\n" {
		t.Errorf("logout: %+v", r)
	}
	check(t, w, "get after logout", w.run("{}", "get"), "interaction_required")
	if r := w.run(passphrase+"\n", "login", "--passphrase-stdin"); !strings.Contains(r.stdout, "the pass phrase is kept in the keyring") {
		t.Errorf("login: %+v", r)
	}
	check(t, w, "bypass", w.run(`{"cache":"bypass"}`, "get"), "")
	if n := w.server.Connections(); n != 3 {
		t.Errorf("%d connections were made, expected 3", n)
	}
}

// TestLockedKeyring: a locked keyring is not an empty one.
func TestLockedKeyring(t *testing.T) {
	w := keyringWorld(t, lab.StartLockedKeyring(t))
	check(t, w, "get", w.run("{}", "get"), "keyring_locked")
	check(t, w, "list", w.run("{}", "list"), "keyring_locked")
	if r := w.run(passphrase+"\n", "login", "--passphrase-stdin"); r.status != 7 {
		t.Errorf("login: %+v", r)
	}
	if r := w.run("", "exec", "--", "true"); r.status != 125 {
		t.Errorf("exec: %+v", r)
	}
	if r := w.run("", "status", "--check"); r.status != 7 {
		t.Errorf("status --check: %+v", r)
	}
	if n := w.server.Connections(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestNoKeyring: without a bus the answer names what to do, and nothing starts
// one. The D-Bus client would run dbus-launch, which leaves a daemon behind at
// each call; here that is a trap.
func TestNoKeyring(t *testing.T) {
	w := newWorld(t, inKeyring)
	sprung := w.path("sprung")
	trap := "#!/bin/sh\necho \"$0 $*\" >>" + sprung + "\n"
	for _, program := range []string{"dbus-launch", "dbus-daemon", "gnome-keyring-daemon"} {
		if err := os.WriteFile(w.path(program), []byte(trap), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.env = append(w.env, "PATH="+w.dir+":"+os.Getenv("PATH"), "DISPLAY=:99", lab.LeakCheck(t))
	r := w.run("{}", "get")
	check(t, w, "get", r, "keyring_unavailable")
	if a, _ := oneObject(r.stdout); a.Error.Hint == "" {
		t.Errorf("no remedy: %s", r.stdout)
	}
	store := fmt.Sprintf(`{"secret":{"kind":"passphrase","value":%q}}`, passphrase)
	check(t, w, "store", w.run(store, "store"), "keyring_unavailable")
	check(t, w, "list", w.run("{}", "list"), "keyring_unavailable")
	check(t, w, "erase", w.run(`{"what":["all"]}`, "erase"), "keyring_unavailable")
	for _, args := range [][]string{{"status"}, {"login", "--passphrase-stdin"}, {"exec", "--", "true"}, {"logout"}, {"capabilities"}} {
		w.run(passphrase+"\n", args...)
	}
	if ran, err := os.ReadFile(sprung); err == nil {
		t.Errorf("a daemon was to be started:\n%s", ran)
	}
}

// TestSilentKeyring: a bus whose keyring never answers is given up after the
// guard's three seconds, not at the end of the request's five minutes.
func TestSilentKeyring(t *testing.T) {
	t.Parallel()
	k := lab.StartKeyring(t)
	w := keyringWorld(t, k)
	k.Freeze()
	defer k.Thaw()
	w.env = append(w.env, hastyVar+"=1")
	check(t, w, "get", w.run(`{"timeout":300}`, "get"), "keyring_unavailable") // or is killed before
}
