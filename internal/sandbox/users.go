package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
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
	Name       string
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
	// phrase can fetch it.
	Unencrypted bool
	// P256 gives the user a P-256 key. The CA's signature is still RSA, so a
	// stored EEC works; a stored proxy has an ECDSA signature and cannot
	// delegate.
	P256 bool
}

// account is a User with what is stored for it.
type account struct {
	User
	eec    *gsi.Credential // the long-term certificate and its key
	stored *gsi.Credential // what is in the repository
}

// AddUser stores a credential, in place of one of the same names.
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
	a, err := s.newAccount(u)
	if err != nil {
		return fmt.Errorf("make a credential for %s: %w", u.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[storageName(u.Name, u.CredentialName, u.CredentialName != "")] = a
	return nil
}

// RemoveUser drops what AddUser stored.
func (s *Sandbox) RemoveUser(name, credentialName string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accounts, storageName(name, credentialName, credentialName != ""))
}

// SetPassphrase changes a pass phrase, as somebody else's CHANGE would.
func (s *Sandbox) SetPassphrase(name, credentialName, passphrase string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[storageName(name, credentialName, credentialName != "")]
	if a == nil {
		return fmt.Errorf("the sandbox has no credential of %s named %q", name, credentialName)
	}
	changed := *a
	changed.Passphrase = passphrase
	s.accounts[storageName(name, credentialName, credentialName != "")] = &changed
	return nil
}

// Credential returns a user's long-term certificate and key, for use as a
// client certificate; nil if there is no such user.
func (s *Sandbox) Credential(name, credentialName string) *gsi.Credential {
	a := s.account(name, credentialName, credentialName != "")
	if a == nil {
		return nil
	}
	return a.eec
}

// storageName is the stem of the file name that the real server would use: so
// the user "alice-second" gets at alice's credential "second".
func storageName(user, credential string, named bool) string {
	if named {
		return user + "-" + credential
	}
	return user
}

func (s *Sandbox) account(user, credential string, named bool) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[storageName(user, credential, named)]
}

func (s *Sandbox) newAccount(u User) (*account, error) {
	key, err := s.userKey(u, keyUser)
	if err != nil {
		return nil, err
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
		return nil, err
	}
	a := &account{User: u, eec: &gsi.Credential{Chain: []*x509.Certificate{cert}, Key: key}}
	a.stored = a.eec
	for range storedProxies(u.Kind) {
		if a.stored, err = s.storedProxy(a, end); err != nil {
			return nil, err
		}
	}
	return a, nil
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

// storedProxy is a proxy below a.stored, as the client that put it there made
// it.
func (s *Sandbox) storedProxy(a *account, end time.Time) (*gsi.Credential, error) {
	key, err := s.userKey(a.User, keyProxy)
	if err != nil {
		return nil, err
	}
	language := oidInheritAll
	if a.Kind == LimitedProxy {
		language = oidLimited
	}
	now := s.now()
	if end.Before(now) {
		now = end.Add(-past)
	}
	o := proxyOptions{language: language, now: now, lifetime: end.Sub(now), byClient: true}
	issuer := a.stored
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
