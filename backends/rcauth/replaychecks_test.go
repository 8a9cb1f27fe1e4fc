package rcauth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

func checkFault(t *testing.T, err error, fault IDTokenFault) {
	t.Helper()
	var bad *IDTokenError
	if !errors.As(err, &bad) || bad.Fault != fault {
		t.Errorf("got %v, want an id_token with the fault %s", err, fault)
	}
}

// faultOf is what this library finds wrong about a recorded id_token: one
// without nonce (it always sends one), one for another client (the real portal
// gives one client the tokens of another).
func faultOf(t *testing.T, x *exchange, p *player) IDTokenFault {
	t.Helper()
	var body struct {
		IDToken string `json:"id_token"`
	}
	if json.Unmarshal([]byte(x.Response.Body), &body) != nil || body.IDToken == "" {
		return ""
	}
	var claims struct{ Aud, Nonce string }
	payload := must(base64.RawURLEncoding.DecodeString(strings.Split(body.IDToken, ".")[1]))
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	switch {
	case claims.Aud != p.client().ClientID:
		return FaultAudience
	case claims.Nonce == "":
		return FaultNonce
	}
	return ""
}

func checkProvider(t *testing.T, x *exchange, p *Provider) {
	t.Helper()
	want := Provider{
		Authorization: recordedPortal + "/authorize", Token: recordedPortal + "/token", UserInfo: recordedPortal + "/userinfo",
		GetProxy: recordedPortal + "/getproxy", Revoke: recordedPortal + "/revoke", Register: recordedPortal + "/register",
		JWKS: recordedPortal + "/certs", Issuer: "https://localhost/mp-oa2-server", Version: Version02,
	}
	if strings.Contains(x.Name, "configured_issuer") {
		want.Issuer = recordedPortal
	}
	if *p != want {
		t.Errorf("got  %+v\nwant %+v", *p, want)
	}
}

const recordedDN = "CN=Jane Roe AbCdEf0123456789,O=Example,DC=lab,DC=test"

func checkClaims(t *testing.T, c Claims) {
	t.Helper()
	c.AuthTime = time.Time{}
	want := Claims{
		Subject: "jane.roe@example.org", DN: recordedDN, Email: "jane@example.org", Name: "Jane Roe",
		IdP: "https://idp.example.org/shib", IdPName: "Example IdP",
	}
	if c != want {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func checkTokens(t *testing.T, x *exchange, got *Tokens) {
	t.Helper()
	var body struct {
		Access  string  `json:"access_token"`
		Refresh string  `json:"refresh_token"`
		Expires float64 `json:"refresh_token_expires_in"`
	}
	if err := json.Unmarshal([]byte(x.Response.Body), &body); err != nil {
		t.Fatal(err)
	}
	if string(got.AccessToken) != body.Access || string(got.RefreshToken) != body.Refresh {
		t.Error("these are not the tokens of the answer")
	}
	if want := x.RecordedAt.Add(15 * time.Minute); !got.AccessExpires.Equal(want) {
		t.Errorf("the access token ends at %v, want %v", got.AccessExpires, want)
	}
	want := time.Time{}
	if body.Refresh != "" {
		want = x.RecordedAt.Add(15 * 24 * time.Hour) // 1296000 s
	}
	if !got.RefreshExpires.Equal(want) {
		t.Errorf("the refresh token ends at %v, want %v", got.RefreshExpires, want)
	}
	checkClaims(t, got.Claims)
	// auth_time comes as a string.
	if at := got.Claims.AuthTime; at.IsZero() || at.After(x.RecordedAt.Add(time.Second)) || at.Before(x.RecordedAt.Add(-time.Hour)) {
		t.Errorf("the login was at %v", at)
	}
	for _, shown := range []string{fmt.Sprint(got), fmt.Sprintf("%+v", got), fmt.Sprintf("%#v", *got)} {
		if strings.Contains(shown, body.Access) || body.Refresh != "" && strings.Contains(shown, body.Refresh) {
			t.Errorf("the tokens print as %s", shown)
		}
	}
}

func checkInfo(t *testing.T, x *exchange, got *ProxyInfo) {
	t.Helper()
	var body struct{ TimeLeft int64 }
	if err := json.Unmarshal([]byte(x.Response.Body), &body); err != nil || body.TimeLeft == 0 {
		t.Fatal(body, err)
	}
	want := ProxyInfo{
		Username: "jane.roe@example.org", TimeLeft: time.Duration(body.TimeLeft) * time.Second,
		Tolerance: 24 * time.Hour, MaxLifetime: 11 * 24 * time.Hour, DefaultLifetime: 12 * time.Hour,
	}
	if *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
}

func checkProxy(t *testing.T, x *exchange, cred *gsi.Credential) {
	t.Helper()
	info, err := gsi.Inspect(cred.Chain)
	if err != nil {
		t.Fatal(err)
	}
	length, limited := 3, false
	if strings.HasSuffix(x.param("client_id"), "/lablim") { // registered for limited proxies
		length, limited = 4, true
	}
	if len(cred.Chain) != length || info.Limited != limited || info.Type != gsi.TypeRFC3820 {
		t.Errorf("%d certificates, %s, limited %t", len(cred.Chain), info.Type, info.Limited)
	}
	if len(info.VOMS) > 0 {
		t.Error("the laboratory has no VO")
	}
	if err := MatchSubject(recordedDN, cred.Chain[len(cred.Chain)-1]); err != nil {
		t.Error(err)
	}
	if err := MatchSubject(recordedDN, cred.Leaf()); err == nil {
		t.Error("the subject of a proxy is not the user's name")
	}
	if !info.NotBefore.Before(x.RecordedAt) || !info.NotAfter.After(x.RecordedAt.Add(5*time.Minute-10*time.Second)) {
		t.Errorf("valid from %v to %v", info.NotBefore, info.NotAfter)
	}
}

// checkSameRequest compares what was sent with what the recorder sent, where
// that could be chosen: the laboratory also sent what this library never does.
func checkSameRequest(t *testing.T, x *exchange, p *player, call string) {
	t.Helper()
	if x.Request.Method != "POST" || len(x.Request.Form) == 0 || call == opRevoke && x.param("token") == "" {
		return
	}
	want := url.Values{}
	for _, f := range x.Request.Form {
		want.Add(f[0], f[1])
	}
	switch n := want.Get("proxylifetime"); {
	case call == opInfo:
		want["info"], want["proxylifetime"] = []string{"true"}, []string{"0"}
	case n == "0" || strings.HasPrefix(n, "-"):
		want.Del("proxylifetime")
	}
	if vo := or(want.Get("voname"), want.Get("voms")); vo != "" {
		want["voname"], want["voms"] = []string{vo}, []string{vo}
	}
	if slices.Contains(x.Request.Auth, "bearer") {
		want.Set("access_token", someToken)
	}
	want.Del("token_type_hint")
	if call == opRefresh {
		want.Del("scope")
	}
	if want.Get("code_verifier") == "" {
		want.Del("code_verifier")
	}
	if call == opUserInfo && !slices.Contains(x.Request.Auth, "access_token_parameter") {
		return
	}
	if p.form.Encode() != want.Encode() {
		t.Errorf("sent     %s\nrecorded %s", p.form.Encode(), want.Encode())
	}
	if p.methods[len(p.methods)-1] != "POST" {
		t.Errorf("sent by %v", p.methods)
	}
}
