package sandbox

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// replay holds the portals that the recordings were made with: one program,
// started in three ways.
type replay struct {
	clock                       *clock
	standard, issuer, noRefresh *replayWorld
}

// replayWorld is one of the portals and what is known of the recorded one.
type replayWorld struct {
	r      *replay
	p      *Portal
	client *portalClient
	ours   map[string]string         // recorded token to ours
	made   map[string]*portalSession // sessions that no recording begins, by the time in their tokens
}

func newReplay(t *testing.T) *replay {
	r := &replay{clock: newClock(time.Date(2026, 11, 21, 20, 9, 0, 0, time.UTC))}
	s := start(t, Options{Clock: r.clock.now})
	world := func(o PortalOptions) *replayWorld {
		o.NoConsent, o.Clients = true, recordedRegistrations()
		o.Users = []PortalUser{{
			Subject: "jane.roe@example.org", Name: "Jane Roe", Email: "jane@example.org",
			CommonName: "Jane Roe AbCdEf0123456789", IdP: "https://idp.example.org/shib", IdPName: "Example IdP",
		}}
		p := startPortal(t, s, o)
		return &replayWorld{r: r, p: p, client: newPortalClient(t, p), ours: map[string]string{}, made: map[string]*portalSession{}}
	}
	r.standard = world(PortalOptions{})
	r.issuer = world(PortalOptions{ConfiguredIssuer: true})
	r.noRefresh = world(PortalOptions{NoRefreshTokens: true})
	return r
}

// recordedRegistrations are the clients of the recorded portal.
func recordedRegistrations() []PortalClient {
	most := []string{scopeOpenID, "email", "profile", scopeProxy}
	redirects := []string{portalCallback, "http://localhost:18450/callback"}
	clients := []PortalClient{
		{ID: "lab1", Scopes: most},
		{ID: "labrt", Scopes: most, RefreshLife: 30 * 24 * time.Hour},
		{ID: "lablim", Scopes: []string{scopeOpenID, scopeProxy}, Limited: true},
		{ID: "labpub", Scopes: []string{scopeOpenID}, Public: true},
		{ID: "labnoscope", Scopes: []string{scopeOpenID}},
		{ID: "labunapproved", Scopes: most, Unapproved: true},
	}
	for i := range clients {
		clients[i].ID = recordedClients + clients[i].ID
		clients[i].Secret, clients[i].RedirectURIs = portalSecret, redirects
	}
	return clients
}

func (r *replay) world(e *exchange) *replayWorld {
	switch {
	case strings.Contains(e.Notes, "portal started with a configured issuer"):
		return r.issuer
	case strings.Contains(e.Notes, `refreshTokenEnabled="false"`):
		return r.noRefresh
	}
	return r.standard
}

// begun has the scopes of a session where neither a recording nor the request
// tells them: by the name of the exchange that shows its first token.
var begun = map[string][]string{"token_ok_scope_openid": {scopeOpenID}}

// died lists the tokens that an exchange killed of which there is no recording.
var died = map[string]func(*Portal, *portalSession){
	"token_code_reused_at_once": func(_ *Portal, s *portalSession) { s.codeGood = false },
	"refresh_after_revoke_get":  func(p *Portal, s *portalSession) { p.drop(s) },
}

// prepare sets the clock, and what lies behind the portal, as the notes say.
func (w *replayWorld) prepare(t *testing.T, e *exchange) {
	t.Helper()
	w.r.clock.set(e.RecordedAt)
	var f PortalFaults
	switch text := strings.ReplaceAll(e.Response.Body, "+", " "); {
	case strings.Contains(text, "No usable MyProxy service"):
		f.MyProxy = PortalMyProxyUnreachable
	case strings.Contains(text, "MyProxy info failed"):
		f.MyProxy = PortalMyProxyInfoFails
	case strings.Contains(text, "Failed to execute GET command"):
		f.MyProxy = PortalMyProxyRefuses
	}
	f.NoCA = strings.Contains(e.Notes, `the CA part (stub) answers 403`)
	w.p.SetFaults(f)
	const subject = "jane.roe@example.org"
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	switch {
	case strings.Contains(e.Notes, "no long-lived credential"):
		delete(w.p.stored, subject)
	case strings.Contains(e.Notes, "has about two hours left") && (w.p.stored[subject] == nil || w.p.left(w.p.stored[subject]) > 2*time.Hour):
		w.p.stored[subject] = w.short(t)
	case !f.NoCA && w.p.stored[subject] != nil && w.p.left(w.p.stored[subject]) <= 2*time.Hour:
		delete(w.p.stored, subject) // the laboratory put a long one there again
	}
}

// short is a long-lived credential with two hours left.
func (w *replayWorld) short(t *testing.T) *gsi.Credential {
	t.Helper()
	stored, err := w.p.certified(w.p.users[0])
	if err != nil {
		t.Fatal(err)
	}
	eec := &gsi.Credential{Chain: stored.Chain[1:], Key: testSigner(t, keyUser)}
	cert, err := signProxy(eec, stored.Key.Public(), proxyOptions{language: oidInheritAll, now: w.r.clock.now(), lifetime: 2 * time.Hour, byClient: true})
	if err != nil {
		t.Fatal(err)
	}
	return &gsi.Credential{Chain: []*x509.Certificate{cert, stored.Chain[1]}, Key: stored.Key}
}

// cookie begins the login that a recorded return of the browser ends.
func (w *replayWorld) cookie(t *testing.T, e *exchange) string {
	t.Helper()
	back, err := url.Parse(e.header("Location"))
	if err != nil {
		t.Fatal(err)
	}
	redirect := back.Scheme + "://" + back.Host + back.Path
	response, err := w.client.http.Get(w.p.URL() + "/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {recordedClients + "lab1"}, "redirect_uri": {redirect},
		"scope": {"openid email " + scopeProxy}, "state": {back.Query().Get("state")}, "nonce": {"n0"},
	}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	cookie, _, _ := strings.Cut(response.Header.Get("Set-Cookie"), ";")
	return cookie
}

var recordedToken = regexp.MustCompile(regexp.QuoteMeta(recordedOrigin) + `/mp-oa2-server/(authzGrant|accessToken|refreshToken)/([0-9a-f]+)/([0-9]+)`)

// translated is a value of a recorded request with our tokens in it.
func (w *replayWorld) translated(t *testing.T, e *exchange, value string) string {
	t.Helper()
	value = recordedToken.ReplaceAllStringFunc(value, func(token string) string {
		part := recordedToken.FindStringSubmatch(token)
		if part[2] == "00" {
			return token // never issued
		}
		if w.ours[token] == "" {
			w.invent(t, e, part[3])
			s := w.made[part[3]]
			w.ours[token] = map[string]string{"authzGrant": s.code, "accessToken": s.access, "refreshToken": s.refresh}[part[1]]
		}
		return w.ours[token]
	})
	return strings.ReplaceAll(value, recordedOrigin, w.p.origin())
}

// invent makes a session that no recording begins. Tokens of one answer have
// the same time in them, so the other one of a pair finds it too.
func (w *replayWorld) invent(t *testing.T, e *exchange, ms string) {
	t.Helper()
	if w.made[ms] != nil {
		return
	}
	number, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	at, name, nonce := time.UnixMilli(number), e.clientName(), "n0"
	if claims := e.idToken(t); claims != nil { // of whoever began the session
		name = strings.TrimPrefix(claims["aud"].(string), recordedClients)
		nonce, _ = claims["nonce"].(string)
	}
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	client := w.p.clients[recordedClients+name]
	s := &portalSession{
		client: client, redirect: portalCallback, state: "st123", nonce: nonce, scopes: client.Scopes,
		begun: at, user: w.p.users[0], loggedIn: at,
	}
	if scopes := begun[e.Name]; scopes != nil {
		s.scopes = scopes
	}
	w.p.grant(s)
	w.p.issueAccess(s)
	s.issued = at
	if w.p.refreshes(client) {
		w.p.issueRefresh(s, client)
	}
	kept := *s
	w.made[ms] = &kept
	if kill := died[e.Name]; kill != nil {
		kill(w.p, s)
	}
}

// idToken has the claims of the recorded answer, nil where it has none.
func (e *exchange) idToken(t *testing.T) map[string]any {
	t.Helper()
	var body struct {
		IDToken string `json:"id_token"`
	}
	if json.Unmarshal([]byte(e.Response.Body), &body) != nil || body.IDToken == "" {
		return nil
	}
	return jwtPart(t, body.IDToken, 1)
}

// clientName is the client of a recorded request that the portal knows and
// lets in; where there is none it does not matter who began the session.
func (e *exchange) clientName() string {
	id, _ := e.param("client_id")
	for _, pair := range e.Request.Headers {
		if coded, ok := strings.CutPrefix(pair[1], "Basic "); ok {
			text, _ := base64.StdEncoding.DecodeString(coded)
			id, _, _ = strings.Cut(unescaped(string(text)), ":s3")
		}
	}
	name := strings.TrimPrefix(id, recordedClients)
	switch name {
	case "labrt", "lablim", "labnoscope", "labpub":
		return name
	}
	if strings.HasPrefix(name, "labrt:") || e.Request.Path == "/mp-oa2-server/revoke" {
		return "labrt"
	}
	return "lab1"
}

func testSigner(t *testing.T, name string) *rsa.PrivateKey {
	t.Helper()
	key, err := testKeys.get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
