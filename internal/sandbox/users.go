package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// Kind is what a user has stored in the repository.
type Kind int

// The kinds of stored credentials.
const (
	// EEC is the long-term certificate itself, as STORE leaves it: a GET
	// brings two certificates, and the request's proxy policy is honoured.
	EEC Kind = iota
	// Proxy is a proxy, as PUT leaves it: three certificates, and the policy
	// is that of the stored one.
	Proxy
	// DeepProxy was put there by a proxy: four certificates.
	DeepProxy
	// LimitedProxy is a limited proxy: whatever is asked, limited comes back.
	LimitedProxy
)

// User is one credential in the repository, or one line of the CA's map.
type User struct {
	Name string
	// Passphrase opens the stored key or, in CA mode, is the one that PAM lets
	// in; with "" nobody gets in.
	Passphrase string
	// CredentialName is the name of this one of several; "" is the default
	// credential.
	CredentialName string
	// CommonName is the last part of the identity; "" is Name.
	CommonName string
	Kind       Kind
	// Limit is the lifetime that was stored with the credential, the most that
	// a GET grants; 0 is 12 hours, as myproxy-init stores it.
	Limit time.Duration
	// EndsIn is when the stored credential ends; 0 is years from now.
	EndsIn time.Duration
	// Expired makes the stored credential one that ended an hour ago.
	Expired bool
	// Locked is the administrator's message in a locked credential.
	Locked string
	// Unencrypted says that the key was stored without a pass phrase: no pass
	// phrase can fetch it, but a renewer or a trusted retriever can.
	Unencrypted bool
	// Description is what the owner wrote about the credential.
	Description string
	// Retriever, Renewer, KeyRetriever and TrustedRetriever are the credential's
	// own policies, patterns as in Policies; "" is none, so that the server's
	// defaults hold.
	Retriever, Renewer, KeyRetriever, TrustedRetriever string
	// Owner is the one-line DN of who stored it; "" is the identity of what is
	// stored.
	Owner string
	// P256 gives the user a P-256 key. The CA's signature is still RSA, so a
	// stored EEC works; a stored proxy has an ECDSA signature and cannot
	// delegate.
	P256 bool
}

// account is a User and what that person has at home.
type account struct {
	User
	eec *gsi.Credential // the long-term certificate and its key
}

// AddUser stores a credential, in place of one of the same names; in CA mode
// it writes a line of the server's map.
func (s *Sandbox) AddUser(u User) error {
	if u.Name == "" {
		return errors.New("a user of the sandbox needs a name")
	}
	if u.CommonName == "" {
		u.CommonName = u.Name
	}
	if u.Limit == 0 {
		u.Limit = defaultLifetime
	}
	a, stored, err := s.newAccount(u)
	if err == nil && s.opts.Mode != CA {
		err = s.deposit(u, a, stored)
	}
	if err != nil {
		return fmt.Errorf("make a credential for %s: %w", u.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[storageName(u.Name, named(u.CredentialName))] = a
	return nil
}

// deposit puts a user's credential into the repository.
func (s *Sandbox) deposit(u User, a *account, stored *gsi.Credential) error {
	passphrase := u.Passphrase
	switch {
	case u.Unencrypted:
		passphrase = ""
	case passphrase == "":
		passphrase = rand.Text() // which nobody knows
	}
	file, err := newCredentialFile(stored.Chain, stored.Key, passphrase)
	if err != nil {
		return err
	}
	if u.Owner == "" {
		if u.Owner, err = gsi.OneLine(a.eec.Chain[0].RawSubject); err != nil {
			return err
		}
	}
	s.keep(&credential{
		username: u.Name, name: named(u.CredentialName), owner: u.Owner,
		lifetime: int(u.Limit / time.Second), lock: named(u.Locked), file: file,
		settings: settings{
			description: named(u.Description), retriever: named(u.Retriever), renewer: named(u.Renewer),
			keyRetriever: named(u.KeyRetriever), trustedRetriever: named(u.TrustedRetriever),
		},
	})
	return nil
}

// RemoveUser drops what AddUser stored.
func (s *Sandbox) RemoveUser(name, credentialName string) {
	s.drop(name, named(credentialName))
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accounts, storageName(name, named(credentialName)))
}

// Credential returns a user's long-term certificate and key, for use as a
// client certificate; nil if there is no such user.
func (s *Sandbox) Credential(name, credentialName string) *gsi.Credential {
	a := s.account(name, named(credentialName))
	if a == nil {
		return nil
	}
	return a.eec
}

// IdentityFiles writes a user's long-term certificate and key, not encrypted,
// into the sandbox's directory, as files for X509_USER_CERT and X509_USER_KEY.
func (s *Sandbox) IdentityFiles(name, credentialName string) (certFile, keyFile string, err error) {
	cred := s.Credential(name, credentialName)
	if cred == nil {
		return "", "", fmt.Errorf("the sandbox has no user %s with a credential named %q", name, credentialName)
	}
	block, err := keyBlock(cred.Key)
	if err != nil {
		return "", "", err
	}
	dir := filepath.Join(s.opts.Dir, "identities")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	stem := filepath.Join(dir, storageName(name, named(credentialName)))
	certFile, keyFile = stem+".cert.pem", stem+".key.pem"
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cred.Chain[0].Raw})
	return certFile, keyFile, errors.Join(writeFile(certFile, certificate), writeFile(keyFile, pem.EncodeToMemory(block)))
}

func (s *Sandbox) account(user string, credential *string) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[storageName(user, credential)]
}

// newAccount makes a user's certificate and what is stored for the user.
func (s *Sandbox) newAccount(u User) (*account, *gsi.Credential, error) {
	key, err := s.userKey(u, keyUser)
	if err != nil {
		return nil, nil, err
	}
	now := s.now()
	eecEnd, end := now.AddDate(10, 0, 0).Add(-past), now.AddDate(8, 0, 0)
	switch {
	case u.Expired:
		end = now.Add(-past)
	case u.EndsIn != 0:
		end = now.Add(u.EndsIn)
	}
	if u.Kind == EEC {
		eecEnd = end
	}
	cert, err := s.ca.user(u.CommonName, key.Public(), now.Add(-2*past), eecEnd)
	if err != nil {
		return nil, nil, err
	}
	a := &account{User: u, eec: &gsi.Credential{Chain: []*x509.Certificate{cert}, Key: key}}
	stored := a.eec
	for range storedProxies(u.Kind) {
		if stored, err = s.storedProxy(u, stored, end); err != nil {
			return nil, nil, err
		}
	}
	return a, stored, nil
}

func storedProxies(k Kind) int {
	switch k {
	case Proxy, LimitedProxy:
		return 1
	case DeepProxy:
		return 2
	}
	return 0
}

// storedProxy is a proxy below a credential, as the client that put it there
// made it.
func (s *Sandbox) storedProxy(u User, issuer *gsi.Credential, end time.Time) (*gsi.Credential, error) {
	key, err := s.userKey(u, keyProxy)
	if err != nil {
		return nil, err
	}
	language := oidInheritAll
	if u.Kind == LimitedProxy {
		language = oidLimited
	}
	now := s.now()
	if end.Before(now) {
		now = end.Add(-past)
	}
	o := proxyOptions{language: language, now: now, lifetime: end.Sub(now), byClient: true}
	cert, err := signProxy(issuer, key.Public(), o)
	if err != nil {
		return nil, err
	}
	return &gsi.Credential{Chain: append([]*x509.Certificate{cert}, issuer.Chain...), Key: key}, nil
}

func (s *Sandbox) userKey(u User, name string) (crypto.Signer, error) {
	if u.P256 {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return s.keys.get(s.ctx, name)
}
