package myproxy

import (
	"context"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// ChangeRequest is a change of a pass phrase.
type ChangeRequest struct {
	Username       string
	CredentialName string
	Old, New       secret.Secret // New of 6 to 1023 bytes
}

// ChangePassphrase changes the pass phrase of a stored credential (command
// CHANGE). An error after the request was sent that is no *ServerError leaves
// open which of the two counts now.
func (c *Client) ChangePassphrase(ctx context.Context, req ChangeRequest) error {
	if err := CheckNewPassphrase(req.New); err != nil {
		return err
	}
	if _, err := c.owner(); err != nil {
		return err
	}
	_, err := c.run(ctx, &exchange{
		request: request{
			command: commandChange, username: req.Username, credName: req.CredentialName,
			passphrase: req.Old, newPassphrase: req.New,
		},
		identity: c.Identity,
	})
	return err
}
