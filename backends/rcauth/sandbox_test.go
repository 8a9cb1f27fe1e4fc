package rcauth_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// The whole life of a session at every kind of portal: login, user, state, proxy,
// rotation, end.
func TestSession(t *testing.T) {
	for what, o := range map[string]sandbox.PortalOptions{
		"as measured":       {},
		"configured issuer": {ConfiguredIssuer: true},
		"before 0.2.0":      {Legacy: true},
	} {
		t.Run(what, func(t *testing.T) {
			c, p := sandboxClient(t, o)
			ctx := t.Context()
			a, err := c.Begin(ctx, "https://idp.example.org/shib")
			if err != nil {
				t.Fatal(err)
			}
			back, err := p.Browser().Authorize(ctx, a.URL)
			if err != nil {
				t.Fatal(err)
			}
			code, err := a.ParseRedirect(back, c.RedirectURI)
			if err != nil {
				t.Fatal(err)
			}
			tokens, err := c.Exchange(ctx, a, code)
			if err != nil || tokens.RefreshToken == nil || tokens.Claims.Subject != "jane" {
				t.Fatalf("got %v, %v", tokens, err)
			}
			if left := time.Until(tokens.RefreshExpires); left < 14*24*time.Hour || left > 15*24*time.Hour {
				t.Errorf("the refresh token lives for %v", left)
			}
			checkSession(t, c, a, tokens, o.Legacy)
		})
	}
}

func sandboxClient(t *testing.T, o sandbox.PortalOptions) (*rcauth.Client, *sandbox.Portal) {
	t.Helper()
	s, err := sandbox.Start(t.Context(), sandbox.Options{Dir: filepath.Join(t.TempDir(), "sandbox"), Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	const callback = "https://gateway.example.org/callback" // 0.1.x knows no others
	o.Clients = []sandbox.PortalClient{{ID: "myproxy:oa4mp,2012:/client_id/a", Secret: "s3cr3t", RedirectURIs: []string{callback}, RefreshLife: 30 * 24 * time.Hour}}
	o.Users = []sandbox.PortalUser{{Subject: "jane", Name: "Jane Roe", CommonName: "Jane Roe, née Łoś"}}
	p, err := s.StartPortal(o)
	if err != nil {
		t.Fatal(err)
	}
	return &rcauth.Client{
		Portal: p.URL(), ClientID: o.Clients[0].ID, ClientSecret: []byte("s3cr3t"), RedirectURI: callback, PKCE: true,
		HTTP: rcauth.NewHTTPClient(p.Roots()),
	}, p
}

func checkSession(t *testing.T, c *rcauth.Client, a *rcauth.Attempt, first *rcauth.Tokens, legacy bool) {
	t.Helper()
	ctx := t.Context()
	tokens, err := c.Refresh(ctx, first.RefreshToken, a.Nonce, first.Claims.Subject)
	if err != nil || string(tokens.RefreshToken) == string(first.RefreshToken) {
		t.Fatalf("refresh: %v, %v", tokens, err)
	}
	var refused *rcauth.PortalError
	if _, err := c.Refresh(ctx, first.RefreshToken, a.Nonce, first.Claims.Subject); !errors.As(err, &refused) || refused.Kind != rcauth.KindRefreshToken {
		t.Errorf("the old refresh token: %v", err)
	}
	who, err := c.UserInfo(ctx, tokens.AccessToken)
	if err != nil || who.Subject != "jane" || who.DN == "" {
		t.Fatalf("userinfo: %+v, %v", who, err)
	}
	cred, err := c.GetProxy(ctx, rcauth.ProxyRequest{AccessToken: tokens.AccessToken, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := rcauth.MatchSubject(who.DN, cred.Chain[len(cred.Chain)-1]); err != nil {
		t.Error(err)
	}
	if left := time.Until(cred.Leaf().NotAfter); left > time.Hour || left < 50*time.Minute {
		t.Errorf("the proxy lives for %v", left)
	}
	_, err = c.GetProxy(ctx, rcauth.ProxyRequest{AccessToken: tokens.AccessToken, Lifetime: 11 * 24 * time.Hour})
	if !errors.As(err, &refused) || refused.Kind != rcauth.KindLifetime {
		t.Errorf("too long: %v", err)
	}
	if legacy {
		if err := c.Revoke(ctx, tokens.RefreshToken); !errors.Is(err, rcauth.ErrNoRevocation) {
			t.Errorf("revoke: %v", err)
		}
		return
	}
	info, err := c.Info(ctx, tokens.AccessToken)
	if err != nil || info.TimeLeft < 10*24*time.Hour || info.MaxLifetime != 11*24*time.Hour {
		t.Errorf("info: %+v, %v", info, err)
	}
	if err := c.Revoke(ctx, tokens.RefreshToken); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UserInfo(ctx, tokens.AccessToken); !errors.As(err, &refused) || refused.Kind != rcauth.KindAccessToken {
		t.Errorf("after the end: %v", err)
	}
}
