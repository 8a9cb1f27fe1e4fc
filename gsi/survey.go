package gsi

import (
	"bytes"
	"crypto/x509"
	"fmt"
)

// classify returns what the proxies at the head of a chain say about
// themselves; the certificate after them is the end-entity certificate.
func classify(chain []*x509.Certificate) ([]*proxyInfo, error) {
	s := survey(chain)
	if len(s.faults) > 0 {
		return nil, s.faults[0]
	}
	return s.proxies, nil
}

// identify is classify for those who go by the name of the end-entity
// certificate. It refuses one that was issued by a certificate of the chain which
// is no CA's: a user can sign a certificate of any name. Names decide, because
// signatures are not looked at here.
func identify(chain []*x509.Certificate) ([]*proxyInfo, error) {
	proxies, err := classify(chain)
	if err != nil {
		return nil, err
	}
	eec := len(proxies)
	if eec+1 < len(chain) && !isCA(chain[eec+1]) && bytes.Equal(chain[eec].RawIssuer, chain[eec+1].RawSubject) {
		return nil, fault(FaultNotProxy, chain, eec, notProxyText)
	}
	return proxies, nil
}

const notProxyText = "the certificate was issued by one that is no CA's, yet it is no proxy: it has no proxyCertInfo"

// isCA: a root of version 1 has no basicConstraints.
func isCA(c *x509.Certificate) bool {
	return c.BasicConstraintsValid && c.IsCA || isSelfIssued(c) && c.Version < 3
}

// surveyed is the first look at a chain.
type surveyed struct {
	proxies  []*proxyInfo // of the proxies at its head
	faults   []*ChainError
	unusable bool // no chain to look at further
	disorder bool // a proxy stands where none may
}

func survey(chain []*x509.Certificate) (s surveyed) {
	if e := checkShape(chain); e != nil {
		return surveyed{faults: []*ChainError{e}, unusable: true}
	}
	add := func(f Fault, depth int, detail string) {
		s.faults = append(s.faults, fault(f, chain, depth, detail))
	}
	for i, c := range chain {
		p, err := readProxyInfo(c)
		if err != nil {
			add(FaultProxyInfo, i, "the proxyCertInfo extension is malformed")
			p.malformed = true
		}
		switch {
		case p == nil:
		case len(s.proxies) == i:
			s.proxies = append(s.proxies, p)
		case s.disorder:
		case bytes.Equal(chain[i-1].RawIssuer, c.RawSubject):
			s.disorder = true
			add(FaultNotProxy, i-1, "the certificate was issued by a proxy, yet it is no proxy: it has no proxyCertInfo")
		default:
			s.disorder = true
			add(FaultIssuer, i, "a proxy certificate follows the certificate of its user: the chain is out of order")
		}
	}
	if len(s.proxies) == len(chain) {
		add(FaultIncompleteChain, len(chain)-1, "the chain ends with a proxy certificate, the certificate of the user itself is missing")
	}
	return s
}

// checkShape refuses what cannot be looked at one certificate after another.
func checkShape(chain []*x509.Certificate) *ChainError {
	switch {
	case len(chain) == 0:
		return fault(FaultIncompleteChain, nil, 0, "there is no certificate")
	case len(chain) > MaxCertificates:
		return fault(FaultTooLong, nil, 0, fmt.Sprintf("chain of %d certificates, at most %d are read", len(chain), MaxCertificates))
	}
	size := 0
	for i, c := range chain {
		if c == nil {
			return fault(FaultIncompleteChain, nil, i, "a certificate of the chain is missing")
		}
		if size += len(c.Raw); size > MaxCredentialBytes {
			return fault(FaultTooLong, nil, i, "the chain is larger than 1 MiB")
		}
	}
	return nil
}
