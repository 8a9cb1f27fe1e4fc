package main

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// TestStoresAndKeyring: the default store in a session whose keyring is locked
// in the middle of the day.
func TestStoresAndKeyring(t *testing.T) {
	k := lab.StartKeyring(t)
	w := keyringWorld(t, k)
	w.configure(wherever)
	w.login()
	w.expect(t, `{"cache":"only"}`, "", `"stored_in":"keyring"`)

	k.Lock()
	w.expect(t, `{"cache":"only"}`, "keyring_locked", "the keyring is locked")
	w.expect(t, `{}`, "keyring_locked", "unlock_keyring")
	if r := w.run(passphrase+"\n", "login", "--passphrase-stdin"); r.status != 7 || !strings.Contains(r.stderr, "locked") {
		t.Errorf("login: %+v", r)
	}
	w.configure("passphrases = \"none\"\n")
	if r := w.run(passphrase+"\n", "login", "--passphrase-stdin"); r.status != 0 || !strings.Contains(r.stderr, "note: the keyring is locked: the credential is kept ") {
		t.Errorf("login: %+v", r)
	}
	w.expect(t, `{}`, "", `"source":"cache"`)
	r := w.run("{}", "list")
	check(t, w, "list", r, "")
	if err := conforms(t, "list.answer", []byte(r.stdout)); err != nil || !strings.Contains(r.stdout, `"warnings":[{"code":"keyring_locked","message":"the keyring is locked"}]`) {
		t.Errorf("a list that may not be whole: %s, %v", r.stdout, err)
	}
	r = w.run("", "status")
	if !strings.Contains(r.stdout, "keyring not usable: the keyring is locked\n  unlock it") || strings.Contains(r.stdout, "unknown") {
		t.Errorf("status: %+v", r)
	}
	check(t, w, "erase", w.run("{}", "erase"), "keyring_locked")
	check(t, w, "erase --all", w.run("", "erase", "--all"), "keyring_locked")

	k.Unlock()
	w.configure(wherever)
	w.expect(t, `{"cache":"only"}`, "", `"stored_in":"keyring"`) // what it held is as it was
	if r := w.run("", "rotate-keys"); r.status != 0 || strings.Count(r.stdout, "\n") != 1 || r.stderr != "" {
		t.Errorf("rotate-keys: %+v", r)
	}
	w.expect(t, `{"cache":"only"}`, "", `"stored_in":"keyring"`)
	w.expect(t, `{"cache":"bypass"}`, "", `"source":"backend"`) // with the pass phrase
	if r := w.run("", "logout", "--all"); r.stdout != "erased: 1 proxy, 1 pass phrase, of all profiles\n" {
		t.Errorf("logout --all: %+v", r)
	}
	if items := k.Items(); len(items) > 0 {
		t.Errorf("the keyring still has %v", items)
	}
	for _, path := range w.credentialFiles() {
		t.Errorf("left: %s", path)
	}
}

// TestKeyTTL: with key_ttl a look-up does without the keyring for a while, also
// behind a lock; a pass phrase is never to be had so, and erasing ends it.
func TestKeyTTL(t *testing.T) {
	k := lab.StartKeyring(t)
	w := keyringWorld(t, k)
	w.configure("key_ttl = \"1h\"\n")
	w.login()
	w.expect(t, `{"cache":"only"}`, "", `"stored_in":"keyring"`)
	k.Lock()
	w.expect(t, `{"cache":"only"}`, "", `"stored_in":"keyring"`)
	w.expect(t, `{"cache":"bypass"}`, "keyring_locked", "")
	w.configure(wherever)
	w.expect(t, `{"cache":"only"}`, "keyring_locked", "")
	k.Unlock()
	w.configure("key_ttl = \"1h\"\n")
	check(t, w, "erase --all", w.run("", "erase", "--all"), "")
	w.login()
	k.Lock()
	w.expect(t, `{"cache":"only"}`, "keyring_locked", "") // no copy of a key outlives erasing
}

// expect calls get and checks its code and some text of its answer.
func (w *world) expect(t *testing.T, request, code, text string) {
	t.Helper()
	r := w.run(request, "get")
	check(t, w, "get "+request, r, code)
	if !strings.Contains(r.stdout, text) {
		t.Errorf("get %s: no %s in %.400s", request, text, r.stdout)
	}
}

// credentialFiles are the files of credentials in a world.
func (w *world) credentialFiles() (list []string) {
	w.t.Helper()
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); ext == ".xche" || ext == ".cred" || ext == ".pem" && strings.Contains(path, "/proxy/") {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}
