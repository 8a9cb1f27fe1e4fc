package gsi

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
)

// Type is the kind of a certificate.
type Type string

// The kinds of certificates at the head of a chain.
const (
	TypeRFC3820 Type = "rfc3820" // proxy certificate of RFC 3820
	TypeEEC     Type = "eec"     // end-entity certificate: no proxy
	TypeDraft   Type = "draft"   // GSI-3 proxy, a draft of RFC 3820 with Globus' own identifier
	TypeLegacy  Type = "legacy"  // GSI-2 proxy, told by its last CN alone
)

var (
	oidProxyCertInfo   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 14}         // RFC 3820 section 3.8
	oidDraftProxyInfo  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3536, 1, 222}     // Globus
	oidInheritAll      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 1}         // RFC 3820 section 3.8.2
	oidIndependent     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 2}         // RFC 3820 section 3.8.2
	oidLimited         = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3536, 1, 1, 1, 9} // Globus
	oidKeyUsage        = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidIssuerAltName   = asn1.ObjectIdentifier{2, 5, 29, 18}
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidExtKeyUsage     = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// proxyPolicy is RFC 3820 section 3.8.2.
type proxyPolicy struct {
	Language asn1.ObjectIdentifier
	Policy   []byte `asn1:"optional"`
}

// proxyInfo is what a proxy certificate says about itself.
type proxyInfo struct {
	Type     Type
	Critical bool
	PathLen  int // -1: no limit
	Policy   proxyPolicy
}

func (p *proxyInfo) limited() bool     { return p.Policy.Language.Equal(oidLimited) }
func (p *proxyInfo) independent() bool { return p.Policy.Language.Equal(oidIndependent) }

// extension is the identifier of what makes the certificate a proxy.
func (p *proxyInfo) extension() asn1.ObjectIdentifier {
	switch p.Type {
	case TypeRFC3820:
		return oidProxyCertInfo
	case TypeDraft:
		return oidDraftProxyInfo
	}
	return nil
}

// readProxyInfo returns nil for a certificate that is no proxy. For an
// unreadable proxyCertInfo it returns what is known and an error.
func readProxyInfo(c *x509.Certificate) (*proxyInfo, error) {
	for _, ext := range c.Extensions {
		switch {
		case ext.Id.Equal(oidProxyCertInfo):
			p := &proxyInfo{Type: TypeRFC3820, Critical: ext.Critical, PathLen: -1}
			return p, p.parseRFC(ext.Value)
		case ext.Id.Equal(oidDraftProxyInfo):
			p := &proxyInfo{Type: TypeDraft, Critical: ext.Critical, PathLen: -1}
			return p, p.parseDraft(ext.Value)
		}
	}
	// A GSI-2 proxy has no mark but its name: its issuer's subject and one
	// CN more.
	parent, cn, ok := dn.CutCN(c.RawSubject)
	if !ok || !bytes.Equal(parent, c.RawIssuer) {
		return nil, nil
	}
	switch cn {
	case "proxy":
		return &proxyInfo{Type: TypeLegacy, PathLen: -1, Policy: proxyPolicy{Language: oidInheritAll}}, nil
	case "limited proxy":
		return &proxyInfo{Type: TypeLegacy, PathLen: -1, Policy: proxyPolicy{Language: oidLimited}}, nil
	}
	return nil, nil
}

var errProxyInfo = errors.New("proxyCertInfo is malformed")

// parseRFC reads SEQUENCE { pCPathLenConstraint INTEGER OPTIONAL, proxyPolicy }.
// The integer is read by hand: encoding/asn1's default for an absent optional
// integer cannot be told from zero, and zero is a limit.
func (p *proxyInfo) parseRFC(der []byte) error {
	var fields []asn1.RawValue
	rest, err := asn1.Unmarshal(der, &fields)
	if err != nil || len(rest) > 0 || len(fields) == 0 || len(fields) > 2 {
		return errProxyInfo
	}
	if len(fields) == 2 {
		if err := p.parsePathLen(fields[0].FullBytes); err != nil {
			return err
		}
		fields = fields[1:]
	}
	return p.parsePolicy(fields[0].FullBytes)
}

// parseDraft reads SEQUENCE { proxyPolicy, [1] EXPLICIT INTEGER OPTIONAL }.
func (p *proxyInfo) parseDraft(der []byte) error {
	var fields []asn1.RawValue
	rest, err := asn1.Unmarshal(der, &fields)
	if err != nil || len(rest) > 0 || len(fields) == 0 || len(fields) > 2 {
		return errProxyInfo
	}
	if len(fields) == 2 {
		if fields[1].Class != asn1.ClassContextSpecific || fields[1].Tag != 1 {
			return errProxyInfo
		}
		if err := p.parsePathLen(fields[1].Bytes); err != nil {
			return err
		}
	}
	return p.parsePolicy(fields[0].FullBytes)
}

func (p *proxyInfo) parsePathLen(der []byte) error {
	var n int
	if rest, err := asn1.Unmarshal(der, &n); err != nil || len(rest) > 0 || n < 0 {
		return errProxyInfo
	}
	p.PathLen = n
	return nil
}

// parsePolicy counts the elements before it reads them: encoding/asn1 passes
// over what follows, and a policy text of another type would be such.
func (p *proxyInfo) parsePolicy(der []byte) error {
	var fields []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &fields); err != nil || len(rest) > 0 || len(fields) > 2 {
		return errProxyInfo
	}
	if _, err := asn1.Unmarshal(der, &p.Policy); err != nil || len(fields) == 2 && p.Policy.Policy == nil {
		return errProxyInfo
	}
	return nil
}

// proxyInfoExtension is the critical proxyCertInfo of RFC 3820 section 3.8.
func proxyInfoExtension(language asn1.ObjectIdentifier, pathLen *int) (pkix.Extension, error) {
	policy, err := asn1.Marshal(struct{ Language asn1.ObjectIdentifier }{language})
	if err != nil {
		return pkix.Extension{}, err
	}
	var body []byte
	if pathLen != nil {
		if *pathLen < 0 {
			return pkix.Extension{}, errors.New("a path length below zero: leave it out for no limit")
		}
		if body, err = asn1.Marshal(*pathLen); err != nil {
			return pkix.Extension{}, err
		}
	}
	value, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(body, policy...)})
	if err != nil {
		return pkix.Extension{}, err
	}
	return pkix.Extension{Id: oidProxyCertInfo, Critical: true, Value: value}, nil
}
