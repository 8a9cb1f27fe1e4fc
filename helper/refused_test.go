package helper

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
)

func TestNoPassphrase(t *testing.T) {
	w := newWorld(t, "")
	e := w.refused(t, `{}`, CodeInteractionRequired)
	if e.Action == nil || strings.Join(e.Action.Argv, " ") != "/usr/bin/x509-credential-helper login -- p" || e.Profile != "p" {
		t.Errorf("action %+v of %+v", e.Action, e)
	}
	w.refused(t, `{"interactive":"auto"}`, CodeInteractionRequired) // not in the foreground
	w.terminal.foreground, w.terminal.text = true, "right"
	w.refused(t, `{}`, CodeInteractionRequired) // nobody allowed questions
	w.must(t, `{"interactive":"auto","client":{"name":"gfal-copy","version":"2.23"}}`)
	if len(w.terminal.asked) != 1 || w.terminal.asked[0] != `Pass phrase of "jane" (asked for by "gfal-copy 2.23", unverified): ` {
		t.Errorf("asked %q", w.terminal.asked)
	}
	w.refused(t, `{"cache":"bypass"}`, CodeInteractionRequired) // typed is not kept
	if w.issuer.count() != 1 {
		t.Errorf("%d calls", w.issuer.count())
	}
}

// TestRefusedPassphrase: a wrong pass phrase is sent once, whoever asks and
// how often, until it changes. Servers lock accounts.
func TestRefusedPassphrase(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "wrong")
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			r := DefaultGetRequest()
			if _, err := w.Get(t.Context(), r); code(err) != CodeAuthenticationFailed {
				t.Errorf("got %v", err)
			}
		})
	}
	group.Wait()
	for _, request := range []string{`{}`, `{"cache":"bypass"}`, `{"limited":true}`, `{"lifetime":600}`} {
		e := w.refused(t, request, CodeAuthenticationFailed)
		if e.RetryAfter <= 0 || e.RetryAfter > 60 || e.Action == nil || e.Action.Kind != "login" {
			t.Errorf("%s: %+v", request, e)
		}
	}
	if n := w.issuer.count(); n != 1 {
		t.Fatalf("%d attempts, want 1", n)
	}
	w.storePass(t, "right")
	w.must(t, `{}`)
	if n := w.issuer.count(); n != 2 {
		t.Errorf("%d attempts, want 2: a new pass phrase is tried at once", n)
	}
}

// TestUnheard: a server that takes the pass phrase and does not answer may have
// refused it. One silence is forgiven; after that the same pass phrase waits.
func TestUnheard(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	w.issuer.deaf = true
	w.unheard(t, `{"timeout":1}`)
	w.unheard(t, `{"timeout":1}`)
	for range 3 {
		e := w.refused(t, `{"timeout":1}`, CodeRateLimited)
		if e.RetryAfter <= 0 || e.RetryAfter > 60 || !e.Retryable {
			t.Errorf("got %+v", e)
		}
	}
	if n := w.issuer.count(); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
	w.issuer.deaf = false
	w.storePass(t, "right")
	w.must(t, `{}`)

	// An answer clears the slate, whatever it says of the rest.
	w.issuer.deaf = true
	w.unheard(t, `{"timeout":1,"cache":"bypass"}`)
	w.issuer.deaf, w.issuer.err = false, Errorf(CodeServerRefused, "no")
	w.refused(t, `{"cache":"bypass"}`, CodeServerRefused)
	w.issuer.deaf, w.issuer.err = true, nil
	w.unheard(t, `{"timeout":1,"cache":"bypass"}`)
	w.unheard(t, `{"timeout":1,"cache":"bypass"}`)
	w.refused(t, `{"timeout":1,"cache":"bypass"}`, CodeRateLimited)
}

// unheard asks a deaf server: a slow machine may need several tries to come so
// far.
func (w *world) unheard(t *testing.T, request string) {
	t.Helper()
	for before := w.issuer.count(); w.issuer.count() == before; {
		w.refused(t, request, CodeTimeout)
	}
}

// TestTimeoutSaysWhatHelps: a backend knows at what the caller's time ran out, and
// not whose time it was.
func TestTimeoutSaysWhatHelps(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	w.issuer.during = func(ctx context.Context) { <-ctx.Done() }
	w.issuer.err = Errorf(CodeTimeout, "gave up on test.example.org")
	var e *Error
	for w.issuer.count() == 0 { // a slow machine may need several tries to come so far
		e = w.refused(t, `{"timeout":1}`, CodeTimeout)
	}
	if !strings.Contains(e.Message, "test.example.org") || !strings.Contains(e.Hint, `"timeout"`) {
		t.Errorf("got %v (%s)", e, e.Hint)
	}
}

// TestTypedFailureIsItsOwn: what somebody mistyped at a login, or at a prompt,
// is no failure of those who wait with the pass phrase that is stored.
func TestTypedFailureIsItsOwn(t *testing.T) {
	for _, login := range []bool{true, false} {
		w := newWorld(t, "")
		want := CodeInteractionRequired
		if login {
			w.storePass(t, "right")
			want = ""
		}
		w.terminal.foreground, w.terminal.text = true, "wrong"
		lock, err := w.Cache.LockSecret(t.Context(), "pass:v1:test:jane")
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		group.Go(func() { // has the entry, waits for the secret
			var err error
			if login {
				_, err = w.Login(t.Context(), LoginRequest{Passphrase: []byte("wrong")})
			} else {
				r := DefaultGetRequest()
				r.Interactive = InteractiveAuto
				_, err = w.Get(t.Context(), r)
			}
			if code(err) != CodeAuthenticationFailed {
				t.Errorf("login %v: got %v", login, err)
			}
		})
		time.Sleep(200 * time.Millisecond)
		group.Go(func() { // waits for the entry
			if _, err := w.Get(t.Context(), DefaultGetRequest()); code(err) != want {
				t.Errorf("login %v: who waited got %v (%s), want %q", login, err, code(err), want)
			}
		})
		time.Sleep(200 * time.Millisecond)
		if err := lock.Close(); err != nil {
			t.Fatal(err)
		}
		group.Wait()
	}
}

// TestLateRefusal: a refusal is noted also where the caller's time was up when
// it came, so that the next one does not send the same pass phrase.
func TestLateRefusal(t *testing.T) {
	w := newWorld(t, "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\n[store]\ncredentials = \"runtime\"\n")
	w.storePass(t, "right")
	w.issuer.during = func(ctx context.Context) { <-ctx.Done() }
	w.issuer.err = Errorf(CodeAuthenticationFailed, "not any more")
	for range 2 {
		w.refused(t, `{"timeout":1}`, CodeAuthenticationFailed)
	}
	if n := w.issuer.count(); n != 1 {
		t.Errorf("%d attempts, want 1", n)
	}
}

func TestLogin(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	if _, err := w.Login(t.Context(), LoginRequest{Passphrase: []byte("wrong")}); code(err) != CodeAuthenticationFailed {
		t.Errorf("got %v", err)
	}
	w.must(t, `{}`) // the stored one is as good as before

	if _, err := w.Login(t.Context(), LoginRequest{}); code(err) != CodeInteractionRequired {
		t.Errorf("without a terminal: got %v", err)
	}
	a, err := w.Login(t.Context(), LoginRequest{Passphrase: []byte("right")})
	if err != nil || a.Kept != "keyring" || a.Get.Source != SourceBackend {
		t.Errorf("got %+v, %v", a, err)
	}
	if e, err := w.Logout(t.Context(), ""); err != nil || e.Erased.Credentials != 1 || len(e.Erased.Secrets) != 1 {
		t.Errorf("logout: %+v, %v", e, err)
	}
	w.refused(t, `{}`, CodeInteractionRequired)
}

// TestKeepNothing: with passphrases = "none" a login only fetches and caches.
func TestKeepNothing(t *testing.T) {
	w := newWorld(t, "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\n[store]\ncredentials = \"runtime\"\npassphrases = \"none\"\n")
	if _, err := w.Store(t.Context(), &StoreRequest{Kind: "passphrase", Value: []byte("right")}); code(err) != CodePolicyRefused {
		t.Errorf("store: got %v", err)
	}
	a, err := w.Login(t.Context(), LoginRequest{Passphrase: []byte("right")})
	if err != nil || a.Kept != "" || a.Get.StoredIn != "runtime" {
		t.Fatalf("got %+v, %v", a, err)
	}
	if a := w.must(t, `{}`); a.Source != SourceCache || a.StoredIn != "runtime" {
		t.Errorf("got %+v", a)
	}
	w.refused(t, `{"cache":"bypass"}`, CodeInteractionRequired)
}

// TestKeyringDown: what is wrong with the keyring is told as that, never as
// "not found".
func TestKeyringDown(t *testing.T) {
	for err, want := range map[error]Code{
		cache.ErrLocked: CodeKeyringLocked, cache.ErrUnavailable: CodeKeyringUnavailable, cache.ErrTimeout: CodeKeyringUnavailable,
	} {
		w := newWorld(t, plainProfile("credentials = \"keyring\""))
		w.keys.Fail = func(string, string) error {
			return &cache.Error{Kind: err, Text: "what happened", Remedy: "what to do"}
		}
		e := w.refused(t, `{}`, want)
		if e.Message != "what happened" || e.Hint != "what to do" {
			t.Errorf("%v: %+v", err, e)
		}
	}
}
