package sandbox

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// What the portal gives is good to OpenSSL, Globus and VOMS: plain, limited
// and with attributes.
func TestPortalProxiesWork(t *testing.T) {
	s := start(t, Options{VOs: map[string][]string{"testvo": {"/testvo", "/testvo/Role=admin"}}})
	p := startPortal(t, s, PortalOptions{})
	c := newPortalClient(t, p)
	access := c.login().Access
	save := func(body string) string {
		file := filepath.Join(t.TempDir(), "proxy.pem")
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	status, body := c.getproxy(access)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	judgeProxy(t, s, save(body), true)
	p.Next(PortalFaults{Limited: true})
	if _, body = c.getproxy(access); len(bundleOf(t, body)) != 4 {
		t.Errorf("a limited proxy with a chain of %d", len(bundleOf(t, body)))
	}
	judgeProxy(t, s, save(body), true)
	_, body = c.getproxy(access, "voname", "testvo:/testvo/Role=admin")
	judgeAttributesIn(t, s, save(body), map[string]string{"testvo": "/testvo/Role=admin /testvo"})
}

// Of many that use one refresh token at once, one wins.
func TestPortalRotatesOnce(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{})
	c := newPortalClient(t, p)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.login().Refresh}, "client_id": {testClient().ID}, "client_secret": {portalSecret}}
	var group sync.WaitGroup
	var won, lost atomic.Int64
	for range 20 {
		group.Add(1)
		safego.Go(func() error {
			defer group.Done()
			response, err := c.http.PostForm(p.URL()+"/token", form)
			if err != nil {
				return err
			}
			_ = response.Body.Close()
			switch response.StatusCode {
			case http.StatusOK:
				won.Add(1)
			case http.StatusForbidden:
				lost.Add(1)
			}
			return nil
		})
	}
	group.Wait()
	if won.Load() != 1 || lost.Load() != 19 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
}

// FuzzPortal: whatever is sent to an endpoint, there is an answer, and nobody
// gets tokens or a proxy without a code.
func FuzzPortal(f *testing.F) {
	client := "client_id=" + url.QueryEscape(testClient().ID) + "&client_secret=" + portalSecret
	f.Add("POST", "token", client+"&grant_type=authorization_code&code=x", "")
	f.Add("POST", "token", client+"&grant_type=refresh_token&refresh_token=%00", "Basic Og==")
	f.Add("GET", "getproxy", client+"&access_token=&proxylifetime=9223372036854775808&info", "Bearer ")
	f.Add("POST", "getproxy", "voname=%0a&vomses=%22", "Basic bXlwcm94eTpvYTRtcCwyMDEyOi9jbGllbnRfaWQvdGVzdDpzM2NyM3QtQWJDX2QtZQ==")
	f.Add("GET", "authorize", "response_type=code&scope=openid&state=s&"+client+"&redirect_uri="+url.QueryEscape(portalCallback), "")
	f.Add("POST", "revoke", "token=x", "Basic %%%")
	f.Add("POST", "register", "clientName=<b>&callbackURI=%3A%3A&rtLifetime=-", "")
	f.Add("GET", "sshkey", "action=list&%zz", "Bearer x")
	f.Add("GET", "../delegation/consent", "user=", "")
	p := startPortal(f, start(f, Options{}), PortalOptions{})
	f.Fuzz(func(t *testing.T, method, endpoint, form, authorization string) {
		request, err := http.NewRequest(method, p.URL()+"/"+endpoint, strings.NewReader(form))
		if err != nil {
			return
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Authorization", authorization)
		recorder := httptest.NewRecorder()
		p.ServeHTTP(recorder, request)
		body := recorder.Body.String()
		if recorder.Code < 200 || strings.Contains(body, "access_token\":") || strings.Contains(body, "BEGIN ") {
			t.Errorf("%d %s", recorder.Code, body)
		}
	})
}
