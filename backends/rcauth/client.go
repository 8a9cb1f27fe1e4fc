package rcauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// DefaultScopes are what a login asks for: who the user is, and proxies.
const DefaultScopes = "openid edu.uiuc.ncsa.myproxy.getcert"

// The scopes that are spoken of by name.
const (
	scopeOpenID  = "openid"
	scopeOffline = "offline_access"
)

// Client talks to one Master Portal as one registered client. It remembers the
// portal's endpoints; its exported fields must not be changed after the first
// call. Several goroutines may use it at once.
type Client struct {
	// Portal is the base URL: "https://HOST/mp-oa2-server", with or without a
	// port. There is no plain http.
	Portal string
	// Issuer is what the portal's id_tokens call it, where that is neither
	// Portal nor Portal without its port: a portal can be configured to use
	// another name for one client. "" is as discovered.
	Issuer string
	// ClientID and ClientSecret are from the registration. The secret always
	// goes in the parameters (client_secret_post), but for Revoke, which takes
	// nothing but Basic (measured: Master Portal 0.2.4).
	ClientID     string
	ClientSecret secret.Secret
	// RedirectURI is the registered one, to the letter: the portal compares
	// strings. Begin and Exchange alone need it.
	RedirectURI string
	// Scopes are asked for at the login, nil is DefaultScopes.
	Scopes []string
	// PKCE adds a code challenge (RFC 7636). The portal knows nothing of it and
	// hands it on to its delegation server, which may be strict.
	PKCE bool
	// HTTP is used for its Transport alone: redirects, cookies and time limits
	// are the library's. nil is NewHTTPClient(nil).
	HTTP *http.Client
	// Clock is nil for time.Now.
	Clock func() time.Time

	mu       sync.Mutex
	provider *Provider
	own      *http.Client  // made where HTTP is nil
	limit    time.Duration // for one call; 0 is callLimit. Tests shorten it
}

func (c *Client) now() time.Time {
	if c.Clock != nil {
		return c.Clock()
	}
	return time.Now()
}

// base checks the portal's URL and the client_id, without which nothing can be
// asked, and returns the URL without a slash at its end.
func (c *Client) base() (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(c.Portal, "/"))
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return nil, &RequestError{Field: "portal", Reason: "is not a URL like https://masterportal.example.org/mp-oa2-server"}
	case u.Scheme != "https":
		return nil, &RequestError{Field: "portal", Reason: "does not begin with https://: secrets and private keys travel over this connection"}
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, &RequestError{Field: "portal", Reason: "has a user, a query or a fragment: give the URL of the portal alone"}
	case c.ClientID == "":
		return nil, &RequestError{Field: "client_id", Reason: "is missing: it comes from the portal's /register page"}
	case hasControl(c.ClientID) || hasControl(string(c.ClientSecret)):
		return nil, &RequestError{Field: "client_id or client_secret", Reason: "has a control character in it"}
	}
	u.Host = strings.ToLower(u.Host) // the portal makes its issuer of it
	return u, nil
}

// scopes checks what a login asks for. The portal ends a login with
// invalid_scope at one that it does not know, and openid is what makes it
// OpenID Connect (measured: Master Portal 0.2.4).
func (c *Client) scopes() ([]string, error) {
	scopes := c.Scopes
	if scopes == nil {
		scopes = strings.Fields(DefaultScopes)
	}
	for _, s := range scopes {
		if s == "" || strings.ContainsFunc(s, isNoScope) {
			return nil, &RequestError{Field: "list of scopes", Reason: "has an element that is no scope: write one scope as one element"}
		}
	}
	if !slices.Contains(scopes, scopeOpenID) {
		return nil, &RequestError{Field: "list of scopes", Reason: "lacks openid, without which the portal says nothing of the user: add it"}
	}
	if slices.Contains(scopes, scopeOffline) {
		return nil, &RequestError{Field: "list of scopes", Reason: "has offline_access, at which the portal fails: leave it out, a refresh token depends on the registration of the client alone"}
	}
	return scopes, nil
}

// isNoScope is RFC 6749 section 3.3.
func isNoScope(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }

// hasControl is about what would end a line, or a string in C, at the portal.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
