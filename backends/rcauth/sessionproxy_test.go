package rcauth

import (
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

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
	if left := time.Duration(a.Credential.ExpiresIn) * time.Second; left < 115*time.Minute || left > 2*time.Hour-restSlack || !hasWarning(a.Warnings, "login_soon") {
		t.Errorf("%v left, %+v", left, a.Warnings)
	}
	g.pass(2*time.Hour - 3*time.Minute)
	e := g.refused(t, helper.CodeInteractionRequired)
	if e.Action == nil || e.Action.Kind != "login" {
		t.Errorf("%+v", e)
	}
	calls := len(g.portal.Calls(""))
	const passed = loginPause / 4
	g.pass(passed)
	e = g.refused(t, helper.CodeInteractionRequired)
	if len(g.portal.Calls("")) != calls {
		t.Error("the portal was asked again")
	}
	if left := time.Duration(e.RetryAfter) * time.Second; left < loginPause-passed-time.Minute || left > loginPause-passed {
		t.Errorf("to be asked again in %v, %v after the last time", left, passed)
	}
	g.pass(loginPause)
	g.refused(t, helper.CodeInteractionRequired)
	if len(g.portal.Calls("")) == calls {
		t.Error("the portal was not asked again after the pause")
	}
	// A note from the future, of a clock that was set back, stops nobody.
	g.pass(-5 * time.Minute)
	calls = len(g.portal.Calls(""))
	g.refused(t, helper.CodeInteractionRequired)
	if len(g.portal.Calls("")) == calls {
		t.Error("the portal was not asked, because it will have been")
	}
	g.pass(5 * time.Minute)
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
	// Then userinfo speaks of the user of the session, or is not believed.
	g.portal.Next(sandbox.PortalFaults{Endpoint: "userinfo", Claims: func(c map[string]any) { c["sub"] = "joe@sandbox.invalid" }})
	g.refused(t, helper.CodeServerRefused)
	g.get(t)
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
