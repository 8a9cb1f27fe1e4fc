package rcauth

import (
	"cmp"
	"context"
	"crypto"
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// algorithms are those that a portal announces. "none" and the symmetric ones,
// for which the client's secret would be the key, are not among them.
func algorithms() []string { return []string{oidc.RS256, oidc.RS384, oidc.RS512} }

// earlySlack is by how much the clock here may be behind the portal's.
const earlySlack = 5 * time.Minute

// verifyID checks an id_token (OpenID Connect Core 1.0 section 3.1.3.7):
// signature, audience, nonce, subject, issuer, end. Every failure is an *IDTokenError but
// one: that the keys could not be fetched once more.
func (c *Client) verifyID(ctx context.Context, p *Provider, keys []crypto.PublicKey, raw string, call tokenCall) (*Claims, error) {
	if raw == "" {
		return nil, &IDTokenError{Fault: FaultMissing, Detail: "there is none"}
	}
	if len(raw) > maxJSON {
		return nil, &IDTokenError{Fault: FaultMalformed, Detail: "it is far too long"}
	}
	if strings.ContainsFunc(raw, isNoJWT) {
		return nil, &IDTokenError{Fault: FaultMalformed, Detail: "it is not in the compact form"}
	}
	config := &oidc.Config{
		SupportedSigningAlgs: algorithms(),
		SkipIssuerCheck:      true, // two may be right, see rightIssuer
		SkipClientIDCheck:    true, // checked below, with azp
		SkipExpiryCheck:      true, // checked last, see judge
	}
	set := &portalKeys{StaticKeySet: oidc.StaticKeySet{PublicKeys: keys}}
	token, err := oidc.NewVerifier("", set, config).Verify(ctx, raw)
	if err != nil && set.failed {
		// The portal may have changed its keys in between.
		if keys, err = c.signingKeys(ctx, p); err != nil {
			return nil, err
		}
		set = &portalKeys{StaticKeySet: oidc.StaticKeySet{PublicKeys: keys}}
		token, err = oidc.NewVerifier("", set, config).Verify(ctx, raw)
	}
	switch {
	case err != nil && set.failed:
		return nil, &IDTokenError{Fault: FaultSignature, Detail: "none of the portal's keys signed it"}
	case err != nil:
		return nil, &IDTokenError{Fault: FaultMalformed, Detail: "it cannot be read, or is not signed as the portal signs"}
	}
	claims, err := c.judge(p, token, call)
	if err != nil {
		return nil, err
	}
	return claims, nil
}

// isNoJWT is RFC 7519 section 3: go-jose would read a JWS in its JSON forms, too,
// which are another parser for bytes from outside, and leave out blanks.
func isNoJWT(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}

// portalKeys remembers that it was the signature which failed: go-oidc has no
// error for that.
type portalKeys struct {
	oidc.StaticKeySet
	failed bool
}

// VerifySignature implements oidc.KeySet.
func (k *portalKeys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.StaticKeySet.VerifySignature(ctx, jwt)
	k.failed = err != nil
	return payload, err
}

// judge compares what a signed id_token says with what it must say. Last comes
// what may be the fault of this machine: all else of the token is right then.
func (c *Client) judge(p *Provider, token *oidc.IDToken, call tokenCall) (*Claims, error) {
	var party struct {
		Authorized string `json:"azp"`
	}
	if err := token.Claims(&party); err != nil {
		return nil, &IDTokenError{Fault: FaultMalformed, Detail: "its claims cannot be read"}
	}
	several := len(token.Audience) > 1
	if !slices.Contains(token.Audience, c.ClientID) || (several || party.Authorized != "") && party.Authorized != c.ClientID {
		return nil, &IDTokenError{Fault: FaultAudience, Detail: "it is for another client"}
	}
	if call.nonce != "" && subtle.ConstantTimeCompare([]byte(call.nonce), []byte(token.Nonce)) != 1 {
		return nil, &IDTokenError{Fault: FaultNonce, Detail: "it belongs to another login"}
	}
	var own rawClaims
	if err := token.Claims(&own); err != nil {
		return nil, &IDTokenError{Fault: FaultMalformed, Detail: "its claims cannot be read"}
	}
	claims, err := own.read()
	if err != nil {
		return nil, &IDTokenError{Fault: FaultMalformed, Detail: err.Error()}
	}
	if token.Expiry.IsZero() {
		return nil, &IDTokenError{Fault: FaultMalformed, Detail: "it has no end"}
	}
	if call.subject != "" && claims.Subject != call.subject {
		return nil, &IDTokenError{Fault: FaultSubject, Detail: "it is of another user than the login"}
	}
	if !c.rightIssuer(p, token.Issuer) {
		return nil, &IDTokenError{Fault: FaultIssuer, Detail: "its issuer is " + quoted(token.Issuer) + ", and " + quoted(cmp.Or(p.Issuer, c.Portal)) + " was expected: if it is right, configure it as the issuer"}
	}
	return claims, c.inTime(token, &own)
}

// inTime is about the clock, of the portal or here.
func (c *Client) inTime(token *oidc.IDToken, own *rawClaims) error {
	now := c.now()
	switch {
	case token.Expiry.Before(now):
		return &IDTokenError{Fault: FaultExpired, Detail: "it has expired: check this machine's clock"}
	case moment(own.NotBefore).After(now.Add(earlySlack)):
		return &IDTokenError{Fault: FaultExpired, Detail: "it is not valid yet: check this machine's clock"}
	}
	return nil
}

// rightIssuer goes by the configured issuer, else by the discovered one, else by
// the portal's URL.
func (c *Client) rightIssuer(p *Provider, issuer string) bool {
	if p.Issuer != "" {
		return issuer == p.Issuer
	}
	base, err := c.base()
	return err == nil && knownIssuer(issuer, base)
}
