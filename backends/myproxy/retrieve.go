package myproxy

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// RetrieveRequest is what Retrieve asks for.
type RetrieveRequest struct {
	Username       string
	Passphrase     secret.Secret
	CredentialName string
	// TrustRoots asks for the files of the server's trust directory, too.
	TrustRoots bool
}

// RetrieveResult is a stored credential itself.
type RetrieveResult struct {
	Certificates []*x509.Certificate // in the order in which they came
	KeyPEM       secret.Secret       // encrypted with the pass phrase
	PEM          secret.Secret       // everything as it was stored
	TrustRoots   map[string][]byte   // see LogonResult
	Server       string              // host:port
	Unanswered   []*HostError        // the servers that were tried before it
}

// Retrieve fetches what Store stored, the encrypted key included (command
// RETRIEVE). The policy of key retrievers decides who may. What came is checked
// as far as it can be: the certificates, and that the pass phrase opens the key,
// which is the certificate's.
func (c *Client) Retrieve(ctx context.Context, req RetrieveRequest) (*RetrieveResult, error) {
	var got RetrieveResult
	where, err := c.run(ctx, &exchange{
		request: request{
			command: commandRetrieve, username: req.Username, passphrase: req.Passphrase,
			seconds:  int64(DefaultLifetime / time.Second), // of no use, but mandatory
			credName: req.CredentialName, trustRoots: req.TrustRoots,
		},
		identity: c.Identity,
		follow:   got.receive,
	})
	if err != nil {
		return nil, err
	}
	got.Server, got.Unanswered = where.server, where.unanswered
	if err := got.check(req.Passphrase); err != nil {
		return nil, err
	}
	return &got, nil
}

// receive reads the credential, a PEM text with a NUL behind it.
func (got *RetrieveResult) receive(s *session, first *response) error {
	if err := s.demandOK(first, StageRequest); err != nil {
		return err
	}
	got.TrustRoots = first.files
	const doing = "waiting for the credential"
	if err := s.notRefused(doing); err != nil {
		return err
	}
	text, err := readText(s.in, maxCertificates)
	if err != nil {
		return s.explain(doing, err)
	}
	got.PEM = text
	return s.receiveOK("waiting for the end", StageFinal)
}

// check takes the text apart.
func (got *RetrieveResult) check(pass secret.Secret) error {
	bad := func(reason string, err error) error {
		return &CertificateError{Server: got.Server, Reason: reason, Err: err}
	}
	var err error
	if got.Certificates, err = gsi.ParseCertificates(got.PEM); err != nil {
		return bad("sent a credential that cannot be read", err)
	}
	if got.KeyPEM, err = onlyKey(got.PEM); err != nil {
		return bad("sent a credential without one private key", errors.Unwrap(err))
	}
	cred, err := gsi.ParseCredentialWith(got.PEM, gsi.ParseOptions{Passphrase: pass, KeyOptional: len(pass) == 0})
	switch {
	case errors.Is(err, gsi.ErrKeyEncryption), errors.Is(err, gsi.ErrKeyCost):
		return nil // nobody here can open it
	case err != nil:
		return bad("sent a credential that cannot be read", err)
	case cred.Key != nil && !sameKey(cred.Leaf().PublicKey, cred.Key.Public()):
		return bad("sent a private key that is not that of its certificate", nil)
	}
	return nil
}
