package helper

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
)

// plainProfile is a profile with this table [store].
func plainProfile(store string) string {
	return "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\n[store]\n" + store
}

// failWith makes the keyring fail.
func (w *world) failWith(kind error) {
	w.keys.Fail = func(string, string) error {
		return &cache.Error{Kind: kind, Text: "the keyring is out", Remedy: "mend it"}
	}
}

func warningOf(list []Warning, code string) string {
	for _, w := range list {
		if w.Code == code {
			return w.Message
		}
	}
	return ""
}

var keyringKinds = []error{cache.ErrLocked, cache.ErrTimeout, cache.ErrUnavailable}

// TestStoredElsewhere: a proxy that the keyring does not take goes to the next
// store, and whoever asked is told where and why; from there it is served.
func TestStoredElsewhere(t *testing.T) {
	for _, kind := range keyringKinds {
		for _, noKernel := range []bool{false, true} {
			w := newWorld(t, plainProfile("passphrases = \"none\""))
			want, words := "kernel", "the keyring is out: the credential is kept under a key of the kernel keyring"
			if noKernel {
				want, words = "runtime", "the keyring is out: the credential is kept in a private file, not sealed"
				w.kernel.Fail = func(string, string) error {
					return &cache.Error{Kind: cache.ErrUnavailable, Text: "no kernel keyring"}
				}
			}
			w.failWith(kind)
			w.terminal.foreground, w.terminal.text = true, "right"
			a := w.must(t, `{"interactive":"auto"}`)
			if got := warningOf(a.Warnings, "stored_elsewhere"); a.StoredIn != want || got != words {
				t.Errorf("%v: stored in %s, warning %q", kind, a.StoredIn, got)
			}
			a = w.must(t, `{"cache":"only"}`)
			if a.StoredIn != want || warningOf(a.Warnings, "stored_elsewhere") != "" {
				t.Errorf("%v: served from %s, warnings %v", kind, a.StoredIn, a.Warnings)
			}
		}
	}
}

// TestNotStored: what lives longer than a day is kept by the keyring or not at
// all, and the answer says so.
func TestNotStored(t *testing.T) {
	for _, store := range []string{"", "credentials = \"runtime\"\n", "credentials = \"file\"\n"} {
		w := newWorld(t, plainProfile(store+"passphrases = \"none\""))
		w.issuer.grant = 48 * time.Hour
		w.failWith(cache.ErrUnavailable)
		w.terminal.foreground, w.terminal.text = true, "right"
		a := w.must(t, `{"interactive":"auto","lifetime":172800}`)
		if got := warningOf(a.Warnings, "not_stored"); a.StoredIn != "none" || !strings.HasSuffix(got, ": the credential is good, but it is not kept") {
			t.Errorf("%q: stored in %s, warning %q", store, a.StoredIn, got)
		}
		w.refused(t, `{"cache":"only"}`, CodeNotFound)
	}
	w := newWorld(t, plainProfile("credentials = \"none\""))
	w.storePass(t, "right")
	if a := w.must(t, `{}`); a.StoredIn != "none" || warningOf(a.Warnings, "not_stored") != "" {
		t.Errorf("what was configured needs no warning: %+v", a.Warnings)
	}
}

// TestOnlyCache: a keyring that may hold a credential is no empty one.
func TestOnlyCache(t *testing.T) {
	for kind, want := range map[error]Code{
		cache.ErrLocked: CodeKeyringLocked, cache.ErrTimeout: CodeKeyringUnavailable, cache.ErrUnavailable: CodeNotFound,
	} {
		w := newWorld(t, "")
		w.storePass(t, "right")
		w.must(t, `{}`)
		w.useKeys(w.keys) // another process
		w.failWith(kind)
		e := w.refused(t, `{"cache":"only"}`, want)
		if want != CodeNotFound && (!strings.HasSuffix(e.Message, "the keyring is out") || e.Hint != "mend it") {
			t.Errorf("%v: %+v", kind, e)
		}
		w.keys.Fail = nil
		if w.must(t, `{"cache":"only"}`).Source != SourceCache {
			t.Errorf("%v: what the keyring holds did not survive", kind)
		}
	}
}

// TestAskWithoutKeyring: what somebody types is no downgrade of what the keyring
// would have given; nobody there, or a keyring that somebody can unlock, is the
// error that it was.
func TestAskWithoutKeyring(t *testing.T) {
	for _, kind := range keyringKinds {
		w := newWorld(t, "")
		w.failWith(kind)
		want := CodeKeyringUnavailable
		if kind == cache.ErrLocked {
			want = CodeKeyringLocked
		}
		e := w.refused(t, `{}`, want)
		hint := "mend it"
		if kind == cache.ErrUnavailable {
			hint = "run: x509-credential-helper login p"
		}
		if !strings.HasSuffix(e.Message, "the keyring is out") || e.Hint != hint {
			t.Errorf("%v: %+v", kind, e)
		}
		w.terminal.foreground, w.terminal.text = true, "right"
		w.refused(t, `{}`, want)
		if kind == cache.ErrUnavailable {
			w.must(t, `{"interactive":"auto"}`)
		} else {
			w.refused(t, `{"interactive":"auto"}`, want)
		}
		if n := len(w.terminal.asked); (n == 1) != (kind == cache.ErrUnavailable) {
			t.Errorf("%v: asked %d times", kind, n)
		}
	}
}

// TestLoginWithoutKeyring: the proxy is fetched and kept where it can be, the
// pass phrase nowhere, and both are said. A locked keyring is told before
// anybody types.
func TestLoginWithoutKeyring(t *testing.T) {
	w := newWorld(t, "")
	w.failWith(cache.ErrUnavailable)
	a, err := w.Login(t.Context(), LoginRequest{Passphrase: []byte("right")})
	if err != nil || a.Kept != "" || a.Why == nil || a.Why.Code != CodeKeyringUnavailable || a.Why.Message != "the keyring is out" || a.Get.StoredIn != "kernel" {
		t.Fatalf("got %+v, %v", a, err)
	}
	if w.must(t, `{}`).Source != SourceCache {
		t.Error("the proxy was not kept")
	}
	tests := []struct {
		store string
		kind  error
		want  Code
	}{
		{"", cache.ErrLocked, CodeKeyringLocked},
		{"", cache.ErrTimeout, CodeKeyringUnavailable},
		// Nothing at all could be kept.
		{"credentials = \"keyring\"", cache.ErrUnavailable, CodeKeyringUnavailable},
		{"credentials = \"kernel\"", cache.ErrUnavailable, CodeKeyringUnavailable},
		{"credentials = \"kernel\"\npassphrases = \"none\"", cache.ErrUnavailable, CodeKeyringUnavailable},
	}
	for _, test := range tests {
		w := newWorld(t, plainProfile(test.store))
		w.failWith(test.kind)
		w.kernel.Fail = w.keys.Fail
		w.terminal.foreground, w.terminal.text = true, "right"
		_, err := w.Login(t.Context(), LoginRequest{})
		if e := AsError(err); e.Code != test.want || e.Hint != "mend it" {
			t.Errorf("%+v: got %+v", test, e)
		}
		if len(w.terminal.asked)+w.issuer.count() > 0 {
			t.Errorf("%+v: somebody typed, or the server was asked, in vain", test)
		}
	}
}

// TestKeyringFailsDuringLogin: the server has accepted the pass phrase, but the
// keyring does not take it any more. That it has gone is no reason to throw the
// proxy away; one that is locked or silent is what it is before a login.
func TestKeyringFailsDuringLogin(t *testing.T) {
	for _, kind := range keyringKinds {
		w := newWorld(t, "")
		w.issuer.during = func(context.Context) { w.failWith(kind) }
		a, err := w.Login(t.Context(), LoginRequest{Passphrase: []byte("right")})
		if kind != cache.ErrUnavailable {
			if AsError(err).Code.ExitStatus() != CodeKeyringLocked.ExitStatus() {
				t.Errorf("%v: got %+v, %v", kind, a, err)
			}
		} else if err != nil || a.Kept != "" || a.Why == nil || a.Get.StoredIn != "kernel" {
			t.Errorf("%v: got %+v, %v", kind, a, err)
		}
	}
}

// TestStorageRemedies: whoever is told that a disk takes nothing more is told
// where that is and what to do.
func TestStorageRemedies(t *testing.T) {
	h := &Helper{}
	for errno, want := range map[error]string{
		syscall.ENOSPC: "make room", syscall.EDQUOT: "quota", syscall.EROFS: "writable", syscall.EIO: "",
	} {
		e := AsError(h.storage(fmt.Errorf("kept: %w", &fs.PathError{Op: "open", Path: "/run/x", Err: errno})))
		if e.Code != CodeStorageError || !strings.Contains(e.Message, "/run/x") || !strings.Contains(e.Hint, want) || (e.Hint == "") != (want == "") {
			t.Errorf("%v: %+v", errno, e)
		}
	}
}

// TestBusyWords: what it is that another process does not let us do.
func TestBusyWords(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	w.must(t, `{}`)
	lock, err := w.Cache.LockSecret(t.Context(), "pass:v1:test")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if e := AsError(w.RotateKeys(t.Context())); e.Code != CodeBusy || !strings.Contains(e.Message, "using a secret") || e.Hint == "" {
		t.Errorf("%+v", e)
	}
}

// TestRotateKeys: what was kept is kept.
func TestRotateKeys(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	first := w.must(t, `{}`)
	old, err := w.keys.Get(t.Context(), "data-key:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.RotateKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now, err := w.keys.Get(t.Context(), "data-key:v1"); err != nil || string(now) == string(old) {
		t.Errorf("the key is the same, %v", err)
	}
	if a := w.must(t, `{"cache":"only"}`); a.Credential.Fingerprint != first.Credential.Fingerprint {
		t.Error("another credential")
	}
	w.must(t, `{"cache":"bypass"}`) // with the pass phrase
	for _, kind := range keyringKinds {
		w.failWith(kind)
		if err := w.RotateKeys(t.Context()); AsError(err).Code.ExitStatus() != CodeKeyringLocked.ExitStatus() {
			t.Errorf("%v: %v", kind, err)
		}
	}
}

// TestDialogs: the keyring asks only if what it has is needed, and once.
func TestDialogs(t *testing.T) {
	for _, store := range []string{"", "passphrases = \"none\"\n", "credentials = \"keyring\"\n"} {
		w := newWorld(t, plainProfile(store))
		keys := &promptCount{KeyStore: w.keys}
		w.useKeys(keys)
		w.failWith(cache.ErrLocked)
		w.terminal.foreground, w.terminal.text = true, "right"
		want := CodeKeyringLocked
		if strings.HasPrefix(store, "passphrases") {
			want = ""
		}
		if _, e := w.ask(t, `{"interactive":"auto"}`); want != "" && (e == nil || e.Code != want) || want == "" && e != nil {
			t.Errorf("%q: got %v", store, e)
		}
		if keys.n != 1 {
			t.Errorf("%q: the keyring asked %d times", store, keys.n)
		}
		if want == "" {
			w.must(t, `{"interactive":"auto"}`)
		}
		if keys.n != 1 {
			t.Errorf("%q: it asked although there is a credential elsewhere", store)
		}
	}
}

// promptCount counts how often the keyring was allowed to ask.
type promptCount struct {
	cache.KeyStore
	n int
}

func (p *promptCount) Get(ctx context.Context, account string) ([]byte, error) {
	if strings.Contains(fmt.Sprint(ctx), "promptKey") {
		p.n++
	}
	return p.KeyStore.Get(ctx, account)
}
