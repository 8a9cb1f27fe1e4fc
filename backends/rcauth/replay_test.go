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
	Request    recordedRequest
	Response   struct {
		Status  int
		Headers [][2]string
		Body    string
	}
}

type recordedRequest struct {
	Method, Path string
	Auth         []string
	Headers      [][2]string
	Form, Query  [][2]string
}

// UnmarshalJSON refuses what would be left out of a replay without a word.
func (r *recordedRequest) UnmarshalJSON(text []byte) error {
	type plain recordedRequest
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(r))
}

func recorded(t testing.TB, name string) *exchange {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vectors.Dir(t, "rcauth"), name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var x exchange
	if err := json.Unmarshal(text, &x); err != nil {
		t.Fatalf("%s: %v", name, err)
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
			text := string(must(base64.StdEncoding.DecodeString(basic)))
			colon := strings.LastIndexByte(text, ':') // identifiers have colons of their own
			id, key = must(url.QueryUnescape(text[:colon])), must(url.QueryUnescape(text[colon+1:]))
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

// callOf is the call of this library to which an exchange belongs, by what was
// asked and not by its name; "" is what the browser does, or this library never
// does.
func callOf(t testing.TB, x *exchange) string {
	t.Helper()
	path, ok := strings.CutPrefix(x.Request.Path, "/mp-oa2-server/")
	endpoint, _, _ := strings.Cut(path, "/")
	switch {
	case !ok:
		return "" // not below the portal's path
	case endpoint == ".well-known":
		return opDiscovery
	case endpoint == "certs":
		return opKeys
	case endpoint == "token" && x.param("grant_type") == "refresh_token":
		return opRefresh
	case endpoint == "getproxy" && slices.ContainsFunc(slices.Concat(x.Request.Form, x.Request.Query), isInfo):
		return opInfo
	}
	switch endpoint {
	case opToken, opUserInfo, opGetProxy, opRevoke:
		return endpoint
	case "authorize", "sshkey", "device_authorization", "register":
		return ""
	}
	t.Fatalf("nothing says whose call %s is", x.Request.Path)
	return ""
}

func isInfo(p [2]string) bool { return p[0] == "info" }

// Every recorded answer of a real portal is handled as its text says.
func TestRecordedAnswers(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectors.Dir(t, "rcauth"), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d recorded exchanges: %v", len(files), err)
	}
	var all []*exchange
	for _, file := range files {
		all = append(all, recorded(t, strings.TrimSuffix(filepath.Base(file), ".json")))
	}
	for _, x := range all {
		t.Run(x.Name, func(t *testing.T) {
			call := callOf(t, x)
			switch {
			case call == "":
				checkNotOurs(t, x)
			case x.Response.Status != http.StatusOK:
				checkRefused(t, x, call, kindExpected(t, x, all))
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
	case query.Has("code"):
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
	if fault := faultOf(t, x, p); fault != "" {
		checkFault(t, err, fault)
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
