package rcauth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
	"github.com/x509-credential-helper/x509-credential-helper/internal/vectors"
)

// exchange is one recorded request to a real portal, and its answer.
type exchange struct {
	Name       string
	RecordedAt time.Time `json:"recorded_at"`
	Request    struct {
		Method, Path string
		Auth         []string
		Headers      [][2]string
		Form, Query  [][2]string
	}
	Response struct {
		Status  int
		Headers [][2]string
		Body    string
	}
}

func recorded(t testing.TB, name string) *exchange {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vectors.Dir(t, "rcauth"), name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var x exchange
	if err := json.Unmarshal(text, &x); err != nil {
		t.Fatal(err)
	}
	return &x
}

// param is what was sent under a name, "" where it was not.
func (x *exchange) param(name string) string {
	for _, p := range append(x.Request.Form, x.Request.Query...) {
		if p[0] == name {
			return p[1]
		}
	}
	return ""
}

func (x *exchange) header(name string) string {
	for _, h := range x.Response.Headers {
		if http.CanonicalHeaderKey(h[0]) == name {
			return h[1]
		}
	}
	return ""
}

// player answers every request with a recorded answer: discovery and keys with
// those of the same portal, anything else with the one under test.
type player struct {
	t        testing.TB
	x        *exchange
	others   map[string]*exchange // by path
	form     url.Values           // what came
	methods  []string
	lastAuth string
}

const recordedPortal = "https://localhost:18440/mp-oa2-server"

func newPlayer(t testing.TB, x *exchange) *player {
	discovery := "discovery_ok"
	if strings.Contains(x.Name, "configured_issuer") {
		discovery = "discovery_configured_issuer_ok"
	}
	return &player{t: t, x: x, others: map[string]*exchange{
		"/mp-oa2-server/.well-known/openid-configuration": recorded(t, discovery),
		"/mp-oa2-server/certs":                            recorded(t, "certs_ok"),
	}}
}

// RoundTrip implements http.RoundTripper.
func (p *player) RoundTrip(req *http.Request) (*http.Response, error) {
	x := p.x
	if other := p.others[req.URL.Path]; other != nil && req.URL.Path != x.Request.Path {
		x = other
	} else if req.URL.Path != x.Request.Path {
		p.t.Errorf("asked %s, not %s", req.URL.Path, x.Request.Path)
	}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		if p.form, err = url.ParseQuery(string(body)); err != nil {
			return nil, err
		}
	}
	p.methods, p.lastAuth = append(p.methods, req.Method), req.Header.Get("Authorization")
	header := http.Header{}
	for _, h := range x.Response.Headers {
		header.Add(h[0], h[1])
	}
	return &http.Response{
		StatusCode: x.Response.Status, Header: header, Request: req,
		Body: io.NopCloser(bytes.NewReader([]byte(x.Response.Body))),
	}, nil
}

// client is the one that made the recorded request.
func (p *player) client() *Client {
	id, key := p.x.param("client_id"), p.x.param("client_secret")
	for _, h := range p.x.Request.Headers {
		if basic, ok := strings.CutPrefix(h[1], "Basic "); ok && id == "" {
			name, word, _ := strings.Cut(string(must(base64.StdEncoding.DecodeString(basic))), ":")
			id, key = must(url.QueryUnescape(name)), must(url.QueryUnescape(word))
		}
	}
	id = or(id, "myproxy:oa4mp,2012:/client_id/labrt")
	redirect := or(p.x.param("redirect_uri"), "http://127.0.0.1:18450/callback")
	return &Client{
		Portal: recordedPortal, ClientID: id, ClientSecret: secret.Secret(key), RedirectURI: redirect,
		HTTP: &http.Client{Transport: p}, Clock: func() time.Time { return p.x.RecordedAt },
	}
}

// or is what to send where the recorded request left something out that this
// library never leaves out.
func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

const someToken = recordedPortal + "/accessToken/0123456789abcdef0123456789abcdef/1795291792813"

// play makes the call to which the exchange belongs.
func (p *player) play(ctx context.Context, call string) (any, error) {
	c, token := p.client(), secret.Secret(strings.ReplaceAll(or(p.x.param("access_token"), someToken), " ", ""))
	switch call {
	case opDiscovery:
		return c.Discover(ctx)
	case opKeys:
		return c.signingKeys(ctx, fixed(must(c.base())))
	case opToken:
		a := &Attempt{Nonce: "n0", Verifier: p.x.param("code_verifier")}
		return c.Exchange(ctx, a, or(p.x.param("code"), "code"))
	case opRefresh:
		return c.Refresh(ctx, secret.Secret(or(p.x.param("refresh_token"), someToken)), "n0", "")
	case opUserInfo:
		return c.UserInfo(ctx, token)
	case opInfo:
		return c.Info(ctx, token)
	case opRevoke:
		return nil, c.Revoke(ctx, secret.Secret(or(p.x.param("token"), someToken)))
	}
	r := ProxyRequest{AccessToken: token, VO: or(strings.ReplaceAll(p.x.param("voname"), "\n", " "), p.x.param("voms")), VOMSES: p.x.param("vomses")}
	if n, err := time.ParseDuration(p.x.param("proxylifetime") + "s"); err == nil && n > 0 {
		r.Lifetime = n
	}
	return c.GetProxy(ctx, r)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// callOf is the call of this library to which an exchange belongs, "" for what
// the browser does, or this library never does.
func callOf(x *exchange) string {
	for _, prefix := range []string{opDiscovery, opToken, opRefresh, opUserInfo, opRevoke} {
		if strings.HasPrefix(x.Name, prefix+"_") {
			return prefix
		}
	}
	switch {
	case strings.HasPrefix(x.Name, "certs_"):
		return opKeys
	case strings.HasPrefix(x.Name, "getproxy_"):
		if slices.ContainsFunc(x.Request.Form, isInfo) || slices.ContainsFunc(x.Request.Query, isInfo) {
			return opInfo
		}
		return opGetProxy
	}
	return ""
}

func isInfo(p [2]string) bool { return p[0] == "info" }

// refusals is what a caller has to be told for every recorded refusal.
var refusals = map[string]Kind{
	"device_authorization_absent": "", "discovery_at_host_root": "", // see TestOldPortal

	"token_bad_redirect_uri": KindCode, "token_basic_wrong_secret": KindClient, "token_code_reused_at_once": KindCode,
	"token_empty_secret": KindClient, "token_grant_device_code": KindOther, "token_grant_password": KindOther,
	"token_missing_secret": KindClient, "token_no_client_id": KindClient, "token_no_code": KindCode,
	"token_no_grant_type": KindOther, "token_no_redirect_uri": KindCode, "token_other_redirect_uri": KindCode,
	"token_public_client": KindClient, "token_unapproved_client": KindClient, "token_unknown_client": KindClient,
	"token_unknown_code": KindCode, "token_wrong_secret": KindClient,

	"refresh_after_revoke_get": KindRefreshToken, "refresh_client_without_refresh_tokens": KindRefreshToken,
	"refresh_disabled_on_portal": KindRefreshToken, "refresh_garbage_token": KindRefreshToken,
	"refresh_missing_secret": KindClient, "refresh_no_token": KindRefreshToken, "refresh_unknown_client": KindClient,
	"refresh_unknown_token": KindRefreshToken, "refresh_wrong_secret": KindClient,

	"userinfo_access_token_after_refresh": KindAccessToken, "userinfo_no_token": KindAccessToken, "userinfo_revoked": KindAccessToken,

	"getproxy_access_token_after_refresh": KindAccessToken, "getproxy_again_refresh_disabled": KindAccessToken,
	"getproxy_basic_wrong_secret": KindClient, "getproxy_bearer_no_client": KindClient,
	"getproxy_ca_token_expired": KindLoginRequired, "getproxy_duplicate_parameter": KindAccessToken,
	"getproxy_empty_access_token": KindAccessToken, "getproxy_expired_access_token": KindAccessToken,
	"getproxy_garbage_access_token": KindAccessToken, "getproxy_info_ca_token_expired": KindLoginRequired,
	"getproxy_info_expired_access_token": KindAccessToken, "getproxy_info_lifetime_too_long": KindLifetime,
	"getproxy_info_myproxy_info_failed": KindUnavailable, "getproxy_info_myproxy_unreachable": KindUnavailable,
	"getproxy_info_short_timeleft": KindLoginRequired, "getproxy_lifetime_beyond_timeleft": KindLoginRequired,
	"getproxy_lifetime_beyond_timeleft_explicit": KindLoginRequired, "getproxy_lifetime_empty": KindLifetime,
	"getproxy_lifetime_fraction": KindLifetime, "getproxy_lifetime_not_a_number": KindLifetime,
	"getproxy_lifetime_too_long": KindLifetime, "getproxy_myproxy_closes_connection": KindUnavailable,
	"getproxy_myproxy_info_failed": KindUnavailable, "getproxy_myproxy_refuses_portal": KindUnavailable,
	"getproxy_myproxy_unreachable": KindUnavailable, "getproxy_no_access_token": KindAccessToken,
	"getproxy_public_client": KindClient, "getproxy_revoked": KindAccessToken, "getproxy_scope_missing": KindScope,
	"getproxy_scope_not_enabled": KindScope, "getproxy_unapproved_client": KindClient,
	"getproxy_unknown_access_token": KindAccessToken, "getproxy_unknown_client": KindClient,
	"getproxy_used_access_token": KindAccessToken, "getproxy_voname_bad_vomses": KindVOMS,
	"getproxy_voname_empty": KindVOMS, "getproxy_voname_newline": KindVOMS, "getproxy_voname_unknown": KindVOMS,
	"getproxy_voname_voms_unreachable": KindVOMS, "getproxy_wrong_secret": KindClient,

	"revoke_form_auth": KindClient, "revoke_wrong_secret": KindClient,
}

// Every recorded answer of a real portal is handled as its text says.
func TestRecordedAnswers(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectors.Dir(t, "rcauth"), "*.json"))
	if err != nil || len(files) < 150 {
		t.Fatalf("%d recorded exchanges: %v", len(files), err)
	}
	for _, file := range files {
		x := recorded(t, strings.TrimSuffix(filepath.Base(file), ".json"))
		t.Run(x.Name, func(t *testing.T) {
			call := callOf(x)
			kind, refused := refusals[x.Name]
			switch {
			case call == "" || refused && kind == "":
				checkNotOurs(t, x)
			case refused:
				checkRefused(t, x, call, kind)
			case x.Response.Status != http.StatusOK:
				t.Fatalf("status %d, and nothing says what it shall become", x.Response.Status)
			default:
				checkGood(t, x, call)
			}
		})
	}
}

func checkRefused(t *testing.T, x *exchange, call string, kind Kind) {
	p := newPlayer(t, x)
	got, err := p.play(context.Background(), call)
	var refused *PortalError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, %v", got, err)
	}
	if refused.Kind != kind || refused.Status != x.Response.Status || refused.Op != call {
		t.Errorf("kind %s, status %d, op %s; want %s, %d, %s", refused.Kind, refused.Status, refused.Op, kind, x.Response.Status, call)
	}
	if refused.Description == "" || refused.Code == "" || strings.ContainsAny(refused.Description, "+") || strings.Contains(refused.Description, "%2") {
		t.Errorf("the portal's words are %q, %q", refused.Code, refused.Description)
	}
	checkSilent(t, x, err)
}

// checkSilent holds that nothing of what was sent is repeated.
func checkSilent(t *testing.T, x *exchange, err error) {
	t.Helper()
	for _, p := range append(x.Request.Form, x.Request.Query...) {
		for _, name := range []string{"code", "client_secret", "access_token", "refresh_token", "token"} {
			if p[0] == name && len(p[1]) > 6 && strings.Contains(err.Error(), p[1]) {
				t.Errorf("the error %q has the %s in it", err, name)
			}
		}
	}
}

// checkNotOurs: pages of the browser, and endpoints that are never asked. What
// looks like a refusal must still be read as one.
func checkNotOurs(t *testing.T, x *exchange) {
	code, description := parseRefusal([]byte(x.Response.Body))
	html := strings.Contains(x.Response.Body, "<title>Server Error</title>")
	if html && (code == "" || description == "") {
		t.Errorf("nothing was read from %q", x.Response.Body)
	}
	if location := x.header("Location"); strings.HasPrefix(location, "http://") {
		checkRedirect(t, x, location)
	}
}

func checkRedirect(t *testing.T, x *exchange, location string) {
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	query, redirect := u.Query(), u.Scheme+"://"+u.Host+u.Path
	a := &Attempt{State: query.Get("state")}
	code, err := a.ParseRedirect(location, redirect)
	var refused *AuthorizationError
	switch {
	case a.State == "":
		if !errors.Is(err, ErrWrongState) { // we always send one
			t.Errorf("a redirect without state gave %v", err)
		}
	case strings.Contains(x.Name, "_ok"):
		if err != nil || code != query.Get("code") || !strings.HasPrefix(code, recordedPortal+"/authzGrant/") {
			t.Errorf("code %q, %v", code, err)
		}
	default:
		if !errors.As(err, &refused) || refused.Code != query.Get("error") || refused.Description == "" {
			t.Errorf("got %v", err)
		}
	}
}

func checkGood(t *testing.T, x *exchange, call string) {
	p := newPlayer(t, x)
	got, err := p.play(context.Background(), call)
	switch x.Name {
	case "token_ok_without_nonce": // we always send one
		checkFault(t, err, FaultNonce)
		return
	case "token_foreign_code_ok": // the portal gives one client the tokens of another
		checkFault(t, err, FaultAudience)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	switch v := got.(type) {
	case *Provider:
		checkProvider(t, x, v)
	case *Tokens:
		checkTokens(t, x, v)
	case *Claims:
		checkClaims(t, *v)
	case *ProxyInfo:
		checkInfo(t, x, v)
	case *gsi.Credential:
		checkProxy(t, x, v)
	}
	if !slices.Contains(x.Request.Auth, "basic") || call == opRevoke {
		checkSameRequest(t, x, p, call)
	}
}
