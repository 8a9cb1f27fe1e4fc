package gsi

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
)

// IssueOptions says what kind of proxy to issue.
type IssueOptions struct {
	// Limited proxies may move data but not start jobs. A proxy of a limited
	// proxy is limited whatever stands here.
	Limited bool
	// PathLen is how many further proxies may follow; nil is no limit.
	PathLen *int
	// NotBefore and NotAfter are clipped to those of the issuer's chain. To
	// serve hosts whose clocks are slow, callers begin five minutes early, as
	// MyProxy does.
	NotBefore, NotAfter time.Time
	// Extensions are added as they are, for instance VOMS attributes.
	Extensions []pkix.Extension
}

// Issue signs a proxy certificate of RFC 3820 for pub: the issuer's subject,
// byte for byte, with CN=serial added, keyUsage of digitalSignature and
// keyEncipherment as far as the issuer has them, no alternative name.
func Issue(issuer *Credential, pub crypto.PublicKey, opts IssueOptions) (*x509.Certificate, error) {
	proxies, err := classify(issuer.Chain)
	if err != nil {
		return nil, err
	}
	if issuer.Key == nil {
		return nil, ErrNoKey
	}
	parent := issuer.Chain[0]
	if err := mayIssue(parent, proxies); err != nil {
		return nil, err
	}
	serial, err := proxySerial()
	if err != nil {
		return nil, err
	}
	subject, err := dn.AppendCN(parent.RawSubject, serial.String())
	if err != nil {
		return nil, err
	}
	notBefore, notAfter := clip(issuer.Chain, opts.NotBefore, opts.NotAfter)
	if !notAfter.After(notBefore) {
		return nil, errors.New("the proxy would end before it begins: its issuer's time is over, or the wrong time was asked for")
	}
	extensions, err := proxyExtensions(parent, proxies, opts)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:    serial,
		RawSubject:      subject,
		NotBefore:       notBefore,
		NotAfter:        notAfter,
		ExtraExtensions: extensions,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, withoutKeyID(parent), pub, issuer.Key)
	if err != nil {
		return nil, fmt.Errorf("cannot sign the proxy: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Derive issues a proxy for key and returns it with its chain.
func (c *Credential) Derive(key crypto.Signer, opts IssueOptions) (*Credential, error) {
	cert, err := Issue(c, key.Public(), opts)
	if err != nil {
		return nil, err
	}
	return &Credential{Chain: append([]*x509.Certificate{cert}, c.Chain...), Key: key}, nil
}

// mayIssue refuses what no server would accept, before it is signed.
func mayIssue(parent *x509.Certificate, proxies []*proxyInfo) error {
	chain := []*x509.Certificate{parent}
	switch {
	case parent.IsCA:
		return fault(FaultCA, chain, 0, "a CA's certificate cannot issue proxies")
	case !mayDigitallySign(parent):
		return fault(FaultKeyUsage, chain, 0, "the issuer's key may not be used for digital signatures, so it cannot issue proxies")
	}
	for depth, p := range proxies {
		switch {
		case p.Type != TypeRFC3820:
			return fault(FaultMixedTypes, chain, 0, "a proxy from before RFC 3820 cannot issue one of RFC 3820")
		case p.PathLen >= 0 && depth+1 > p.PathLen:
			return fault(FaultPathLength, chain, 0, "the issuer's chain allows no further proxy")
		}
	}
	return nil
}

// proxySerial is random and of 31 bits, as Globus makes it: the serial is also
// the CN, and some tools read it as a C long.
func proxySerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<31-1))
	if err != nil {
		return nil, err
	}
	return n.Add(n, big.NewInt(1)), nil
}

// clip narrows a time to what the whole chain above allows: nobody accepts
// more, and tools would show an end that is not one.
func clip(chain []*x509.Certificate, notBefore, notAfter time.Time) (time.Time, time.Time) {
	for _, c := range chain {
		if notBefore.Before(c.NotBefore) {
			notBefore = c.NotBefore
		}
		if notAfter.After(c.NotAfter) {
			notAfter = c.NotAfter
		}
	}
	return notBefore, notAfter
}

func proxyExtensions(parent *x509.Certificate, proxies []*proxyInfo, opts IssueOptions) ([]pkix.Extension, error) {
	language := oidInheritAll
	if opts.Limited || len(proxies) > 0 && proxies[0].limited() {
		language = oidLimited
	}
	info, err := proxyInfoExtension(language, opts.PathLen)
	if err != nil {
		return nil, err
	}
	usage, err := keyUsageExtension(parent)
	if err != nil {
		return nil, err
	}
	out := []pkix.Extension{usage, info}
	// Extended key usages are inherited like MyProxy does it: a proxy without
	// them would be good for more than its issuer.
	for _, ext := range parent.Extensions {
		if ext.Id.Equal(oidExtKeyUsage) {
			out = append(out, ext)
		}
	}
	for _, ext := range opts.Extensions {
		for _, have := range out {
			if have.Id.Equal(ext.Id) {
				return nil, fmt.Errorf("the extension %s is not the caller's to set", ext.Id)
			}
		}
		if ext.Id.Equal(oidSubjectAltName) || ext.Id.Equal(oidIssuerAltName) {
			return nil, errors.New("a proxy may not have an alternative name (RFC 3820 section 3.5)")
		}
		out = append(out, ext)
	}
	return out, nil
}

func keyUsageExtension(parent *x509.Certificate) (pkix.Extension, error) {
	// Bits in the order of RFC 5280 section 4.2.1.3: digitalSignature 0,
	// keyEncipherment 2.
	bits := asn1.BitString{Bytes: []byte{0xa0}, BitLength: 3}
	if hasExtension(parent, oidKeyUsage) && parent.KeyUsage&x509.KeyUsageKeyEncipherment == 0 {
		bits = asn1.BitString{Bytes: []byte{0x80}, BitLength: 1}
	}
	value, err := asn1.Marshal(bits)
	return pkix.Extension{Id: oidKeyUsage, Critical: true, Value: value}, err
}

// withoutKeyID copies the issuer for CreateCertificate, which takes names and
// key identifiers from it. An authority key identifier is added where the
// issuer has a subject key identifier; a proxy needs none, and Globus' have
// none.
func withoutKeyID(parent *x509.Certificate) *x509.Certificate {
	return &x509.Certificate{
		Raw:        bytes.Clone(parent.Raw),
		RawSubject: parent.RawSubject,
		PublicKey:  parent.PublicKey,
	}
}
