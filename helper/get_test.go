package helper

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
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

// TestVerification: nothing that is wrong reaches the cache or the caller.
func TestVerification(t *testing.T) {
	tests := []struct {
		name    string
		request string
		spoil   func(*world, *Result)
		code    Code
	}{
		{"another key", `{}`, func(w *world, r *Result) { _, e := makeCA(t, w.now, "Eve"); r.Chain[0] = e.Chain[0] }, CodeInvalidCredential},
		{"chain cut short", `{}`, func(w *world, r *Result) { r.Chain = r.Chain[:1] }, CodeInvalidCredential},
		{"no certificate", `{}`, func(w *world, r *Result) { r.Chain = nil }, CodeInvalidCredential},
		{"another issuer", `{}`, func(w *world, r *Result) { _, e := makeCA(t, w.now, "Jane"); r.Chain[1] = e.Chain[0] }, CodeInvalidCredential},
		{"no attributes", `{"voms":["atlas"]}`, func(*world, *Result) {}, CodeInvalidCredential},
		{"not valid yet", `{}`, func(w *world, r *Result) { w.now = w.now.Add(-time.Hour) }, CodeClockSkew},
		{"expired", `{}`, func(w *world, r *Result) { w.now = w.now.Add(13 * time.Hour) }, CodeInvalidCredential},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, "")
			w.storePass(t, "right")
			w.issuer.spoil = func(r *Result) { test.spoil(w, r) }
			w.refused(t, test.request, test.code)
			w.issuer.spoil = nil
			only := strings.Replace(test.request, "{", `{"cache":"only",`, 1)
			w.refused(t, strings.Replace(only, ",}", "}", 1), CodeNotFound)
		})
	}
}

// TestVOMS: attributes that were asked for must be there, in that order, and
// belong to the credential; their end is its end.
func TestVOMS(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	_, server := makeCA(t, w.now, "voms.example.org")
	_, eve := makeCA(t, w.now, "Eve")
	holder := w.issuer.eec.Chain[0]
	w.issuer.voms = func() (pkix.Extension, error) {
		return voms.Sign(voms.SignOptions{
			Issuer: server.Chain[0], Key: server.Key, Holder: holder, VO: "atlas", Host: "voms.example.org:15001",
			FQANs:     []string{"/atlas/Role=production", "/atlas"},
			NotBefore: w.now.Add(-time.Minute), NotAfter: w.now.Add(time.Hour), Serial: big.NewInt(7),
		})
	}
	a := w.must(t, `{"voms":["atlas:/atlas/Role=production"]}`)
	if len(a.Credential.VOMS) != 1 || a.Credential.VOMS[0].VO != "atlas" || a.Credential.ExpiresIn != 3600 {
		t.Errorf("got %+v", a.Credential)
	}
	w.must(t, `{"voms":["atlas"]}`)
	w.refused(t, `{"voms":["atlas:/atlas"]}`, CodeInvalidCredential) // there, but not as the first
	w.refused(t, `{"voms":["atlas:/atlas/Role=x"]}`, CodeInvalidCredential)
	w.refused(t, `{"voms":["cms"]}`, CodeInvalidCredential)
	holder = eve.Chain[0]
	w.refused(t, `{"cache":"bypass","voms":["atlas"]}`, CodeInvalidCredential)
	w.refused(t, `{"cache":"bypass"}`, CodeInvalidCredential) // nobody asked, but it is wrong all the same
}

// TestSupersededVOMS: servers look at the attributes nearest to the leaf alone,
// so what a proxy above has fulfils no wish.
func TestSupersededVOMS(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	_, server := makeCA(t, w.now, "voms.example.org")
	fqans := []string{"/atlas", "/atlas/Role=production"}
	holder := w.issuer.eec.Chain[0]
	w.issuer.voms = func() (pkix.Extension, error) {
		return voms.Sign(voms.SignOptions{
			Issuer: server.Chain[0], Key: server.Key, Holder: holder, VO: "atlas", Host: "voms.example.org:15001",
			FQANs: fqans, NotBefore: w.now.Add(-time.Minute), NotAfter: w.now.Add(time.Hour),
		})
	}
	const wish = `{"cache":"bypass","voms":["atlas:/atlas","atlas:/atlas/Role=production"]}`
	w.must(t, wish)
	extension, err := w.issuer.voms()
	if err != nil {
		t.Fatal(err)
	}
	w.issuer.eec, err = w.issuer.eec.Derive(w.issuer.eec.Key, gsi.IssueOptions{Now: w.now, Lifetime: time.Hour, Extensions: []pkix.Extension{extension}})
	if err != nil {
		t.Fatal(err)
	}
	fqans = fqans[:1]
	w.refused(t, wish, CodeInvalidCredential)
	if a := w.must(t, `{"cache":"bypass","voms":["atlas"]}`); len(a.Credential.VOMS) != 1 || len(a.Credential.VOMS[0].FQANs) != 1 {
		t.Errorf("got %+v", a.Credential.VOMS)
	}
}

// TestIdentity: a profile has one identity, from its configuration or its
// first login; another one is refused until somebody logs in again.
func TestIdentity(t *testing.T) {
	for _, dn := range []string{"/O=Lab/CN=Jane", "CN=Jane,O=Lab", "CN=Jane, O=Lab"} {
		w := newWorld(t, "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\nidentity = \""+dn+"\"\n")
		w.storePass(t, "right")
		w.must(t, `{}`)
		if a := w.must(t, `{}`); a.Source != SourceCache {
			t.Errorf("%s: the cached one is not recognised", dn)
		}
		_, w.issuer.eec = makeCA(t, w.now, "Eve")
		w.refused(t, `{"cache":"bypass"}`, CodeInvalidCredential)
	}

	w := newWorld(t, "")
	w.terminal.foreground, w.terminal.text = true, "right"
	if _, err := w.Login(t.Context(), LoginRequest{}); err != nil {
		t.Fatal(err)
	}
	w.must(t, `{"limited":true}`) // of Jane, in the cache
	_, w.issuer.eec = makeCA(t, w.now, "Eve")
	e := w.refused(t, `{"cache":"bypass"}`, CodeInvalidCredential)
	if !strings.Contains(e.Message, "Jane") || !strings.Contains(e.Message, "Eve") {
		t.Errorf("does not name both: %v", e)
	}
	if _, err := w.Login(t.Context(), LoginRequest{}); err != nil {
		t.Fatal(err)
	}
	if a := w.must(t, `{}`); a.Credential.Identity != "/O=Lab/CN=Eve" {
		t.Errorf("after a new login: %s", a.Credential.Identity)
	}
	if a := w.must(t, `{"limited":true}`); a.Credential.Identity != "/O=Lab/CN=Eve" {
		t.Errorf("from the %s after a new login: %s", a.Source, a.Credential.Identity)
	}
}

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
	w.refused(t, `{"timeout":1}`, CodeTimeout)
	w.refused(t, `{"timeout":1}`, CodeTimeout)
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
	w.refused(t, `{"timeout":1,"cache":"bypass"}`, CodeTimeout)
	w.issuer.deaf, w.issuer.err = false, Errorf(CodeServerRefused, "no")
	w.refused(t, `{"cache":"bypass"}`, CodeServerRefused)
	w.issuer.deaf, w.issuer.err = true, nil
	w.refused(t, `{"timeout":1,"cache":"bypass"}`, CodeTimeout)
	w.refused(t, `{"timeout":1,"cache":"bypass"}`, CodeTimeout)
	w.refused(t, `{"timeout":1,"cache":"bypass"}`, CodeRateLimited)
}

// TestSingleFlight: whoever asks while one asks the backend gets what that one
// got, or its failure.
func TestSingleFlight(t *testing.T) {
	for _, fail := range []bool{false, true} {
		w := newWorld(t, "")
		w.storePass(t, "right")
		release := make(chan struct{})
		w.issuer.during = func(context.Context) { <-release }
		if fail {
			w.issuer.err = Errorf(CodeBackendUnavailable, "nobody there")
		}
		time.AfterFunc(200*time.Millisecond, func() { close(release) })
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				r := DefaultGetRequest()
				if i%2 == 0 {
					r.Cache = CacheBypass
				}
				if _, err := w.Get(t.Context(), r); (err != nil) != fail {
					t.Errorf("fail %v: got %v", fail, err)
				}
			})
		}
		group.Wait()
		// A caller that was scheduled only after the leader was done asks anew.
		if n := w.issuer.count(); n > 3 {
			t.Errorf("fail %v: %d calls for 50 callers", fail, n)
		}
	}
}

func TestBusy(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	started, release := make(chan struct{}), make(chan struct{})
	w.issuer.during = func(context.Context) { close(started); <-release }
	done := make(chan error, 1)
	go func() { _, err := w.Get(t.Context(), DefaultGetRequest()); done <- err }()
	<-started
	e := w.refused(t, `{"timeout":1}`, CodeBusy)
	if !e.Retryable {
		t.Error("busy is worth another try")
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRefreshAhead: past its refresh time a credential is renewed while it is
// still good; where that fails the good one is served, and not every caller
// tries again.
func TestRefreshAhead(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	first := w.must(t, `{}`)
	share := first.Credential.RefreshAfter.Sub(w.now).Seconds() / (12 * 3600)
	if share < 0.5 || share > 0.75 {
		t.Errorf("refresh at %.2f of its life", share)
	}
	w.now = first.Credential.RefreshAfter.Add(time.Second)
	w.issuer.err = Errorf(CodeBackendUnavailable, "nobody there")
	w.issuer.during = func(ctx context.Context) {
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > 5*time.Second {
			t.Errorf("it may take until %v", end)
		}
	}
	for range 3 {
		if a := w.must(t, `{}`); a.Source != SourceCache {
			t.Error("not served from the cache")
		}
	}
	if n := w.issuer.count(); n != 2 {
		t.Errorf("%d calls, want one and one failed refresh", n)
	}
	w.issuer.err = nil
	if a := w.must(t, `{"cache":"only"}`); a.Credential.Fingerprint != first.Credential.Fingerprint {
		t.Error("cache:only asked the backend")
	}
}

func TestRefreshAheadRenews(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	first := w.must(t, `{}`)
	w.now = first.Credential.RefreshAfter.Add(time.Second)
	if a := w.must(t, `{}`); a.Source != SourceBackend || a.Credential.Fingerprint == first.Credential.Fingerprint {
		t.Errorf("not renewed: %s", a.Source)
	}
	if a := w.must(t, `{}`); a.Source != SourceCache {
		t.Error("renewed twice")
	}
}

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

// TestRefreshAheadIsQuiet: nobody is asked for a pass word of the keyring
// because of a credential that is still good.
func TestRefreshAheadIsQuiet(t *testing.T) {
	w := newWorld(t, "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\n[store]\ncredentials = \"runtime\"\n")
	keys := &promptCount{KeyStore: w.keys}
	w.useKeys(keys)
	w.storePass(t, "right")
	w.terminal.foreground = true
	first := w.must(t, `{"interactive":"auto"}`)
	if keys.n == 0 {
		t.Fatal("a fetch that somebody waits for may ask")
	}
	keys.n = 0
	w.now = first.Credential.RefreshAfter.Add(time.Second)
	if a := w.must(t, `{"interactive":"auto"}`); a.Source != SourceBackend || keys.n > 0 {
		t.Errorf("from the %s, asked %d times", a.Source, keys.n)
	}
}

// TestNotShared: what a leader's own deadline caused is no failure of who waits
// for it, and somebody at a login is there to try.
func TestNotShared(t *testing.T) {
	waiters := map[string]func(h *Helper) error{
		"deadline": func(h *Helper) error { _, err := h.Get(t.Context(), DefaultGetRequest()); return err },
		"login": func(h *Helper) error {
			_, err := h.Login(t.Context(), LoginRequest{Passphrase: []byte("right")})
			return err
		},
	}
	for name, wait := range waiters {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			w.storePass(t, "right")
			second := *w.Helper // another process
			second.Backends = map[string]Backend{"test": &issuer{eec: w.issuer.eec, clock: w.Clock, grant: 12 * time.Hour, pass: "right"}}
			leads, begun := make(chan error, 1), make(chan struct{})
			request := DefaultGetRequest()
			if name == "deadline" {
				request.Timeout = time.Second
				w.issuer.during = func(ctx context.Context) { close(begun); <-ctx.Done() }
			} else {
				w.issuer.during = func(context.Context) { close(begun); time.Sleep(300 * time.Millisecond) }
			}
			w.issuer.err = Errorf(CodeBackendUnavailable, "nobody there")
			go func() { _, err := w.Get(t.Context(), request); leads <- err }()
			<-begun
			if err := wait(&second); err != nil {
				t.Errorf("who waited: %v", err)
			}
			if err := <-leads; err == nil {
				t.Error("the leader succeeded")
			}
		})
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

func TestListAndStatus(t *testing.T) {
	w := newWorld(t, "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\n[profile.bad]\nbackend = \"test\"\nlimitd = true\n")
	w.storePass(t, "right")
	w.must(t, `{}`)
	list, err := w.List(t.Context())
	if err != nil || len(list.Entries) != 1 || list.Entries[0].Profile != "p" || list.Entries[0].ExpiresIn != 12*3600 || list.Entries[0].StoredIn != "keyring" {
		t.Errorf("list: %+v, %v", list, err)
	}
	status, err := w.Status(t.Context())
	if err != nil || len(status.Profiles) != 2 {
		t.Fatalf("status: %+v, %v", status, err)
	}
	bad, p := status.Profiles[0], status.Profiles[1]
	if bad.State != StateError || bad.Error == nil || p.State != StateValid || p.Passphrase != "keyring" || p.Lifetime != 12*3600 {
		t.Errorf("status: %+v, %+v", bad, p)
	}
}

// TestStatusExpired: a proxy that has expired is told from none, until there is
// another one; erase takes its key, too.
func TestStatusExpired(t *testing.T) {
	w := newWorld(t, "")
	state := func(want ...string) {
		t.Helper()
		s, err := w.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range s.Profiles {
			got = append(got, p.State)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	state(StateNone)
	w.storePass(t, "right")
	end := w.must(t, `{"limited":true}`).Credential.NotAfter
	state(StateValid)
	w.now = end
	state(StateExpired)
	if list, err := w.List(t.Context()); err != nil || len(list.Entries) > 0 {
		t.Errorf("list: %+v, %v", list, err)
	}
	if a, err := w.Erase(t.Context(), &EraseRequest{Selection: Selection{Profile: "p"}, What: []string{"credential"}}); err != nil || a.Erased.Credentials != 1 {
		t.Errorf("erase: %+v, %v", a, err)
	}
	state(StateNone)
}

// TestIssuerUnknown: an anchor that is not here is a warning, or a refusal
// where the profile says so; one that says no is always a refusal.
func TestIssuer(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	if a := w.must(t, `{}`); !hasWarning(a, "issuer_unknown") {
		t.Errorf("warnings: %+v", a.Warnings)
	}
	p, err := w.Config.Profile("p")
	if err != nil {
		t.Fatal(err)
	}
	p.VerifyIssuer = true
	w.refused(t, `{"cache":"bypass"}`, CodeInvalidCredential)
	p.VerifyIssuer = false

	ca, eec := makeCA(t, w.now, "Jane")
	w.issuer.eec = eec
	p.CADir = filepath.Join(w.dir, "anchors")
	hash, err := gsi.SubjectHash(ca.RawSubject)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(p.CADir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeCert(t, filepath.Join(p.CADir, hash+".0"), ca)
	w.refused(t, `{"cache":"bypass"}`, CodeInvalidCredential) // no signing policy
	policy := "access_id_CA X509 '/O=Lab/CN=Test CA'\npos_rights globus CA:sign\ncond_subjects globus '\"/O=Lab/*\"'\n"
	if err := os.WriteFile(filepath.Join(p.CADir, hash+".signing_policy"), []byte(policy), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := w.must(t, `{"cache":"bypass"}`); len(a.Warnings) != 0 {
		t.Errorf("with its anchor: %+v", a.Warnings)
	}
}

func writeCert(t *testing.T, file string, cert *x509.Certificate) {
	t.Helper()
	c := &gsi.Credential{Chain: []*x509.Certificate{cert}}
	if err := os.WriteFile(file, certPEM(c.Chain[0]), 0o644); err != nil {
		t.Fatal(err)
	}
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
