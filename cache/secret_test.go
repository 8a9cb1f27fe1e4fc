package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

const account = "pass:v1:myproxy:px%3A7512:jane"

func lockSecret(t *testing.T, w *world) *SecretLock {
	t.Helper()
	l, err := w.LockSecret(t.Context(), account)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func TestSecret(t *testing.T) {
	w := newWorld(t, Keyring, Keyring)
	if _, err := w.Secret(t.Context(), account); !isMiss(err) {
		t.Errorf("before: %v", err)
	}
	l := lockSecret(t, w)
	must(t, l.Put(t.Context(), secret.Secret("open sesame")))
	got, err := l.Get(t.Context())
	if err != nil || string(got) != "open sesame" {
		t.Errorf("got %q, %v", []byte(got), err)
	}
	if got, err := w.Secret(t.Context(), account); err != nil || string(got) != "open sesame" {
		t.Errorf("without lock: %q, %v", []byte(got), err)
	}
	must(t, l.Delete(t.Context()))
	must(t, l.Delete(t.Context()))
	if _, err := l.Get(t.Context()); !isMiss(err) {
		t.Errorf("deleted: %v", err)
	}
}

func TestSecretLockExcludes(t *testing.T) {
	w := newWorld(t, None, None)
	lockSecret(t, w)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := w.LockSecret(ctx, account); !errors.Is(err, ErrBusy) {
		t.Errorf("the same: %v", err)
	}
	other, err := w.LockSecret(t.Context(), "pass:v1:myproxy:px%3A7512:joe")
	must(t, err)
	must(t, other.Close())
}

// TestSecretNowhere: with passphrases = "none" nothing is kept, and who wants
// to keep something is told; it never goes to the store of credentials.
func TestSecretNowhere(t *testing.T) {
	for _, passphrases := range []Store{None, Runtime, ""} {
		w := newWorld(t, Runtime, passphrases)
		l := lockSecret(t, w)
		if err := l.Put(t.Context(), secret.Secret("open sesame")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: Put: %v", passphrases, err)
		}
		if _, err := l.Get(t.Context()); !isMiss(err) {
			t.Errorf("%q: Get: %v", passphrases, err)
		}
		must(t, l.Delete(t.Context()))
		if w.keys.(*Memory).Calls("set") != 0 {
			t.Errorf("%q: the keyring was written", passphrases)
		}
		checkNowhere(t, w.run, "open sesame")
	}
}

// checkNowhere fails if any file below dir contains s.
func checkNowhere(t *testing.T, dir, s string) {
	t.Helper()
	must(t, filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		if err == nil && fi.Mode().IsRegular() {
			if data, _ := os.ReadFile(path); strings.Contains(string(data), s) {
				t.Errorf("%s contains %q", path, s)
			}
		}
		return err
	}))
}

// TestRefusal: the life of a refused pass phrase, with a data key and without.
func TestRefusal(t *testing.T) {
	for _, store := range []Store{Keyring, None} {
		t.Run(string(store), func(t *testing.T) {
			w := newWorld(t, Runtime, store)
			wrong, right := secret.Secret("open barley"), secret.Secret("open sesame")
			l := lockSecret(t, w)
			may := func(s secret.Secret, what string) {
				t.Helper()
				if r, err := l.Refused(t.Context(), s); r != nil || err != nil {
					t.Errorf("%s: %+v, %v", what, r, err)
				}
			}
			mayNot := func(want time.Duration, what string) {
				t.Helper()
				r, err := l.Refused(t.Context(), wrong)
				if err != nil || r == nil || r.RetryAfter != want || r.Message != "invalid password" || r.Server != "px:7512" {
					t.Errorf("%s: got %+v, %v; want %v", what, r, err, want)
				}
			}
			may(wrong, "before any attempt")
			must(t, l.Refuse(t.Context(), wrong, "px:7512", "invalid password"))
			mayNot(time.Minute, "at once")
			may(right, "a changed secret")
			w.pass(59 * time.Second)
			mayNot(time.Second, "after 59 s")
			w.pass(time.Second)
			may(wrong, "after a minute")

			for i, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
				must(t, l.Refuse(t.Context(), wrong, "px:7512", "invalid password"))
				mayNot(want*time.Minute, fmt.Sprintf("refusal %d", i+2))
			}

			must(t, l.Refuse(t.Context(), right, "px:7512", "invalid password"))
			may(wrong, "another one was refused since")
			must(t, l.Refuse(t.Context(), wrong, "px:7512", "invalid password"))
			mayNot(time.Minute, "counting anew")

			must(t, l.Accept())
			may(wrong, "after Accept")
			checkNowhere(t, w.run, "barley")
		})
	}
}

// TestRefusalStays: another process and another profile see it, too; a new
// boot does not, for it cannot know how long ago it was, but counts on.
func TestRefusalStays(t *testing.T) {
	w := newWorld(t, Keyring, Keyring)
	wrong := secret.Secret("open barley")
	l := lockSecret(t, w)
	must(t, l.Refuse(t.Context(), wrong, "px", "no"))
	must(t, l.Close())
	w.reopen(Keyring, Keyring)
	l = lockSecret(t, w)
	if r, err := l.Refused(t.Context(), wrong); r == nil || err != nil {
		t.Errorf("another process: %v, %v", r, err)
	}
	w.boot = Instant{Boot: "second", Since: time.Minute}
	if r, err := l.Refused(t.Context(), wrong); r != nil || err != nil {
		t.Errorf("another boot: %v, %v", r, err)
	}
	must(t, l.Refuse(t.Context(), wrong, "px", "no"))
	if r, err := l.Refused(t.Context(), wrong); r == nil || err != nil || r.RetryAfter != 2*time.Minute {
		t.Errorf("refused again: %+v, %v", r, err)
	}
}

// TestTry: an attempt whose answer nobody heard may have been refused. One is
// forgiven, more of them wait like refusals, and a refusal that is heard after
// its Try is not counted twice.
func TestTry(t *testing.T) {
	w := newWorld(t, Keyring, Keyring)
	pass, other := secret.Secret("open barley"), secret.Secret("open sesame")
	l := lockSecret(t, w)
	check := func(want time.Duration, unheard bool, what string) {
		t.Helper()
		r, err := l.Refused(t.Context(), pass)
		must(t, err)
		if want == 0 && r != nil || want != 0 && (r == nil || r.RetryAfter != want || r.Unheard != unheard) {
			t.Errorf("%s: got %+v, want %v", what, r, want)
		}
	}
	must(t, l.Try(t.Context(), pass, "px"))
	check(0, true, "one silence")
	must(t, l.Try(t.Context(), pass, "px"))
	check(time.Minute, true, "two")
	must(t, l.Try(t.Context(), pass, "px"))
	check(2*time.Minute, true, "three")
	must(t, l.Try(t.Context(), other, "px"))
	check(0, true, "another secret since")

	must(t, l.Accept())
	must(t, l.Try(t.Context(), pass, "px"))
	must(t, l.Refuse(t.Context(), pass, "px", "no"))
	check(time.Minute, false, "a refusal that was heard")
	must(t, l.Try(t.Context(), pass, "px"))
	must(t, l.Refuse(t.Context(), pass, "px", "no"))
	check(2*time.Minute, false, "a second one")
}

func TestRefusalCleared(t *testing.T) {
	w := newWorld(t, Keyring, Keyring)
	wrong := secret.Secret("open barley")
	l := lockSecret(t, w)
	for name, clear := range map[string]func() error{
		// Whoever stores the same pass phrase again means it: the account may
		// have been unlocked meanwhile.
		"Put":    func() error { return l.Put(t.Context(), wrong) },
		"Delete": func() error { return l.Delete(t.Context()) },
		"Accept": func() error { return l.Accept() },
		"another data key": func() error {
			w.keys = NewMemory()
			must(t, l.Close())
			w.reopen(Keyring, Keyring)
			l = lockSecret(t, w)
			return nil
		},
		"a damaged record": func() error { return l.lock.Write([]byte(`{"v":1,"mac":"AAAA"}`)) },
	} {
		must(t, l.Refuse(t.Context(), wrong, "px", "no"))
		must(t, clear())
		if r, err := l.Refused(t.Context(), wrong); r != nil || err != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestRefusalAccounts: the record of one account says nothing about another
// with the same pass phrase.
func TestRefusalAccounts(t *testing.T) {
	for _, store := range []Store{Keyring, None} {
		w := newWorld(t, Runtime, store)
		s := secret.Secret("the same")
		var macs []string
		for _, account := range []string{"pass:v1:a", "pass:v1:b"} {
			l, err := w.LockSecret(t.Context(), account)
			must(t, err)
			if r, err := l.Refused(t.Context(), s); r != nil || err != nil {
				t.Errorf("%+v, %v", r, err)
			}
			must(t, l.Refuse(t.Context(), s, "px", strings.Repeat("x", 5000)))
			rec, err := l.load()
			must(t, err)
			macs = append(macs, string(rec.MAC))
			if len(rec.Message) != maxRefusalText {
				t.Errorf("a message of %d bytes", len(rec.Message))
			}
			must(t, l.Close())
		}
		if macs[0] == macs[1] {
			t.Error("it can be seen that two accounts have one pass phrase")
		}
	}
}

// TestRefusalLocked: without the data key nothing can be said, and that is an
// error, not a yes.
func TestRefusalLocked(t *testing.T) {
	w := newWorld(t, Keyring, Keyring)
	l := lockSecret(t, w)
	must(t, l.Refuse(t.Context(), secret.Secret("x"), "px", "no"))
	must(t, l.Close())
	w.reopen(Keyring, Keyring)
	w.keys.(*Memory).Fail = func(string, string) error { return locked(nil) }
	l = lockSecret(t, w)
	if r, err := l.Refused(t.Context(), secret.Secret("x")); r != nil || !errors.Is(err, ErrLocked) {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestRefusalNoKeyring: a refusal is noted also where the keyring does not give
// its data key, and counts when it does again.
func TestRefusalNoKeyring(t *testing.T) {
	for _, kind := range []error{ErrLocked, ErrTimeout, ErrUnavailable} {
		w := newWorld(t, Auto, Keyring)
		w.fails(kind)
		wrong := secret.Secret("open barley")
		l := lockSecret(t, w)
		must(t, l.Try(t.Context(), wrong, "px"))
		must(t, l.Refuse(t.Context(), wrong, "px", "no"))
		for range 2 {
			if r, err := l.Refused(t.Context(), wrong); r == nil || err != nil {
				t.Errorf("%v: %+v, %v", kind, r, err)
			}
			if r, err := l.Refused(t.Context(), secret.Secret("open sesame")); r != nil || err != nil {
				t.Errorf("%v: another secret: %+v, %v", kind, r, err)
			}
			w.fails(nil)
		}
		checkNowhere(t, w.run, "barley")
	}
}

func TestToolFile(t *testing.T) {
	w := newWorld(t, None, None)
	name := ToolFileName("atlas", "/DC=org/CN=Jane", []string{"atlas"}, false, "rsa2048")
	path, err := w.WriteToolFile(name, []byte("one"))
	must(t, err)
	fi, err := os.Lstat(path)
	must(t, err)
	want, err := w.ToolFile(name)
	must(t, err)
	if path != want || path != filepath.Join(w.run, "proxy", name) || fi.Mode() != 0o600 {
		t.Errorf("got %s, mode %v", path, fi.Mode())
	}
	same, err := w.WriteToolFile(name, []byte("one"))
	must(t, err)
	if again, _ := os.Lstat(same); !os.SameFile(fi, again) {
		t.Error("the same content was written again")
	}
	_, err = w.WriteToolFile(name, []byte("two"))
	must(t, err)
	if got, _ := os.ReadFile(path); string(got) != "two" {
		t.Errorf("got %q", got)
	}
	must(t, os.Chmod(path, 0o644))
	if _, err := w.WriteToolFile(name, []byte("two")); err == nil {
		t.Error("a file that others can read was taken for ours")
	}
	must(t, w.RemoveToolFile(name))
	must(t, w.RemoveToolFile(name))
	for _, bad := range []string{"", "x.pem", "../x-00000000.pem", "a/b-00000000.pem", ".x-00000000.pem", "-00000000.pem", "x-0000000g.pem"} {
		if _, err := w.WriteToolFile(bad, nil); err == nil {
			t.Errorf("%q was written", bad)
		}
	}
}

// TestToolFileName: the same wish has the same path, another one another.
func TestToolFileName(t *testing.T) {
	name := func(voms []string, limited bool) string {
		return ToolFileName("p", "/CN=Jane", voms, limited, "rsa2048")
	}
	if got := name([]string{"a"}, false); got != "p-7d71898e.pem" {
		t.Errorf("%s is not what other versions write", got)
	}
	seen := map[string]bool{}
	for _, n := range []string{name(nil, false), name([]string{"a"}, false), name([]string{"a", "b"}, false), name([]string{"ab"}, false), name(nil, true)} {
		if seen[n] || !isToolFile(n) || !strings.HasPrefix(n, "p-") {
			t.Errorf("%s", n)
		}
		seen[n] = true
	}
}

// TestToolFileSweep: files whose proxy ended an hour ago go, others stay.
func TestToolFileSweep(t *testing.T) {
	w := newWorld(t, None, None)
	short, err := w.WriteToolFile("short-00000000.pem", credential(t, noon.Add(time.Hour)))
	must(t, err)
	long, err := w.WriteToolFile("long-00000000.pem", credential(t, noon.Add(3*time.Hour)))
	must(t, err)
	other := filepath.Join(filepath.Dir(short), "notes")
	must(t, os.WriteFile(other, credential(t, noon.Add(-time.Hour)), 0o600))
	for _, step := range []struct {
		pass time.Duration
		want bool
	}{{90 * time.Minute, true}, {time.Hour, false}} {
		w.pass(step.pass)
		_, err = w.WriteToolFile("new-00000000.pem", credential(t, noon.Add(9*time.Hour+step.pass)))
		must(t, err)
		if _, err := os.Stat(short); (err == nil) != step.want {
			t.Errorf("%v after: %v", step.pass, err)
		}
	}
	for _, path := range []string{long, other} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
