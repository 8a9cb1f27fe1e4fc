package sandbox

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// portalKeyID names the key of the id_tokens.
const portalKeyID = "SANDBOXKEY1"

// identity are the claims of a user: whatever the Delegation Server released,
// for every scope.
func (p *Portal) identity(c *call, u PortalUser) (map[string]any, error) {
	claims := map[string]any{
		"sub": u.Subject, "email": u.Email, "name": u.Name, "idp": u.IdP, "idp_display_name": u.IdPName,
	}
	if !u.NoDN {
		subject, err := subjectOf(u)
		if err != nil {
			return nil, err
		}
		if claims["cert_subject_dn"], err = gsi.RFC2253(subject); err != nil {
			return nil, err
		}
	}
	if c.faults.Claims != nil {
		c.faults.Claims(claims)
	}
	return claims, nil
}

// idToken signs the claims of a session. The nonce is the first one for ever,
// and auth_time is a string.
func (p *Portal) idToken(c *call, session *portalSession) (string, error) {
	changed := c.faults.Claims
	c.faults.Claims = nil
	claims, err := p.identity(c, session.user)
	c.faults.Claims = changed
	if err != nil {
		return "", err
	}
	now := p.s.now().Unix()
	claims["iss"], claims["aud"] = p.Issuer(), session.client.ID
	claims["iat"], claims["exp"] = now, now+int64(portalTokenLife.Seconds())
	claims["auth_time"] = strconv.FormatInt(session.loggedIn.Unix(), 10)
	if session.nonce != "" {
		claims["nonce"] = session.nonce
	}
	if changed != nil {
		changed(claims)
	}
	return p.sign(c, claims)
}

// sign makes a JWT (RFC 7515 section 7.1).
func (p *Portal) sign(c *call, claims map[string]any) (string, error) {
	header := map[string]any{"typ": "JWT", "kid": portalKeyID, "alg": "RS256"}
	if c.faults.Header != nil {
		c.faults.Header(header)
	}
	head, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode(head) + "." + encode(payload)
	if header["alg"] == "none" {
		return text + ".", nil
	}
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.signKey, crypto.SHA256, digest[:])
	if err != nil {
		return "", err
	}
	if c.faults.BadSignature {
		signature[0] ^= 1
	}
	return text + "." + encode(signature), nil
}

// userinfo gives the claims of an access token that is not used up. Its errors
// are pages.
func (p *Portal) userinfo(c *call) *PortalAnswer {
	token, given := c.param("access_token"), c.has("access_token")
	bearer, ok := authorization(c.Request, "Bearer")
	switch {
	case !given && !ok:
		return p.page(http.StatusBadRequest, "invalid_request", "no access token was sent.")
	case !given:
		token = bearer
	case ok && bearer != token:
		return p.page(http.StatusBadRequest, "invalid_request", "too many access tokens.")
	}
	session := p.access[token]
	switch {
	case session == nil:
		return p.page(http.StatusBadRequest, "invalid_request", "no transaction for the access token was found.")
	case !session.accessGood:
		return p.page(http.StatusBadRequest, "invalid_request", "invalid access token.")
	case p.expired(session):
		return p.page(http.StatusBadRequest, "invalid_request", "token expired.")
	}
	claims, err := p.identity(c, session.user)
	if err != nil {
		return p.page(http.StatusInternalServerError, "server_error", err.Error())
	}
	return document(http.StatusOK, claims)
}
