package rcauth

import (
	"context"
	"net/http"
	"net/url"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// Revoke ends the whole session that an access or refresh token belongs to (RFC
// 7009). A token that the portal does not know is no error, as the RFC wants.
// Portals before 0.2.0 cannot do it: ErrNoRevocation.
func (c *Client) Revoke(ctx context.Context, token secret.Secret) error {
	if !goodToken(string(token)) {
		return &RequestError{Field: "token", Reason: "is none that a portal gives"}
	}
	p, err := c.Discover(ctx)
	if err != nil {
		return err
	}
	if p.Revoke == "" {
		return ErrNoRevocation
	}
	req, err := newPost(p.Revoke, url.Values{"token": {string(token)}})
	if err != nil {
		return err
	}
	// RFC 6749 section 2.3.1. Here alone the parameters are refused (measured).
	req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(string(c.ClientSecret)))
	got, err := c.send(ctx, opRevoke, req, maxJSON)
	if err != nil {
		return err
	}
	if got.status != http.StatusOK {
		return c.refusal(opRevoke, got, string(token))
	}
	return nil
}
