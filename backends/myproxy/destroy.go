package myproxy

import "context"

// DestroyRequest says what to destroy.
type DestroyRequest struct {
	Username       string
	CredentialName string // "" is the credential without a name
}

// Destroy removes a stored credential (command DESTROY).
func (c *Client) Destroy(ctx context.Context, req DestroyRequest) error {
	if _, err := c.owner(); err != nil {
		return err
	}
	_, err := c.run(ctx, &exchange{
		request:  request{command: commandDestroy, username: req.Username, credName: req.CredentialName},
		identity: c.Identity,
	})
	return err
}
