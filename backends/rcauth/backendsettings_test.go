package rcauth

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// profileOf loads one profile of this backend.
func profileOf(t *testing.T, b *Backend, lines string) (*helper.Profile, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte("[profile.p]\nbackend = \"rcauth\"\n"+lines), 0o600); err != nil {
		t.Fatal(err)
	}
	c := helper.LoadConfig(helper.ConfigPaths{User: file}, map[string]helper.Backend{Name: b}, "/home/jane")
	return c.Profile("p")
}

const (
	goodPortal = "portal = \"https://mp.example.org/mp-oa2-server/\"\n"
	goodClient = "client_id = \"myproxy:oa4mp,2012:/client_id/1\"\n"
)

// TestSettings: every key is looked at before anybody types a secret or opens a
// browser.
func TestSettings(t *testing.T) {
	b := New(Options{})
	for lines, want := range map[string]string{
		goodClient: "portal",
		goodPortal: "client_id",
		"portal = \"http://mp.example.org\"\n" + goodClient:                                  "https://",
		"portal = \"https://u:p@mp.example.org\"\n" + goodClient:                             "user",
		goodPortal + goodClient + `scopes = ["openid", "offline_access"]`:                    "offline_access",
		goodPortal + goodClient + `scopes = "edu.uiuc.ncsa.myproxy.getcert"`:                 "openid",
		goodPortal + goodClient + `redirect_ports = [0]`:                                     "no port",
		goodPortal + goodClient + "redirect_ports = [1]\nredirect_uri = \"https://x.test/\"": "both",
		goodPortal + goodClient + `redirect_uri = "http://example.org/callback"`:             "redirect_uri",
		goodPortal + goodClient + `redirect_uri = "callback"`:                                "redirect_uri",
		goodPortal + goodClient + `client_secret = "x"`:                                      "client_secret",
		goodPortal + goodClient + `redirect_ports = "8180"`:                                  "redirect_ports",
	} {
		p, err := profileOf(t, b, lines)
		if err == nil {
			_, err = b.Target(p)
		}
		e := helper.AsError(err)
		if err == nil || e.Code != helper.CodeNotConfigured || !strings.Contains(e.Message+e.Hint, want) {
			t.Errorf("%s: %v", lines, err)
		}
	}
}

// TestTarget: the session and the secret belong to portal and client; the slash
// at the end of the portal is nobody's.
func TestTarget(t *testing.T) {
	b := New(Options{})
	p, err := profileOf(t, b, goodPortal+goodClient+"redirect_ports = [8180, 8181]\nscopes = \"openid edu.uiuc.ncsa.myproxy.getcert email\"\n")
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Target(p)
	if err != nil {
		t.Fatal(err)
	}
	const portal, client = "https%3A%2F%2Fmp.example.org%2Fmp-oa2-server", "myproxy%3Aoa4mp%2C2012%3A%2Fclient_id%2F1"
	if got.Endpoint != "https://mp.example.org/mp-oa2-server" || !got.ServerKey ||
		got.Secrets[0].Account != "session:v1:rcauth:"+portal+":"+client || got.Secrets[0].Question != "" ||
		got.Secrets[1].Account != "client:v1:rcauth:"+portal+":"+client || got.Secrets[1].Question == "" {
		t.Errorf("%+v", got)
	}
	uris, err := b.RedirectURIs(p)
	if err != nil || !slices.Equal(uris, []string{"http://127.0.0.1:8180/callback", "http://127.0.0.1:8181/callback"}) {
		t.Errorf("%v, %v", uris, err)
	}
	c, err := b.Client(p)
	if err != nil || c.RedirectURI != uris[0] || !c.PKCE || len(c.Scopes) != 3 {
		t.Errorf("%+v, %v", c, err)
	}
	if p, err = profileOf(t, b, goodPortal+goodClient+"pkce = false\n"); err != nil {
		t.Fatal(err)
	}
	if c, err = b.Client(p); err != nil || c.PKCE {
		t.Errorf("pkce: %v", err)
	}
	if _, err = b.RedirectURIs(p); helper.AsError(err).Code != helper.CodeNotConfigured {
		t.Errorf("no redirects: %v", err)
	}
}

// TestNoProxyScope: a client that may not have proxies is told so before the
// portal is asked.
func TestNoProxyScope(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	calls := len(g.portal.Calls(""))
	g.config = "scopes = [\"openid\"]"
	g.Helper = g.newHelper(t, g.keys)
	if e := g.refused(t, helper.CodeNotConfigured); !strings.Contains(e.Message, scopeProxy) {
		t.Error(e)
	}
	if _, err := g.Login(t.Context(), helper.LoginRequest{}); helper.AsError(err).Code != helper.CodeNotConfigured {
		t.Error(err)
	}
	if len(g.portal.Calls("")) != calls {
		t.Error("the portal was asked")
	}
}

// TestLegacyPortal: a portal of before 0.2.0 gives sessions and proxies, too.
func TestLegacyPortal(t *testing.T) {
	g := newGrid(t, "", legacy)
	a := g.login(t)
	if left := a.Until.Sub(g.clock()); left < 10*day {
		t.Errorf("the next login is in %v", left)
	}
	g.get(t)
	g.pass(11*day - 2*time.Hour)
	g.refused(t, helper.CodeInteractionRequired)
	g = newGrid(t, "", legacy, noTokens)
	g.login(t)
	g.pass(5 * day)
	g.get(t)
}
