package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab/fakesecret"
)

// verb is one way to call the program.
type verb struct {
	name  string
	args  []string
	stdin string
	cold  bool // with an empty cache
}

// verbs are all of them, in an order in which each finds what it needs.
var verbs = []verb{
	{"capabilities", []string{"capabilities"}, "", false},
	{"list", []string{"list"}, "{}", false},
	{"status", []string{"status", "--check"}, "", false},
	{"get warm", []string{"get"}, "{}", false},
	{"get cold", []string{"get"}, "{}", true},
	{"exec", []string{"exec", "--", "true"}, "", true},
	{"login", []string{"login", "--passphrase-stdin"}, passphrase + "\n", true},
	{"store", []string{"store"}, fmt.Sprintf(`{"secret":{"kind":"passphrase","value":%q}}`, passphrase+" too"), false},
	{"erase", []string{"erase"}, `{"what":["all"]}`, false},
	{"logout", []string{"logout"}, "", false},
}

// protocol says whether programs read the verb's answer.
func (v verb) protocol() bool { return helper.IsVerb(v.args[0]) }

// sickbed is a user's machine whose keyring is about to fall ill. The pass
// phrase is in the keyring and a proxy in the cache.
type sickbed struct {
	*world
	table string // [store]
	// unsaved is set where the keyring can be read and not written: a login
	// then has a proxy, and may say so, but not that the pass phrase is kept.
	unsaved bool
	// gone is set where a keyring that is not there is as good as an empty one.
	gone bool
}

func newSickbed(t *testing.T, k *lab.Keyring, table string) *sickbed {
	t.Helper()
	w := keyringWorld(t, k)
	w.env = append(w.env, lab.LeakCheck(t))
	s := &sickbed{world: w, table: table}
	w.configure(table)
	w.env = append(w.env, "XDG_CACHE_HOME="+w.path("warm"))
	w.login()
	return s
}

// call is a call of the program on a machine of its own with the same keyring:
// no lock and no note of another call matters to it.
func (s *sickbed) call(v verb, env ...string) *call {
	s.t.Helper()
	dir, err := os.MkdirTemp(s.dir, strings.ReplaceAll(v.name, " ", "-")+"-")
	if err != nil {
		s.t.Fatal(err)
	}
	own := &world{t: s.t, dir: dir, program: s.program, server: s.server}
	own.env = slices.DeleteFunc(slices.Clone(s.env), func(kv string) bool { return strings.HasPrefix(kv, "XDG_CACHE_HOME=") })
	own.env = append(append(own.env, "XDG_CACHE_HOME="+own.path("cache"), "X509_CREDENTIAL_HELPER_CONFIG="+own.path("config.toml")), env...)
	own.configure(s.table)
	if !v.cold {
		if err := os.CopyFS(own.path("cache"), os.DirFS(s.path("warm"))); err != nil {
			s.t.Fatal(err)
		}
		private(s.t, own.path("cache"))
	}
	cmd := own.command(v.args...)
	cmd.Stdin = strings.NewReader(v.stdin)
	return own.start(cmd)
}

// private gives copied files the rights that they had.
func private(t testing.TB, dir string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode().Perm()&0o700)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// judge compares an outcome with what it has to be: one JSON object for
// programs, the right code or exit status, the pass phrase nowhere.
func (s *sickbed) judge(v verb, r result, want helper.Code) {
	s.t.Helper()
	if s.unsaved && want != "" && v.name == "login" && r.status == 0 {
		if want = ""; strings.Contains(r.stdout, "is kept in the keyring") {
			s.t.Errorf("login claims too much: %s", r.stdout)
		}
	}
	status, code := 0, ""
	if want != "" {
		status = want.ExitStatus()
	}
	if v.protocol() {
		a, err := oneObject(r.stdout)
		if err != nil {
			s.t.Errorf("%s: standard output is not one JSON object: %v: %.300q", v.name, err, r.stdout)
		}
		if a.Error != nil {
			code = a.Error.Code
		}
		if code != string(want) {
			s.t.Errorf("%s: code %q, want %q: %.500s", v.name, code, want, r.stdout)
		}
	}
	if v.name == "exec" && want != "" {
		status = 125
	}
	if s.gone && v.name == "status" {
		status = 1 // no proxy
	}
	if r.status != status {
		s.t.Errorf("%s: exit status %d, want %d: %.300s", v.name, r.status, status, r.stderr)
	}
	if strings.Contains(r.stdout+r.stderr, passphrase) {
		s.t.Errorf("%s shows the pass phrase", v.name)
	}
}

// all calls every verb, one after the other or, where each of them waits, at
// once. Verbs in well succeed, the others but capabilities end with the code.
func (s *sickbed) all(code helper.Code, well []string, env ...string) {
	s.t.Helper()
	var wg sync.WaitGroup
	for _, v := range verbs {
		want := code
		if v.name == "capabilities" || slices.Contains(well, v.name) {
			want = ""
		}
		if len(env) == 0 || v.name == "store" || v.name == "erase" {
			wg.Wait() // before the pass phrase is another one, or gone
		}
		hasty := env
		if want == "" { // it does not wait for what it would get
			hasty = nil
		}
		c := s.call(v, hasty...)
		wg.Go(func() { s.judge(v, c.wait(), want) })
	}
	wg.Wait()
}

// hurry and soon shorten the guard's deadline for keyrings that do not answer.
const (
	hurry = 700 * time.Millisecond
	soon  = hastyVar + "=700ms"
)

// TestRealKeyringFaults: every verb with the real gnome-keyring in every state
// ends with the right code and leaves no process.
func TestRealKeyringFaults(t *testing.T) {
	states := []struct {
		name string
		sick func(k *lab.Keyring)
		code helper.Code
		env  []string
	}{
		{"well", func(*lab.Keyring) {}, "", nil},
		{"locked", (*lab.Keyring).Lock, helper.CodeKeyringLocked, nil},
		{"frozen", (*lab.Keyring).Freeze, helper.CodeKeyringUnavailable, []string{soon}},
		{"killed", (*lab.Keyring).Kill, helper.CodeKeyringUnavailable, nil},
	}
	for _, state := range states {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			k := lab.StartKeyring(t)
			s := newSickbed(t, k, inKeyring)
			state.sick(k)
			s.all(state.code, nil, state.env...)
		})
	}
}

// TestKeyringKilledInMidCall: the real gnome-keyring is killed while it is
// asked.
func TestKeyringKilledInMidCall(t *testing.T) {
	t.Parallel()
	k := lab.StartKeyring(t)
	s := newSickbed(t, k, inKeyring)
	for _, v := range verbs[1:] {
		k.Freeze()
		before := k.Newest()
		c := s.call(v)
		s.waitFor("the call of "+v.name, func() bool { return k.Newest() > before })
		k.Kill()
		s.judge(v, c.wait(), helper.CodeKeyringUnavailable)
		k.Restart()
	}
}

// TestFakeKeyringFaults: every verb with a Secret Service that has one fault.
func TestFakeKeyringFaults(t *testing.T) {
	type behaviour = fakesecret.Behaviour
	const unavailable = helper.CodeKeyringUnavailable
	readers := []string{"list", "status", "get warm", "get cold", "exec"}
	erasers := []string{"erase", "logout"}
	writers := []string{"store", "login"}
	states := []struct {
		name string
		be   behaviour
		code helper.Code
		well []string
		hung bool
	}{
		{"well", behaviour{}, "", nil, false},
		{"locked", behaviour{Locked: true}, helper.CodeKeyringLocked, nil, false},
		{"locked, dismissed", behaviour{Locked: true, OnPrompt: fakesecret.Dismiss}, helper.CodeKeyringLocked, nil, false},
		{"prompt never answered", behaviour{PromptSet: true, PromptDel: true}, unavailable, readers, true},
		{"prompt dismissed", behaviour{PromptSet: true, PromptDel: true, OnPrompt: fakesecret.Dismiss}, unavailable,
			append([]string{"login"}, readers...), false}, // it finds the pass phrase that it wanted to write
		{"no answer to Locked", behaviour{At: fakesecret.Hang("Locked")}, unavailable, nil, true},
		{"no answer to Collections", behaviour{At: fakesecret.Hang("Collections")}, unavailable, nil, true},
		{"no answer to Unlock", behaviour{At: fakesecret.Hang("Unlock")}, unavailable, nil, true},
		{"no answer to SearchItems", behaviour{At: fakesecret.Hang("SearchItems")}, unavailable, nil, true},
		{"no answer to OpenSession", behaviour{At: fakesecret.Hang("OpenSession")}, unavailable, nil, true},
		{"no answer to GetSecret", behaviour{At: fakesecret.Hang("GetSecret")}, unavailable, nil, true},
		{"no answer to Close", behaviour{At: fakesecret.Hang("Close")}, unavailable, nil, true},
		{"no answer to CreateItem", behaviour{At: fakesecret.Hang("CreateItem")}, unavailable, slices.Concat(readers, erasers), true},
		{"no answer to Delete", behaviour{At: fakesecret.Hang("Delete")}, unavailable, slices.Concat(readers, writers), true},
	}
	for _, state := range states {
		t.Run(state.name, func(t *testing.T) {
			if method, ok := strings.CutPrefix(state.name, "no answer to "); ok && testing.Short() && len(state.well) == 0 && method != "SearchItems" {
				t.Skip("one method is enough for a short test")
			}
			t.Parallel()
			f, s := fakeSickbed(t, inKeyring)
			f.Behave(state.be)
			s.unsaved = slices.Contains(state.well, "get warm")
			var env []string
			if state.hung {
				env = []string{soon}
			}
			s.all(state.code, state.well, env...)
		})
	}
}

func fakeSickbed(t *testing.T, table string) (*fakesecret.Service, *sickbed) {
	t.Helper()
	k := lab.StartBus(t)
	f, err := fakesecret.Start(k.Connect(), fakesecret.Behaviour{})
	if err != nil {
		t.Fatal(err)
	}
	return f, newSickbed(t, k, table)
}

// TestFakeKeyringDies: the service dies when it is asked.
func TestFakeKeyringDies(t *testing.T) {
	for _, method := range []string{"Locked", "SearchItems"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			k := lab.StartBus(t)
			f, err := fakesecret.Start(k.Connect(), fakesecret.Behaviour{})
			if err != nil {
				t.Fatal(err)
			}
			s := newSickbed(t, k, inKeyring)
			for _, v := range verbs[1:] {
				f.Behave(fakesecret.Behaviour{At: fakesecret.Die(method)})
				s.judge(v, s.call(v).wait(), helper.CodeKeyringUnavailable)
				if f, err = f.Again(k.Connect()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
