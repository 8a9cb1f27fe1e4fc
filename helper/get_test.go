package helper

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

func TestGetCaches(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	first := w.must(t, `{}`)
	if first.Source != SourceBackend || first.StoredIn != "keyring" || first.Credential.Type != "rfc3820" || first.Credential.Identity != "/O=Lab/CN=Jane" {
		t.Errorf("first: %+v", first)
	}
	cred, err := gsi.ParseCredential(first.Credential.PEM)
	if err != nil {
		t.Fatal(err)
	}
	if err := cred.Verify(gsi.VerifyOptions{Now: w.now}); err != nil {
		t.Errorf("what was handed out: %v", err)
	}
	second := w.must(t, `{"min_lifetime":3600}`)
	if second.Source != SourceCache || second.Credential.Fingerprint != first.Credential.Fingerprint || string(second.Credential.PEM) != string(first.Credential.PEM) {
		t.Errorf("second: %+v", second)
	}
	if w.issuer.count() != 1 {
		t.Errorf("%d calls", w.issuer.count())
	}
	if second.Credential.ExpiresIn != 12*3600 {
		t.Errorf("expires_in %d", second.Credential.ExpiresIn)
	}
}

// TestGetFetchesAgain: a credential that is too short, or the caller's bypass,
// is a reason to ask the backend; nothing else is.
func TestGetFetchesAgain(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	w.refused(t, `{"cache":"only"}`, CodeNotFound)
	w.must(t, `{}`)
	w.must(t, `{"cache":"only"}`)
	w.now = w.now.Add(time.Minute)
	w.must(t, `{"lifetime":86400}`) // a wish for a new one only
	if n := w.issuer.count(); n != 1 {
		t.Fatalf("%d calls, want 1", n)
	}
	w.must(t, `{"cache":"bypass"}`)
	w.must(t, `{"cache":"bypass"}`)
	if n := w.issuer.count(); n != 3 {
		t.Fatalf("%d calls after two bypasses, want 3", n)
	}
	w.now = w.now.Add(12*time.Hour - 4*time.Minute)
	w.refused(t, `{"cache":"only"}`, CodeNotFound)
	w.must(t, `{"cache":"only","min_lifetime":60}`)
	w.must(t, `{}`)
	if n := w.issuer.count(); n != 4 {
		t.Fatalf("%d calls after it got short, want 4", n)
	}
}

// TestLifetimeUnavailable: what the server does not grant is told with what it
// does, is kept, and equal requests do not ask it again.
func TestLifetimeUnavailable(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	e := w.refused(t, `{"min_lifetime":86400}`, CodeLifetimeUnavailable)
	if e.Granted != 12*3600 {
		t.Errorf("granted %d", e.Granted)
	}
	w.refused(t, `{"min_lifetime":86400}`, CodeLifetimeUnavailable)
	w.refused(t, `{"min_lifetime":50000}`, CodeLifetimeUnavailable)
	if a := w.must(t, `{}`); a.Source != SourceCache {
		t.Error("the shorter one was not kept")
	}
	if n := w.issuer.count(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	w.now = w.now.Add(2 * time.Hour)
	w.must(t, `{"min_lifetime":42000}`) // a new one would do: it grants 12 h anew
	if n := w.issuer.count(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// TestLifetimeUnavailableHint: nobody can store a credential at a portal, so that
// is no advice for one.
func TestLifetimeUnavailableHint(t *testing.T) {
	for _, portal := range []bool{false, true} {
		w := &wish{request: DefaultGetRequest(), target: &Target{ServerKey: portal}}
		var e *Error
		if err := lifetimeUnavailable(w, &cache.Entry{Granted: time.Minute}); !errors.As(err, &e) {
			t.Fatal(err)
		}
		if !strings.HasPrefix(e.Hint, "ask for a shorter min_lifetime") || strings.Contains(e.Hint, "store") == portal {
			t.Errorf("portal %v: %s", portal, e.Hint)
		}
	}
}

// TestTooShortIsSaid: where there is a credential and it is refused for its
// lifetime, that is said with whatever kept a longer one away. Nobody looks for
// what is wrong with a login that is good for hours.
func TestTooShortIsSaid(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	w.must(t, `{}`)
	w.now = w.now.Add(2 * time.Hour)
	const want = "; the one in the cache lives another 10 h, and 20 h were asked for"
	w.issuer.err = Errorf(CodeBackendUnavailable, "no server answers")
	if e := w.refused(t, `{"min_lifetime":72000}`, CodeBackendUnavailable); e.Message != "no server answers"+want {
		t.Errorf("got %q", e.Message)
	}
	if e := w.refused(t, `{"min_lifetime":72000,"cache":"only"}`, CodeNotFound); e.Message != "no credential that would do is in the cache"+want {
		t.Errorf("cache only: got %q", e.Message)
	}
	if e := w.refused(t, `{"cache":"bypass"}`, CodeBackendUnavailable); e.Message != "no server answers" {
		t.Errorf("nobody looked: got %q", e.Message)
	}
}

// TestLifetimeAsked: enough for the caller, whatever else is wished for.
func TestLifetimeAsked(t *testing.T) {
	for request, want := range map[string]int64{
		`{"cache":"bypass"}`:                                     12 * 3600,
		`{"cache":"bypass","lifetime":7200}`:                     7200,
		`{"cache":"bypass","lifetime":7200,"min_lifetime":0}`:    7200,
		`{"cache":"bypass","lifetime":600,"min_lifetime":1000}`:  1300,
		`{"cache":"bypass","lifetime":1200,"min_lifetime":1000}`: 1300,
	} {
		w := newWorld(t, "")
		w.storePass(t, "right")
		if got := w.must(t, request).Credential.ExpiresIn; got != want {
			t.Errorf("%s: %d s, want %d", request, got, want)
		}
	}
}

func TestLifetimeClippedIsAWarning(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	a := w.must(t, `{"lifetime":86400}`)
	if len(a.Warnings) == 0 || a.Warnings[0].Code != "lifetime_clipped" || a.Warnings[0].Message != "asked for 24 h, the server granted 12 h" {
		t.Errorf("warnings: %+v", a.Warnings)
	}
}

func TestLimited(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	full := w.must(t, `{}`)
	limited := w.must(t, `{"limited":true}`)
	if full.Credential.Limited || !limited.Credential.Limited {
		t.Errorf("limited: %v, %v", full.Credential.Limited, limited.Credential.Limited)
	}
	if w.must(t, `{"limited":true}`).Credential.Fingerprint != limited.Credential.Fingerprint || w.must(t, `{}`).Credential.Fingerprint != full.Credential.Fingerprint {
		t.Error("the two are mixed up in the cache")
	}

	// A server that cannot: the helper signs the limited one itself, under a
	// new key, and the full one is nowhere.
	no := false
	w.issuer.limited = &no
	a := w.must(t, `{"limited":true,"cache":"bypass"}`)
	cred, err := gsi.ParseCredential(a.Credential.PEM)
	if err != nil {
		t.Fatal(err)
	}
	if err := cred.Verify(gsi.VerifyOptions{Now: w.now}); err != nil {
		t.Error(err)
	}
	if !a.Credential.Limited || len(cred.Chain) != 3 {
		t.Errorf("limited %v, %d certificates", a.Credential.Limited, len(cred.Chain))
	}
	yes := true
	w.issuer.limited = &yes
	a = w.must(t, `{"cache":"bypass"}`)
	if !hasWarning(a, "limited_unasked") {
		t.Errorf("a limited one that nobody asked for: %+v", a.Warnings)
	}
	if a = w.must(t, `{}`); a.Source != SourceCache || !hasWarning(a, "limited_unasked") || len(a.Warnings) != 1 {
		t.Errorf("the same from the %s: %+v", a.Source, a.Warnings)
	}
}

func hasWarning(a *GetAnswer, code string) bool {
	for _, w := range a.Warnings {
		if w.Code == code {
			return true
		}
	}
	return false
}

func TestLimitedProfile(t *testing.T) {
	w := newWorld(t, "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\nlimited = true\n")
	w.storePass(t, "right")
	w.refused(t, `{"limited":false}`, CodePolicyRefused)
	if !w.must(t, `{}`).Credential.Limited {
		t.Error("not limited")
	}
}

// TestClockSetBack: a credential that is not valid yet is not served; a new
// one tells whether the clock is wrong.
func TestClockSetBack(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	w.must(t, `{}`)
	w.now = w.now.Add(-10 * time.Minute)
	w.refused(t, `{"cache":"only"}`, CodeNotFound)
	if a := w.must(t, `{}`); a.Source != SourceBackend || a.Credential.NotBefore.After(w.now) {
		t.Errorf("from the %s, not before %v at %v", a.Source, a.Credential.NotBefore, w.now)
	}
}

func TestOutputPath(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	a := w.must(t, `{"output":"path"}`)
	if len(a.Credential.PEM) != 0 || filepath.Dir(a.Credential.Path) != filepath.Join(w.dir, "run", "proxy") {
		t.Fatalf("got %+v", a.Credential)
	}
	info, err := os.Stat(a.Credential.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	b := w.must(t, `{"output":"path","cache":"bypass"}`)
	if b.Credential.Path != a.Credential.Path {
		t.Error("the same wish has another path")
	}
	data, err := os.ReadFile(b.Credential.Path)
	if err != nil {
		t.Fatal(err)
	}
	if cred, err := gsi.ParseCredential(data); err != nil || cred.Verify(gsi.VerifyOptions{Now: w.now}) != nil {
		t.Errorf("the file: %v", err)
	}
}
