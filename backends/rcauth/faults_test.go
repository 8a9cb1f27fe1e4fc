package rcauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// answering makes the portal say something else.
func answering(endpoint string, status int, content, body string) sandbox.PortalFaults {
	return sandbox.PortalFaults{Endpoint: endpoint, Answer: func(a *sandbox.PortalAnswer) {
		a.Status, a.Body, a.Header = status, []byte(body), http.Header{"Content-Type": {content}}
	}}
}

func portalJSON(endpoint string, status int, code, description string) sandbox.PortalFaults {
	return answering(endpoint, status, "application/json;charset=UTF-8",
		`{"error":"`+code+`","error_description":"`+description+`"}`)
}

func portalPage(endpoint string, status int, code, description string) sandbox.PortalFaults {
	return answering(endpoint, status, "text/html;charset=UTF-8",
		"<html><body><script>alert(1)</script><p>error: \""+code+"\"</p><p>error_description: \""+url.QueryEscape(description)+"\"</p></body></html>")
}

// TestFailureTable: every refusal of the measured table has its code, names what
// the portal said, and a next step where somebody can do something. The session
// outlives all of them but the last.
func TestFailureTable(t *testing.T) {
	voms := "MyProxy Failure! ERROR=No VOMS Server Information ERROR=Couldn't get VOMS User Information.  (this can occur in case the contacted VOMS server is down)"
	tests := []struct {
		name  string
		fault sandbox.PortalFaults
		code  helper.Code
		hint  string
	}{
		{"no client id", portalJSON("getproxy", 400, "invalid_request", "No client id"), helper.CodeNotConfigured, "client_id"},
		{"no secret", portalJSON("getproxy", 400, "invalid_request", "Error: No client secret"), helper.CodeAuthenticationFailed, "login p"},
		{"wrong secret", portalJSON("getproxy", 403, "invalid_request", "Error: Secret is incorrect. request refused."), helper.CodeAuthenticationFailed, "login p"},
		{"wrong secret at refresh", portalJSON("token", 403, "unauthorized_client", "Incorrect secret"), helper.CodeAuthenticationFailed, "login p"},
		{"unknown client", portalPage("getproxy", 400, "invalid_request", `Unknown client: "x"  cannot be found.`), helper.CodeNotConfigured, "client_id"},
		{"unapproved client", portalPage("token", 400, "invalid_request", `Error: The client with identifier "x" has not been approved. Request rejected.`), helper.CodeAuthorizationDenied, "administrator"},
		{"public client", portalJSON("getproxy", 400, "invalid_request", "Error: public clients not supported for this operation."), helper.CodeAuthorizationDenied, "not public"},
		{"no access token", portalJSON("getproxy", 400, "invalid_request", "Error: No access token"), helper.CodeInteractionRequired, "login p"},
		{"used access token", portalJSON("getproxy", 403, "invalid_request", "Invalid access token. Request refused"), helper.CodeInteractionRequired, "login p"},
		{"expired access token", portalJSON("getproxy", 403, "invalid_request", "Error: Time expired. The request was only valid between a and b"), helper.CodeInteractionRequired, "login p"},
		{"scope", portalJSON("getproxy", 400, "invalid_request", "Missing scope for certificate request"), helper.CodeAuthorizationDenied, "getcert"},
		{"lifetime", portalJSON("getproxy", 400, "invalid_request", "MyProxy Failure! Requested proxy lifetime (864001) is bigger then the server side maximum (60). Certificate will not get renewed."), helper.CodeLifetimeUnavailable, "shorter"},
		{"VOMS", portalPage("getproxy", 500, "server_error", voms), helper.CodeServerRefused, "vomses"},
		{"MyProxy down", portalPage("getproxy", 500, "server_error", "Error: No usable MyProxy service found."), helper.CodeBackendUnavailable, "later"},
		{"MyProxy INFO", portalJSON("getproxy", 500, "server_error", "MyProxy info failed"), helper.CodeBackendUnavailable, "later"},
		{"anything", portalJSON("getproxy", 418, "teapot", "I do not feel like it"), helper.CodeServerRefused, ""},
		{"nothing readable", answering("getproxy", 502, "text/html", "<html><script>alert(1)</script>Bad Gateway"), helper.CodeBackendUnavailable, "later"},
		{"redirect", sandbox.PortalFaults{Endpoint: "getproxy", Answer: func(a *sandbox.PortalAnswer) {
			a.Status = http.StatusFound
			a.Header.Set("Location", "https://evil.example.org/")
		}}, helper.CodeServerRefused, "portal"},
		{"broken off", sandbox.PortalFaults{Endpoint: "getproxy", CloseBefore: true}, helper.CodeBackendUnavailable, "network"},
		{"other user", sandbox.PortalFaults{Endpoint: "getproxy", As: "joe@sandbox.invalid"}, helper.CodeInvalidCredential, "administrator"},
		{"wrong key", sandbox.PortalFaults{Endpoint: "getproxy", WrongKey: true}, helper.CodeInvalidCredential, "administrator"},
		{"bad signature", sandbox.PortalFaults{Endpoint: "getproxy", BadSignature: true}, helper.CodeInvalidCredential, "administrator"},
		{"not valid yet", sandbox.PortalFaults{Endpoint: "getproxy", Skew: time.Hour}, helper.CodeClockSkew, "clock"},
		{"endless", sandbox.PortalFaults{Endpoint: "getproxy", Answer: func(a *sandbox.PortalAnswer) { a.Endless = true }}, helper.CodeServerRefused, "portal"},
	}
	g := newGrid(t, "", func(o *sandbox.PortalOptions, _ *sandbox.PortalClient) {
		o.Users = append(o.Users, sandbox.PortalUser{Subject: "joe@sandbox.invalid", Name: "Joe"})
	})
	g.login(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, err := g.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			g.portal.SetFaults(tt.fault)
			e := g.refused(t, tt.code)
			g.portal.SetFaults(sandbox.PortalFaults{})
			if !strings.Contains(e.Hint, tt.hint) || strings.ContainsAny(e.Message, "<>") || strings.Contains(e.Message, gridSecret) {
				t.Errorf("%s: %s (%s)", e.Code, e.Message, e.Hint)
			}
			if login := e.Action != nil && e.Action.Kind == "login"; login != (e.Code == helper.CodeInteractionRequired || e.Code == helper.CodeAuthenticationFailed) {
				t.Errorf("%s: action %+v", e.Code, e.Action)
			}
			after, err := g.List(t.Context())
			if err != nil || len(after.Entries) != len(list.Entries) || after.Entries[0].Fingerprint != list.Entries[0].Fingerprint {
				t.Errorf("something was stored: %+v, %v", after, err)
			}
			if tt.fault.Endpoint == "token" { // the answer alone was changed: the token has been replaced behind it
				g.login(t)
			}
			g.get(t) // all is well again
		})
	}
}

// TestHostileRefresh: a portal whose id_token is not right gets a typed error,
// and nothing that it sent is kept.
func TestHostileRefresh(t *testing.T) {
	claim := func(name string, value any) sandbox.PortalFaults {
		return sandbox.PortalFaults{Endpoint: "token", Claims: func(c map[string]any) { c[name] = value }}
	}
	for name, fault := range map[string]sandbox.PortalFaults{
		"audience":  claim("aud", "somebody else"),
		"nonce":     claim("nonce", "another"),
		"subject":   claim("sub", "joe@sandbox.invalid"),
		"alg none":  {Endpoint: "token", Header: func(h map[string]any) { h["alg"] = "none" }},
		"signature": {Endpoint: "token", BadSignature: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrid(t, "")
			g.login(t)
			before := g.session(t)
			g.portal.Next(fault)
			g.refused(t, helper.CodeInvalidCredential)
			after := g.session(t)
			if after.RefreshToken != before.RefreshToken || after.Broken != brokenAnswer {
				t.Errorf("kept: %+v", after)
			}
			// The portal has forgotten the old token: the next one says why.
			e := g.refused(t, helper.CodeInteractionRequired)
			if !strings.Contains(e.Message, "could not be used") || e.Action == nil {
				t.Errorf("%s (%s)", e.Message, e.Hint)
			}
			g.login(t)
			g.get(t)
		})
	}
}

// TestHostileLogin: neither session nor secret nor identity is kept of a login
// that does not verify, and what was kept before stays.
func TestHostileLogin(t *testing.T) {
	claim := func(endpoint, name string, value any) sandbox.PortalFaults {
		return sandbox.PortalFaults{Endpoint: endpoint, Claims: func(c map[string]any) { c[name] = value }}
	}
	for name, tt := range map[string]struct {
		fault sandbox.PortalFaults
		code  helper.Code
	}{
		"audience":         {claim("token", "aud", "somebody else"), helper.CodeInvalidCredential},
		"alg none":         {sandbox.PortalFaults{Endpoint: "token", Header: func(h map[string]any) { h["alg"] = "none" }}, helper.CodeInvalidCredential},
		"userinfo differs": {claim("userinfo", "sub", "joe@sandbox.invalid"), helper.CodeServerRefused},
		"another DN":       {claim("userinfo", "cert_subject_dn", "CN=Joe,OU=People,O=Sandbox,C=XX"), helper.CodeInvalidCredential},
		"id_token's DN":    {claim("token", "cert_subject_dn", "CN=Joe,OU=People,O=Sandbox,C=XX"), helper.CodeInvalidCredential},
		"wrong key":        {sandbox.PortalFaults{Endpoint: "getproxy", WrongKey: true}, helper.CodeInvalidCredential},
		"code used":        {portalJSON("token", 400, "invalid_request", "Error: authorization code has been used"), helper.CodeServerRefused},
		"wrong secret":     {portalJSON("token", 403, "unauthorized_client", "Incorrect secret"), helper.CodeAuthenticationFailed},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrid(t, "")
			g.portal.SetFaults(tt.fault)
			_, err := g.Login(t.Context(), helper.LoginRequest{})
			if e := helper.AsError(err); err == nil || e.Code != tt.code {
				t.Fatalf("%v", err)
			}
			for _, what := range []string{"session", "client"} {
				if _, err := g.keys.Get(t.Context(), g.account(what)); !errors.Is(err, cache.ErrNotFound) {
					t.Errorf("%s was kept: %v", what, err)
				}
			}
			if list, err := g.List(t.Context()); err != nil || len(list.Entries) != 0 {
				t.Errorf("%+v, %v", list, err)
			}
			g.portal.SetFaults(sandbox.PortalFaults{})
			g.login(t)
			before := g.session(t)
			g.portal.SetFaults(tt.fault)
			if _, err := g.Login(t.Context(), helper.LoginRequest{}); err == nil {
				t.Fatal("a second login succeeded")
			}
			if after := g.session(t); *after != *before {
				t.Errorf("the session was replaced: %+v", after)
			}
		})
	}
}

// TestAccessDenied: who says no in the browser is told so.
func TestAccessDenied(t *testing.T) {
	g := newGrid(t, "")
	g.deny = true
	_, err := g.Login(t.Context(), helper.LoginRequest{})
	if e := helper.AsError(err); err == nil || e.Code != helper.CodeAuthorizationDenied || !strings.Contains(e.Hint, "consent") {
		t.Errorf("%v", err)
	}
}

// TestUntrustedPortal: a portal whose CA is not known is sent nothing.
func TestUntrustedPortal(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	calls := len(g.portal.Calls(""))
	g.config = "ca_file = \"" + otherCA(t) + "\""
	g.Helper = g.newHelper(t, g.keys)
	e := g.refused(t, helper.CodeUntrustedServer)
	if !strings.Contains(e.Hint, "ca_file") || len(g.portal.Calls("")) != calls {
		t.Errorf("%v (%s)", e, e.Hint)
	}
	g.config = ""
	g.Helper = g.newHelper(t, g.keys)
	g.get(t) // the session has not been touched
}

// TestClockOff: a clock here that is wrong is told, and does not cost the
// session: the token is kept before the id_token is believed.
func TestClockOff(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	g.backend.opts.Clock = func() time.Time { return g.clock().Add(time.Hour) }
	g.refused(t, helper.CodeClockSkew)
	g.backend.opts.Clock = g.clock
	g.get(t)
}

// TestWrongIssuer: an issuer that was written into the profile after the login, or
// one that the portal changes, is told and does not cost the session.
func TestWrongIssuer(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	g.config = "issuer = \"https://id.example.org\""
	g.Helper = g.newHelper(t, g.keys)
	for range 2 {
		if e := g.refused(t, helper.CodeInvalidCredential); !strings.Contains(e.Hint, "issuer") {
			t.Errorf("%v (%s)", e, e.Hint)
		}
	}
	g.config = ""
	g.Helper = g.newHelper(t, g.keys)
	g.get(t)
	other := func(c map[string]any) { c["iss"] = "https://id.example.org" }
	g.portal.Next(sandbox.PortalFaults{Endpoint: "token", Claims: other})
	g.refused(t, helper.CodeInvalidCredential)
	g.get(t)
}

// TestBrokenOff: what the network breaks off is told only if it cost the
// session.
func TestBrokenOff(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	g.portal.Next(sandbox.PortalFaults{Endpoint: "token", CloseBefore: true})
	g.refused(t, helper.CodeBackendUnavailable)
	g.get(t) // the portal had not heard of it
	g.portal.Next(sandbox.PortalFaults{Endpoint: "token", CloseAfter: true})
	g.refused(t, helper.CodeBackendUnavailable)
	if s := g.session(t); s.Broken != brokenUnheard {
		t.Errorf("%+v", s)
	}
	for range 2 {
		e := g.refused(t, helper.CodeInteractionRequired)
		if !strings.Contains(e.Message, "never arrived") || e.Action == nil || !slices.Contains(e.Action.Argv, "login") {
			t.Errorf("%s, %+v", e.Message, e.Action)
		}
	}
	if n := g.refreshes(); n != 4 {
		t.Errorf("%d refreshes: a session that is lost is not tried again", n)
	}
	if until := g.status(t).NextLogin; until == nil || until.After(g.clock()) {
		t.Errorf("the next login is at %v", until)
	}
	g.login(t)
	g.get(t)
}

// TestExplained: what is said of a session that is gone is what happened to it. A
// refresh that the portal refused for another reason did nothing to it; one that
// ended in an error of the server may have.
func TestExplained(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	client := g.account("client")
	if err := g.keys.Memory.Set(t.Context(), client, []byte("wrong")); err != nil {
		t.Fatal(err)
	}
	g.refused(t, helper.CodeAuthenticationFailed)
	if s := g.session(t); !s.Began.IsZero() || s.Broken != "" {
		t.Errorf("the portal did not touch it: %+v", s)
	}
	if err := g.keys.Memory.Set(t.Context(), client, []byte(gridSecret)); err != nil {
		t.Fatal(err)
	}
	g.get(t)
	g.portal.Next(portalPage("token", 500, "server_error", "something broke")) // behind it the token was replaced
	g.refused(t, helper.CodeBackendUnavailable)
	if e := g.refused(t, helper.CodeInteractionRequired); !strings.Contains(e.Message, "could not be used") {
		t.Error(e.Message)
	}
}

// TestAnothersUserInfo: what the portal says of the user is about the session's.
func TestAnothersUserInfo(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	ask := func() (who *Claims, err error) {
		_, err = g.Use(t.Context(), "p", func(ctx context.Context, _ helper.Backend, spec *helper.Spec) error {
			who, err = g.backend.UserInfo(ctx, spec)
			return err
		})
		return who, err
	}
	g.portal.Next(sandbox.PortalFaults{Endpoint: "userinfo", Claims: func(c map[string]any) { c["sub"] = "joe@sandbox.invalid" }})
	if who, err := ask(); who != nil || helper.AsError(err).Code != helper.CodeServerRefused {
		t.Errorf("%+v, %v", who, err)
	}
	if who, err := ask(); err != nil || who.Subject != gridUser().Subject {
		t.Errorf("%+v, %v", who, err)
	}
}

// TestWordsOfARefusal: only the portal's answer to a refresh, and no error of the
// server, says that the token is not known any more, whatever words are in it.
func TestWordsOfARefusal(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	for _, fault := range []sandbox.PortalFaults{
		portalJSON("certs", 403, "invalid_token", "The refresh token is invalid"),
		portalPage("certs", 500, "server_error", "no refresh token in the store"),
		portalJSON(".well-known", 403, "invalid_token", "The refresh token is invalid"),
		{Endpoint: "token", CloseBefore: true},
	} {
		g.portal.Next(fault)
		_, err := g.Get(t.Context(), bypass())
		if err == nil || helper.AsError(err).Action != nil {
			t.Errorf("%v", err)
		}
		if s := g.session(t); s.RefreshToken == "" {
			t.Fatalf("given up after %v: %+v", err, s)
		}
	}
	g.get(t)
	g.portal.Next(portalPage("token", 500, "server_error", "Error: the refresh token cannot be looked up"))
	g.refused(t, helper.CodeBackendUnavailable)
	if s := g.session(t); s.RefreshToken == "" || s.Broken != brokenAnswer {
		t.Errorf("%+v", s)
	}
}

// TestRevoked: a session that was ended at the portal is one that the user has
// to begin anew, without guesses about crashes.
func TestRevoked(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	_, err := g.Use(t.Context(), "p", func(ctx context.Context, _ helper.Backend, spec *helper.Spec) error {
		c, tokens, err := g.backend.Access(ctx, spec)
		if err != nil {
			return err
		}
		return c.Revoke(ctx, tokens.AccessToken)
	})
	if err != nil {
		t.Fatal(err)
	}
	if e := g.refused(t, helper.CodeInteractionRequired); !strings.Contains(e.Message, "ended there, or has run out") {
		t.Error(e.Message)
	}
}

func (g *grid) status(t testing.TB) helper.ProfileStatus {
	t.Helper()
	a, err := g.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a.Profiles[0]
}
