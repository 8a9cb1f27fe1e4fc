package sandbox

import (
	"net/http"
)

// revoke ends the session of any of its tokens. It takes Basic only, is not in
// the discovery document, and says yes to nearly everything.
func (p *Portal) revoke(c *call) *PortalAnswer {
	if _, ok := authorization(c.Request, "Basic"); !ok {
		return p.page(http.StatusUnauthorized, "access_denied", "No basic header")
	}
	id, secret, _ := basic(c.Request)
	client := p.clients[id]
	switch {
	case client == nil:
		return p.page(http.StatusInternalServerError, "server_error", "Error: unknown client.")
	case secret == "":
		return p.page(http.StatusInternalServerError, "server_error", "Error: missing secret.")
	case secret != client.Secret:
		return p.page(http.StatusInternalServerError, "server_error", "Error: client and secret do not match")
	}
	token := c.param("token")
	if session := p.access[token]; session != nil {
		p.drop(session)
	} else if session := p.refresh[token]; session != nil {
		p.drop(session)
	}
	return answer(http.StatusOK, "", "")
}

// sshkey answers as a portal that has no store for ssh keys.
func (p *Portal) sshkey(c *call) *PortalAnswer {
	token, given := c.param("access_token"), c.has("access_token")
	if !given {
		token, given = authorization(c.Request, "Bearer")
	}
	if !given {
		return p.page(http.StatusBadRequest, "invalid_request", "Error: missing authorization code")
	}
	session := p.access[token]
	switch {
	case session == nil || p.expired(session):
		return p.failure(http.StatusBadRequest, "invalid_request", "token expired.")
	case !c.has("action"):
		return p.failure(http.StatusBadRequest, "invalid_request", "Missing mandatory action parameter")
	}
	return p.page(http.StatusInternalServerError, "server_error", "SSHKeyStoreProvider does not have a default store. Yet.")
}
