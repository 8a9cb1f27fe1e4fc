package sandbox

import (
	"net/http"
	"strconv"
	"strings"
	"time"
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
	words := p.sshkeyRefusal(token)
	if words == "" && !c.has("action") {
		words = "Missing mandatory action parameter"
	}
	if words != "" {
		return p.failure(http.StatusBadRequest, "invalid_request", words)
	}
	return p.page(http.StatusInternalServerError, "server_error", "SSHKeyStoreProvider does not have a default store. Yet.")
}

// sshkeyRefusal is what is wrong with an access token. The time in it counts
// before anybody looks whether it was ever issued: measured; the other words are
// in the sources.
func (p *Portal) sshkeyRefusal(token string) string {
	const invalid = "invalid access token."
	session := p.access[token]
	if session == nil {
		issued, err := strconv.ParseInt(token[strings.LastIndexByte(token, '/')+1:], 10, 64)
		switch {
		case err != nil:
			return invalid
		case p.s.now().Sub(time.UnixMilli(issued)) > portalTokenLife:
			return "token expired."
		}
		return "no transaction for the access token was found."
	}
	switch {
	case p.expired(session):
		return "token expired."
	case !session.accessGood:
		return invalid
	}
	return ""
}
