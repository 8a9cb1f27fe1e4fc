package main

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab/fakesecret"
)

// inAuto is the default table [store], in full.
const inAuto = "credentials = \"auto\"\npassphrases = \"keyring\"\n"

// TestAutoKeyringFaults: with credentials = "auto" whatever needs a pass phrase
// says why there is none, as with "keyring". Only a keyring that is not there
// at all hides nothing: then there is no proxy, nothing to list or to erase, and
// a login goes on without it.
func TestAutoKeyringFaults(t *testing.T) {
	states := []struct {
		name string
		sick func(k *lab.Keyring)
		code helper.Code
		well []string
		env  []string
	}{
		{"well", func(*lab.Keyring) {}, "", nil, nil},
		{"locked", (*lab.Keyring).Lock, helper.CodeKeyringLocked, nil, nil},
		{"frozen", (*lab.Keyring).Freeze, helper.CodeKeyringUnavailable, nil, []string{soon}},
		{"killed", (*lab.Keyring).Kill, helper.CodeKeyringUnavailable, []string{"login", "list", "erase", "logout"}, nil},
	}
	for _, state := range states {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			k := lab.StartKeyring(t)
			s := newSickbed(t, k, inAuto)
			s.gone = state.name == "killed"
			state.sick(k)
			s.all(state.code, state.well, state.env...)
		})
	}
}

// TestAutoServesWithoutKeyring: a proxy that was got while the keyring was of
// no use is kept elsewhere, and served from there without the keyring.
func TestAutoServesWithoutKeyring(t *testing.T) {
	states := map[string]func(k *lab.Keyring){
		"locked": (*lab.Keyring).Lock, "frozen": (*lab.Keyring).Freeze, "killed": (*lab.Keyring).Kill, "no bus": (*lab.Keyring).KillBus,
	}
	for name, sick := range states {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := lab.StartKeyring(t)
			w := keyringWorld(t, k)
			w.configure("credentials = \"auto\"\npassphrases = \"none\"\n")
			w.env = append(w.env, soon)
			sick(k)
			w.login()
			for range 2 {
				r := w.run("{}", "get")
				if a, err := oneObject(r.stdout); err != nil || r.status != 0 || a.Source != "cache" || strings.Contains(r.stdout, `"stored_in":"keyring"`) {
					t.Errorf("status %d, from %q, %v: %.300s", r.status, a.Source, err, r.stdout)
				}
			}
			for _, args := range [][]string{{"exec", "--", "true"}, {"status", "--check"}} {
				if r := w.run("", args...); r.status != 0 {
					t.Errorf("%s: %+v", args[0], r)
				}
			}
			if n := w.server.Connections(); n != 1 {
				t.Errorf("%d connections were made", n)
			}
		})
	}
}

// TestHungKeyringOnce: however often a verb needs a keyring that does not
// answer, it asks once and waits once.
func TestHungKeyringOnce(t *testing.T) {
	for _, method := range []string{"Locked", "SearchItems"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			f, s := fakeSickbed(t, inAuto)
			for _, v := range verbs[3:7] { // those that may ask more than once
				var asked atomic.Int32
				f.Behave(fakesecret.Behaviour{At: func(f *fakesecret.Service, m string) *dbus.Error {
					if m == method {
						asked.Add(1)
					}
					return fakesecret.Hang(method)(f, m)
				}})
				for deadline := hurry; asked.Load() == 0; deadline *= 4 { // a slow machine may not come to it at once
					if deadline > patience {
						t.Fatalf("%s never asked", v.name)
					}
					s.judge(v, s.call(v, hastyVar+"="+deadline.String()).wait(), helper.CodeKeyringUnavailable)
					for heard := 0; asked.Load() == 0 && heard < 100; heard++ {
						time.Sleep(10 * time.Millisecond)
					}
				}
				if n := asked.Load(); n != 1 {
					t.Errorf("%s asked %d times", v.name, n)
				}
			}
		})
	}
}
