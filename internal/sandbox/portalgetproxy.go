package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// The portal's words for what happens behind it.
const (
	textVOMS = "Couldn't get VOMS User Information.  (this can occur in case the contacted VOMS server is down OR it fails to recognize the user )"
	textNoCA = "Master Portal could not retrieve new EEC from CA: CA Access token expired, cannot retrieve new EEC"
	// Not measured, but in the sources: the CA token is good for one certificate,
	// and what versions before 0.2.1 said of all that.
	textUsedCA = "Master Portal could not retrieve new EEC from CA: Invalid access token. Request refused"
	textOldCA  = "Master Portal (OA4MP Client) returned with unexpected HTTP Status 500"
)

// getproxy gives a proxy for an access token; with a parameter info, of any
// value, it tells what is in the portal's MyProxy. The order of its checks is
// the real one's.
func (p *Portal) getproxy(c *call) *PortalAnswer {
	if _, a := p.proxyClient(c); a != nil {
		return a
	}
	session, a := p.proxySession(c)
	if a != nil {
		return a
	}
	lifetime, a := p.proxyLifetime(c)
	if a != nil {
		return a
	}
	stored, a := p.longLived(c, session, lifetime)
	if a != nil {
		return a
	}
	if c.has("info") && !p.opts.Legacy && !p.opts.V020 {
		return p.info(session, stored)
	}
	a = p.proxy(c, session, stored, lifetime)
	if a.Status == http.StatusOK && session.refresh == "" {
		session.accessGood = false // one access token, one proxy, unless there is a refresh token
	}
	return a
}

// denied is an error of getproxy: JSON since 0.2.1 only.
func (p *Portal) denied(status int, code, description string) *PortalAnswer {
	switch {
	case p.opts.Legacy:
		return p.page(http.StatusInternalServerError, "server_error", description)
	case p.opts.V020:
		return p.page(status, code, description)
	}
	return p.failure(status, code, description)
}

// proxyClient finds and checks the client; the words differ from those of the
// token endpoint.
func (p *Portal) proxyClient(c *call) (*PortalClient, *PortalAnswer) {
	id, given := c.param("client_id"), c.has("client_id")
	secret, secretGiven := c.param("client_secret"), c.has("client_secret")
	if !given {
		id, secret, given = basic(c.Request)
		secretGiven = given
	}
	if !given {
		return nil, p.denied(http.StatusBadRequest, "invalid_request", "No client id")
	}
	client, a := p.client(id)
	switch {
	case a != nil:
		return nil, a
	case client.Public:
		return nil, p.denied(http.StatusBadRequest, "invalid_request", "Error: public clients not supported for this operation.")
	case !secretGiven:
		return nil, p.denied(http.StatusBadRequest, "invalid_request", "Error: No client secret")
	case secret != client.Secret:
		return nil, p.denied(http.StatusForbidden, "invalid_request", "Error: Secret is incorrect. request refused.")
	}
	return client, nil
}

// proxySession finds the session of the access token. Whose client it is does
// not matter to the real server. A parameter given twice makes it see no token.
func (p *Portal) proxySession(c *call) (*portalSession, *PortalAnswer) {
	token, given := c.param("access_token"), c.has("access_token") && !c.doubled()
	if !given {
		token, given = authorization(c.Request, "Bearer")
	}
	if !given {
		return nil, p.denied(http.StatusBadRequest, "invalid_request", "Error: No access token")
	}
	session := p.access[token]
	switch {
	case session == nil || !session.accessGood:
		return nil, p.denied(http.StatusForbidden, "invalid_request", "Invalid access token. Request refused")
	case !slices.Contains(session.scopes, scopeProxy):
		return nil, p.denied(http.StatusBadRequest, "invalid_request", "Missing scope for certificate request")
	case p.expired(session):
		return nil, p.denied(http.StatusForbidden, "invalid_request", spell(session.issued))
	}
	return session, nil
}

// proxyLifetime is what was asked for, in seconds; 12 hours if nothing was.
func (p *Portal) proxyLifetime(c *call) (int64, *PortalAnswer) {
	if !c.has("proxylifetime") {
		return int64(portalDefaultLife.Seconds()), nil
	}
	text := c.param("proxylifetime")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, p.page(http.StatusBadRequest, "invalid_request", fmt.Sprintf("For input string: %q", text))
	}
	return seconds, nil
}

// longLived is the user's credential in the portal's MyProxy. If there is none
// that lasts long enough the portal asks the CA, which works once after a login
// and for 15 minutes.
func (p *Portal) longLived(c *call, session *portalSession, lifetime int64) (*gsi.Credential, *PortalAnswer) {
	switch c.faults.MyProxy {
	case PortalMyProxyUnreachable:
		return nil, p.page(http.StatusInternalServerError, "server_error", "Error: No usable MyProxy service found.")
	case PortalMyProxyInfoFails:
		return nil, p.denied(http.StatusInternalServerError, "server_error", "MyProxy info failed")
	}
	if most := int64((portalLongLife - portalTolerance).Seconds()); lifetime > most {
		return nil, p.denied(http.StatusBadRequest, "invalid_request", fmt.Sprintf("MyProxy Failure! Requested proxy lifetime (%d) is bigger "+
			"then the server side maximum (%d). Certificate will not get renewed.", lifetime, most))
	}
	stored := p.stored[session.user.Subject]
	if stored != nil && p.left(stored) > 0 && int64(p.left(stored).Seconds()) >= lifetime && p.same(session.user, stored) {
		return stored, nil
	}
	if text := p.caRefusal(c, session); text == textOldCA {
		return nil, p.page(http.StatusInternalServerError, "server_error", text)
	} else if text != "" {
		return nil, p.failure(http.StatusForbidden, "invalid_request", text)
	}
	stored, err := p.certified(session.user)
	if err != nil {
		return nil, p.page(http.StatusInternalServerError, "server_error", err.Error())
	}
	p.stored[session.user.Subject], session.certified = stored, true
	return stored, nil
}

// caRefusal is why the portal's CA token of a session brings no certificate; ""
// if it does.
func (p *Portal) caRefusal(c *call, session *portalSession) string {
	ended := c.faults.NoCA || p.s.now().Sub(session.loggedIn) > portalTokenLife
	switch {
	case !ended && !session.certified:
		return ""
	case p.opts.Legacy || p.opts.V020:
		return textOldCA
	case ended:
		return textNoCA
	}
	return textUsedCA
}

func (p *Portal) left(stored *gsi.Credential) time.Duration {
	return stored.Chain[0].NotAfter.Sub(p.s.now())
}

func (p *Portal) info(session *portalSession, stored *gsi.Credential) *PortalAnswer {
	return document(http.StatusOK, map[string]any{
		"username":               session.user.Subject,
		"timeleft":               int64(p.left(stored).Seconds()),
		"tolerance":              int64(portalTolerance.Seconds()),
		"max_proxy_lifetime":     int64(portalLongLife.Seconds()),
		"default_proxy_lifetime": int64(portalDefaultLife.Seconds()),
	})
}
