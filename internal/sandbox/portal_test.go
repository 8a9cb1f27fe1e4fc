package sandbox

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const (
	portalSecret   = "s3cr3t-AbC_d-e"
	portalCallback = "http://127.0.0.1:18450/callback"
)

// testClient gets refresh tokens and every scope.
func testClient() PortalClient {
	return PortalClient{
		ID: "myproxy:oa4mp,2012:/client_id/test", Secret: portalSecret, Name: "Test",
		RedirectURIs: []string{portalCallback}, RefreshLife: 30 * 24 * time.Hour,
	}
}

func testUser() PortalUser {
	return PortalUser{Subject: "jane.roe@sandbox.invalid", Name: "Jane Roe", Email: "jane@sandbox.invalid", CommonName: "Jane Roe AbCdEf0123456789"}
}

func startPortal(t testing.TB, s *Sandbox, o PortalOptions) *Portal {
	t.Helper()
	if o.Clients == nil {
		o.Clients = []PortalClient{testClient()}
	}
	if o.Users == nil {
		o.Users = []PortalUser{testUser()}
	}
	p, err := s.StartPortal(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// portalClient speaks to a portal without any help of the code that it is to
// judge.
type portalClient struct {
	t    testing.TB
	p    *Portal
	http *http.Client
}

func newPortalClient(t testing.TB, p *Portal) *portalClient {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.Roots(), Time: p.s.now}}
	t.Cleanup(transport.CloseIdleConnections)
	return &portalClient{t: t, p: p, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post sends a form to an endpoint and returns status and body.
func (c *portalClient) post(endpoint string, pairs ...string) (int, string) {
	c.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	response, err := c.http.PostForm(c.p.URL()+"/"+endpoint, form)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// tokens are a token answer.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Expires int    `json:"expires_in"`
	Ends    int    `json:"refresh_token_expires_in"`
}

func (c *portalClient) tokens(pairs ...string) tokens {
	c.t.Helper()
	status, body := c.post("token", append(pairs, "client_id", testClient().ID, "client_secret", portalSecret)...)
	var got tokens
	if err := json.Unmarshal([]byte(body), &got); status != http.StatusOK || err != nil {
		c.t.Fatalf("token: %d %s", status, body)
	}
	return got
}

// login goes through the browser's part and the exchange of the code.
func (c *portalClient) login() tokens {
	c.t.Helper()
	to, err := c.p.Browser().Authorize(c.t.Context(), c.authorization())
	if err != nil {
		c.t.Fatal(err)
	}
	back, err := url.Parse(to)
	if err != nil || !strings.HasPrefix(to, portalCallback+"?") || back.Query().Get("state") != "st" {
		c.t.Fatalf("the browser ended at %s", to)
	}
	return c.tokens("grant_type", "authorization_code", "code", back.Query().Get("code"), "redirect_uri", portalCallback)
}

func (c *portalClient) authorization() string {
	return c.p.URL() + "/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {testClient().ID}, "redirect_uri": {portalCallback},
		"scope": {"openid " + scopeProxy}, "state": {"st"}, "nonce": {"n0"},
	}.Encode()
}

func (c *portalClient) getproxy(access string, pairs ...string) (int, string) {
	c.t.Helper()
	return c.post("getproxy", append(pairs, "client_id", testClient().ID, "client_secret", portalSecret, "access_token", access)...)
}

// bundleOf opens the body of a proxy and checks that the key is the leaf's.
func bundleOf(t testing.TB, body string) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	var key any
	for rest := []byte(body); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		var err error
		switch block.Type {
		case "CERTIFICATE":
			var cert *x509.Certificate
			cert, err = x509.ParseCertificate(block.Bytes)
			chain = append(chain, cert)
		case "PRIVATE KEY":
			if len(chain) != 1 {
				t.Fatal("the key does not follow the proxy")
			}
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(chain) < 3 || key == nil {
		t.Fatalf("%d certificates in %s", len(chain), body)
	}
	if pub := key.(*rsa.PrivateKey).PublicKey; !pub.Equal(chain[0].PublicKey) {
		t.Error("the key is not the proxy's")
	}
	return chain
}

func TestPortalFromLoginToProxy(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{})
	c := newPortalClient(t, p)
	first := c.login()
	if first.Expires != 900 || first.Ends != 1296000 || first.Refresh == "" {
		t.Errorf("tokens: %+v", first)
	}
	status, body := c.post("userinfo", "access_token", first.Access)
	if status != http.StatusOK || !strings.Contains(body, `"cert_subject_dn":"CN=Jane Roe AbCdEf0123456789,OU=People,O=Sandbox,C=XX"`) {
		t.Errorf("userinfo: %d %s", status, body)
	}
	second := c.tokens("grant_type", "refresh_token", "refresh_token", first.Refresh)
	if second.Refresh == first.Refresh || second.Access == first.Access {
		t.Error("a refresh gave an old token")
	}
	status, body = c.getproxy(second.Access)
	if status != http.StatusOK {
		t.Fatalf("getproxy: %d %s", status, body)
	}
	chain := bundleOf(t, body)
	if left := time.Until(chain[0].NotAfter); left < 11*time.Hour || left > 12*time.Hour {
		t.Errorf("the proxy lives %v", left)
	}
	if status, _ := c.getproxy(first.Access); status != http.StatusForbidden {
		t.Errorf("getproxy with the access token from before the refresh: %d", status)
	}
}

func TestPortalShowsTheConsentPage(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{})
	b := p.Browser()
	b.Deny = true
	to, err := b.Authorize(t.Context(), newPortalClient(t, p).authorization())
	if err != nil || !strings.HasPrefix(to, portalCallback+"?error=access_denied&") || !strings.HasSuffix(to, "&state=st") {
		t.Errorf("a refusal ends at %s (%v)", to, err)
	}
	var page *PageError
	_, err = p.Browser().Authorize(t.Context(), strings.Replace(newPortalClient(t, p).authorization(), "18450", "18451", 1))
	if !errors.As(err, &page) || page.Status != http.StatusBadRequest || !strings.Contains(page.Page, "is+not+valid+for+this+client") {
		t.Errorf("a redirect_uri that is not registered: %v", err)
	}
}

func TestPortalKeepsItsStateOverARestart(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{})
	c := newPortalClient(t, p)
	first, base := c.login(), p.URL()
	p.Stop()
	if _, err := c.http.Get(base + "/certs"); err == nil {
		t.Fatal("a stopped portal answers")
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if p.URL() != base {
		t.Fatalf("the portal came back at %s, not at %s", p.URL(), base)
	}
	c.tokens("grant_type", "refresh_token", "refresh_token", first.Refresh)
}
