package myproxy

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// Owner is the TLS identity of the client that stored a credential: the subject
// of the end-entity certificate of Client.Identity. Nobody else will see, change
// or destroy the credential.
type Owner struct {
	OneLine string // "/DC=org/CN=Jane"
	RFC2253 string // "CN=Jane,DC=org"
}

// owner is that of Client.Identity. It is asked for before the first connection
// of the commands that servers do for the owner alone.
func (c *Client) owner() (Owner, error) {
	if c.Identity == nil {
		return Owner{}, errNoIdentity()
	}
	return ownerOf(c.Identity)
}

func errNoIdentity() error {
	return &RequestError{Field: "command", Reason: "needs a client certificate with its private key, because servers go by the owner", Err: ErrNoIdentity}
}

func ownerOf(identity *tls.Certificate) (Owner, error) {
	chain, err := parseChain(identity)
	if err != nil {
		return Owner{}, err
	}
	info, err := gsi.Inspect(chain)
	if err != nil {
		return Owner{}, &RequestError{Field: fieldIdentity, Reason: "does not say whose it is: " + err.Error(), Err: err}
	}
	return Owner{OneLine: info.Identity, RFC2253: info.IdentityRFC2253}, nil
}

func parseChain(identity *tls.Certificate) ([]*x509.Certificate, error) {
	chain := make([]*x509.Certificate, 0, len(identity.Certificate))
	for _, der := range identity.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, &RequestError{Field: fieldIdentity, Reason: "cannot be read: " + err.Error(), Err: err}
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, &RequestError{Field: fieldIdentity, Reason: "has no certificate in it", Err: ErrNoIdentity}
	}
	return chain, nil
}

// credentialOf is a client certificate as something that can sign proxies.
func credentialOf(identity *tls.Certificate) (*gsi.Credential, error) {
	chain, err := parseChain(identity)
	if err != nil {
		return nil, err
	}
	key, ok := identity.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, &RequestError{Field: fieldIdentity, Reason: "has no private key that can sign"}
	}
	return &gsi.Credential{Chain: chain, Key: key}, nil
}

// identityOf is a credential as a client certificate for TLS, with every issuer
// that is not a root: without them servers do not find the CA (measured: Debian
// myproxy-server 6.2.14, alert unknown_ca).
func identityOf(cred *gsi.Credential) *tls.Certificate {
	identity := &tls.Certificate{PrivateKey: cred.Key, Leaf: cred.Leaf()}
	for _, c := range cred.Chain {
		identity.Certificate = append(identity.Certificate, c.Raw)
	}
	return identity
}
