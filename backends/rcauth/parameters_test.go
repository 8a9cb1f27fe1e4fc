package rcauth

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// checkParameters compares one encoded query or form with all that it must
// have, each once: a portal refuses what comes twice.
func checkParameters(t *testing.T, encoded string, want map[string]string) {
	t.Helper()
	got, err := url.ParseQuery(encoded)
	if err != nil {
		t.Fatalf("%s: %v", encoded, err)
	}
	if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(a, b) {
		t.Errorf("sent %q, want %q", a, b)
	}
	for name, values := range got {
		if len(values) != 1 || values[0] != want[name] {
			t.Errorf("%s is %q, want %q once", name, values, want[name])
		}
	}
	// Codes and tokens are URLs: left as they are they would end the parameter.
	for _, raw := range strings.Split(encoded, "&") {
		if _, value, _ := strings.Cut(raw, "="); strings.ContainsAny(value, `:/"'<>&= `) {
			t.Errorf("%q is not encoded", raw)
		}
	}
}

// The exact parameters of every request that is made of a portal, and of the
// browser.
func TestExactParameters(t *testing.T) {
	ctx := context.Background()
	access, idp := secret.Secret(testAccess), "https://idp.example.org/shib?a=b&c=d e"
	w := newWorld(t)
	w.answer("getproxy", w.asText(func() []byte { return must(proxyOf(user(), time.Hour).PEM()) }))
	a, err := w.client.Begin(ctx, idp)
	if err != nil {
		t.Fatal(err)
	}
	at, query, _ := strings.Cut(a.URL, "?")
	if at != w.portal+"/authorize" {
		t.Errorf("the browser is sent to %s", at)
	}
	sent, _ := url.ParseQuery(query)
	checkParameters(t, query, map[string]string{
		"client_id": testClient, "response_type": "code", "redirect_uri": callback, "scope": DefaultScopes,
		"state": a.State, "nonce": a.Nonce, "idphint": idp,
		"code_challenge": sent.Get("code_challenge"), "code_challenge_method": "S256",
	})
	if len(a.State) < 43 || len(a.Nonce) < 43 || a.State == a.Nonce || sent.Get("code_challenge") == a.Verifier || len(a.Verifier) < 43 {
		t.Errorf("state %q, nonce %q, verifier %q", a.State, a.Nonce, a.Verifier)
	}

	client := map[string]string{"client_id": testClient, "client_secret": clientSecret}
	mine := func(more map[string]string) map[string]string { maps.Copy(more, client); return more }
	for _, c := range []struct {
		what, endpoint string
		call           func() error
		want           map[string]string
	}{
		{"code", "token", func() error { _, err := w.client.Exchange(ctx, attempt(), testCode); return err },
			mine(map[string]string{"grant_type": "authorization_code", "code": testCode, "redirect_uri": callback, "code_verifier": "the-verifier"})},
		{"refresh", "token", func() error { _, err := w.client.Refresh(ctx, secret.Secret(testRefresh), "the-nonce", ""); return err },
			mine(map[string]string{"grant_type": "refresh_token", "refresh_token": testRefresh})},
		{"userinfo", "userinfo", func() error { _, err := w.client.UserInfo(ctx, access); return err },
			map[string]string{"access_token": testAccess}},
		{"default proxy", "getproxy", func() error { _, err := w.client.GetProxy(ctx, ProxyRequest{AccessToken: access}); return err },
			mine(map[string]string{"access_token": testAccess})},
		{"full proxy", "getproxy", func() error {
			_, err := w.client.GetProxy(ctx, ProxyRequest{AccessToken: access, Lifetime: time.Hour + time.Millisecond, VO: "testvo:/testvo/Role=VO-Admin", VOMSES: testVOMSES})
			return err
		}, mine(map[string]string{
			"access_token": testAccess, "proxylifetime": "3601", "voname": "testvo:/testvo/Role=VO-Admin", "voms": "testvo:/testvo/Role=VO-Admin", "vomses": testVOMSES,
		})},
		{"revoke", "revoke", func() error { return w.client.Revoke(ctx, secret.Secret(testRefresh)) }, map[string]string{"token": testRefresh}},
	} {
		t.Run(c.what, func(t *testing.T) {
			if err := c.call(); err != nil {
				t.Fatal(err)
			}
			checkSent(t, w, c.endpoint, c.want)
		})
	}
}

// testVOMSES is that of the portals' guide.
const testVOMSES = `"testvo" "vomsserver.example.org" "15000" "/C=NL/O=Example/OU=Test/CN=vomsserver.example.org" "testvo"`

// checkSent looks at the last request to an endpoint.
func checkSent(t *testing.T, w *world, endpoint string, want map[string]string) {
	t.Helper()
	all := w.requests(endpoint)
	last := all[len(all)-1]
	if last.method != "POST" || last.contentType != "application/x-www-form-urlencoded" || strings.Contains(last.path, "?") {
		t.Errorf("%s %s %s: secrets do not belong into a URL", last.method, last.path, last.contentType)
	}
	checkParameters(t, last.body, want)
	basic := ""
	if endpoint == "revoke" {
		basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(testClient)+":"+url.QueryEscape(clientSecret)))
	}
	if last.authorization != basic {
		t.Errorf("the header Authorization is %q, want %q", last.authorization, basic)
	}
}

// Info asks with proxylifetime=0, which a proxy is never asked with.
func TestInfoParameters(t *testing.T) {
	w := newWorld(t)
	w.answer("getproxy", w.asJSON(func() any { return map[string]any{"username": "jane", "timeleft": -5, "tolerance": 86400} }))
	got, err := w.client.Info(context.Background(), secret.Secret(testAccess))
	if err != nil || got.TimeLeft != 0 || got.Tolerance != 24*time.Hour {
		t.Fatalf("got %+v, %v", got, err)
	}
	checkSent(t, w, "getproxy", map[string]string{
		"client_id": testClient, "client_secret": clientSecret, "access_token": testAccess, "info": "true", "proxylifetime": "0",
	})
}

// TestRenew: a portal that has less left than it gives is asked for as much as
// that, whatever its maximum is; no more than once more, and never for 0.
func TestRenew(t *testing.T) {
	const day = 86400
	info := func(left, most int) string {
		return fmt.Sprintf(`{"username":"jane","timeleft":%d,"tolerance":%d,"max_proxy_lifetime":%d}`, left, day, most+day)
	}
	long := `{"error":"invalid_request","error_description":"MyProxy Failure! Requested proxy lifetime (864000) is bigger then the server side maximum (432000). Certificate will not get renewed."}`
	for name, tt := range map[string]struct {
		answers []string
		asked   []string
		bad     bool
	}{
		"as measured":      {[]string{info(11*day, 10*day)}, []string{"864000"}, false},
		"smaller maximum":  {[]string{long, info(5*day, 5*day)}, []string{"864000", "432000"}, false},
		"greater maximum":  {[]string{info(12*day, 20*day), info(21*day, 20*day)}, []string{"864000", "1728000"}, false},
		"never enough":     {[]string{info(12*day, 20*day), info(12*day, 20*day)}, []string{"864000", "1728000"}, false},
		"before 0.2.1":     {[]string{string(must(proxyOf(user(), time.Hour).PEM()))}, []string{"864000"}, false},
		"never long":       {[]string{long, long}, []string{"864000", "432000"}, true},
		"no login":         {[]string{`{"error":"invalid_request","error_description":"Master Portal could not retrieve new EEC from CA: CA Access token expired, cannot retrieve new EEC"}`}, []string{"864000"}, true},
		"no maximum named": {[]string{strings.Replace(long, "(432000)", "", 1)}, []string{"864000"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, n := newWorld(t), 0
			w.answer("getproxy", func(out http.ResponseWriter, _ *http.Request) {
				body := tt.answers[min(n, len(tt.answers)-1)]
				if n++; strings.Contains(body, `"error"`) {
					out.WriteHeader(http.StatusBadRequest)
				}
				_, _ = out.Write([]byte(body))
			})
			if err := w.client.Renew(t.Context(), secret.Secret(testAccess)); (err != nil) != tt.bad {
				t.Errorf("got %v", err)
			} else if err != nil {
				noSecrets(t, err)
			}
			var asked []string
			for _, r := range w.requests("getproxy") {
				form, _ := url.ParseQuery(r.body)
				asked = append(asked, form.Get("proxylifetime"))
			}
			if !slices.Equal(asked, tt.asked) {
				t.Errorf("asked for %q, want %q", asked, tt.asked)
			}
			checkSent(t, w, "getproxy", map[string]string{
				"client_id": testClient, "client_secret": clientSecret, "access_token": testAccess, "info": "true", "proxylifetime": tt.asked[len(tt.asked)-1],
			})
		})
	}
}

// Without PKCE and hint nothing of them is sent, and the scopes can be others.
func TestPlainAuthorization(t *testing.T) {
	w := newWorld(t)
	w.client.PKCE, w.client.Scopes = false, []string{"openid", "email"}
	a, err := w.client.Begin(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(a.URL, "?")
	checkParameters(t, query, map[string]string{
		"client_id": testClient, "response_type": "code", "redirect_uri": callback, "scope": "openid email", "state": a.State, "nonce": a.Nonce,
	})
	if a.Verifier != "" {
		t.Error("a verifier without a challenge")
	}
}

// The same redirect URI goes to /authorize and to /token, an https one of a
// gateway too.
func TestGatewayRedirect(t *testing.T) {
	w := newWorld(t)
	w.client.RedirectURI = "https://gateway.example.org/portal/callback?tenant=a"
	a, err := w.client.Begin(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(a.URL)
	a.Nonce = "the-nonce"
	if _, err := w.client.Exchange(context.Background(), a, testCode); err != nil {
		t.Fatal(err)
	}
	form, _ := url.ParseQuery(w.requests("token")[0].body)
	if at, to := u.Query().Get("redirect_uri"), form.Get("redirect_uri"); at != w.client.RedirectURI || to != at {
		t.Errorf("sent %q to /authorize and %q to /token", at, to)
	}
}

// What cannot be sent is refused before anything is.
func TestRequestsRefused(t *testing.T) {
	ctx := context.Background()
	access := secret.Secret(testAccess)
	proxy := func(r ProxyRequest) func(*Client) error {
		return func(c *Client) error { _, err := c.GetProxy(ctx, r); return err }
	}
	begin := func(change func(*Client)) func(*Client) error {
		return func(c *Client) error { change(c); _, err := c.Begin(ctx, ""); return err }
	}
	for what, call := range map[string]func(*Client) error{
		"negative lifetime":    proxy(ProxyRequest{AccessToken: access, Lifetime: -time.Second}),
		"lifetime for ever":    proxy(ProxyRequest{AccessToken: access, Lifetime: math.MaxInt64}),
		"VO with a line break": proxy(ProxyRequest{AccessToken: access, VO: "vo\nLIFETIME=0"}),
		"VO with CR":           proxy(ProxyRequest{AccessToken: access, VO: "vo\rX=1"}),
		"vomses with a break":  proxy(ProxyRequest{AccessToken: access, VO: "vo", VOMSES: "\"a\"\n\"b\""}),
		"vomses without a VO":  proxy(ProxyRequest{AccessToken: access, VOMSES: testVOMSES}),
		"long VO":              proxy(ProxyRequest{AccessToken: access, VO: strings.Repeat("v", maxVO+1)}),
		"VO with DEL":          proxy(ProxyRequest{AccessToken: access, VO: "vo\x7f"}),
		"long idphint":         func(c *Client) error { _, err := c.Begin(ctx, strings.Repeat("a", maxHint+1)); return err },
		"long code": func(c *Client) error {
			_, err := c.Exchange(ctx, attempt(), strings.Repeat("a", maxCode+1))
			return err
		},
		"client_id with NUL":   begin(func(c *Client) { c.ClientID += "\x00" }),
		"portal with mark":     begin(func(c *Client) { c.Portal += "?" }),
		"portal with fragment": begin(func(c *Client) { c.Portal += "#a" }),
		"long vomses":          proxy(ProxyRequest{AccessToken: access, VO: "vo", VOMSES: strings.Repeat("v", maxVOMSES+1)}),
		"no access token":      proxy(ProxyRequest{}),
		"token with a blank":   proxy(ProxyRequest{AccessToken: secret.Secret("a b")}),
		"http":                 begin(func(c *Client) { c.Portal = strings.Replace(c.Portal, "https", "http", 1) }),
		"no portal":            begin(func(c *Client) { c.Portal = "" }),
		"portal with user":     begin(func(c *Client) { c.Portal = "https://a:b@example.org/x" }),
		"portal with query":    begin(func(c *Client) { c.Portal += "?a=b" }),
		"no client_id":         begin(func(c *Client) { c.ClientID = "" }),
		"secret with newline":  begin(func(c *Client) { c.ClientSecret = secret.Secret("abc\n") }),
		"no redirect URI":      begin(func(c *Client) { c.RedirectURI = "" }),
		"relative redirect":    begin(func(c *Client) { c.RedirectURI = "/callback" }),
		"redirect to fragment": begin(func(c *Client) { c.RedirectURI = callback + "#x" }),
		"scopes sans openid":   begin(func(c *Client) { c.Scopes = []string{"edu.uiuc.ncsa.myproxy.getcert"} }),
		"offline_access":       begin(func(c *Client) { c.Scopes = []string{"openid", "offline_access"} }),
		"two scopes in one":    begin(func(c *Client) { c.Scopes = []string{"openid", "email profile"} }),
		"odd idphint":          func(c *Client) error { _, err := c.Begin(ctx, "a\r\nb"); return err },
		"empty code":           func(c *Client) error { _, err := c.Exchange(ctx, attempt(), ""); return err },
		"no attempt":           func(c *Client) error { _, err := c.Exchange(ctx, nil, testCode); return err },
		"attempt of nobody":    func(c *Client) error { _, err := c.Exchange(ctx, new(Attempt), testCode); return err },
		"no refresh token":     func(c *Client) error { _, err := c.Refresh(ctx, nil, "", ""); return err },
		"odd refresh token":    func(c *Client) error { _, err := c.Refresh(ctx, secret.Secret("a\x00"), "", ""); return err },
		"userinfo of nothing":  func(c *Client) error { _, err := c.UserInfo(ctx, nil); return err },
		"info of nothing":      func(c *Client) error { _, err := c.Info(ctx, nil); return err },
		"renew with nothing":   func(c *Client) error { return c.Renew(ctx, nil) },
		"revoke nothing":       func(c *Client) error { return c.Revoke(ctx, nil) },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			err := call(w.client)
			if _, ok := err.(*RequestError); !ok {
				t.Fatalf("got %v", err)
			}
			noSecrets(t, err)
			if len(w.heard) > 0 {
				t.Errorf("sent %v", w.heard)
			}
		})
	}
}

// What came is what the portal sent: the chain is complete and the caller's own.
func TestGetProxy(t *testing.T) {
	w := newWorld(t)
	cred, err := w.client.GetProxy(context.Background(), ProxyRequest{AccessToken: secret.Secret(testAccess)})
	if err != nil {
		t.Fatal(err)
	}
	info, err := gsi.Inspect(cred.Chain)
	if err != nil || info.Depth != 1 || info.Identity != "/O=Example/CN=Jane Roe" {
		t.Errorf("got %+v, %v", info, err)
	}
	if n := len(w.requests("openid-configuration")); n != 1 {
		t.Errorf("discovery was asked %d times", n)
	}
}
