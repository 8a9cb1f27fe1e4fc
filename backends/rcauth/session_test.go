package rcauth

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
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

// TestMark: while the portal is asked the keyring says so, with nothing left of what
// was heard before; a session that is forgotten meanwhile is not brought back.
func TestMark(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	put := func(s *session) {
		kept, err := s.encode()
		if err != nil {
			t.Error(err)
		}
		if err := g.keys.Memory.Set(t.Context(), g.account("session"), kept); err != nil {
			t.Error(err)
		}
	}
	s := g.session(t)
	s.Began, s.Broken = g.clock().Add(-time.Hour), brokenUnheard
	put(s)
	asked := 0
	g.portal.Next(sandbox.PortalFaults{Endpoint: "token", Answer: func(*sandbox.PortalAnswer) {
		asked++
		if during := g.session(t); !during.Began.Equal(g.clock()) || during.Broken != "" || during.RefreshToken != s.RefreshToken {
			t.Errorf("the mark is %+v", during)
		}
	}})
	g.get(t)
	if after := g.session(t); asked != 1 || !after.Began.IsZero() || after.RefreshToken == s.RefreshToken {
		t.Errorf("asked %d times; %+v", asked, after)
	}
	before := g.refreshes()
	g.portal.Next(sandbox.PortalFaults{Endpoint: ".well-known", Answer: func(*sandbox.PortalAnswer) {
		if err := g.keys.Memory.Delete(t.Context(), g.account("session")); err != nil {
			t.Error(err)
		}
	}})
	if e := g.refused(t, helper.CodeInteractionRequired); e.Action == nil || g.refreshes() != before {
		t.Errorf("%+v", e)
	}
}

// TestBreach: only a request that may have asked for new tokens can have cost the
// old one.
func TestBreach(t *testing.T) {
	for _, tt := range []struct {
		err    error
		broken string
		over   bool
	}{
		{&TransportError{Op: opRefresh, Sent: true}, brokenUnheard, true},
		{&TransportError{Op: opRefresh}, brokenUnheard, false},
		{&TransportError{Op: opKeys, Sent: true}, brokenUnheard, false},
		{&PortalError{Op: opRefresh, Status: 403, Kind: KindRefreshToken}, "", true},
		{&PortalError{Op: opRefresh, Status: 403, Kind: KindClient}, brokenAnswer, false},
		{&PortalError{Op: opRefresh, Status: 502, Kind: KindUnavailable}, brokenAnswer, true},
		{&PortalError{Op: opKeys, Status: 502, Kind: KindUnavailable}, brokenAnswer, false},
		{&AnswerError{Op: opRefresh}, brokenAnswer, true},
		{&AnswerError{Op: opKeys}, brokenAnswer, false},
		{&IDTokenError{Fault: FaultNonce}, brokenAnswer, true},
		{&RequestError{}, "", false},
	} {
		if broken, over := breach(tt.err); over != tt.over || over && broken != tt.broken {
			t.Errorf("%#v: %q, %t", tt.err, broken, over)
		}
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
	if s := g.session(t); s.RefreshToken == token || s.ProxyEnds.IsZero() || s.Subject != gridUser().Subject {
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
