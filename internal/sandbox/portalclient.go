package sandbox

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The scopes that the portal knows, in the order of its discovery document.
var portalScopes = []string{"email", scopeProxy, scopeOpenID, "profile", "org.cilogon.userinfo"}

const (
	scopeOpenID = "openid"
	scopeProxy  = "edu.uiuc.ncsa.myproxy.getcert"
)

// PortalClient is a client as the registration form makes it.
type PortalClient struct {
	ID     string
	Secret string
	Name   string // on the consent page; "" is ID
	// RedirectURIs are matched as they are, letter by letter.
	RedirectURIs []string
	// Scopes may be asked for; nil is all that the portal knows.
	Scopes []string
	// RefreshLife is the wanted life of refresh tokens; 0 is a client that gets
	// none. The portal gives no more than 15 days.
	RefreshLife time.Duration
	Limited     bool // only limited proxies
	Public      bool // no secret, and nothing but openid
	Unapproved  bool // by the portal's administrator
}

// AddClient registers a client, in place of one of the same ID.
func (p *Portal) AddClient(c PortalClient) {
	if c.Scopes == nil {
		c.Scopes = slices.Clone(portalScopes)
	}
	if c.Name == "" {
		c.Name = c.ID
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[c.ID] = &c
}

// client finds a client by its ID, or returns the HTML page for one that is
// unknown or not approved: measured, at every endpoint.
func (p *Portal) client(id string) (*PortalClient, *PortalAnswer) {
	c := p.clients[id]
	switch {
	case c == nil:
		return nil, p.page(http.StatusBadRequest, "invalid_request",
			`Unknown client: "`+id+`"  cannot be found.  Is the value in the client config correct?`)
	case c.Unapproved:
		return nil, p.page(http.StatusBadRequest, "invalid_request",
			`Error: The client with identifier "`+id+`" has not been approved. Request rejected. Please contact your administrator.`)
	}
	return c, nil
}

// refreshes says whether a client gets refresh tokens.
func (p *Portal) refreshes(c *PortalClient) bool {
	return c.RefreshLife > 0 && !p.opts.NoRefreshTokens
}

// authorization is one Authorization header of a scheme; the real server looks
// at all of them.
func authorization(r *http.Request, scheme string) (string, bool) {
	for _, value := range r.Header.Values("Authorization") {
		if rest, ok := strings.CutPrefix(value, scheme+" "); ok {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}

// basic is what a Basic header says. Id and secret may be percent-encoded (RFC
// 6749 section 2.3.1) or not: the last colon divides them, for identifiers have
// colons.
func basic(r *http.Request) (id, secret string, ok bool) {
	coded, ok := authorization(r, "Basic")
	if !ok {
		return "", "", false
	}
	text, err := base64.StdEncoding.DecodeString(coded)
	if err != nil {
		return "", "", false
	}
	colon := strings.LastIndexByte(string(text), ':')
	if colon < 0 {
		return "", "", false
	}
	return unescaped(string(text[:colon])), unescaped(string(text[colon+1:])), true
}

func unescaped(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}
