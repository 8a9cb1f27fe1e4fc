package sandbox

import (
	"net/http"
)

// token is the endpoint for codes and refresh tokens. Its errors are never
// those of RFC 6749.
func (p *Portal) token(c *call) *PortalAnswer {
	if c.param("grant_type") == "" {
		return p.failure(http.StatusBadRequest, "invalid_request", "Error servicing request. No grant type was given.")
	}
	id, secret, a := p.identified(c)
	if a != nil {
		return a
	}
	client, a := p.client(id)
	if a != nil {
		return a
	}
	switch c.param("grant_type") {
	case "authorization_code":
		if a := p.checkSecret(client, secret); a != nil {
			return a
		}
		return p.exchange(c, client)
	case "refresh_token":
		if !client.Public {
			if a := p.checkSecret(client, secret); a != nil {
				return a
			}
		}
		return p.renew(c, client)
	}
	return p.failure(http.StatusBadRequest, "invalid_request", "Error: Invalid grant type.")
}

// identified finds the client's id in the form, the Basic header or both, and
// its secret, which the header has if there is one; nil is none.
func (p *Portal) identified(c *call) (string, *string, *PortalAnswer) {
	headerID, headerSecret, ok := basic(c.Request)
	id := c.param("client_id")
	switch {
	case !c.has("client_id") && !ok:
		return "", nil, p.failure(http.StatusForbidden, "invalid_request", "Missing client identifier")
	case !c.has("client_id"):
		id = headerID
	case ok && id != headerID:
		return "", nil, p.failure(http.StatusBadRequest, "invalid_request", "Too many client identifiers. Cannot resolve client")
	}
	if ok {
		return id, &headerSecret, nil
	}
	if !c.has("client_secret") {
		return id, nil, nil
	}
	secret := c.param("client_secret")
	return id, &secret, nil
}

func (p *Portal) checkSecret(client *PortalClient, secret *string) *PortalAnswer {
	switch {
	case secret == nil:
		return p.failure(p.legacyStatus(http.StatusForbidden), "unauthorized_client", "Missing secret")
	case client.Public || *secret != client.Secret:
		return p.failure(p.legacyStatus(http.StatusForbidden), "unauthorized_client", "Incorrect secret")
	}
	return nil
}

// legacyStatus is a status that the 0.1.x portals did not know: they said 400.
func (p *Portal) legacyStatus(status int) int {
	if p.opts.Legacy {
		return http.StatusBadRequest
	}
	return status
}

// exchange takes a code. It does not look at code_verifier, nor at whose code
// it is, nor at its age: all measured.
func (p *Portal) exchange(c *call, client *PortalClient) *PortalAnswer {
	if c.doubled() {
		return p.page(http.StatusInternalServerError, "server_error", "Error: a parameter was given more than once.")
	}
	if c.param("code") == "" {
		return p.page(http.StatusBadRequest, "invalid_request", "Error: the authorization grant token is missing.")
	}
	session := p.codes[c.param("code")]
	if session == nil {
		return p.failure(http.StatusBadRequest, "invalid_request", "No pending transaction found for id="+c.param("code"))
	}
	if a := p.checkCode(c, session); a != nil {
		return a
	}
	session.codeGood = false
	p.issueAccess(session)
	var refreshLife int64
	if p.refreshes(client) {
		refreshLife = int64(p.issueRefresh(session, client).Seconds())
	}
	return p.tokens(c, session, refreshLife).unframed().with("Cache-Control", "no-store").with("Pragma", "no-cache")
}

func (p *Portal) checkCode(c *call, session *portalSession) *PortalAnswer {
	status := p.legacyStatus(http.StatusForbidden)
	switch {
	case !session.codeGood:
		return p.failure(status, "invalid_request", "Error: Attempt to use invalid authorization code. Request rejected.")
	case !c.has("redirect_uri") && len(session.client.RedirectURIs) != 1:
		return p.failure(status, "invalid_request", "Error: No redirect URI. Request rejected.")
	case c.has("redirect_uri") && c.param("redirect_uri") == "":
		return p.failure(http.StatusBadRequest, "invalid_request", "Error: empty redirect_uri parameter in request. Request rejected.")
	case c.has("redirect_uri") && c.param("redirect_uri") != session.redirect:
		return p.failure(status, "invalid_request", "Attempt to use alternate redirect uri rejected.")
	}
	return nil
}

// renew takes a refresh token and gives another: it, and the access token with
// it, are dead from here on, whether the answer arrives or not.
func (p *Portal) renew(c *call, client *PortalClient) *PortalAnswer {
	if !c.has("refresh_token") {
		return p.failure(http.StatusBadRequest, "invalid_request", "Error: null refresh token encountered.")
	}
	session := p.refresh[c.param("refresh_token")]
	if session == nil {
		code := "invalid_token"
		if p.opts.Legacy {
			code = "invalid_request"
		}
		return p.failure(p.legacyStatus(http.StatusForbidden), code, "Error: The refresh token is no longer valid.")
	}
	if !p.refreshes(client) {
		return p.failure(http.StatusBadRequest, "request_not_supported", "Refresh tokens are not supported on this server")
	}
	p.issueAccess(session)
	return p.tokens(c, session, int64(p.issueRefresh(session, client).Seconds()))
}

// tokens is the answer; refreshLife is 0 for a session without refresh token.
func (p *Portal) tokens(c *call, session *portalSession, refreshLife int64) *PortalAnswer {
	idToken, err := p.idToken(c, session)
	if err != nil {
		return p.page(http.StatusInternalServerError, "server_error", err.Error())
	}
	body := map[string]any{
		"access_token": session.access, "id_token": idToken,
		"token_type": "Bearer", "expires_in": int64(portalTokenLife.Seconds()),
	}
	if p.opts.Legacy {
		delete(body, "expires_in")
	}
	if refreshLife > 0 {
		body["refresh_token"] = session.refresh
		if p.opts.Legacy {
			body["expires_in"] = refreshLife // the mistake of these versions
		} else {
			body["refresh_token_expires_in"] = refreshLife
		}
	}
	return document(http.StatusOK, body)
}
