package sandbox

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// portalCookie keeps a browser's attempt to log in.
const portalCookie = "master_portal_client_req_id"

// authorize begins a login. What is wrong with the client or its redirect_uri
// is shown to the user alone; the client never hears of it.
func (p *Portal) authorize(c *call) *PortalAnswer {
	if a := p.refused(c); a != nil {
		return a
	}
	client := p.clients[c.param("client_id")]
	scopes, a := p.scopes(c, client)
	if a == nil {
		a = p.unsupported(c)
	}
	if a != nil {
		return a
	}
	if c.param("state") == "" {
		return refuse(c.param("redirect_uri"), "invalid_request", "Need non-empty state parameter in request", "").unframed()
	}
	session := &portalSession{
		cookie: rand.Text(), client: client, redirect: c.param("redirect_uri"), state: c.param("state"),
		nonce: c.param("nonce"), scopes: scopes, idphint: c.param("idphint"), begun: p.s.now(),
	}
	p.attempts[session.cookie] = session
	next := delegationContext + "/consent"
	if p.opts.NoConsent {
		next = portalClientContext + "/ready"
		session.user, _ = p.user("")
	}
	return redirect(next).unframed().with("Set-Cookie", portalCookie+"="+session.cookie+"; Path=/; Secure")
}

// refused checks all that must be right before the portal sends anything to
// the redirect_uri.
func (p *Portal) refused(c *call) *PortalAnswer {
	if !c.has("response_type") {
		return p.page(http.StatusInternalServerError, "server_error", "Error: Invalid request -- no token. Request rejected.")
	}
	if c.doubled() {
		return p.page(http.StatusBadRequest, "invalid_request", "Error: a parameter was given more than once.")
	}
	if !c.has("client_id") {
		return p.page(http.StatusBadRequest, "invalid_request",
			"Error: no client identifier has been supplied. Have you registered this client with the service?")
	}
	client, a := p.client(c.param("client_id"))
	if a != nil {
		return a
	}
	if uri := c.param("redirect_uri"); !slices.Contains(client.RedirectURIs, uri) {
		if !c.has("redirect_uri") {
			uri = "null"
		}
		return p.page(http.StatusBadRequest, "invalid_request", `The given redirect "`+uri+`" is not valid for this client`)
	}
	return nil
}

// scopes are those that a session gets: what the portal knows but the client
// may not have is left out without a word.
func (p *Portal) scopes(c *call, client *PortalClient) ([]string, *PortalAnswer) {
	to, state := c.param("redirect_uri"), c.param("state")
	if display := c.param("display"); c.has("display") && display != "page" {
		return nil, refuse(to, "invalid_request", "Only display=page is supported", state)
	}
	if c.param("scope") == "" {
		return nil, refuse(to, "invalid_scope", "Missing scopes parameter.", state)
	}
	if client.Public {
		return []string{scopeOpenID}, nil
	}
	var given []string
	for _, scope := range strings.Fields(c.param("scope")) {
		if !slices.Contains(portalScopes, scope) {
			return nil, refuse(to, "invalid_scope", `Unrecognized scope "`+scope+`"`, state)
		}
		if p.opts.Legacy || slices.Contains(client.Scopes, scope) {
			given = append(given, scope)
		}
	}
	if !slices.Contains(given, scopeOpenID) {
		return nil, refuse(to, "invalid_request", "Scopes must contain openid", state)
	}
	return given, nil
}

// unsupported refuses what the portal knows but does not do. A prompt other
// than login is the exception that is shown to the user.
func (p *Portal) unsupported(c *call) *PortalAnswer {
	to, state := c.param("redirect_uri"), c.param("state")
	switch {
	case c.has("max_age"):
		return refuse(to, "invalid_request", "The max_age parameter is not supported at this time.", state)
	case c.has("prompt") && !slices.Contains(strings.Fields(c.param("prompt")), "login"):
		return p.page(http.StatusBadRequest, "login_required", `You must specify "login" as an option`)
	case c.has("request"):
		return refuse(to, "request_not_supported", "Request not supported by this server", state)
	case c.has("request_uri"):
		return refuse(to, "request_uri_not_supported", "Request uri not supported by this server", state)
	}
	return nil
}

// attempt is the login that a browser's cookie belongs to.
func (p *Portal) attempt(c *call) *portalSession {
	cookie, err := c.Cookie(portalCookie)
	if err != nil {
		return nil
	}
	return p.attempts[cookie.Value]
}

// ready is where the Delegation Server sends the browser back to.
func (p *Portal) ready(c *call) *PortalAnswer {
	session := p.attempt(c)
	if session == nil || session.code != "" || session.user.Subject == "" && !c.has("error") {
		return p.page(http.StatusInternalServerError, "server_error", "Error: there is no login that waits for this answer.")
	}
	if p.s.now().Sub(session.begun) > portalTokenLife {
		return p.page(http.StatusBadRequest, "invalid_request", spell(session.begun))
	}
	if c.has("error") {
		delete(p.attempts, session.cookie)
		return refuse(session.redirect, "access_denied", "The user refused", session.state)
	}
	session.loggedIn = p.s.now()
	p.grant(session)
	return redirect(session.redirect + "?code=" + url.QueryEscape(session.code) + "&state=" + javaEscape(session.state)).unframed()
}
