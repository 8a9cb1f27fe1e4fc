package rcauth

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// TestRescue: a keyring that stops taking anything between the question and the
// answer does not cost the session. It is sealed in a file, said so, and moved
// back by the next one.
func TestRescue(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	account, sets := g.account("session"), 0
	g.keys.fill(func(a string) error {
		if a == account {
			sets++
		}
		if sets > 1 { // the mark was taken, the new token is not
			return &cache.Error{Kind: cache.ErrUnavailable, Text: "the keyring has gone"}
		}
		return nil
	})
	a := g.get(t)
	if !hasWarning(a.Warnings, "session_rescued") {
		t.Errorf("warnings: %+v", a.Warnings)
	}
	if s := g.session(t); s.Began.IsZero() {
		t.Errorf("the keyring has a new session: %+v", s)
	}
	g.keys.fill(nil)
	a = g.get(t)
	if hasWarning(a.Warnings, "session_rescued") {
		t.Error("still in a file")
	}
	if s := g.session(t); !s.Began.IsZero() {
		t.Errorf("%+v", s)
	}
	g.get(t)
}

// TestKeyringFirst: a keyring that takes nothing is found out before the portal
// is asked to forget the token.
func TestKeyringFirst(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	before := g.refreshes()
	g.keys.fill(func(string) error { return &cache.Error{Kind: cache.ErrLocked, Text: "the keyring is locked"} })
	g.refused(t, helper.CodeKeyringLocked)
	if g.refreshes() != before {
		t.Error("the portal was asked")
	}
	g.keys.fill(nil)
	g.get(t)
}

// TestOtherHost: another host with the same keyring has no lock with us. The
// session that it left is used, and one that it left in the middle of ours, too.
func TestOtherHost(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	s := g.session(t)
	old := s.RefreshToken
	g.get(t)
	fresh := g.session(t)
	// Ours read the session of before, and the other's comes while we ask.
	s.RefreshToken = old
	put := func(s *session) {
		kept, err := s.encode()
		if err != nil {
			t.Error(err)
		}
		if err := g.keys.Memory.Set(t.Context(), g.account("session"), kept); err != nil {
			t.Error(err)
		}
	}
	for endpoint, asked := range map[string]int{"token": 2, ".well-known": 1} {
		put(s)
		before := g.refreshes()
		g.portal.Next(sandbox.PortalFaults{Endpoint: endpoint, Answer: func(*sandbox.PortalAnswer) { put(fresh) }})
		g.get(t)
		if n := g.refreshes() - before; n != asked {
			t.Errorf("%s: %d refreshes, want %d: what is new is read before it is used", endpoint, n, asked)
		}
		g.get(t)
		fresh = g.session(t)
	}
}

// TestStored: a refresh token and a client secret can be put into the keyring by
// hand, and what is none cannot.
func TestStored(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	token := g.session(t).RefreshToken
	store := func(kind, value string) error {
		_, err := g.Store(t.Context(), &helper.StoreRequest{Kind: kind, Value: []byte(value)})
		return err
	}
	if _, err := g.Erase(t.Context(), &helper.EraseRequest{What: []string{"all"}}); err != nil {
		t.Fatal(err)
	}
	g.refused(t, helper.CodeInteractionRequired)
	if err := store(KindSession, "two words"); err == nil {
		t.Error("two words are a refresh token")
	}
	for kind, value := range map[string]string{KindSession: token, KindClientSecret: gridSecret} {
		if err := store(kind, value); err != nil {
			t.Fatal(err)
		}
	}
	g.get(t)
	if s := g.session(t); s.RefreshToken == token || s.ProxyEnds.IsZero() || s.DN == "" {
		t.Errorf("%+v", s)
	}
}

// TestLogout: the portal shows the client secret only once, so a logout leaves it
// and says so; who erases all, or it, means it.
func TestLogout(t *testing.T) {
	g := newGrid(t, "")
	kept := func(what string) bool { _, err := g.keys.Get(t.Context(), g.account(what)); return err == nil }
	if a, err := g.Logout(t.Context(), "p"); err != nil || len(a.Kept) != 0 {
		t.Errorf("of nothing: %+v, %v", a, err)
	}
	g.login(t)
	a, err := g.Logout(t.Context(), "p")
	if err != nil || !slices.Equal(a.Erased.Secrets, []string{KindSession}) || !slices.Equal(a.Kept, []string{KindClientSecret}) {
		t.Errorf("%+v, %v", a, err)
	}
	if kept("session") || !kept("client") {
		t.Errorf("the session is there: %t, the client secret: %t", kept("session"), kept("client"))
	}
	g.login(t)
	if len(g.asked) != 1 {
		t.Errorf("asked %q", g.asked)
	}
	for _, what := range []string{KindClientSecret, "all"} {
		if _, err := g.Erase(t.Context(), &helper.EraseRequest{What: []string{what}}); err != nil || kept("client") || kept("session") != (what != "all") {
			t.Errorf("%s: %v; the session is there: %t, the client secret: %t", what, err, kept("session"), kept("client"))
		}
		g.login(t)
	}
	if _, err := g.EraseAll(t.Context()); err != nil || kept("session") || kept("client") {
		t.Errorf("everything: %v", err)
	}
}

// TestWrongSecret: a client secret that is kept and refused is asked for once
// more, on a terminal, and the right one replaces it.
func TestWrongSecret(t *testing.T) {
	g := newGrid(t, "")
	if err := g.keys.Memory.Set(t.Context(), g.account("client"), []byte("wrong")); err != nil {
		t.Fatal(err)
	}
	login := func(again bool, want helper.Code) {
		t.Helper()
		_, err := g.Login(t.Context(), helper.LoginRequest{AskAgain: again})
		if e := helper.AsError(err); (want != "" || err != nil) && e.Code != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	login(false, helper.CodeAuthenticationFailed)
	if len(g.asked) != 0 {
		t.Errorf("asked %q", g.asked)
	}
	g.away = true
	calls := len(g.portal.Calls(""))
	login(true, helper.CodeInteractionRequired)
	if len(g.portal.Calls("")) != calls {
		t.Error("somebody was sent to a browser in vain")
	}
	g.away = false
	login(true, "")
	if kept, err := g.keys.Get(t.Context(), g.account("client")); err != nil || string(kept) != gridSecret {
		t.Errorf("kept: %s, %v", kept, err)
	}
	g.get(t)
}

// TestLifetimes: what is asked for is sent, and what is too long is asked for
// once more as long as the portal gives it.
func TestLifetimes(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		lifetime, want time.Duration
		warning        string
	}{
		{time.Hour, time.Hour, ""},
		{9 * day, 9 * day, ""},
		{30 * day, 10 * day, "lifetime_clipped"},
	} {
		g := newGrid(t, "")
		g.login(t)
		a := g.get(t, func(r *helper.GetRequest) { r.Lifetime = tt.lifetime })
		if left := time.Duration(a.Credential.ExpiresIn) * time.Second; (left - tt.want).Abs() > time.Minute {
			t.Errorf("%v: %v, want %v", tt.lifetime, left, tt.want)
		}
		if tt.warning != "" && !hasWarning(a.Warnings, tt.warning) {
			t.Errorf("%v: %+v", tt.lifetime, a.Warnings)
		}
	}
}

// TestNearTheEnd: when the portal's own proxy has less left than its default,
// that is what there is; with next to nothing left a human is needed, and the
// portal is not asked again for a while.
func TestNearTheEnd(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	g.pass(11*24*time.Hour - 2*time.Hour)
	a := g.get(t)
	if left := time.Duration(a.Credential.ExpiresIn) * time.Second; left < 115*time.Minute || left > 2*time.Hour || !hasWarning(a.Warnings, "login_soon") {
		t.Errorf("%v left, %+v", left, a.Warnings)
	}
	g.pass(2*time.Hour - 3*time.Minute)
	e := g.refused(t, helper.CodeInteractionRequired)
	if e.Action == nil || e.Action.Kind != "login" {
		t.Errorf("%+v", e)
	}
	calls := len(g.portal.Calls(""))
	g.refused(t, helper.CodeInteractionRequired)
	if len(g.portal.Calls("")) != calls {
		t.Error("the portal was asked again")
	}
	g.pass(loginPause)
	g.refused(t, helper.CodeInteractionRequired)
	if len(g.portal.Calls("")) == calls {
		t.Error("the portal was not asked again after the pause")
	}
	// A login, here or elsewhere, gives the portal a new one.
	g.login(t)
	g.get(t)
	if left := g.status(t).NextLogin.Sub(g.clock()); left < 10*24*time.Hour {
		t.Errorf("the next login is in %v", left)
	}
}

// TestLimited: asked for from a client that is not registered for it, the proxy
// is limited here; from one that is, nobody's asking is needed, and that is said.
func TestLimited(t *testing.T) {
	yes := true
	g := newGrid(t, "")
	g.login(t)
	a := g.get(t, func(r *helper.GetRequest) { r.Limited = &yes })
	if !a.Credential.Limited || hasWarning(a.Warnings, "limited_by_portal") {
		t.Errorf("%+v", a)
	}
	g = newGrid(t, "", func(_ *sandbox.PortalOptions, c *sandbox.PortalClient) { c.Limited = true })
	g.login(t)
	if a = g.get(t); !a.Credential.Limited || !hasWarning(a.Warnings, "limited_by_portal") {
		t.Errorf("%+v", a)
	}
	if left := g.status(t).NextLogin.Sub(g.clock()); left < 10*24*time.Hour {
		t.Errorf("the next login is in %v: the proxy between is not the portal's own", left)
	}
}

// TestVO: one VO's attributes are asked for and have to come.
func TestVO(t *testing.T) {
	g := newGrid(t, "voms = [\"testvo\"]")
	g.login(t)
	a := g.get(t)
	if len(a.Credential.VOMS) != 1 || a.Credential.VOMS[0].VO != "testvo" {
		t.Errorf("%+v", a.Credential.VOMS)
	}
	calls := g.portal.Calls("getproxy")
	if form := calls[len(calls)-1].Form; form.Get("voname") != "testvo" || form.Get("voms") != "testvo" {
		t.Errorf("sent: voname %q, voms %q", form["voname"], form["voms"])
	}
	g.portal.Next(sandbox.PortalFaults{Endpoint: "getproxy", NoVOMS: true})
	g.refused(t, helper.CodeInvalidCredential)
	g.refused(t, helper.CodeServerRefused, func(r *helper.GetRequest) { r.VOMS = []string{"nobodysvo"} })
	before := len(g.portal.Calls(""))
	g.refused(t, helper.CodeUnsupportedFeature, func(r *helper.GetRequest) { r.VOMS = []string{"testvo", "othervo"} })
	if len(g.portal.Calls("")) != before {
		t.Error("the portal was asked for two VOs")
	}
}

// TestVOMSES: the line of the VO goes along, and only that.
func TestVOMSES(t *testing.T) {
	lines := []string{`"a" "h" "1" "/CN=h" "one"`, `"b" "h" "2" "/CN=h" "two"`}
	for vo, want := range map[string]string{"one": lines[0], "two": lines[1], "b": lines[1], "three": "", "h": ""} {
		if got := vomsesFor(lines, vo); got != want {
			t.Errorf("%s: %q", vo, got)
		}
	}
}

// TestNoDN: a portal that does not say whose certificate it is gets a warning,
// and is asked through userinfo before each proxy.
func TestNoDN(t *testing.T) {
	g := newGrid(t, "", func(o *sandbox.PortalOptions, _ *sandbox.PortalClient) { o.Users[0].NoDN = true })
	if a := g.login(t); !hasWarning(a.Get.Warnings, "subject_not_released") {
		t.Errorf("%+v", a.Get.Warnings)
	}
	if a := g.get(t); !hasWarning(a.Warnings, "subject_not_released") {
		t.Errorf("%+v", a.Warnings)
	}
	if n := len(g.portal.Calls("userinfo")); n != 2 {
		t.Errorf("%d userinfo", n)
	}
}

// TestAnotherUser: the profile belongs to who logged in first, until a login
// says otherwise; a refresh that turns out to be somebody else's does not.
func TestAnotherUser(t *testing.T) {
	g := newGrid(t, "", func(o *sandbox.PortalOptions, _ *sandbox.PortalClient) {
		o.Users = append(o.Users, sandbox.PortalUser{Subject: "joe@sandbox.invalid", Name: "Joe"})
	})
	g.login(t)
	g.subject = "joe@sandbox.invalid"
	if a := g.login(t); a.Get.Credential.Identity == gridDN {
		t.Errorf("%+v", a.Get.Credential)
	}
	g.get(t)
	g.config = "identity = \"" + gridDN + "\""
	g.Helper = g.newHelper(t, g.keys)
	g.refused(t, helper.CodeInvalidCredential)
	before := g.session(t)
	if _, err := g.Login(t.Context(), helper.LoginRequest{}); helper.AsError(err).Code != helper.CodeInvalidCredential {
		t.Errorf("a login as somebody else: %v", err)
	}
	if after := g.session(t); *after != *before {
		t.Error("it was kept")
	}
}

// TestIssuerElsewhere: the CA of RCauth is not in every directory; what counts
// is whether the storage has it.
func TestIssuerElsewhere(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	other := otherCA(t)
	g.config = "ca_file = \"" + g.portalCA(t) + "\"\n"
	text := strings.Replace(g.profile(), g.box.TrustDir(), other[:strings.LastIndex(other, "/")], 1)
	g.Helper = g.helperOf(t, text, g.keys)
	a := g.get(t)
	hash, err := gsi.SubjectHash(g.box.CACertificate().RawSubject)
	if err != nil || !strings.Contains(warning(a.Warnings, "issuer_not_trusted_here"), hash+".0") {
		t.Errorf("%+v, want the file %s.0 (%v)", a.Warnings, hash, err)
	}
	g.Helper = g.helperOf(t, text+"verify_issuer = true\n", g.keys)
	g.refused(t, helper.CodeInvalidCredential)
	// So it is with a copy that has expired, as Debian's of RCauth has.
	ca := *g.box.CACertificate()
	ca.NotBefore, ca.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	old := writeCA(t, &ca, hash+".0")
	text = strings.Replace(text, other[:strings.LastIndex(other, "/")], old[:strings.LastIndex(old, "/")], 1)
	g.Helper = g.helperOf(t, text, g.keys)
	if a := g.get(t); !strings.Contains(warning(a.Warnings, "issuer_not_trusted_here"), old) {
		t.Errorf("%+v, want the file %s", a.Warnings, old)
	}
	g.Helper = g.helperOf(t, text+"verify_issuer = true\n", g.keys)
	g.refused(t, helper.CodeInvalidCredential)
}

// TestSession: what is no session is not taken for one.
func TestSession(t *testing.T) {
	for text, good := range map[string]bool{
		`{"v":1,"refresh_token":"x"}`: true, "https://portal/refreshToken/1/2": true, `{"v":1}`: true,
		`{"v":2,"refresh_token":"x"}`: false, `{"v":1,"refresh_token":"a b"}`: false, `{`: false, "": false, "a b": false,
	} {
		if _, err := parseSession([]byte(text)); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
	at := func(h int) time.Time { return time.Unix(int64(h)*3600, 0) }
	for _, tt := range []struct {
		s    session
		want time.Time
	}{
		{session{RefreshEnds: at(5), ProxyEnds: at(3)}, at(3)},
		{session{RefreshEnds: at(2), ProxyEnds: at(3)}, at(2)},
		{session{RefreshEnds: at(2)}, at(2)},
		{session{ProxyEnds: at(3)}, at(3)},
		{session{}, time.Time{}},
		{session{RefreshEnds: at(9), Lost: "x", LostAt: at(1)}, at(1)},
	} {
		if got := tt.s.until(); !got.Equal(tt.want) {
			t.Errorf("%+v: %v", tt.s, got)
		}
	}
}

// TestNoKeyring: without one a login gives a proxy and says that there is no
// session.
func TestNoKeyring(t *testing.T) {
	g := newGrid(t, "[store]\npassphrases = \"none\"")
	a := g.login(t)
	if a.Kept != "" || a.Get.Credential.Identity != gridDN {
		t.Errorf("%+v", a)
	}
	if _, err := g.keys.Get(t.Context(), g.account("session")); !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("kept: %v", err)
	}
	g.refused(t, helper.CodeInteractionRequired)
}

// FuzzSession: whatever the keyring has does not end the program, and what is
// taken for a session can be kept again.
func FuzzSession(f *testing.F) {
	f.Add([]byte(`{"v":1,"refresh_token":"https://p/refreshToken/1/2","refresh_ends":"2026-11-22T10:00:00Z","nonce":"n","dn":"CN=x"}`))
	f.Add([]byte("https://p/refreshToken/1/2"))
	f.Add([]byte(`{"v":1,"lost":"x","lost_at":"2026-11-22T10:00:00Z"}`))
	f.Fuzz(func(t *testing.T, kept []byte) {
		s, err := parseSession(kept)
		if err != nil {
			return
		}
		_, _ = s.until(), s.why()
		again, err := s.encode()
		if err != nil {
			t.Skip("a time that JSON cannot have")
		}
		if back, err := parseSession(again); err != nil || back.RefreshToken != s.RefreshToken {
			t.Errorf("%s: %v", again, err)
		}
	})
}
