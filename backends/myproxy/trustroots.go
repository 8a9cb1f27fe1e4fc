package myproxy

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// TrustRootsRequest is what GetTrustRoots asks for. User name and pass phrase
// are sent only together; servers need neither.
type TrustRootsRequest struct {
	Username   string
	Passphrase secret.Secret
}

// TrustRoots are the files of a server's trust directory.
type TrustRoots struct {
	// Files by name, as the server sent them: nothing says yet that these
	// are safe, see InstallTrustRoots.
	Files  map[string][]byte
	Server string // host:port
	// Fingerprint is "sha256:" and the hex digits of the last certificate that
	// the server sent in TLS, usually its CA.
	Fingerprint string
	Unanswered  []*HostError // the servers that were tried before it
}

// GetTrustRoots fetches the server's trust directory over a verified connection
// (command 7). It writes nothing. A server that has no such directory gives no
// files and no error.
func (c *Client) GetTrustRoots(ctx context.Context, req TrustRootsRequest) (*TrustRoots, error) {
	switch {
	case req.Username == "" && len(req.Passphrase) > 0:
		return nil, &RequestError{Field: fieldUsername, Reason: "is missing: for trust roots it is sent together with a pass phrase, or neither is"}
	case req.Username != "" && len(req.Passphrase) == 0:
		return nil, &RequestError{Field: fieldPassphrase, Reason: "is missing: for trust roots it is sent together with a user name, or neither is"}
	}
	return c.trustRoots(ctx, &exchange{
		request:  request{username: req.Username, passphrase: req.Passphrase},
		identity: c.Identity,
	})
}

// trustRoots fetches them by a prepared exchange.
func (c *Client) trustRoots(ctx context.Context, x *exchange) (*TrustRoots, error) {
	var got TrustRoots
	x.request.command, x.request.trustRoots = commandTrustRoots, true
	x.follow = func(s *session, first *response) error {
		got.Files = first.files
		got.Fingerprint = fingerprint(s.peer[len(s.peer)-1])
		return s.demandOK(first, StageRequest)
	}
	where, err := c.run(ctx, x)
	if err != nil {
		return nil, err
	}
	got.Server, got.Unanswered = where.server, where.unanswered
	return &got, nil
}

// fingerprint is "sha256:" and the hex digits of a certificate's DER.
func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}
