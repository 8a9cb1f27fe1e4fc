package rcauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// Every endpoint is told the secret, or is where a browser types a password: none
// may be anywhere but on the portal's own host.
func TestEndpointsElsewhere(t *testing.T) {
	w := newWorld(t)
	host := must(url.Parse(w.portal)).Host
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "getproxy_endpoint", "registration_endpoint", "jwks_uri"} {
		for what, address := range map[string]string{
			"another host":     "https://evil.example.org/token",
			"another port":     "https://127.0.0.1:1/token",
			"http":             "http://" + host + "/token",
			"relative":         "/mp-oa2-server/token",
			"no scheme":        "//" + host + "/token",
			"user in it":       "https://portal@" + host + "/token",
			"host in the user": "https://" + host + "@evil.example.org/token",
			"a script":         "javascript:alert(1)",
			"no URL":           "https://%zz/",
			"control":          "https://" + host + "/a\nb",
			"fragment":         "https://" + host + "/token#x",
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				w.client = w.newClient()
				w.answer("openid-configuration", w.asJSON(func() any { return with(w.discovery(), name, address) }))
				got, err := w.client.Discover(context.Background())
				if got != nil {
					t.Errorf("got %+v", got)
				}
				isAnswerError(t, opDiscovery, err)
			})
		}
	}
}

// A document is asked for once, whatever is made of the answer; a failure is not
// remembered.
func TestDiscoveryIsRemembered(t *testing.T) {
	w := newWorld(t)
	good := w.answers["openid-configuration"]
	w.answer("openid-configuration", w.raw(503, "text/html", fixedBody("down")))
	_, err := w.client.Discover(context.Background())
	var refused *PortalError
	if !errors.As(err, &refused) || refused.Kind != KindUnavailable || refused.Description != "" {
		t.Fatalf("got %v", err)
	}
	w.answer("openid-configuration", good)
	first, err := w.client.Discover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	first.Token = "https://evil.example.org/" // a copy, and nothing more
	w.answer("openid-configuration", nil)
	again, err := w.client.Discover(context.Background())
	if err != nil || again.Token != w.portal+"/token" || again.Version != Version02 {
		t.Errorf("got %+v, %v", again, err)
	}
}

// A portal of before 0.2.0: with a discovery document that does not name
// getproxy, or with the page of the servlet engine that it really sent where
// there is none.
func TestOldPortal(t *testing.T) {
	w := newWorld(t)
	page := recorded(t, "discovery_at_host_root")
	for what, answer := range map[string]http.HandlerFunc{
		"document":    w.asJSON(func() any { return with(w.discovery(), "getproxy_endpoint", nil) }),
		"no document": w.raw(page.Response.Status, page.header("Content-Type"), fixedBody(page.Response.Body)),
	} {
		t.Run(what, func(t *testing.T) {
			w.client = w.newClient()
			w.answer("openid-configuration", answer)
			p, err := w.client.Discover(context.Background())
			if err != nil || p.Version != Version01 || p.Revoke != "" || p.GetProxy != w.portal+"/getproxy" || p.Register != w.portal+"/register" || p.Authorization != w.portal+"/authorize" {
				t.Fatalf("got %+v, %v", p, err)
			}
			if err := w.client.Revoke(context.Background(), secret.Secret(testRefresh)); !errors.Is(err, ErrNoRevocation) {
				t.Errorf("revoke: %v", err)
			}
			if _, err := w.client.GetProxy(context.Background(), ProxyRequest{AccessToken: secret.Secret(testAccess)}); err != nil {
				t.Errorf("getproxy: %v", err)
			}
		})
	}
}

// TestNoPortal: where neither the document nor the keys are, there is no portal:
// an old one has its keys. A portal that breaks off in between is told as that.
func TestNoPortal(t *testing.T) {
	w := newWorld(t)
	w.answer("openid-configuration", nil)
	for what, certs := range map[string]http.HandlerFunc{
		"not there": nil,
		"a page":    w.raw(http.StatusOK, "text/html", fixedBody("<html>welcome")),
		"no keys":   w.raw(http.StatusOK, "application/json", fixedBody("{}")),
	} {
		w.answer("certs", certs)
		_, err := w.client.Begin(t.Context(), "")
		var refused *PortalError
		if !errors.As(err, &refused) || refused.Op != opDiscovery || refused.Status != http.StatusNotFound || !strings.Contains(err.Error(), "is its URL right?") {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.answer("certs", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	var lost *TransportError
	if _, err := w.client.Begin(t.Context(), ""); !errors.As(err, &lost) || lost.Op != opKeys {
		t.Errorf("broken off: %v", err)
	}
}

// How long tokens live, as portals before and since 0.2.0 say it.
func TestLivesOfTokens(t *testing.T) {
	w := newWorld(t)
	day := 24 * time.Hour
	for what, c := range map[string]struct {
		change          map[string]any
		access, refresh time.Duration // 0 is a zero time
	}{
		"0.2":                    {nil, 15 * time.Minute, 15 * day},
		"0.2, no refresh token":  {map[string]any{"refresh_token": nil, "refresh_token_expires_in": nil}, 15 * time.Minute, 0},
		"0.1":                    {map[string]any{"refresh_token_expires_in": nil, "expires_in": 1209600}, 15 * time.Minute, 14 * day},
		"0.1, no refresh token":  {map[string]any{"refresh_token_expires_in": nil, "refresh_token": nil, "expires_in": nil}, 15 * time.Minute, 0},
		"nothing said":           {map[string]any{"refresh_token_expires_in": nil, "expires_in": nil}, 15 * time.Minute, 0},
		"shorter":                {map[string]any{"expires_in": 60}, time.Minute, 15 * day},
		"digits":                 {map[string]any{"expires_in": "60", "refresh_token_expires_in": "3600"}, time.Minute, time.Hour},
		"negative":               {map[string]any{"expires_in": -60, "refresh_token_expires_in": -1}, 15 * time.Minute, 0},
		"for ever":               {map[string]any{"refresh_token_expires_in": 1e18, "expires_in": 900}, 15 * time.Minute, 0},
		"for no time":            {map[string]any{"refresh_token_expires_in": 0, "expires_in": 900}, 15 * time.Minute, 0},
		"the old one, 0.1":       {map[string]any{"refresh_token": nil, "refresh_token_expires_in": nil, "expires_in": 900}, 15 * time.Minute, 0},
		"without id_token":       {map[string]any{"id_token": nil}, 15 * time.Minute, 15 * day},
		"the old one stays good": {map[string]any{"refresh_token": ""}, 15 * time.Minute, 15 * day},
	} {
		t.Run(what, func(t *testing.T) {
			w.answer("token", w.asJSON(func() any {
				doc := w.tokens(w.claims())
				for name, value := range c.change {
					doc = with(doc, name, value)
				}
				return doc
			}))
			got, err := w.client.Refresh(context.Background(), secret.Secret(testRefresh), "the-nonce", "")
			if err != nil {
				t.Fatal(err)
			}
			checkLife(t, "access token", got.AccessExpires, c.access)
			if strings.Contains(what, "no refresh token") {
				// A refresh that brings none leaves the old one as it was.
				if string(got.RefreshToken) != testRefresh {
					t.Errorf("the refresh token became %q", string(got.RefreshToken))
				}
				return
			}
			checkLife(t, "refresh token", got.RefreshExpires, c.refresh)
		})
	}
}

// A session keeps the end of a refresh token that goes on.
func TestRenewedEnds(t *testing.T) {
	end := testTime.Add(time.Hour)
	s := session{RefreshToken: "a", RefreshEnds: end}
	for what, c := range map[string]struct {
		t    Tokens
		want time.Time
	}{
		"another":          {Tokens{RefreshToken: secret.Secret("b"), RefreshExpires: end.Add(1)}, end.Add(1)},
		"another, no end":  {Tokens{RefreshToken: secret.Secret("b")}, time.Time{}},
		"the same":         {Tokens{RefreshToken: secret.Secret("a")}, end},
		"the same, longer": {Tokens{RefreshToken: secret.Secret("a"), RefreshExpires: end.Add(1)}, end.Add(1)},
	} {
		if got := s.renewed(&c.t); got.RefreshToken != string(c.t.RefreshToken) || !got.RefreshEnds.Equal(c.want) {
			t.Errorf("%s: got %q until %v", what, got.RefreshToken, got.RefreshEnds)
		}
	}
}

func checkLife(t *testing.T, what string, end time.Time, life time.Duration) {
	t.Helper()
	want := time.Time{}
	if life != 0 {
		want = testTime.Add(life)
	}
	if !end.Equal(want) {
		t.Errorf("the %s ends at %v, want %v", what, end, want)
	}
}

// At a login a client without refresh tokens gets none.
func TestLoginWithoutRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.answer("token", w.asJSON(func() any {
		return with(with(with(w.tokens(w.claims()), "refresh_token", nil), "refresh_token_expires_in", nil), "scope", "openid\x1b[2J")
	}))
	got, err := w.client.Exchange(context.Background(), attempt(), testCode)
	if err != nil || got.RefreshToken != nil || !got.RefreshExpires.IsZero() || got.Scope != "openid[2J" {
		t.Errorf("got %v, %v", got, err)
	}
}

// Tokens that could not be sent back are no tokens.
func TestOddTokens(t *testing.T) {
	w := newWorld(t)
	for what, change := range map[string][2]any{
		"access token with a line break": {"access_token", "a\r\nb"},
		"no access token":                {"access_token", ""},
		"access token is a number":       {"access_token", 5},
		"long access token":              {"access_token", strings.Repeat("a", maxToken+1)},
		"refresh token in letters":       {"refresh_token", "a\u00e9b"},
		"long refresh token":             {"refresh_token", strings.Repeat("a", maxToken+1)},
	} {
		t.Run(what, func(t *testing.T) {
			w.answer("token", w.asJSON(func() any { return with(w.tokens(w.claims()), change[0].(string), change[1]) }))
			_, err := w.client.Exchange(context.Background(), attempt(), testCode)
			isAnswerError(t, opToken, err)
			_, err = w.client.Refresh(context.Background(), secret.Secret(testRefresh), "", "")
			isAnswerError(t, opRefresh, err)
		})
	}
}

// Names of hosts have no case (RFC 3986 section 6.2.2.1), issuers have: a portal
// makes its own of the name that it was asked by.
func TestPortalInCapitals(t *testing.T) {
	c := cannedClient(canned{"openid-configuration": `{"issuer":"https://portal.test/mp-oa2-server","token_endpoint":"https://PORTAL.test/mp-oa2-server/token"}`})
	c.Portal = "https://Portal.Test:443/mp-oa2-server/"
	p, err := c.Discover(context.Background())
	if err != nil || p.GetProxy != "https://portal.test:443/mp-oa2-server/getproxy" || !c.rightIssuer(p, "https://portal.test/mp-oa2-server") {
		t.Errorf("got %+v, %v", p, err)
	}
}

// Tokens that do not look like a portal's are known by what was sent, and none
// prints.
func TestOpaqueTokens(t *testing.T) {
	w := newWorld(t)
	w.answer("token", w.raw(400, "application/json", fixedBody(`{"error":"invalid_request","error_description":"no opaque-one nor the-verifier"}`)))
	_, refused := w.client.Refresh(context.Background(), secret.Secret("opaque-one"), "", "")
	if refused == nil || strings.Contains(refused.Error(), "opaque-one") {
		t.Errorf("got %v", refused)
	}
	_, refused = w.client.Exchange(context.Background(), attempt(), "opaque-one")
	if refused == nil || strings.Contains(refused.Error(), "opaque-one") {
		t.Fatalf("got %v", refused)
	}
	noSecrets(t, refused) // the verifier
	one := secret.Secret("opaque-one")
	shown := fmt.Sprintf("%v %+v %#v %s", Tokens{AccessToken: one}, &Tokens{RefreshToken: one}, w.client, ProxyRequest{AccessToken: one})
	if strings.Contains(shown, "opaque-one") || strings.Contains(shown, clientSecret) {
		t.Errorf("it prints as %s", shown)
	}
}

// Too many requests are no refusal.
func TestTooManyRequests(t *testing.T) {
	if kind := kindOf(opRefresh, http.StatusTooManyRequests, ""); kind != KindUnavailable {
		t.Errorf("got %s", kind)
	}
}
