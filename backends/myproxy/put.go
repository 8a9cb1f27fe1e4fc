package myproxy

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// Policy says who but the owner may use a stored credential. Each value is a
// pattern of subjects in the one-line form, in which "*" stands for any text;
// "" leaves it to the server's default.
type Policy struct {
	Retriever        string // who may fetch a proxy by pass phrase
	Renewer          string // who may fetch one for a proxy that is still valid
	TrustedRetriever string // who may fetch one without a pass phrase
	KeyRetriever     string // who may fetch the stored key itself; Store only
}

// PutRequest is what Put stores.
type PutRequest struct {
	Username string
	// Passphrase is the new one, of 6 to 1023 bytes. The server encrypts the
	// key with it.
	Passphrase secret.Secret
	// NoPassphrase stores the key unencrypted, for renewers and trusted
	// retrievers; Passphrase must then be empty.
	NoPassphrase   bool
	CredentialName string
	Description    string
	// MaxLifetime bounds every later logon, in whole seconds; zero is
	// DefaultLifetime.
	MaxLifetime time.Duration
	// Credential signs the proxy that is stored: an end-entity certificate or
	// a proxy, with its key. nil is Client.Identity.
	Credential *gsi.Credential
	// DelegationLifetime is that of the stored proxy; zero is
	// DefaultDelegationLifetime. It ends with Credential at the latest.
	DelegationLifetime time.Duration
	// Limited makes the stored proxy, and all that come of it, limited.
	Limited bool
	Policy  Policy
}

// DefaultDelegationLifetime is how long a stored proxy lives, as with
// myproxy-init.
const DefaultDelegationLifetime = 7 * 24 * time.Hour

// PutResult is what was stored.
type PutResult struct {
	Owner       Owner
	MaxLifetime time.Duration // to which the server clips later logons
	NotAfter    time.Time     // end of the stored proxy
	Warnings    []string      // sentences for people
	Server      string        // host:port
	Unanswered  []*HostError  // the servers that were tried before it
}

// Put delegates a proxy of a credential to the server (command PUT): the server
// makes a key, this signs it, the private key of the credential stays here.
// Client.Identity becomes the owner; without one the credential itself is it.
func (c *Client) Put(ctx context.Context, req PutRequest) (*PutResult, error) {
	message, err := req.request()
	if err != nil {
		return nil, err
	}
	issuer, identity, err := c.issuer(req.Credential)
	if err != nil {
		return nil, err
	}
	// Better here than halfway: an expired credential, say.
	if _, err := gsi.Issue(issuer, issuer.Key.Public(), req.options(c.now())); err != nil {
		return nil, cannotSign(err)
	}
	got := PutResult{MaxLifetime: time.Duration(message.seconds) * time.Second, Warnings: signatureWarnings(issuer.Key.Public())}
	if req.NoPassphrase && req.Policy.Renewer == "" && req.Policy.TrustedRetriever == "" {
		got.Warnings = append(got.Warnings, unreachableWarning)
	}
	if got.Owner, err = ownerOf(identity); err != nil {
		return nil, err
	}
	where, err := c.run(ctx, &exchange{
		request: message, identity: identity,
		follow: func(s *session, first *response) (err error) {
			if err := s.demandOK(first, StageRequest); err != nil {
				return err
			}
			got.NotAfter, err = s.delegate(issuer, req.options(c.now()))
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	got.Server, got.Unanswered = where.server, where.unanswered
	return &got, nil
}

// request checks what needs no server, and returns the request of the protocol.
func (r *PutRequest) request() (request, error) {
	seconds, err := wholeSeconds(fieldMaxLifetime, r.MaxLifetime)
	if err != nil {
		return request{}, err
	}
	switch {
	case r.NoPassphrase && len(r.Passphrase) > 0:
		return request{}, &RequestError{Field: fieldPassphrase, Reason: "must be empty for a credential that is stored without one"}
	case !r.NoPassphrase:
		if err := CheckNewPassphrase(r.Passphrase); err != nil {
			return request{}, err
		}
	}
	if r.Policy.KeyRetriever != "" {
		return request{}, &RequestError{Field: fieldPolicy, Reason: "names who may fetch the key, which only a stored key can have"}
	}
	return request{
		command: commandPut, username: r.Username, passphrase: r.Passphrase, seconds: seconds,
		credName: r.CredentialName, description: r.Description, policy: r.Policy,
	}, nil
}

func (r *PutRequest) options(now time.Time) gsi.IssueOptions {
	opts := gsi.IssueOptions{Now: now, Lifetime: r.DelegationLifetime}
	if opts.Lifetime == 0 {
		opts.Lifetime = DefaultDelegationLifetime
	}
	if r.Limited {
		opts.Rights = gsi.RightsLimited
	}
	return opts
}

// maxNewProxy is more than a proxy adds to the chain that it is made from.
const maxNewProxy = 4 << 10

// issuer returns what signs the proxy and who the client is in TLS: cred and
// Client.Identity, each for the other where that is missing.
func (c *Client) issuer(cred *gsi.Credential) (*gsi.Credential, *tls.Certificate, error) {
	identity := c.Identity
	var err error
	switch {
	case cred == nil && identity == nil:
		return nil, nil, errNoIdentity()
	case cred == nil:
		cred, err = credentialOf(identity)
	case len(cred.Chain) == 0 || cred.Key == nil:
		err = &RequestError{Field: fieldCredential, Reason: "needs a certificate and its private key"}
	case identity == nil:
		identity = identityOf(cred)
	}
	if err != nil {
		return nil, nil, err
	}
	if n := len(chainMessage(cred.Chain)); n+maxNewProxy > maxMessageOut {
		return nil, nil, &RequestError{Field: fieldCredential, Reason: fmt.Sprintf("has a chain of %d bytes, more than a server can read in one piece", n)}
	}
	return cred, identity, nil
}

// delegate reads the server's certificate request and answers it.
func (s *session) delegate(issuer *gsi.Credential, opts gsi.IssueOptions) (end time.Time, err error) {
	const doing = "waiting for the certificate request"
	if err := s.notRefused(doing); err != nil {
		return end, err
	}
	csr, err := readDER(s.in, gsi.MaxRequestBytes, gsi.MaxRequestBytes)
	if err != nil {
		return end, s.explain(doing, err)
	}
	chain, err := gsi.Delegate(issuer, csr, opts)
	if err != nil {
		return end, delegateError(s.server, err)
	}
	msg := chainMessage(chain)
	if len(msg) > maxMessageOut {
		return end, &CertificateError{Server: s.server, Reason: "asks for a proxy that would be longer than it can read in one piece"}
	}
	s.stage = StageFinal
	if err := s.send("sending the certificates", msg); err != nil {
		return end, err
	}
	return chain[0].NotAfter, s.receiveOK("waiting for the end", StageFinal)
}

// delegateError says whose fault it is that no proxy could be signed.
func delegateError(server string, err error) error {
	var chain *gsi.ChainError
	if errors.As(err, &chain) && chain.Subject == "" { // of no certificate
		return &CertificateError{Server: server, Reason: "sent a certificate request that cannot be signed", Err: err}
	}
	return cannotSign(err)
}

func cannotSign(err error) error {
	return &RequestError{Field: fieldCredential, Reason: "cannot sign a proxy: " + err.Error(), Err: err}
}

// unreachableWarning: servers have defaults for both, and most let nobody in.
const unreachableWarning = "no pass phrase opens this credential, and no renewer or trusted retriever was named: unless the server names some by default, nobody can fetch it"

// signatureWarning is about what servers cannot use (measured: Debian
// myproxy-server 6.2.14 signs with the digest of the stored certificate's own
// signature, and knows none of ECDSA's).
const signatureWarning = "the certificate that is stored is not signed with RSA: MyProxy servers take it, but cannot delegate from it later"

func signatureWarnings(signer crypto.PublicKey) []string {
	if _, ok := signer.(*rsa.PublicKey); ok {
		return nil
	}
	return []string{signatureWarning}
}
