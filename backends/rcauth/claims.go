package rcauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// Bounds of names in claims.
const (
	maxSubject = 1 << 10 // OpenID Connect Core 1.0 section 2 says 255
	maxDN      = 8 << 10
)

// Claims are what the portal says of the user.
type Claims struct {
	Subject string // the portal's name for the user, as it came: the user name of its MyProxy server
	// DN is the subject of the user's certificates in the form of RFC 2253
	// (cert_subject_dn), as it came. "" is not released; see MatchSubject.
	DN string
	// Email, Name, IdP (an entityID) and IdPName are for people: cleaned, at
	// most 200 characters, often "".
	Email, Name, IdP, IdPName string
	// AuthTime is when the user logged in, zero where nothing says so.
	AuthTime time.Time
}

// rawClaims are claims as they come. What is only shown may be of a wrong type
// without harm; text tells.
type rawClaims struct {
	Subject  json.RawMessage `json:"sub"`
	DN       json.RawMessage `json:"cert_subject_dn"`
	Email    json.RawMessage `json:"email"`
	Name     json.RawMessage `json:"name"`
	Given    json.RawMessage `json:"given_name"`
	Family   json.RawMessage `json:"family_name"`
	IdP      json.RawMessage `json:"idp"`
	IdPName  json.RawMessage `json:"idp_display_name"`
	AuthTime json.RawMessage `json:"auth_time"`
	// NotBefore is of id_tokens alone, and no portal was seen to send it.
	NotBefore json.RawMessage `json:"nbf"`
}

var (
	errNoSubject  = errors.New("it does not say who the user is")
	errStrangeDN  = errors.New("cert_subject_dn is not a name")
	errNoUserInfo = errors.New("it is not the JSON of a userinfo answer")
)

func (r *rawClaims) read() (*Claims, error) {
	subject, ok := text(r.Subject)
	if !ok || subject == "" || len(subject) > maxSubject || hasControl(subject) {
		return nil, errNoSubject
	}
	dn, ok := text(r.DN)
	if !ok || len(dn) > maxDN || hasControl(dn) {
		return nil, errStrangeDN
	}
	c := &Claims{Subject: subject, DN: dn, AuthTime: moment(r.AuthTime)}
	c.Email, c.Name = shown(r.Email), shown(r.Name)
	c.IdP, c.IdPName = shown(r.IdP), shown(r.IdPName)
	if c.Name == "" {
		c.Name = strings.TrimSpace(shown(r.Given) + " " + shown(r.Family))
	}
	return c, nil
}

// text is a string, or "" where there is none; false for anything else.
func text(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 {
		return "", true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

func shown(raw json.RawMessage) string {
	s, _ := text(raw)
	return clip(s)
}

// moment reads seconds since 1970 as a number or, as the portal writes
// auth_time, as a string of digits (measured: 0.2.4).
func moment(raw json.RawMessage) time.Time {
	n, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
	if err != nil || n <= 0 || n > 1<<40 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// UserInfo asks who the user is. It must come before GetProxy, which uses up the
// access token of a client without refresh tokens. OpenID Connect Core 1.0
// section 5.3.2 wants the caller to compare Subject with that of the id_token.
func (c *Client) UserInfo(ctx context.Context, accessToken secret.Secret) (*Claims, error) {
	if !goodToken(string(accessToken)) {
		return nil, &RequestError{Field: "access token", Reason: "is none that a portal gives"}
	}
	p, err := c.Discover(ctx)
	if err != nil {
		return nil, err
	}
	got, err := c.post(ctx, opUserInfo, p.UserInfo, url.Values{"access_token": {string(accessToken)}}, maxJSON)
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusOK {
		return nil, c.refusal(opUserInfo, got, string(accessToken))
	}
	claims, err := parseUserInfo(got.body)
	if err != nil {
		return nil, &AnswerError{Op: opUserInfo, Reason: "is not good: " + err.Error()}
	}
	return claims, nil
}

func parseUserInfo(body []byte) (*Claims, error) {
	var raw rawClaims
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, errNoUserInfo
	}
	return raw.read()
}
