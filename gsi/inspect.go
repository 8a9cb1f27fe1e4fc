package gsi

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
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

	// Rights are the leaf's as they count over the whole chain; "" for an
	// end-entity certificate.
	Rights Rights
	// PathLen is how many further proxies may follow the leaf, the minimum
	// over the chain; -1 is no limit.
	PathLen int

	// KeyBits and KeyAlgorithm ("RSA", "ECDSA", "Ed25519") are the leaf's; 0 and
	// "unknown" for a key that crypto/x509 does not know.
	KeyBits      int
	KeyAlgorithm string
	// SignatureAlgorithm is that of the signature on the leaf: "SHA256-RSA", or
	// "unknown".
	SignatureAlgorithm string
	// Issuer is the leaf's, one-line form.
	Issuer string

	// Subject is the leaf's. Identity is the end-entity certificate's, the
	// name that a person has in the grid; IdentityRaw is its DER, for MatchDN.
	Subject, Identity, IdentityRFC2253 string
	IdentityRaw                        []byte

	// NotBefore is the latest start and NotAfter the earliest end over the
	// whole chain and every VOMS attribute certificate in it, those that VOMS
	// leaves out among them: outside this time some server may refuse something.
	NotBefore, NotAfter time.Time

	// VOMS holds the attributes that servers see: those of the certificate
	// nearest to the leaf which has any (measured: libvomsapi and voms-proxy-info
	// 2.1 look at no others). Their signatures are not verified.
	VOMS []voms.Attributes

	Fingerprint string // "sha256:" and the hex digits of the leaf's DER
}

// Inspect reads a chain, leaf first, without verifying any signature. It is a
// *ChainError where nobody can say whose the chain is: one of proxies alone,
// without the end-entity certificate, and one whose end-entity certificate is
// followed by that of an issuer which is no CA.
func Inspect(chain []*x509.Certificate) (*Info, error) {
	proxies, err := identify(chain)
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
	info.setRights(proxies)
	info.setKey(chain[0])
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
		if len(info.VOMS) == 0 {
			info.VOMS = attrs
		}
	}
	return info, nil
}

func (i *Info) setNames(leaf, eec *x509.Certificate) (err error) {
	if i.Subject, err = OneLine(leaf.RawSubject); err != nil {
		return err
	}
	if i.Issuer, err = OneLine(leaf.RawIssuer); err != nil {
		return err
	}
	if i.Identity, err = OneLine(eec.RawSubject); err != nil {
		return err
	}
	i.IdentityRFC2253, err = RFC2253(eec.RawSubject)
	return err
}

func (i *Info) setRights(proxies []*proxyInfo) {
	if len(proxies) > 0 {
		i.Type = proxies[0].Type
	}
	i.Rights, i.PathLen = rightsOf(proxies), pathLenOf(proxies)
	i.Limited = i.Rights == RightsLimited
}

func (i *Info) setKey(leaf *x509.Certificate) {
	i.KeyAlgorithm, i.SignatureAlgorithm = "unknown", "unknown"
	if a := leaf.PublicKeyAlgorithm; a != x509.UnknownPublicKeyAlgorithm {
		i.KeyAlgorithm = a.String()
	}
	if a := leaf.SignatureAlgorithm; a != x509.UnknownSignatureAlgorithm {
		i.SignatureAlgorithm = a.String()
	}
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		i.KeyBits = key.N.BitLen()
	case *ecdsa.PublicKey:
		i.KeyBits = key.Curve.Params().BitSize
	case ed25519.PublicKey:
		i.KeyBits = 8 * len(key)
	}
}

func (i *Info) narrow(notBefore, notAfter time.Time) {
	if notBefore.After(i.NotBefore) {
		i.NotBefore = notBefore
	}
	if notAfter.Before(i.NotAfter) {
		i.NotAfter = notAfter
	}
}
