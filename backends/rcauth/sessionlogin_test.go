package rcauth

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// meanwhile is somebody at a browser during whose login other things happen.
type meanwhile struct {
	helper.LoginUI
	happens func()
}

func (u meanwhile) Show(ctx context.Context, p helper.LoginPrompt) error {
	u.happens()
	return u.LoginUI.Show(ctx, p)
}

// loginWhile logs in while something else happens.
func (g *grid) loginWhile(t *testing.T, happens func()) *helper.LoginAnswer {
	t.Helper()
	ui := g.UI
	defer func() { g.UI = ui }()
	g.UI = meanwhile{ui, happens}
	return g.login(t)
}

// TestNobodyWaitsForAHuman: while a login waits for its browser, other processes
// refresh the session that is there; the login replaces what they left.
func TestNobodyWaitsForAHuman(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	happened := 0
	g.loginWhile(t, func() {
		other := g.newHelper(t, g.keys)
		for range 2 {
			if _, err := other.Get(t.Context(), bypass(func(r *helper.GetRequest) { r.Timeout = 20 * time.Second })); err != nil {
				t.Errorf("%s: %v", helper.AsError(err).Code, err)
			}
			happened++
		}
	})
	if happened != 2 {
		t.Fatalf("%d proxies during the login", happened)
	}
	before := g.session(t)
	g.get(t)
	if after := g.session(t); after.Nonce != before.Nonce || after.RefreshToken == before.RefreshToken {
		t.Errorf("%+v after %+v", after, before)
	}
}

// TestKeyringGoesDuringLogin: who has logged in has a proxy and is told that there
// is no session. One that was there before is left as it was.
func TestKeyringGoesDuringLogin(t *testing.T) {
	g := newGrid(t, "")
	first := g.login(t)
	before := g.session(t)
	gone := &cache.Error{Kind: cache.ErrUnavailable, Text: "the keyring has gone"}
	account := g.account("session")
	a := g.loginWhile(t, func() {
		g.keys.fill(func(a string) error {
			if a == account {
				return gone
			}
			return nil
		})
	})
	if a.Kept != "" || a.Why == nil || !strings.Contains(a.Why.Message, "has gone") || a.Get.Credential.Fingerprint == first.Get.Credential.Fingerprint {
		t.Errorf("%+v", a)
	}
	g.keys.fill(nil)
	if after := g.session(t); *after != *before {
		t.Errorf("%+v after %+v", after, before)
	}
}

// TestHostWithoutPath: a portal's URL that lacks its path is told before anybody is
// sent to a browser, where there would be a page not found.
func TestHostWithoutPath(t *testing.T) {
	g := newGrid(t, "")
	portal := g.portal.URL()
	host := portal[:strings.LastIndex(portal, "/")]
	g.Helper = g.helperOf(t, strings.Replace(g.profile(), portal, host, 1), g.keys)
	g.UI = meanwhile{g.UI, func() { t.Error("an address was shown") }}
	_, err := g.Login(t.Context(), helper.LoginRequest{})
	e := helper.AsError(err)
	if err == nil || e.Code != helper.CodeServerRefused || !strings.Contains(e.Message, "there is nothing at the portal's address") || !strings.Contains(e.Hint, "/mp-oa2-server") {
		t.Errorf("%v (%s)", err, e.Hint)
	}
}
