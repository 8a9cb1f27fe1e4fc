package rcauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
	"golang.org/x/oauth2"
)

const (
	// accessLife is what an access token lives in every version of the portal
	// (measured: 0.2.4; before 0.2.0 expires_in is the refresh token's).
	accessLife = 15 * time.Minute
	// maxLife bounds what a portal says of the life of something.
	maxLife = 10 * 365 * 24 * time.Hour
	// maxToken bounds a token; real ones are URLs of about 95 bytes.
	maxToken = 4 << 10
)

// Tokens are the answer of the token endpoint. They print without their values.
type Tokens struct {
	// AccessToken is good for UserInfo and then GetProxy. Without a refresh
	// token it dies with the first proxy (measured).
	AccessToken secret.Secret
	// RefreshToken is nil where the portal gives none: that depends on the
	// registration of the client.
	RefreshToken secret.Secret
	// AccessExpires and RefreshExpires are counted from before the request.
	// RefreshExpires is zero where there is no refresh token, or where nothing
	// was said of its life.
	AccessExpires, RefreshExpires time.Time
	// Claims are those of the id_token, which was verified. They are zero where
	// a refresh brought no id_token.
	Claims Claims
	// Scope is set only where the portal says that it granted other scopes than
	// asked for. It does not always say so (measured: it never did).
	Scope string
}

// Format implements fmt.Formatter for every verb.
func (t Tokens) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "tokens of %s", t.Claims.Subject) }

// Exchange turns the code of a login into tokens. The code is used up by that,
// whatever comes after: on an error the user has to log in again.
func (c *Client) Exchange(ctx context.Context, a *Attempt, code string) (*Tokens, error) {
	if a == nil || a.Nonce == "" {
		return nil, &RequestError{Field: "attempt", Reason: "has no nonce: make it with Begin"}
	}
	if code == "" || len(code) > maxCode || hasControl(code) {
		return nil, &RequestError{Field: "code", Reason: "is none that a portal gives"}
	}
	if err := checkRedirectURI(c.RedirectURI); err != nil {
		return nil, err
	}
	var options []oauth2.AuthCodeOption
	if a.Verifier != "" {
		options = append(options, oauth2.VerifierOption(a.Verifier))
	}
	call := tokenCall{op: opToken, secrets: []string{code, a.Verifier}, nonce: a.Nonce, needID: true}
	call.fetch = func(ctx context.Context, conf *oauth2.Config) (*oauth2.Token, error) {
		return conf.Exchange(ctx, code, options...)
	}
	t, err := c.tokens(ctx, call)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Refresh turns a refresh token into new tokens. The portal kills the old
// refresh token before it answers (measured), so the new one must be kept
// before anything else is done, and two calls must not run at once. An error is
// one of these:
//
//   - the request did not leave (a *TransportError with Sent false, a
//     *RequestError, or anything of Op discovery or keys): the token is still
//     good;
//   - the portal refused, a *PortalError;
//   - the answer was lost or is not good: the session is gone. Only if Tokens
//     come with the error is it not: the keys to verify the id_token could not
//     be fetched, or nothing is wrong with it but its issuer (FaultIssuer) or its
//     time (FaultExpired), which may be the fault of the configuration or the
//     clock here; RefreshToken is to be kept, nothing else to be used.
//
// nonce and subject are those of the login, "" if they are not known: the portal
// repeats them (OpenID Connect Core 1.0 section 12.2).
func (c *Client) Refresh(ctx context.Context, refreshToken secret.Secret, nonce, subject string) (*Tokens, error) {
	if !goodToken(string(refreshToken)) {
		return nil, &RequestError{Field: "refresh token", Reason: "is none that a portal gives"}
	}
	call := tokenCall{op: opRefresh, secrets: []string{string(refreshToken)}, nonce: nonce, subject: subject}
	call.fetch = func(ctx context.Context, conf *oauth2.Config) (*oauth2.Token, error) {
		return conf.TokenSource(ctx, &oauth2.Token{RefreshToken: string(refreshToken)}).Token()
	}
	return c.tokens(ctx, call)
}

// tokenCall is one of the two.
type tokenCall struct {
	op      string
	secrets []string // that went with the request, beside the client's
	nonce   string   // that the id_token must have, "" is any
	subject string   // the same
	needID  bool     // an answer without id_token is an error
	fetch   func(context.Context, *oauth2.Config) (*oauth2.Token, error)
}

func (c *Client) tokens(ctx context.Context, call tokenCall) (*Tokens, error) {
	p, err := c.Discover(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := c.signingKeys(ctx, p)
	if err != nil {
		return nil, err
	}
	asked := c.now()
	got, err := c.askToken(ctx, p, call)
	if err != nil {
		return nil, err
	}
	t, err := readTokens(call.op, got, asked)
	if err != nil {
		return nil, err
	}
	raw, _ := got.Extra("id_token").(string)
	if raw == "" && !call.needID {
		return t, nil
	}
	claims, err := c.verifyID(ctx, p, keys, raw, call)
	if err != nil {
		var bad *IDTokenError
		if errors.As(err, &bad) && bad.Fault != FaultIssuer && bad.Fault != FaultExpired {
			return nil, err
		}
		return t, err // see Refresh
	}
	t.Claims = *claims
	return t, nil
}

// askToken makes the request. What oauth2 says of a failure has the body in it
// and does not leave this function.
func (c *Client) askToken(ctx context.Context, p *Provider, call tokenCall) (*oauth2.Token, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.within(ctx)
	defer cancel()
	conf := &oauth2.Config{
		ClientID: c.ClientID, ClientSecret: string(c.ClientSecret), RedirectURL: c.RedirectURI,
		// Finding out the style would send the code twice.
		Endpoint: oauth2.Endpoint{TokenURL: p.Token, AuthStyle: oauth2.AuthStyleInParams},
	}
	c.freshen() // a code and a refresh token are good for one request
	got, err := call.fetch(context.WithValue(ctx, oauth2.HTTPClient, c.client(base, call.op, maxJSON)), conf)
	if err == nil {
		return got, nil
	}
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		return nil, c.refusal(call.op, &answer{
			status: refused.Response.StatusCode, content: refused.Response.Header.Get("Content-Type"), body: refused.Body,
		}, call.secrets...)
	}
	var onTheWay *url.Error
	if errors.As(err, &onTheWay) {
		return nil, typed(call.op, err)
	}
	return nil, &AnswerError{Op: call.op, Reason: "has no tokens in it that can be read"}
}

// readTokens is for an answer of before and since 0.2.0. Before, there is no
// refresh_token_expires_in, and expires_in is the life of the refresh token that
// comes with it.
func readTokens(op string, got *oauth2.Token, asked time.Time) (*Tokens, error) {
	if !goodToken(got.AccessToken) || got.RefreshToken != "" && !goodToken(got.RefreshToken) {
		return nil, &AnswerError{Op: op, Reason: "has a token that could not be sent back"}
	}
	t := &Tokens{AccessToken: secret.Secret(got.AccessToken)}
	t.Scope, _ = got.Extra("scope").(string)
	t.Scope = clip(t.Scope)
	life, said := seconds(got.Extra("expires_in"))
	t.AccessExpires = asked.Add(accessLife)
	if said && life < accessLife {
		t.AccessExpires = asked.Add(life)
	}
	if got.RefreshToken == "" {
		return t, nil
	}
	t.RefreshToken = secret.Secret(got.RefreshToken)
	if own := got.Extra("refresh_token_expires_in"); own != nil {
		life, said = seconds(own)
	} else if brought, _ := got.Extra("refresh_token").(string); brought == "" {
		said = false // the old one goes on, oauth2 has put it there
	}
	if said {
		t.RefreshExpires = asked.Add(life)
	}
	return t, nil
}

// goodToken is RFC 6750 section 2.1 and RFC 6749 appendix A: printable ASCII.
func goodToken(s string) bool {
	for _, r := range s {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxToken
}

// seconds reads a life as a number or as its digits; false for what is neither,
// or cannot be.
func seconds(v any) (time.Duration, bool) {
	f, ok := v.(float64)
	if s, isText := v.(string); isText {
		n, err := strconv.ParseInt(s, 10, 64)
		f, ok = float64(n), err == nil
	}
	if !ok || !(f > 0 && f <= maxLife.Seconds()) {
		return 0, false
	}
	return time.Duration(f) * time.Second, true
}
