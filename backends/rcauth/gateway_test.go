package rcauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// gatewayWorld is the gateway of the example on its own https address, the
// sandbox's Master Portal, and somebody's browser.
type gatewayWorld struct {
	portal  *sandbox.Portal
	server  *httptest.Server
	browser *http.Client
}

// keys are made once: RSA keys are most of the time that a sandbox takes to start.
var keys = sandbox.NewKeys()

func startGateway(ctx context.Context, dir string, g *gateway, o sandbox.PortalOptions) (*gatewayWorld, error) {
	s, err := sandbox.Start(ctx, sandbox.Options{Dir: filepath.Join(dir, "sandbox"), Keys: keys})
	if err != nil {
		return nil, err
	}
	w := &gatewayWorld{server: httptest.NewTLSServer(g)}
	context.AfterFunc(ctx, func() { w.server.Close(); s.Close() })
	callback := w.server.URL + "/callback"
	o.Clients = []sandbox.PortalClient{{ID: "myproxy:oa4mp,2012:/client_id/gateway", Secret: "s3cr3t", RedirectURIs: []string{callback}}}
	if o.Users == nil {
		o.Users = []sandbox.PortalUser{{Subject: "jane@idp.example.org", Name: "Jane Roe"}}
	}
	if w.portal, err = s.StartPortal(o); err != nil {
		return nil, err
	}
	g.client = &rcauth.Client{
		Portal: w.portal.URL(), ClientID: o.Clients[0].ID, ClientSecret: []byte("s3cr3t"), RedirectURI: callback,
		HTTP: rcauth.NewHTTPClient(w.portal.Roots()),
	}
	roots := w.portal.Roots()
	roots.AddCert(w.server.Certificate())
	w.browser = newBrowser(roots)
	return w, nil
}

func newBrowser(roots *x509.CertPool) *http.Client {
	jar, _ := cookiejar.New(nil) // without options it cannot fail
	return &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

// open follows every redirect, as a browser does, and returns the last page.
func (w *gatewayWorld) open(browser *http.Client, address string) (string, *url.URL, error) {
	resp, err := browser.Get(address)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(page)), resp.Request.URL, err
}

// tryGateway lets a user who is logged in already at the identity provider open
// the gateway's /login.
func tryGateway(g *gateway) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	w, err := startGateway(ctx, dir, g, sandbox.PortalOptions{NoConsent: true})
	if err != nil {
		return err.Error()
	}
	page, _, err := w.open(w.browser, w.server.URL+"/login")
	if err != nil {
		return err.Error()
	}
	return page
}

func newGateway() *gateway {
	return &gateway{attempts: map[string]*rcauth.Attempt{}, proxies: map[string]*gsi.Credential{}}
}

// What the example promises of its cookie: the redirect of one browser is of no
// use in another, and of none a second time.
func TestGatewayBindsTheBrowser(t *testing.T) {
	g := newGateway()
	w, err := startGateway(t.Context(), t.TempDir(), g, sandbox.PortalOptions{NoConsent: true})
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("here")
	var back string // Mallory keeps the end of his own login
	w.browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), g.client.RedirectURI) {
			back = r.URL.String()
			return stop
		}
		return nil
	}
	if _, _, err := w.open(w.browser, w.server.URL+"/login"); !errors.Is(err, stop) || back == "" {
		t.Fatal(err)
	}
	roots := w.portal.Roots()
	roots.AddCert(w.server.Certificate())
	page, _, err := w.open(newBrowser(roots), back)
	if err != nil || !strings.Contains(page, "another login") || len(g.proxies) > 0 {
		t.Errorf("another browser sees %q, %v", page, err)
	}
	w.browser.CheckRedirect = nil
	if page, _, err = w.open(w.browser, back); err != nil || page != "Welcome, Jane Roe." {
		t.Errorf("his own browser sees %q, %v", page, err)
	}
	if page, _, err = w.open(w.browser, back); err != nil || !strings.Contains(page, "another login") {
		t.Errorf("a second time it sees %q, %v", page, err)
	}
}

// The example is what a gateway copies: its length is part of the promise.
func TestGatewayIsShort(t *testing.T) {
	text, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	body, _, found := strings.Cut(string(text), "// A web portal gets")
	if lines := strings.Count(body, "\n"); !found || lines >= 100 {
		t.Errorf("the gateway has %d lines", lines)
	}
}
