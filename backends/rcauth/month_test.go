package rcauth

import (
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

const day = 24 * time.Hour

// TestMonth: a job that asks every hour for 30 days, with a portal that is
// restarted every other day. A human is needed three times, each time because
// the portal's own proxy has come to its end after 11 days; status had said
// when.
func TestMonth(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	logins, fetched, said := 1, 0, *g.status(t).NextLogin
	tokens := map[string]bool{}
	for hour := range 30 * 24 {
		g.pass(time.Hour)
		if hour%48 == 17 {
			g.portal.Stop()
			e := g.refused(t, helper.CodeBackendUnavailable)
			if !e.Retryable {
				t.Errorf("hour %d: %+v", hour, e)
			}
			if err := g.portal.Start(); err != nil {
				t.Fatal(err)
			}
		}
		a, err := g.Get(t.Context(), helper.DefaultGetRequest())
		if err == nil {
			if a.Credential.NotAfter.Before(g.clock()) || a.Credential.Identity != gridDN {
				t.Fatalf("hour %d: %+v", hour, a.Credential)
			}
			if a.Source == helper.SourceBackend {
				fetched++
				if token := g.session(t).RefreshToken; tokens[token] {
					t.Fatalf("hour %d: a token was used twice", hour)
				} else {
					tokens[token] = true
				}
			}
			continue
		}
		if e := helper.AsError(err); e.Code != helper.CodeInteractionRequired || e.Action == nil || e.Action.Kind != "login" {
			t.Fatalf("hour %d: %s: %v", hour, e.Code, e)
		}
		if off := g.clock().Sub(said); off < -10*time.Minute || off > time.Hour {
			t.Errorf("hour %d: a login is needed at %v, status had said %v", hour, g.clock(), said)
		}
		g.login(t)
		logins++
		said = *g.status(t).NextLogin
	}
	if logins != 3 {
		t.Errorf("%d logins in 30 days, want 3: at the start and after 11 and 22 days", logins)
	}
	if fetched < 60 || fetched > 180 {
		t.Errorf("%d proxies of 12 h in 30 days", fetched)
	}
	if n := g.refreshes(); n < fetched {
		t.Errorf("%d refreshes, %d proxies", n, fetched)
	}
}

// TestLoginRenews: a login shortly before the end of the portal's own proxy is
// good for as long as any other. The portal would not replace it of itself.
func TestLoginRenews(t *testing.T) {
	for name, change := range map[string]func(*sandbox.PortalOptions, *sandbox.PortalClient){
		"as measured":  func(*sandbox.PortalOptions, *sandbox.PortalClient) {},
		"0.2.0":        func(o *sandbox.PortalOptions, _ *sandbox.PortalClient) { o.V020 = true },
		"before 0.2.0": legacy,
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrid(t, "", change)
			for range 3 {
				a := g.login(t)
				if left := a.Until.Sub(g.clock()); left < 10*day {
					t.Errorf("the next login is in %v", left)
				}
				if left := a.Get.Credential.ExpiresIn; left > 12*3600 {
					t.Errorf("a proxy of %d s, want the portal's default", left)
				}
				g.pass(8 * day)
			}
			g.get(t)
		})
	}
}

// TestLoginUnrenewed: a portal that cannot renew its proxy now gives what it has,
// and until when that is good is told.
func TestLoginUnrenewed(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	g.pass(8 * day)
	g.portal.SetFaults(sandbox.PortalFaults{Endpoint: "getproxy", NoCA: true})
	a := g.login(t)
	if left := a.Until.Sub(g.clock()); left < 2*day || left > 3*day {
		t.Errorf("the next login is in %v", left)
	}
}

// TestShortSession: where the refresh token ends before the portal's proxy, status
// goes by that, and each use puts the end off.
func TestShortSession(t *testing.T) {
	g := newGrid(t, "", func(_ *sandbox.PortalOptions, c *sandbox.PortalClient) { c.RefreshLife = 5 * day })
	for _, a := range []func(){func() { g.login(t) }, func() { g.get(t) }, func() { g.get(t) }} {
		a()
		if left := g.status(t).NextLogin.Sub(g.clock()); (left - 5*day).Abs() > time.Minute {
			t.Errorf("the next login is in %v, want 5 days", left)
		}
		g.pass(2 * day)
	}
	g.pass(4 * day)
	g.refused(t, helper.CodeInteractionRequired)
}

// TestHoliday: after 16 days without any use the refresh token has run out.
func TestHoliday(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	g.pass(16 * day)
	if e := g.refused(t, helper.CodeInteractionRequired); !strings.Contains(e.Message, "has run out") {
		t.Error(e.Message)
	}
	g.login(t)
	g.get(t)
}

func noTokens(o *sandbox.PortalOptions, c *sandbox.PortalClient) { c.RefreshLife = 0 }

// TestLong: without refresh tokens there is one proxy of ten days for each
// login, from which others are made here; the portal is not asked for any.
func TestLong(t *testing.T) {
	g := newGrid(t, "", noTokens)
	a := g.login(t)
	if !hasWarning(a.Get.Warnings, "no_refresh_token") || a.Kept != "keyring" {
		t.Errorf("%+v", a)
	}
	if left := a.Until.Sub(g.clock()); left < 239*time.Hour || left > 241*time.Hour {
		t.Errorf("the next login is in %v", left)
	}
	if list, err := g.List(t.Context()); err != nil || len(list.Entries) != 1 || list.Entries[0].ExpiresIn > 13*3600 {
		t.Errorf("the long one is nobody's to list: %+v, %v", list, err)
	}
	calls := len(g.portal.Calls(""))
	yes := true
	for range 9 {
		g.pass(day)
		full, limited := g.get(t), g.get(t, func(r *helper.GetRequest) { r.Limited = &yes })
		if full.Credential.Identity != gridDN || full.Credential.Limited || !limited.Credential.Limited || full.Credential.ExpiresIn > 12*3600 {
			t.Fatalf("%+v, %+v", full.Credential, limited.Credential)
		}
	}
	g.refused(t, helper.CodeUnsupportedFeature, func(r *helper.GetRequest) { r.VOMS = []string{"testvo"} })
	g.pass(day - time.Hour)
	if a := g.get(t); a.Credential.ExpiresIn > 3700 {
		t.Errorf("longer than what it was made from: %d s", a.Credential.ExpiresIn)
	}
	g.pass(time.Hour - 4*time.Minute)
	if e := g.refused(t, helper.CodeInteractionRequired); e.Action == nil {
		t.Errorf("%+v", e)
	}
	g.pass(day)
	g.refused(t, helper.CodeInteractionRequired)
	if len(g.portal.Calls("")) != calls {
		t.Error("the portal was asked")
	}
	g.login(t)
	g.get(t)
	if _, err := g.Logout(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	if files := sealedLong(t, g.dir); files != 0 {
		t.Errorf("%d long-lived proxies after the logout", files)
	}
}

// TestLongVO: attributes of a VO come from the login alone.
func TestLongVO(t *testing.T) {
	g := newGrid(t, "voms = [\"testvo\"]", noTokens)
	a := g.login(t)
	if len(a.Get.Credential.VOMS) != 1 || !hasWarning(a.Get.Warnings, "no_refresh_token") {
		t.Errorf("%+v", a.Get)
	}
	if left := a.Until.Sub(g.clock()); left < 11*time.Hour || left > 12*time.Hour {
		t.Errorf("the next login is in %v, want the end of the only proxy", left)
	}
	if got, err := g.Get(t.Context(), helper.DefaultGetRequest()); err != nil || got.Source != helper.SourceCache {
		t.Errorf("%v", err)
	}
	if e := g.refused(t, helper.CodeInteractionRequired); e.Action == nil || !strings.Contains(e.Message, "VO") {
		t.Errorf("%+v", e)
	}
}

// TestLongAnothers: the one proxy of a login is of who logged in, or nothing is kept.
func TestLongAnothers(t *testing.T) {
	g := newGrid(t, "", noTokens, func(o *sandbox.PortalOptions, _ *sandbox.PortalClient) {
		o.Users = append(o.Users, sandbox.PortalUser{Subject: "joe@sandbox.invalid", Name: "Joe"})
	})
	g.portal.SetFaults(sandbox.PortalFaults{Endpoint: "getproxy", As: "joe@sandbox.invalid"})
	if _, err := g.Login(t.Context(), helper.LoginRequest{}); helper.AsError(err).Code != helper.CodeInvalidCredential {
		t.Errorf("%v", err)
	}
	if n := sealedLong(t, g.dir); n != 0 {
		t.Errorf("%d long-lived proxies are kept", n)
	}
}

// TestLongReplaced: a session with refresh tokens leaves nothing of one without.
func TestLongReplaced(t *testing.T) {
	g := newGrid(t, "", noTokens)
	g.login(t)
	if sealedLong(t, g.dir) != 1 {
		t.Fatal("no long-lived proxy is kept")
	}
	g.portal.AddClient(gridClient())
	g.login(t)
	if n := sealedLong(t, g.dir); n != 0 {
		t.Errorf("%d are still there", n)
	}
	g.get(t)
}

func legacy(o *sandbox.PortalOptions, _ *sandbox.PortalClient) { o.Legacy = true }
