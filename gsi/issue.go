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
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
)

// Backdate is how long before its issue a proxy begins, to serve hosts whose
// clocks are slow, as MyProxy does.
const Backdate = 5 * time.Minute

// IssueOptions says what kind of proxy to issue.
type IssueOptions struct {
	// Rights is what the proxy may do; "" is RightsInheritAll. A proxy of a
	// limited proxy is limited whatever stands here. RightsOther cannot be
	// issued.
	Rights Rights
	// PathLen is how many further proxies may follow; nil is no limit of this
	// proxy's own. It is clipped to what the issuer's chain leaves.
	PathLen *int
	// The proxy is valid from Backdate before Now until Lifetime after it, both
	// clipped to what the issuer's whole chain allows.
	Now      time.Time
	Lifetime time.Duration
	// Extensions are added as they are, for instance VOMS attributes. Those that
	// Issue writes itself, alternative names and basic constraints are refused.
	Extensions []pkix.Extension
}

// Issue signs a proxy certificate of RFC 3820 for pub: the issuer's subject,
// byte for byte, with CN=serial added, keyUsage of digitalSignature and
// keyEncipherment as far as the issuer has them, no alternative name. What no
// server would accept is a *ChainError and not signed.
func Issue(issuer *Credential, pub crypto.PublicKey, opts IssueOptions) (*x509.Certificate, error) {
	proxies, err := identify(issuer.Chain)
	if err != nil {
		return nil, err
	}
	if issuer.Key == nil {
		return nil, ErrNoKey
	}
	parent := issuer.Chain[0]
	if err := mayIssue(issuer, proxies); err != nil {
		return nil, err
	}
	if reason := weakPublicKey(pub); reason != "" {
		return nil, fault(FaultWeakKey, nil, 0, "the proxy would have "+reason)
	}
	serial, err := proxySerial()
	if err != nil {
		return nil, err
	}
	subject, err := dn.AppendCN(parent.RawSubject, serial.String())
	if err != nil {
		return nil, err
	}
	notBefore, notAfter, err := validFor(issuer.Chain, opts)
	if err != nil {
		return nil, err
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
func mayIssue(issuer *Credential, proxies []*proxyInfo) error {
	chain := issuer.Chain[:1]
	parent := chain[0]
	switch {
	case !issuer.isOurKey():
		return fault(FaultWrongKey, chain, 0, wrongKeyText)
	case weakPublicKey(parent.PublicKey) != "":
		return fault(FaultWeakKey, chain, 0, "the issuer has "+weakPublicKey(parent.PublicKey))
	case parent.IsCA:
		return fault(FaultCA, chain, 0, "a CA's certificate cannot issue proxies")
	case !mayDigitallySign(parent):
		return fault(FaultKeyUsage, chain, 0, "the issuer's key may not be used for digital signatures, so it cannot issue proxies")
	}
	for _, p := range proxies {
		if p.Type != TypeRFC3820 {
			return fault(FaultMixedTypes, chain, 0, "a "+string(p.Type)+" proxy, from before RFC 3820, cannot issue one of RFC 3820")
		}
		if detail := p.badPolicy(); detail != "" {
			return fault(FaultProxyInfo, chain, 0, detail)
		}
	}
	if pathLenOf(proxies) == 0 {
		return fault(FaultPathLength, chain, 0, "the issuer's chain allows no further proxy")
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

// validFor is the time that is asked for as far as the whole chain above
// allows it: nobody accepts more, and tools would show an end that is not one.
func validFor(chain []*x509.Certificate, opts IssueOptions) (notBefore, notAfter time.Time, err error) {
	if opts.Now.IsZero() || opts.Lifetime <= 0 {
		return notBefore, notAfter, errors.New("a proxy needs a time of issue and a lifetime above zero")
	}
	notBefore, notAfter = opts.Now.Add(-Backdate), opts.Now.Add(opts.Lifetime)
	for depth, c := range chain {
		if !opts.Now.Before(c.NotAfter) {
			return notBefore, notAfter, fault(FaultExpired, chain, depth, "no proxy can be issued, the certificate expired at "+timeText(c.NotAfter))
		}
		if notBefore.Before(c.NotBefore) {
			notBefore = c.NotBefore
		}
		if notAfter.After(c.NotAfter) {
			notAfter = c.NotAfter
		}
	}
	if !notAfter.After(notBefore) {
		return notBefore, notAfter, fault(FaultNotYetValid, chain, 0, "the proxy would end before its issuer's time begins at "+timeText(notBefore))
	}
	return notBefore, notAfter, nil
}

func proxyExtensions(parent *x509.Certificate, proxies []*proxyInfo, opts IssueOptions) ([]pkix.Extension, error) {
	language, err := languageOf(opts.Rights)
	if err != nil {
		return nil, err
	}
	if rightsOf(proxies) == RightsLimited {
		language = oidLimited
	}
	pathLen := opts.PathLen
	// OpenSSL refuses a proxy that promises more than is left (promisedBelow).
	if left := pathLenOf(proxies); left > 0 && pathLen != nil && *pathLen >= left {
		pathLen = new(int)
		*pathLen = left - 1
	}
	info, err := proxyInfoExtension(language, pathLen)
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
		set := slices.ContainsFunc(out, func(have pkix.Extension) bool { return have.Id.Equal(ext.Id) })
		switch {
		case set, ext.Id.Equal(oidDraftProxyInfo), ext.Id.Equal(oidBasicConstraints):
			return nil, fmt.Errorf("the extension %s is not the caller's to set", ext.Id)
		case ext.Id.Equal(oidSubjectAltName), ext.Id.Equal(oidIssuerAltName):
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
