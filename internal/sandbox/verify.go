package sandbox

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// The words of OpenSSL for what is wrong with a chain.
const (
	textExpired     = "X509_verify_cert() failed: certificate has expired"
	textNotYetValid = "X509_verify_cert() failed: certificate is not yet valid"
	textBadChain    = "X509_verify_cert() failed: certificate signature failure"
	textNoIssuer    = "X509_STORE_CTX_get1_issuer() failed"
)

// verifyStored checks certificates as the real server checks what is stored,
// or is to be: their order does not matter but for the first, and whatever is
// no part of its chain is ignored. It returns the reason against them, "" if
// there is none.
func (s *Sandbox) verifyStored(certs []*x509.Certificate) string {
	chain, root := s.path(certs)
	if root == nil {
		return textNoIssuer
	}
	now := s.now()
	for _, cert := range slices.Backward(chain) {
		switch {
		case now.Before(cert.NotBefore):
			return textNotYetValid
		case now.After(cert.NotAfter):
			return textExpired
		}
	}
	if chain[len(chain)-1].CheckSignatureFrom(root) != nil || gsi.VerifyChain(chain, gsi.VerifyOptions{Now: now}) != nil {
		return textBadChain
	}
	return ""
}

// allProxies is true of certificates without an end-entity certificate. The
// real server looks for one, does not find it, and crashes.
func allProxies(certs []*x509.Certificate) bool {
	return !slices.ContainsFunc(certs, func(c *x509.Certificate) bool {
		language, err := proxyLanguage(c.Extensions)
		return err == nil && language == nil
	})
}

// path orders the chain of the first certificate, leaf first and without the
// root; root is nil if it does not end at a CA that the server trusts.
func (s *Sandbox) path(certs []*x509.Certificate) (chain []*x509.Certificate, root *x509.Certificate) {
	const longest = 100
	for next := certs[0]; next != nil && len(chain) < longest; {
		chain = append(chain, next)
		issuer := next.RawIssuer
		issued := func(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, issuer) }
		if i := slices.IndexFunc(s.trusted(), issued); i >= 0 {
			return chain, s.trusted()[i]
		}
		i := slices.IndexFunc(certs, issued)
		if i < 0 || certs[i] == next {
			break
		}
		next = certs[i]
	}
	return chain, nil
}

// trusted are the CAs that the server trusts.
func (s *Sandbox) trusted() []*x509.Certificate {
	return append([]*x509.Certificate{s.ca.cert}, s.opts.TrustedCAs...)
}

// peer is who a chain of certificates stands for.
type peer struct {
	name    string // the one-line DN of the end-entity certificate
	limited bool   // there is a limited proxy in the chain
}

// inspect finds out whose certificates these are, leaf first.
func (s *Sandbox) inspect(certs []*x509.Certificate) (peer, error) {
	chain, _ := s.path(certs)
	info, err := gsi.Inspect(chain)
	if err != nil {
		return peer{}, err
	}
	return peer{name: info.Identity, limited: info.Limited}, nil
}

// identify checks a client's certificates, if it sent some, and finds its
// name: proxies are peeled down to the long-term certificate, which a CA that
// the server trusts must have signed.
func (c *conversation) identify(raw [][]byte, _ [][]*x509.Certificate) error {
	c.peer = peer{name: anonymous}
	if len(raw) == 0 {
		return nil
	}
	certs := make([]*x509.Certificate, 0, len(raw))
	for _, der := range raw {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		certs = append(certs, cert)
	}
	if reason := c.s.verifyStored(certs); reason != "" {
		return errors.New(reason)
	}
	var err error
	c.peer, err = c.s.inspect(certs)
	return err
}

// baseSubject is the identity of a stored credential.
func (s *Sandbox) baseSubject(c *credential) string {
	p, err := s.inspect(c.file.certificates)
	if err != nil {
		return ""
	}
	return p.name
}

// hours is a lifetime in the whole hours of the real server's configuration.
func hours(d time.Duration) int { return int(d / time.Hour) }
