package gsi

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// Info is what a chain says about itself.
type Info struct {
	Type    Type // of the leaf
	Limited bool // the leaf is limited, or a proxy above it is
	Depth   int  // number of proxy certificates

	// Subject is the leaf's. Identity is the end-entity certificate's, the
	// name that a person has in the grid; IdentityRaw is its DER, for MatchDN.
	Subject, Identity, IdentityRFC2253 string
	IdentityRaw                        []byte

	// NotBefore is the latest start and NotAfter the earliest end over the
	// whole chain and every VOMS attribute certificate in it: outside this
	// time some server refuses something.
	NotBefore, NotAfter time.Time

	// VOMS holds the attributes of the proxy nearest to the leaf first: where
	// there are several, that one's count. Their signatures are not verified.
	VOMS []voms.Attributes

	Fingerprint string // "sha256:" and the hex digits of the leaf's DER
}

// Inspect reads a chain, leaf first, without verifying any signature. A chain
// of proxies alone, without the end-entity certificate, is a *ChainError:
// nobody can say whose it is.
func Inspect(chain []*x509.Certificate) (*Info, error) {
	proxies, err := classify(chain)
	if err != nil {
		return nil, err
	}
	eec := chain[len(proxies)]
	info := &Info{
		Type:        TypeEEC,
		Depth:       len(proxies),
		IdentityRaw: eec.RawSubject,
		NotBefore:   chain[0].NotBefore,
		NotAfter:    chain[0].NotAfter,
	}
	if len(proxies) > 0 {
		info.Type = proxies[0].Type
	}
	for _, p := range proxies {
		info.Limited = info.Limited || p.limited()
	}
	if err := info.setNames(chain[0], eec); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(chain[0].Raw)
	info.Fingerprint = "sha256:" + hex.EncodeToString(sum[:])
	for _, c := range chain {
		info.narrow(c.NotBefore, c.NotAfter)
		attrs, err := voms.Parse(c)
		if err != nil {
			return nil, fmt.Errorf("VOMS attributes of %s: %w", subjectText(c), err)
		}
		for _, a := range attrs {
			info.narrow(a.NotBefore, a.NotAfter)
		}
		info.VOMS = append(info.VOMS, attrs...)
	}
	return info, nil
}

func (i *Info) setNames(leaf, eec *x509.Certificate) (err error) {
	if i.Subject, err = OneLine(leaf.RawSubject); err != nil {
		return err
	}
	if i.Identity, err = OneLine(eec.RawSubject); err != nil {
		return err
	}
	i.IdentityRFC2253, err = RFC2253(eec.RawSubject)
	return err
}

func (i *Info) narrow(notBefore, notAfter time.Time) {
	if notBefore.After(i.NotBefore) {
		i.NotBefore = notBefore
	}
	if notAfter.Before(i.NotAfter) {
		i.NotAfter = notAfter
	}
}

// classify returns what the proxies at the head of a chain say about
// themselves; the certificate after them is the end-entity certificate.
func classify(chain []*x509.Certificate) ([]*proxyInfo, error) {
	switch {
	case len(chain) == 0:
		return nil, fault(FaultIncompleteChain, nil, 0, "there is no certificate")
	case len(chain) > MaxCertificates:
		return nil, fault(FaultTooLong, nil, 0, fmt.Sprintf("chain of %d certificates, at most %d are read", len(chain), MaxCertificates))
	}
	size := 0
	var proxies []*proxyInfo
	for i, c := range chain {
		if c == nil {
			return nil, fault(FaultIncompleteChain, nil, i, "a certificate of the chain is missing")
		}
		if size += len(c.Raw); size > MaxCredentialBytes {
			return nil, fault(FaultTooLong, nil, i, "the chain is larger than 1 MiB")
		}
		p, err := readProxyInfo(c)
		switch {
		case err != nil:
			return nil, fault(FaultProxyInfo, chain, i, "the proxyCertInfo extension is malformed")
		case p == nil:
		case len(proxies) < i:
			return nil, fault(FaultIssuer, chain, i, "a proxy certificate follows the certificate of its user: the chain is out of order")
		default:
			proxies = append(proxies, p)
		}
	}
	if len(proxies) == len(chain) {
		return nil, fault(FaultIncompleteChain, chain, len(chain)-1, "the chain ends with a proxy certificate, the certificate of the user itself is missing")
	}
	return proxies, nil
}
