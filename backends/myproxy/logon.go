package myproxy

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// LogonRequest is what Logon asks for.
type LogonRequest struct {
	Username   string
	Passphrase secret.Secret
	// CredentialName picks one of several credentials stored for the user;
	// "" is the one without a name.
	CredentialName string
	// Lifetime is a wish; it is sent in whole seconds, rounded up. Zero is
	// DefaultLifetime.
	Lifetime time.Duration
	// VOMS are VOs ("vo" or "vo:/vo/group/Role=x") whose attributes the proxy
	// shall carry. Servers that cannot do that say nothing.
	VOMS []string
	// VOMSES are lines of a vomses file that tell the server where to ask for
	// VOMS. They are sent only along with VOMS.
	VOMSES []string
	// TrustRoots asks for the files of the server's trust directory along with
	// the certificate.
	TrustRoots bool
	// Renew is a credential that is still valid and that the new one shall
	// replace: the server accepts the proof of possessing it in place of the
	// pass phrase, which must be empty, from a client whose certificate matches
	// the credential's policy of renewers. Without Renew an empty pass phrase
	// is trusted retrieval: the policy of trusted retrievers decides by
	// Client.Identity.
	Renew *gsi.Credential
	// AnonymousRetry asks once more without Client.Identity where the server
	// refuses that certificate itself, which it does before it has looked at
	// any pass phrase.
	AnonymousRetry bool
	// Sending, if set, is called once, after the server has proved its identity
	// and right before the request with the pass phrase goes out. Its error
	// ends the attempt.
	Sending func(ctx context.Context) error
	// CSR returns the PKCS#10 request in DER. It is called once the server has
	// accepted the pass phrase, so it may wait for a key that is being made.
	CSR func(ctx context.Context) ([]byte, error)
}

// request returns the request of the protocol.
func (r *LogonRequest) request() (request, error) {
	seconds, err := wholeSeconds(fieldLifetime, r.Lifetime)
	if err == nil {
		err = checkRenew(r)
	}
	return request{
		command: commandGet, username: r.Username, passphrase: r.Passphrase, seconds: seconds,
		credName: r.CredentialName, trustRoots: r.TrustRoots, voms: r.VOMS, vomses: r.VOMSES,
	}, err
}

// LogonResult is what a server gave. Nothing but the server's identity has been
// verified.
type LogonResult struct {
	// Chain is the new certificate followed by its issuers up to the end-entity
	// certificate; an online CA usually sends the new certificate alone.
	Chain []*x509.Certificate
	// Server is the host:port that answered.
	Server string
	// Unanswered are the servers that were tried before it.
	Unanswered []*HostError
	// TrustRoots are the files of the server's trust directory, by the names
	// that it gave them: nothing says yet that these are safe, see
	// InstallTrustRoots. nil where none were asked for or the server has none.
	TrustRoots map[string][]byte
	// Anonymous is set where the server refused the client's certificate and
	// the pass phrase was then sent by an anonymous client: why it was refused.
	// Tell the user.
	Anonymous error
}

// Logon gets a certificate for the key of req.CSR (command GET).
//
// Its errors are *RequestError before anything was sent, or for what req.CSR
// returned; *DialError where no server answered; *TrustError, *AlertError, *ServerError, *CertificateError,
// *ProtocolError, *TimeoutError and *LostError for a server that did; the
// error of req.CSR; and one that wraps ctx.Err(). Those of a server that
// answered after others had not are wrapped in *FailoverError, and those of a
// retry without Client.Identity in *AnonymousError. Those of the other commands
// are the same.
func (c *Client) Logon(ctx context.Context, req LogonRequest) (*LogonResult, error) {
	if req.CSR == nil {
		return nil, &RequestError{Field: fieldCSR, Reason: "is missing"}
	}
	message, err := req.request()
	if err != nil {
		return nil, err
	}
	var got LogonResult
	where, err := c.run(ctx, &exchange{
		request: message, identity: c.Identity, anonymousRetry: req.AnonymousRetry, sending: req.Sending,
		follow: func(s *session, first *response) error { return got.receive(s, first, &req) },
	})
	if err != nil {
		return nil, err
	}
	got.Server, got.Unanswered, got.Anonymous = where.server, where.unanswered, where.anonymous
	return &got, nil
}

// receive goes on after the first answer: the proof of a credential to renew,
// if the server wants one, then the certificate request and the certificates.
func (got *LogonResult) receive(s *session, first *response, req *LogonRequest) (err error) {
	if first.code == responseChallenge {
		if first, err = s.prove(req.Renew, first); err != nil {
			return err
		}
	}
	got.TrustRoots = first.files
	csr, err := req.CSR(s.ctx)
	if err != nil {
		return fmt.Errorf("no certificate request could be made: %w", err)
	}
	got.Chain, err = s.certify(csr)
	return err
}
