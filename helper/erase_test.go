package helper

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
)

func TestErase(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	w.must(t, `{}`)
	path := w.must(t, `{"limited":true,"output":"path"}`).Credential.Path
	erase := func(request string) *EraseAnswer {
		t.Helper()
		r, err := parseErase([]byte(request))
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.Erase(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := erase(`{"fingerprint":"sha256:` + strings.Repeat("0", 64) + `"}`); a.Erased.Credentials != 0 {
		t.Errorf("another fingerprint: %+v", a)
	}
	if a := erase(`{}`); a.Erased.Credentials != 2 || len(a.Erased.Secrets) != 0 {
		t.Errorf("default: %+v", a)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the tools' file is still there: %v", err)
	}
	if a := erase(`{"what":["all"]}`); a.Erased.Credentials != 0 || len(a.Erased.Secrets) != 1 || a.Erased.Secrets[0] != "passphrase" {
		t.Errorf("all: %+v", a)
	}
	if a := erase(`{"what":["all"]}`); len(a.Erased.Secrets) != 0 {
		t.Errorf("nothing there is success: %+v", a)
	}
	w.refused(t, `{}`, CodeInteractionRequired)
}

// TestRejected: a caller whose server refused a credential gets another one,
// once; after that the server is not asked for ten minutes.
func TestRejected(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	reject := func(fingerprint string) {
		t.Helper()
		r := &EraseRequest{What: []string{"credential"}, Fingerprint: fingerprint, Rejected: true}
		if a, err := w.Erase(t.Context(), r); err != nil || a.Erased.Credentials != 1 {
			t.Fatalf("got %+v, %v", a, err)
		}
	}
	first := w.must(t, `{}`)
	reject(first.Credential.Fingerprint)
	second := w.must(t, `{}`)
	if second.Credential.Fingerprint == first.Credential.Fingerprint {
		t.Error("the same again")
	}
	reject(second.Credential.Fingerprint)
	e := w.refused(t, `{}`, CodeCredentialRejected)
	w.refused(t, `{"cache":"bypass"}`, CodeCredentialRejected)
	if e.RetryAfter <= 0 || e.RetryAfter > 600 {
		t.Errorf("retry_after %d", e.RetryAfter)
	}
	if n := w.issuer.count(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
	w.terminal.foreground, w.terminal.text = true, "right"
	if _, err := w.Login(t.Context(), LoginRequest{}); err != nil {
		t.Fatal(err)
	}
	w.must(t, `{}`)
}

// TestRejectedLater: what was refused long after its fetch was good once, and
// ten minutes after two rejections the server is asked again.
func TestRejectedLater(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	for range 3 {
		fingerprint := w.must(t, `{}`).Credential.Fingerprint
		w.slept += 11 * time.Minute
		if _, err := w.Erase(t.Context(), &EraseRequest{What: []string{"credential"}, Fingerprint: fingerprint, Rejected: true}); err != nil {
			t.Fatal(err)
		}
	}
	fingerprint := w.must(t, `{}`).Credential.Fingerprint
	w.slept += 9 * time.Minute
	if _, err := w.Erase(t.Context(), &EraseRequest{What: []string{"credential"}, Fingerprint: fingerprint, Rejected: true}); err != nil {
		t.Fatal(err)
	}
	w.slept += 9 * time.Minute
	w.refused(t, `{}`, CodeCredentialRejected)
	w.slept += 2 * time.Minute
	w.must(t, `{}`)
}

// TestRejectedTogether: the jobs that shared one credential reject it at the
// same time. That is one rejection, and the credential that came after it is
// not the one that they speak of.
func TestRejectedTogether(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	first := w.must(t, `{}`)
	started, release := make(chan struct{}), make(chan struct{})
	w.issuer.during = func(context.Context) { close(started); <-release }
	fetched := make(chan *GetAnswer, 1)
	go func() {
		r := DefaultGetRequest()
		r.Cache = CacheBypass
		a, err := w.Get(t.Context(), r)
		if err != nil {
			t.Error(err)
		}
		fetched <- a
	}()
	<-started
	var group sync.WaitGroup
	for range 3 { // all have seen the first one in the cache, and wait for its lock
		group.Go(func() {
			r := &EraseRequest{What: []string{"credential"}, Fingerprint: first.Credential.Fingerprint, Rejected: true}
			if a, err := w.Erase(t.Context(), r); err != nil || a.Erased.Credentials != 0 {
				t.Errorf("what was replaced meanwhile: %+v, %v", a, err)
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	w.issuer.during = nil
	close(release)
	second := <-fetched
	group.Wait()
	if a := w.must(t, `{"cache":"only"}`); a.Credential.Fingerprint != second.Credential.Fingerprint {
		t.Error("the new one is gone")
	}

	lock, err := w.Cache.LockEntry(t.Context(), w.bindingOf(t, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	var erased atomic.Int64
	for range 5 {
		group.Go(func() {
			r := &EraseRequest{What: []string{"credential"}, Fingerprint: second.Credential.Fingerprint, Rejected: true}
			a, err := w.Erase(t.Context(), r)
			if err != nil {
				t.Error(err)
				return
			}
			erased.Add(int64(a.Erased.Credentials))
		})
	}
	time.Sleep(200 * time.Millisecond)
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if n := erased.Load(); n != 1 {
		t.Errorf("erased %d times", n)
	}
	w.must(t, `{}`) // one rejection, not five
}

// TestForgetToolFiles: the plain files of a profile go with it, also where no
// entry of the cache tells of them, and only they do.
func TestForgetToolFiles(t *testing.T) {
	const profile = "backend = \"test\"\nkey = \"p256\"\n"
	w := newWorld(t, "default_profile = \"p\"\n[profile.p]\n"+profile+"[profile.p-2]\n"+profile+"[store]\ncredentials = \"none\"\n")
	w.storePass(t, "right")
	mine := w.must(t, `{"output":"path"}`)
	other := w.must(t, `{"profile":"p-2","output":"path"}`)
	if mine.StoredIn != "none" {
		t.Fatalf("stored in %s", mine.StoredIn)
	}
	if _, err := w.Erase(t.Context(), &EraseRequest{What: []string{"passphrase"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mine.Credential.Path); err != nil {
		t.Errorf("erasing the pass phrase: %v", err)
	}
	if _, err := w.Logout(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mine.Credential.Path); !os.IsNotExist(err) {
		t.Errorf("after logout: %v", err)
	}
	if _, err := os.Stat(other.Credential.Path); err != nil {
		t.Errorf("the neighbour's: %v", err)
	}
}

// TestEraseWithoutKeyring: a login node can log out; that a keyring elsewhere was
// not asked is said. What was named, or might be there, is an error.
func TestEraseWithoutKeyring(t *testing.T) {
	w := newWorld(t, "")
	w.failWith(cache.ErrUnavailable)
	if _, err := w.Login(t.Context(), LoginRequest{Passphrase: []byte("right")}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Erase(t.Context(), &EraseRequest{What: []string{"passphrase"}}); code(err) != CodeKeyringUnavailable {
		t.Errorf("a pass phrase by name: %v", err)
	}
	a, err := w.Logout(t.Context(), "")
	if err != nil || a.Erased.Credentials != 1 || warningOf(a.Warnings, "keyring_unavailable") == "" {
		t.Errorf("logout: %+v, %v", a, err)
	}
	for _, kind := range []error{cache.ErrLocked, cache.ErrTimeout} {
		w.failWith(cache.ErrUnavailable)
		if _, err := w.Login(t.Context(), LoginRequest{Passphrase: []byte("right")}); err != nil {
			t.Fatal(err)
		}
		w.failWith(kind)
		if _, err := w.Logout(t.Context(), ""); AsError(err).Code.ExitStatus() != CodeKeyringLocked.ExitStatus() {
			t.Errorf("%v: %v", kind, err)
		}
		w.failWith(cache.ErrUnavailable)
		if list, err := w.List(t.Context()); err != nil || len(list.Entries) > 0 {
			t.Errorf("%v: what could be reached is still there: %+v, %v", kind, list, err)
		}
	}
	w = newWorld(t, plainProfile("credentials = \"keyring\""))
	w.failWith(cache.ErrUnavailable)
	if _, err := w.Logout(t.Context(), ""); code(err) != CodeKeyringUnavailable {
		t.Errorf("a keyring that was asked for: %v", err)
	}
}

// TestEraseAll: nothing of anybody stays, also of profiles that are not
// configured any more, and what it says is what was there.
func TestEraseAll(t *testing.T) {
	const two = "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\n[profile.q]\nbackend = \"test\"\nkey = \"p256\"\n"
	w := newWorld(t, two)
	if _, err := w.Login(t.Context(), LoginRequest{Passphrase: []byte("right")}); err != nil {
		t.Fatal(err)
	}
	w.must(t, `{"profile":"q"}`) // the same account
	file := w.must(t, `{"output":"path"}`).Credential.Path
	if err := w.keys.Set(t.Context(), "pass:v1:gone:x", []byte("left behind")); err != nil {
		t.Fatal(err)
	}
	a, err := w.EraseAll(t.Context())
	if err != nil || a.Erased.Credentials != 2 || strings.Join(a.Erased.Secrets, " ") != "passphrase" || a.Erased.Identities != 1 {
		t.Errorf("got %+v, %v", a, err)
	}
	for _, account := range []string{"pass:v1:gone:x", "pass:v1:test:jane", "data-key:v1", "long-data-key:v1"} {
		if _, err := w.keys.Get(t.Context(), account); err == nil {
			t.Errorf("%s is still there", account)
		}
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the tool's file: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(w.dir, "state", "x509-credential-helper", "identity")); err != nil || len(left) > 0 {
		t.Errorf("identities: %v, %v", left, err)
	}
	w.useKeys(w.keys)
	w.refused(t, `{}`, CodeInteractionRequired)
	if a, err := w.EraseAll(t.Context()); err != nil || a.Erased.Credentials+len(a.Erased.Secrets)+a.Erased.Identities > 0 {
		t.Errorf("a second time: %+v, %v", a, err)
	}
}

// TestEraseAllReachesWhatItCan: a locked keyring is an error, never a lie, and no
// reason to leave the rest lying about.
func TestEraseAllReachesWhatItCan(t *testing.T) {
	w := newWorld(t, "")
	w.failWith(cache.ErrUnavailable)
	if _, err := w.Login(t.Context(), LoginRequest{Passphrase: []byte("right")}); err != nil {
		t.Fatal(err)
	}
	w.useKeys(w.keys)
	w.failWith(cache.ErrLocked)
	if _, err := w.EraseAll(t.Context()); code(err) != CodeKeyringLocked {
		t.Errorf("got %v", err)
	}
	w.keys.Fail = nil
	if list, err := w.List(t.Context()); err != nil || len(list.Entries) > 0 {
		t.Errorf("left: %+v, %v", list, err)
	}
	w.failWith(cache.ErrUnavailable)
	a, err := w.EraseAll(t.Context())
	if err != nil || warningOf(a.Warnings, "keyring_unavailable") == "" {
		t.Errorf("without a keyring: %+v, %v", a, err)
	}
}
