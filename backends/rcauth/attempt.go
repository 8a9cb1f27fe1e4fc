package rcauth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Bounds of what a browser brings back, and of what goes with it.
const (
	maxRedirect = 16 << 10 // a pasted URL; real ones have 200 bytes
	maxCode     = 4 << 10  // codes are URLs of about 95 bytes
	maxHint     = 2 << 10
)

// Attempt is one login in a browser. It prints without its values: whoever has
// State can end the login with a code of his own.
type Attempt struct {
	State    string // comes back in the redirect
	Nonce    string // comes back in the id_token, of every refresh too
	Verifier string // of PKCE, "" without
	URL      string // for the browser
}

// Format implements fmt.Formatter for every verb.
func (a Attempt) Format(s fmt.State, _ rune) { fmt.Fprint(s, "attempt to log in") }

// Begin makes a new attempt: its URL is what the browser has to open. idphint
// is the entityID of the identity provider that the user shall not have to
// choose, as it is (it is encoded here), or "". The user has 15 minutes
// (measured: the portal's cookie).
//
// A portal says in the browser alone that it does not know the client, or that
// the redirect URI is not registered: nothing comes back then.
func (c *Client) Begin(ctx context.Context, idphint string) (*Attempt, error) {
	scopes, err := c.scopes()
	if err != nil {
		return nil, err
	}
	if err := checkRedirectURI(c.RedirectURI); err != nil {
		return nil, err
	}
	if len(idphint) > maxHint || hasControl(idphint) {
		return nil, &RequestError{Field: "identity provider", Reason: "is no entityID"}
	}
	p, err := c.Discover(ctx)
	if err != nil {
		return nil, err
	}
	a := &Attempt{State: random(), Nonce: random()}
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce)}
	if c.PKCE {
		a.Verifier = oauth2.GenerateVerifier()
		options = append(options, oauth2.S256ChallengeOption(a.Verifier))
	}
	if idphint != "" {
		options = append(options, oauth2.SetAuthURLParam("idphint", idphint))
	}
	conf := oauth2.Config{
		ClientID: c.ClientID, RedirectURL: c.RedirectURI, Scopes: scopes,
		Endpoint: oauth2.Endpoint{AuthURL: p.Authorization},
	}
	a.URL = conf.AuthCodeURL(a.State, options...)
	return a, nil
}

// random is 256 bits for a URL.
func random() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func checkRedirectURI(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Fragment != "" || hasControl(uri) {
		return &RequestError{Field: "redirect URI", Reason: "is not an absolute URL: give the registered one, to the letter"}
	}
	return nil
}

// ParseRedirect takes the authorization code from the URL at which the browser
// ended: the whole one as it was pasted, or what a listener received
// ("/callback?code=…"). The state is looked at first: ErrWrongState is an answer
// to another attempt, whatever else it says. A login that the portal or the user
// refused is an *AuthorizationError, anything else a *RedirectError.
func (a *Attempt) ParseRedirect(raw, redirectURI string) (code string, err error) {
	query, err := redirectQuery(raw, redirectURI)
	if err != nil {
		return "", err
	}
	state, err := one(query, "state")
	if err != nil {
		return "", err
	}
	if a.State == "" || subtle.ConstantTimeCompare([]byte(state), []byte(a.State)) != 1 {
		return "", ErrWrongState
	}
	refused, err := one(query, "error")
	if err != nil {
		return "", err
	}
	if refused != "" {
		return "", &AuthorizationError{Code: clip(refused), Description: clip(query.Get("error_description"))}
	}
	if code, err = one(query, "code"); err != nil {
		return "", err
	}
	if code == "" {
		return "", &RedirectError{Reason: "the URL has no code in it: copy the whole line that the browser shows after the login"}
	}
	if len(code) > maxCode || hasControl(code) {
		return "", &RedirectError{Reason: "the code in the URL is none that a portal gives"}
	}
	return code, nil
}

// redirectQuery checks that the URL is the registered one and returns what was
// added to it.
func redirectQuery(raw, redirectURI string) (url.Values, error) {
	want, err := url.Parse(redirectURI)
	if err != nil || want.Host == "" {
		return nil, &RequestError{Field: "redirect URI", Reason: "is not an absolute URL"}
	}
	raw = strings.Trim(strings.TrimSpace(raw), `"'<>`)
	if len(raw) > maxRedirect || hasControl(raw) {
		return nil, notRedirect(want)
	}
	// Browsers leave the scheme out of what they show.
	if rest, ok := strings.CutPrefix(raw, want.Host); ok && strings.HasPrefix(rest, "/") {
		raw = want.Scheme + "://" + raw
	}
	got, err := url.Parse(raw)
	if err != nil {
		return nil, notRedirect(want)
	}
	if got.Scheme == "" && got.Host == "" && got.Path != "" && got.Opaque == "" { // what a listener sees
		got.Scheme, got.Host = want.Scheme, want.Host
	}
	if got.Scheme != want.Scheme || !strings.EqualFold(got.Host, want.Host) || pathOf(got) != pathOf(want) || got.User != nil {
		return nil, notRedirect(want)
	}
	query, err := url.ParseQuery(got.RawQuery)
	if err != nil {
		return nil, notRedirect(want)
	}
	return query, nil
}

func notRedirect(want *url.URL) error {
	return &RedirectError{Reason: "this is not the URL at which the login ends: it begins with " + want.Scheme + "://" + want.Host + pathOf(want)}
}

// pathOf takes no path for "/", as browsers do.
func pathOf(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

// one is a parameter that may be there once.
func one(query url.Values, name string) (string, error) {
	values := query[name]
	if len(values) > 1 {
		return "", &RedirectError{Reason: "the URL has the parameter " + name + " more than once"}
	}
	return query.Get(name), nil
}
