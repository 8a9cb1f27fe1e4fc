package rcauth

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

const (
	maxVO     = 1 << 10
	maxVOMSES = 4 << 10
)

// ProxyRequest says which proxy.
type ProxyRequest struct {
	AccessToken secret.Secret
	// Lifetime is counted in whole seconds, parts of one count as one. 0 is the
	// portal's default, typically 12 h. A portal gives at least 5 minutes; it
	// refuses more than its maximum (KindLifetime), and more than its own
	// credential of the user has left (KindLoginRequired). It takes 0 and
	// negative numbers for all that is left, so they are never sent.
	Lifetime time.Duration
	// VO is "vo" or "vo:/vo/group/Role=x", "" is none. There can be one only: a
	// parameter that comes twice is refused (measured).
	VO string
	// VOMSES is the line of a vomses file for that VO, "" where the portal
	// knows its server.
	VOMSES string
}

// GetProxy fetches a proxy. The key pair is the portal's: it comes with the
// chain. Verified are the key, every signature up to the end-entity certificate,
// RFC 3820's rules and the dates; the CA (gsi.TrustDir.Verify), the name
// (MatchSubject), the lifetime, the VOMS attributes and whether the proxy is
// limited are for the caller to look at: portals clip and leave out without a
// word. A proxy that is not good is a *CredentialError.
//
// It uses up the access token of a client without refresh tokens; a refusal does
// not (measured).
func (c *Client) GetProxy(ctx context.Context, r ProxyRequest) (*gsi.Credential, error) {
	form, err := r.form()
	if err != nil {
		return nil, err
	}
	body, err := c.askProxy(ctx, opGetProxy, form, maxProxy)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	return parseProxy(body, c.now())
}

// form has each name once. The portal's name of the VO is voname; the guide has
// voms, which real portals ignore (measured: a proxy without attributes), so
// both are sent.
func (r *ProxyRequest) form() (url.Values, error) {
	switch {
	case !goodToken(string(r.AccessToken)):
		return nil, &RequestError{Field: "access token", Reason: "is none that a portal gives"}
	case r.Lifetime < 0:
		return nil, &RequestError{Field: "lifetime", Reason: "is negative"}
	case r.Lifetime > maxLife: // rounded up, the longest of all would become negative
		return nil, &RequestError{Field: "lifetime", Reason: "is longer than any proxy's"}
	case hasControl(r.VO) || hasControl(r.VOMSES):
		// They end in fields of the MyProxy protocol, one per line (measured).
		return nil, &RequestError{Field: "VO or its vomses line", Reason: "has a line break or another control character in it"}
	case len(r.VO) > maxVO || len(r.VOMSES) > maxVOMSES:
		return nil, &RequestError{Field: "VO or its vomses line", Reason: "is too long"}
	case r.VO == "" && r.VOMSES != "":
		return nil, &RequestError{Field: "vomses line", Reason: "is for no VO: name the VO, too"}
	}
	form := url.Values{"access_token": {string(r.AccessToken)}}
	if r.Lifetime > 0 {
		form.Set("proxylifetime", strconv.FormatInt(int64((r.Lifetime+time.Second-1)/time.Second), 10))
	}
	if r.VO != "" {
		form.Set("voname", r.VO)
		form.Set("voms", r.VO)
	}
	if r.VOMSES != "" {
		form.Set("vomses", r.VOMSES)
	}
	return form, nil
}

// askProxy posts to /getproxy with the client's name and secret.
func (c *Client) askProxy(ctx context.Context, op string, form url.Values, most int64) ([]byte, error) {
	p, err := c.Discover(ctx)
	if err != nil {
		return nil, err
	}
	form.Set("client_id", c.ClientID)
	form.Set("client_secret", string(c.ClientSecret))
	got, err := c.post(ctx, op, p.GetProxy, form, most)
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusOK {
		return nil, c.refusal(op, got, form.Get("access_token"))
	}
	return got.body, nil
}

// parseProxy reads the PEM of an answer and verifies it. Real portals send the
// proxy, its key, the longer-lived proxy of their own and the end-entity
// certificate; no CA.
func parseProxy(body []byte, now time.Time) (*gsi.Credential, error) {
	cred, err := gsi.ParseCredential(body)
	if err != nil {
		return nil, &CredentialError{Err: err}
	}
	if err := cred.Verify(gsi.VerifyOptions{Now: now}); err != nil {
		return nil, &CredentialError{Err: err}
	}
	info, err := gsi.Inspect(cred.Chain)
	if err != nil {
		return nil, &CredentialError{Err: err}
	}
	if info.Depth == 0 {
		return nil, &CredentialError{Err: errNoProxy}
	}
	return cred, nil
}

var errNoProxy = errors.New("it is a user's own certificate and no proxy")

// ProxyInfo is the state of the credential from which a portal makes the proxies
// of one user. It lives for at most 11 days; the portal can renew it for 15
// minutes after a login.
type ProxyInfo struct {
	Username string        // at the portal's MyProxy server, cleaned
	TimeLeft time.Duration // of the credential, 0 where it has ended
	// Tolerance is what the portal keeps for itself: MaxLifetime less Tolerance
	// is the longest lifetime that it gives.
	Tolerance       time.Duration
	MaxLifetime     time.Duration
	DefaultLifetime time.Duration
}

// Info asks for it (0.2.1 and newer; older ones send a proxy, which is an
// *AnswerError here). It does not use up the access token. It asks with
// proxylifetime=0: with the default lifetime the answer near the end is
// KindLoginRequired (measured).
func (c *Client) Info(ctx context.Context, accessToken secret.Secret) (*ProxyInfo, error) {
	if err := checkAccess(accessToken); err != nil {
		return nil, err
	}
	body, err := c.askInfo(ctx, accessToken, 0)
	if err != nil {
		return nil, err
	}
	defer clear(body) // an old portal's has a private key
	return parseInfo(body)
}

// Renew makes the portal replace its credential of the user unless that has the
// longest lifetime left which it gives. It is for the first 15 minutes after a
// login, later the portal cannot: it asks its CA only if it has less than it is
// asked for (measured), so that without it a login shortly before the end of the
// credential would bring a few days and no more. Portals before 0.2.1 know no
// info and send a proxy, which is thrown away: a client without refresh tokens
// must not call it there, for that uses up its access token. An error leaves
// things as they were.
func (c *Client) Renew(ctx context.Context, accessToken secret.Secret) error {
	if err := checkAccess(accessToken); err != nil {
		return err
	}
	body, err := c.askInfo(ctx, accessToken, wantedLong)
	var refused *PortalError
	if errors.As(err, &refused) && refused.Kind == KindLifetime {
		if most := maximumIn(refused.Description); most > 0 {
			body, err = c.askInfo(ctx, accessToken, most)
		}
	}
	if err != nil {
		return err
	}
	defer clear(body)
	info, err := parseInfo(body)
	if err != nil {
		return nil // a proxy: there is a credential that it could be made of
	}
	if most := info.MaxLifetime - info.Tolerance; info.TimeLeft < most {
		more, err := c.askInfo(ctx, accessToken, most)
		clear(more)
		return err
	}
	return nil
}

func checkAccess(token secret.Secret) error {
	if !goodToken(string(token)) {
		return &RequestError{Field: "access token", Reason: "is none that a portal gives"}
	}
	return nil
}

// askInfo asks what is left, and for so much of it.
func (c *Client) askInfo(ctx context.Context, accessToken secret.Secret, life time.Duration) ([]byte, error) {
	form := url.Values{
		"access_token": {string(accessToken)}, "info": {"true"}, "proxylifetime": {strconv.FormatInt(int64(life/time.Second), 10)},
	}
	return c.askProxy(ctx, opInfo, form, maxJSON)
}

func parseInfo(body []byte) (*ProxyInfo, error) {
	var doc struct {
		Username  string   `json:"username"`
		TimeLeft  *float64 `json:"timeleft"`
		Tolerance float64  `json:"tolerance"`
		Max       float64  `json:"max_proxy_lifetime"`
		Default   float64  `json:"default_proxy_lifetime"`
	}
	if err := json.Unmarshal(body, &doc); err != nil || doc.TimeLeft == nil {
		return nil, &AnswerError{Op: opInfo, Reason: "does not say what is left: the portal may be older than 0.2.1"}
	}
	return &ProxyInfo{
		Username: clip(doc.Username), TimeLeft: span(*doc.TimeLeft), Tolerance: span(doc.Tolerance),
		MaxLifetime: span(doc.Max), DefaultLifetime: span(doc.Default),
	}, nil
}

// span is seconds, within what makes sense.
func span(s float64) time.Duration {
	return time.Duration(math.Max(0, math.Min(s, maxLife.Seconds()))) * time.Second
}
