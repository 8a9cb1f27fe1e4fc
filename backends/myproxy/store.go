package myproxy

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// StoreRequest is what Store stores.
type StoreRequest struct {
	Username string
	// Passphrase is the one that opens Key, which becomes that of every later
	// logon. It is not sent: a server does not need it before.
	Passphrase     secret.Secret
	CredentialName string
	Description    string
	// MaxLifetime bounds every later logon, in whole seconds; zero is
	// DefaultLifetime.
	MaxLifetime time.Duration
	// Certificate is PEM: the certificate and what chain it has. Key is PEM:
	// its private key, encrypted. The key is sent as it is, the chain without
	// its root.
	Certificate, Key []byte
	Policy           Policy
	// NoOverwrite asks Info first and ends with ErrCredentialsExist where the
	// server has something of that user and name.
	NoOverwrite bool
}

// StoreResult is what was stored.
type StoreResult struct {
	Owner       Owner
	MaxLifetime time.Duration // to which the server clips later logons
	NotAfter    time.Time     // end of the stored certificate
	Warnings    []string      // sentences for people: a short pass phrase, an expired certificate
	Server      string        // host:port
	Unanswered  []*HostError  // the servers that were tried before it
}

// Store sends a certificate and its encrypted key (command STORE). It first
// checks that they belong together and that the pass phrase opens the key: the
// server would take anything, and nobody could ever fetch it. Client.Identity
// becomes the owner; without one what is stored is it.
func (c *Client) Store(ctx context.Context, req StoreRequest) (*StoreResult, error) {
	message, err := req.request()
	if err != nil {
		return nil, err
	}
	cred, text, err := req.credential()
	if err != nil {
		return nil, err
	}
	defer clear(text)
	as := *c
	if as.Identity == nil {
		as.Identity = identityOf(cred)
	}
	got := StoreResult{MaxLifetime: time.Duration(message.seconds) * time.Second, NotAfter: chainEnd(cred.Chain)}
	if got.Owner, err = as.owner(); err != nil {
		return nil, err
	}
	got.Warnings = req.warnings(cred, c.now())
	if req.NoOverwrite {
		if got.Unanswered, err = as.notThere(ctx, &req); err != nil {
			return nil, err
		}
	}
	where, err := as.run(ctx, &exchange{
		request: message, identity: as.Identity,
		follow: func(s *session, first *response) error { return s.store(first, text) },
	})
	if err != nil {
		hideEcho(err, req.Passphrase) // it may know it all the same
		return nil, err
	}
	got.Server, got.Unanswered = where.server, append(got.Unanswered, where.unanswered...)
	return &got, nil
}

// store sends the credential once the server has said OK.
func (s *session) store(first *response, text []byte) error {
	if err := s.demandOK(first, StageRequest); err != nil {
		return err
	}
	s.stage = StageFinal
	if err := s.send("sending the credential", text); err != nil {
		return err
	}
	return s.receiveOK("waiting for the end", StageFinal)
}

// notThere asks Info with the same identity. What follows is meant for the
// server that answered, so it is the only one left; those before it are returned.
func (c *Client) notThere(ctx context.Context, req *StoreRequest) ([]*HostError, error) {
	info, err := c.Info(ctx, InfoRequest{Username: req.Username})
	if err != nil {
		return nil, err
	}
	for _, there := range info.Credentials {
		if there.Name == req.CredentialName {
			return nil, ErrCredentialsExist
		}
	}
	c.Hosts = []string{info.Server}
	return info.Unanswered, nil
}

// request checks what needs no server, and returns the request of the protocol.
func (r *StoreRequest) request() (request, error) {
	seconds, err := wholeSeconds(fieldMaxLifetime, r.MaxLifetime)
	if err == nil { // a later logon must be able to send it
		err = CheckPassphrase(r.Passphrase)
	}
	return request{
		command: commandStore, username: r.Username, seconds: seconds,
		credName: r.CredentialName, description: r.Description, policy: r.Policy,
	}, err
}

// credential checks the certificate and the key and returns them opened, and as
// the message that stores them: the certificate, the encrypted key, the issuers
// without the root, a NUL. Nothing else of the texts is sent: a file may hold an
// open key besides.
func (r *StoreRequest) credential() (*gsi.Credential, []byte, error) {
	certs, err := gsi.ParseCertificates(r.Certificate)
	if err != nil {
		return nil, nil, &RequestError{Field: fieldCertificate, Reason: "cannot be read: " + err.Error(), Err: err}
	}
	block, err := onlyKey(r.Key)
	if err != nil {
		return nil, nil, err
	}
	var text []byte
	for _, c := range certs {
		text = append(text, certificatePEM(c)...)
	}
	cred, err := openStored(append(text, block...), r.Passphrase)
	if err != nil {
		return nil, nil, err
	}
	msg := storedMessage(cred.Chain, block)
	if len(msg) > maxMessageOut {
		return nil, nil, &RequestError{Field: fieldCertificate, Reason: "and its key are longer than a server can read in one piece"}
	}
	return cred, msg, nil
}

// storedMessage has the key behind the first certificate: servers delegate with
// that one and those behind the key, and pass by what stands between (measured:
// Debian myproxy-server 6.2.14).
func storedMessage(chain []*x509.Certificate, key []byte) []byte {
	msg := slices.Concat(certificatePEM(chain[0]), key)
	for _, c := range chain[1:] {
		msg = append(msg, certificatePEM(c)...)
	}
	return append(msg, 0)
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// onlyKey returns the block of the private key of a PEM text.
func onlyKey(text []byte) ([]byte, error) {
	var found []byte
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			if found != nil {
				return nil, &RequestError{Field: fieldKey, Reason: "is not the only one in its file: keep one", Err: gsi.ErrTwoKeys}
			}
			found = pem.EncodeToMemory(block)
		}
		text = rest
	}
	if found == nil {
		return nil, &RequestError{Field: fieldKey, Reason: "is not there: " + gsi.ErrNoKey.Error(), Err: gsi.ErrNoKey}
	}
	return found, nil
}

// openStored opens a certificate with its key. The key must be encrypted, with
// that pass phrase, and the certificate's.
func openStored(text []byte, pass secret.Secret) (*gsi.Credential, error) {
	_, err := gsi.ParseCredential(text)
	switch {
	case err == nil:
		return nil, &RequestError{Field: fieldKey, Reason: "is not encrypted: the server would take it, but no pass phrase could ever fetch it; encrypt it, for instance with openssl pkey -aes256"}
	case !errors.Is(err, gsi.ErrEncryptedKey):
		return nil, &RequestError{Field: fieldKey, Reason: "cannot be read: " + err.Error(), Err: err}
	case len(pass) == 0:
		return nil, &RequestError{Field: fieldPassphrase, Reason: "is empty: it must be the one that opens the private key", Err: gsi.ErrEncryptedKey}
	}
	cred, err := gsi.ParseCredentialWith(text, gsi.ParseOptions{Passphrase: pass})
	if errors.Is(err, gsi.ErrWrongPassphrase) {
		return nil, &RequestError{Field: fieldPassphrase, Reason: "does not open the private key, and it must, because it becomes that of every later logon", Err: err}
	}
	if err != nil {
		return nil, &RequestError{Field: fieldKey, Reason: "cannot be read: " + err.Error(), Err: err}
	}
	if !sameKey(cred.Leaf().PublicKey, cred.Key.Public()) {
		return nil, &RequestError{Field: fieldKey, Reason: "is not that of the certificate"}
	}
	return cred, nil
}

// warnings is what a server takes and what will not be of use.
func (r *StoreRequest) warnings(cred *gsi.Credential, now time.Time) []string {
	var all []string
	if len(r.Passphrase) < minPassphrase {
		all = append(all, fmt.Sprintf("the pass phrase is shorter than %d bytes, the least that servers demand elsewhere", minPassphrase))
	}
	if end := chainEnd(cred.Chain); now.After(end) {
		all = append(all, "the certificate has expired: nothing can be fetched from it")
	}
	switch cred.Leaf().SignatureAlgorithm {
	case x509.ECDSAWithSHA1, x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519:
		all = append(all, signatureWarning)
	}
	return all
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
