package gsi

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

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

// Rights is what a proxy may do with the rights of whom it stands for.
type Rights string

// The rights, by the policy language of proxyCertInfo (RFC 3820 section 3.8.2).
const (
	RightsInheritAll  Rights = "inherit_all" // everything ("impersonation", "full")
	RightsLimited     Rights = "limited"     // Globus: move data, but start no jobs
	RightsIndependent Rights = "independent" // nothing but what is given to the proxy itself
	RightsOther       Rights = "other"       // a policy language that is not understood
)

var (
	oidProxyCertInfo    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 14}         // RFC 3820 section 3.8
	oidDraftProxyInfo   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3536, 1, 222}     // Globus
	oidInheritAll       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 1}         // RFC 3820 section 3.8.2
	oidIndependent      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 2}         // RFC 3820 section 3.8.2
	oidLimited          = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3536, 1, 1, 1, 9} // Globus
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidIssuerAltName    = asn1.ObjectIdentifier{2, 5, 29, 18}
	oidNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
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

	malformed bool // the rest is what could be read
}

func (p *proxyInfo) limited() bool     { return p.Policy.Language.Equal(oidLimited) }
func (p *proxyInfo) independent() bool { return p.Policy.Language.Equal(oidIndependent) }

// rights is what the proxy says of itself, without those above it.
func (p *proxyInfo) rights() Rights {
	switch {
	case p.limited():
		return RightsLimited
	case p.independent():
		return RightsIndependent
	case p.Policy.Language.Equal(oidInheritAll):
		return RightsInheritAll
	}
	return RightsOther
}

// rightsOf are the rights of the leaf over the proxies of a chain. A proxy
// that inherits has those of the one above it. Limited anywhere is limited at
// the leaf, even where an independent proxy lies between: Globus' rule, and the
// safe one. "" stands for no proxies.
func rightsOf(proxies []*proxyInfo) Rights {
	if len(proxies) == 0 {
		return ""
	}
	out := RightsInheritAll
	for _, p := range slices.Backward(proxies) {
		switch r := p.rights(); {
		case out == RightsLimited || r == RightsInheritAll:
		case r == RightsIndependent && out == RightsOther:
		default:
			out = r
		}
	}
	return out
}

// pathLenOf is how many more proxies may follow the leaf, -1 for no limit. The
// pCPathLenConstraint of each proxy counts those below it (RFC 3820 section
// 3.8.1).
func pathLenOf(proxies []*proxyInfo) int {
	out := -1
	for depth, p := range proxies {
		if p.PathLen < 0 {
			continue
		}
		if left := max(p.PathLen-depth, 0); out < 0 || left < out {
			out = left
		}
	}
	return out
}

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

// readExtension returns nil where there is no proxyCertInfo of either kind. For
// an unreadable one it returns what is known and an error.
func readExtension(extensions []pkix.Extension) (*proxyInfo, error) {
	for _, ext := range extensions {
		switch {
		case ext.Id.Equal(oidProxyCertInfo):
			p := &proxyInfo{Type: TypeRFC3820, Critical: ext.Critical, PathLen: -1}
			return p, p.parseRFC(ext.Value)
		case ext.Id.Equal(oidDraftProxyInfo):
			p := &proxyInfo{Type: TypeDraft, Critical: ext.Critical, PathLen: -1}
			return p, p.parseDraft(ext.Value)
		}
	}
	return nil, nil
}

// readProxyInfo is readExtension for a certificate, which may also be a proxy
// without one.
func readProxyInfo(c *x509.Certificate) (*proxyInfo, error) {
	if p, err := readExtension(c.Extensions); p != nil {
		return p, err
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

// languageOf is the policy language for a proxy that may do this.
func languageOf(r Rights) (asn1.ObjectIdentifier, error) {
	switch r {
	case "", RightsInheritAll:
		return oidInheritAll, nil
	case RightsLimited:
		return oidLimited, nil
	case RightsIndependent:
		return oidIndependent, nil
	}
	return nil, fmt.Errorf("no proxy can be issued with the rights %q", string(r))
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
