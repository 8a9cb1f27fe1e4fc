package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// mpIdentity is who we are to the server; nil is nobody.
type mpIdentity struct {
	cert     *tls.Certificate
	certFile string
	dn       string // of the end-entity certificate, one-line form
}

func (i *mpIdentity) certificate() *tls.Certificate {
	if i == nil {
		return nil
	}
	return i.cert
}

func (i *mpIdentity) name() string {
	if i == nil {
		return ""
	}
	return i.dn
}

// errKeyLocked: the key is encrypted, and this is no occasion to ask for its
// pass phrase.
var errKeyLocked = errors.New("the key is encrypted")

// owner is the identity of a command that the server authorises by owner. It is
// looked for before anything is connected to.
func (m *mpCall) owner(ctx context.Context) (*mpIdentity, error) {
	identity, err := m.identity(ctx, true)
	if err != nil || identity != nil {
		return identity, err
	}
	e := helper.Errorf(helper.CodeNotConfigured, "%s needs a client certificate, because the server goes by the owner, and none was found", m.command).
		WithHint("name it with --tls-cert and --tls-key")
	if tmp := myproxy.DefaultProxyFile(); tmp != "" {
		if _, err := os.Stat(tmp); err == nil {
			e = e.WithHint("name it: --tls-cert %s", tmp)
		}
	}
	return nil, e
}

// identity is the client certificate that was named, or what is found where
// Globus looks. Where one is not needed, what cannot be used is passed over
// unless somebody named it.
func (m *mpCall) identity(ctx context.Context, needed bool) (*mpIdentity, error) {
	cert, key := m.setting("tls-cert", "", "tls_cert", ""), m.setting("tls-key", "", "tls_key", "")
	switch {
	case m.c.Bool("anonymous") && (m.c.IsSet("tls-cert") || m.c.IsSet("tls-key")):
		return nil, usagef("leave out one of them", "myproxy %s: --anonymous and a client certificate exclude each other", m.command)
	case m.c.Bool("anonymous"):
		return nil, nil
	case cert == "" && key != "":
		return nil, usagef("add --tls-cert", "myproxy %s: --tls-key is for --tls-cert only", m.command)
	case cert != "":
		return m.load(cert, cmp.Or(key, cert), m.keyPassphrase(ctx, cmp.Or(key, cert)))
	}
	located, err := m.locate(m.p.getenv)
	if err != nil || located == nil {
		return nil, err
	}
	if m.command == "retrieve" && !needed && !exists(located.CertFile) {
		return nil, nil // X509_USER_CERT names what is to be written
	}
	m.verbose("client certificate: %s (%s)", located.CertFile, located.Rule)
	if needed {
		return m.load(located.CertFile, located.KeyFile, m.keyPassphrase(ctx, located.KeyFile))
	}
	identity, err := m.load(located.CertFile, located.KeyFile, func() (secret.Secret, error) { return nil, errKeyLocked })
	if errors.Is(err, errKeyLocked) || err != nil && located.Rule != myproxy.RuleUserCert {
		m.verbose("it is not shown: %v", err)
		return nil, nil
	}
	return identity, err
}

// locate looks where Globus does, also in /tmp under the names of the C programs,
// which do.
func (m *mpCall) locate(getenv func(string) string) (*myproxy.Located, error) {
	return myproxy.LocateIdentity(myproxy.LocateOptions{
		Getenv: getenv, Home: m.p.home(), UID: os.Getuid(), TmpFile: m.p.standsForC(),
		Passed: func(err error) { m.verbose("passed over: %v", err) },
	})
}

func (m *mpCall) load(certFile, keyFile string, pass func() (secret.Secret, error)) (*mpIdentity, error) {
	cert, err := myproxy.LoadIdentity(certFile, keyFile, pass)
	if err != nil {
		return nil, err
	}
	chain, err := chainOf(cert)
	if err != nil {
		return nil, err
	}
	identity := &mpIdentity{cert: cert, certFile: certFile}
	if info, err := gsi.Inspect(chain); err == nil {
		identity.dn = info.Identity
	}
	return identity, nil
}

func chainOf(cert *tls.Certificate) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for _, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("the client certificate cannot be read: %w", err)
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// keyPassphrase asks for the pass phrase of a key, if that is encrypted.
func (m *mpCall) keyPassphrase(ctx context.Context, file string) func() (secret.Secret, error) {
	return func() (secret.Secret, error) {
		if m.c.Bool("stdin-pass") {
			return m.line(ctx)
		}
		return m.ask(ctx, fmt.Sprintf("Pass phrase of %s: ", file))
	}
}
