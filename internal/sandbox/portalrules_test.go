package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// clock is a time that tests move while the portal's goroutines read it.
type clock struct{ at atomic.Int64 }

func newClock(now time.Time) *clock {
	c := new(clock)
	c.set(now)
	return c
}

func (c *clock) now() time.Time { return time.Unix(c.at.Load(), 0) }

func (c *clock) set(now time.Time) { c.at.Store(now.Unix()) }

func (c *clock) add(d time.Duration) { c.set(c.now().Add(d)) }

func (c *portalClient) refused(what, want string, status int, body string) {
	c.t.Helper()
	if status == http.StatusOK || !strings.Contains(body, want) {
		c.t.Errorf("%s: %d %.200s, wanted %q", what, status, body, want)
	}
}

// timeleft asks for the state of the portal's MyProxy without the risk of a
// refusal.
func (c *portalClient) timeleft(access string) time.Duration {
	c.t.Helper()
	status, body := c.getproxy(access, "info", "", "proxylifetime", "0")
	var info struct {
		TimeLeft int64 `json:"timeleft"`
	}
	if err := json.Unmarshal([]byte(body), &info); status != http.StatusOK || err != nil {
		c.t.Fatalf("info: %d %s", status, body)
	}
	return time.Duration(info.TimeLeft) * time.Second
}

// A refresh token works once, a code too, and a second try with either leaves
// the good tokens alone: measured, though no recording shows both sides.
func TestPortalTokensWorkOnce(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{})
	c := newPortalClient(t, p)
	first := c.login()
	code := p.Calls("token")[0].Form.Get("code")
	client := []string{"client_id", testClient().ID, "client_secret", portalSecret}
	status, body := c.post("token", append(client, "grant_type", "authorization_code", "code", code, "redirect_uri", portalCallback)...)
	c.refused("the code again", "Attempt to use invalid authorization code", status, body)

	second := c.tokens("grant_type", "refresh_token", "refresh_token", first.Refresh)
	status, body = c.post("token", append(client, "grant_type", "refresh_token", "refresh_token", first.Refresh)...)
	c.refused("the refresh token again", "The refresh token is no longer valid", status, body)
	if status, body := c.getproxy(second.Access); status != http.StatusOK {
		t.Errorf("the good access token: %d %s", status, body)
	}
	c.tokens("grant_type", "refresh_token", "refresh_token", second.Refresh)
}

// Refresh tokens live 15 days, whatever the client wished, and each rotation
// begins them again; what ends a session is the long-lived proxy, and the
// portal's CA token, which no refresh renews.
func TestPortalSessionEnds(t *testing.T) {
	now := newClock(time.Now())
	p := startPortal(t, start(t, Options{Clock: now.now}), PortalOptions{})
	c := newPortalClient(t, p)
	got := c.login()
	for range 5 {
		if status, body := c.getproxy(got.Access); status != http.StatusOK {
			t.Fatalf("getproxy: %d %s", status, body)
		}
		now.add(2 * 24 * time.Hour)
		p.Stop()
		c.http.CloseIdleConnections() // those that Stop broke
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		got = c.tokens("grant_type", "refresh_token", "refresh_token", got.Refresh)
	}
	now.add(13 * time.Hour) // eleven hours are left
	status, body := c.getproxy(got.Access)
	c.refused("an access token that is too old", "Time expired", status, body)
	got = c.tokens("grant_type", "refresh_token", "refresh_token", got.Refresh)
	status, body = c.getproxy(got.Access)
	c.refused("twelve hours", "CA Access token expired", status, body)
	status, body = c.getproxy(got.Access, "info", "")
	c.refused("info", "CA Access token expired", status, body)
	if left := c.timeleft(got.Access); left != 11*time.Hour {
		t.Errorf("%v are left", left)
	}
	if status, body := c.getproxy(got.Access, "proxylifetime", "39600"); status != http.StatusOK {
		t.Errorf("eleven hours: %d %s", status, body)
	}
	now.add(15*24*time.Hour + time.Second)
	status, body = c.post("token", "client_id", testClient().ID, "client_secret", portalSecret, "grant_type", "refresh_token", "refresh_token", got.Refresh)
	c.refused("a refresh token after 15 days", "The refresh token is no longer valid", status, body)
}

// A new login does not renew a long-lived proxy that still lasts: only a
// request for more than is left does, and only within 15 minutes of the login.
func TestPortalRenewsOnlyWhatIsTooShort(t *testing.T) {
	now := newClock(time.Now())
	p := startPortal(t, start(t, Options{Clock: now.now}), PortalOptions{})
	c := newPortalClient(t, p)
	if left := c.timeleft(c.login().Access); left != portalLongLife {
		t.Fatalf("after the first login %v are left", left)
	}
	now.add(8 * 24 * time.Hour)
	got := c.login()
	if left := c.timeleft(got.Access); left != 3*24*time.Hour {
		t.Errorf("after the second login %v are left", left)
	}
	if status, body := c.getproxy(got.Access, "info", "", "proxylifetime", "864000"); status != http.StatusOK {
		t.Fatalf("info with the longest lifetime: %d %s", status, body)
	}
	if left := c.timeleft(got.Access); left != portalLongLife {
		t.Errorf("after a request for ten days %v are left", left)
	}
	p.Forget(testUser().Subject)
	status, body := c.getproxy(got.Access)
	c.refused("a second certificate of one login", "could not retrieve new EEC from CA", status, body)
}

func TestPortalAttachesAttributes(t *testing.T) {
	s := start(t, Options{VOs: map[string][]string{"testvo": {"/testvo", "/testvo/group", "/testvo/Role=admin"}}})
	p := startPortal(t, s, PortalOptions{})
	c := newPortalClient(t, p)
	access := c.login().Access
	for _, test := range []struct {
		name, vo, vomses, want string
		fqans                  string
	}{
		{name: "a member", vo: "testvo", fqans: "/testvo /testvo/group"},
		{name: "a role", vo: "testvo:/testvo/Role=admin", fqans: "/testvo/Role=admin /testvo /testvo/group"},
		{name: "a role of somebody else", vo: "testvo:/testvo/Role=root", want: "get+user+information+for+testvo+VO"},
		{name: "an unknown VO", vo: "other", want: "ERROR%3DNo+VOMS+Server+Information"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body := c.getproxy(access, "voname", test.vo, "voms", test.vo)
			if test.want != "" {
				c.refused(test.name, test.want, status, body)
				return
			}
			var got []string
			found, err := voms.Parse(bundleOf(t, body)[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, attributes := range found {
				got = append(got, attributes.FQANs...)
			}
			if strings.Join(got, " ") != test.fqans {
				t.Errorf("the attributes are %q, not %q", got, test.fqans)
			}
		})
	}
}

// What versions before 0.2.0 did otherwise, as far as it is known.
func TestPortalOfOldVersion(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{Legacy: true})
	c := newPortalClient(t, p)
	got := c.login()
	if got.Expires != 1296000 || got.Ends != 0 {
		t.Errorf("expires_in is %d, refresh_token_expires_in %d", got.Expires, got.Ends)
	}
	response, err := c.http.Get(p.URL() + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var document map[string]any
	if err := json.NewDecoder(response.Body).Decode(&document); err != nil || document["getproxy_endpoint"] != nil || document["token_endpoint"] == nil {
		t.Errorf("the discovery document is %v (%v)", document, err)
	}
	status, body := c.getproxy("https://nowhere.invalid/accessToken/1/1")
	c.refused("a bad access token", `error="server_error"`+"\n"+`error_description="Invalid+access+token.`, status, body)
	if status, _ := c.post("revoke", "token", "x"); status != http.StatusNotFound {
		t.Errorf("revoke: %d", status)
	}
	if status, body := c.getproxy(got.Access, "info", ""); status != http.StatusOK || !strings.HasPrefix(body, "-----BEGIN") {
		t.Errorf("info is not known and gives a proxy, but: %d %.80s", status, body)
	}
}

// Versions before 0.2.1 do not say that a login is needed.
func TestPortalOfVersion020(t *testing.T) {
	now := newClock(time.Now())
	p := startPortal(t, start(t, Options{Clock: now.now}), PortalOptions{V020: true})
	c := newPortalClient(t, p)
	got := c.login()
	if status, body := c.getproxy(got.Access, "info", ""); status != http.StatusOK || !strings.HasPrefix(body, "-----BEGIN") {
		t.Errorf("info is not known and gives a proxy, but: %d %.80s", status, body)
	}
	status, body := c.getproxy("https://nowhere.invalid/accessToken/1/1")
	if c.refused("a bad access token", `error_description: "Invalid+access+token.`, status, body); status != http.StatusForbidden {
		t.Errorf("a bad access token: status %d", status)
	}
	now.add(11 * 24 * time.Hour)
	got = c.tokens("grant_type", "refresh_token", "refresh_token", got.Refresh)
	status, body = c.getproxy(got.Access)
	if c.refused("after eleven days", "unexpected+HTTP+Status+500", status, body); status != http.StatusInternalServerError {
		t.Errorf("after eleven days: status %d", status)
	}
}

// The form makes a client that nobody can use before it is approved.
func TestPortalRegistersClients(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{})
	c := newPortalClient(t, p)
	form := []string{"clientName", "Mine", "rtLifetime", "1296000", "callbackURI", portalCallback, "chkScopes", scopeOpenID, "chkScopes", scopeProxy}
	_, page := c.post("register", form...)
	_, rest, _ := strings.Cut(page, "Client ID:</td><td><b>")
	id, _, found := strings.Cut(rest, "</b>")
	if !found {
		t.Fatalf("the form was answered by %s", page)
	}
	authorization := strings.Replace(c.authorization(), url.QueryEscape(testClient().ID), url.QueryEscape(id), 1)
	if _, err := p.Browser().Authorize(t.Context(), authorization); err == nil || !strings.Contains(err.(*PageError).Page, "has+not+been+approved") {
		t.Errorf("before the approval: %v", err)
	}
	if !p.Approve(id) {
		t.Fatal("the client is not known")
	}
	if to, err := p.Browser().Authorize(t.Context(), authorization); err != nil || !strings.Contains(to, "?code=") {
		t.Errorf("after the approval: %s (%v)", to, err)
	}
	for _, uri := range []string{"http://example.org/cb", "no-uri"} {
		if _, page := c.post("register", "clientName", "Mine", "callbackURI", uri); !strings.Contains(page, "is not secure") {
			t.Errorf("the form took %s", uri)
		}
	}
}

// Parameters that are given twice have an answer of their own at each endpoint.
func TestPortalRefusesDoubledParameters(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{})
	c := newPortalClient(t, p)
	_, err := p.Browser().Authorize(t.Context(), c.authorization()+"&nonce=n1")
	if page, ok := err.(*PageError); !ok || page.Status != http.StatusBadRequest {
		t.Errorf("authorize: %v", err)
	}
	status, _ := c.post("token", "grant_type", "authorization_code", "client_id", testClient().ID, "client_secret", portalSecret, "code", "x", "code", "x")
	if status != http.StatusInternalServerError {
		t.Errorf("token: %d", status)
	}
}

// The endpoint for ssh keys reads the time in a token before it looks for it.
func TestPortalSSHKeyTokens(t *testing.T) {
	now := newClock(time.Date(2026, 11, 21, 20, 9, 0, 0, time.UTC))
	p := startPortal(t, start(t, Options{Clock: now.now}), PortalOptions{})
	c := newPortalClient(t, p)
	once := testClient()
	once.RefreshLife = 0
	p.AddClient(once)
	used := c.login().Access
	if status, body := c.getproxy(used); status != http.StatusOK {
		t.Fatalf("getproxy: %d %s", status, body)
	}
	fresh := p.URL() + "/accessToken/1f/" + used[strings.LastIndexByte(used, '/')+1:]
	for _, tc := range []struct{ what, token, want string }{
		{"no URL", "garbage", "invalid access token."},
		{"never issued, long ago", p.URL() + "/accessToken/00/1", "token expired."},
		{"never issued, a moment ago", fresh, "no transaction for the access token was found."},
		{"used up", used, "invalid access token."},
	} {
		status, body := c.post("sshkey", "access_token", tc.token, "action", "list")
		c.refused(tc.what, `"error_description":"`+tc.want, status, body)
	}
	now.add(16 * time.Minute)
	status, body := c.post("sshkey", "access_token", used, "action", "list")
	c.refused("expired", "token expired.", status, body)
}

func TestJavaEscape(t *testing.T) {
	if got := javaEscape("a b*~'(ü"); got != "a+b*%7E%27%28%C3%BC" {
		t.Errorf("escaped: %s", got)
	}
}
