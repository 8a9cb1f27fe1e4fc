package gsi

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
)

// VerifyOptions says when and how strictly a chain is verified. The zero value
// but for Now is the strict one.
type VerifyOptions struct {
	// Now is the time at which every certificate must be valid.
	Now time.Time
	// AllowSHA1 accepts signatures with SHA-1. A MyProxy server signs a proxy
	// with the digest of the stored certificate's own signature (measured:
	// Debian myproxy-server 6.2.14), so an old one still yields SHA-1.
	AllowSHA1 bool
	// AllowLegacy accepts the proxies from before RFC 3820.
	AllowLegacy bool
	// RefuseOutliving refuses a proxy that ends after its issuer. Servers
	// accept such proxies (measured: xrootd 5.5.3, davs with curl and gfal); the
	// end of a credential is the minimum over its chain.
	RefuseOutliving bool
}

// Verify checks that the key is the leaf's, and the chain as VerifyChain does.
// Errors are *ChainError.
func (c *Credential) Verify(opts VerifyOptions) error {
	if !c.isOurKey() {
		return fault(FaultWrongKey, c.Chain, 0, wrongKeyText)
	}
	return VerifyChain(c.Chain, opts)
}

const wrongKeyText = "the certificate is not for this private key"

// isOurKey holds for a chain without a leaf, whose fault is another.
func (c *Credential) isOurKey() bool {
	if len(c.Chain) == 0 || c.Chain[0] == nil {
		return true
	}
	return c.Key != nil && samePublicKey(c.Chain[0].PublicKey, c.Key.Public())
}

// VerifyChain checks a chain without its root, leaf first: that each
// certificate is signed by the next, the rules of RFC 3820 from the leaf to
// the end-entity certificate, the strength of keys and signatures, and that
// all are valid now. A chain without proxies, as online CAs give, is checked
// the same way; certificates after the end-entity certificate must be CAs.
//
// Who signed the last certificate is not its business: see TrustDir.Verify.
// The first broken rule is returned as *ChainError; expiry comes last, so that
// a forged chain is not reported as an old one. Examine returns them all.
func VerifyChain(chain []*x509.Certificate, opts VerifyOptions) error {
	proxies, err := classify(chain)
	if err != nil {
		return err
	}
	v := verifier{chain: chain, proxies: proxies, opts: opts}
	for _, check := range v.checks() {
		for depth := range chain {
			if err := v.first(check, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// verifier looks for faults. A check goes on after it has found one, as far as
// what follows still means something.
type verifier struct {
	chain   []*x509.Certificate
	proxies []*proxyInfo // of chain[:len(proxies)]
	opts    VerifyOptions
	found   []*ChainError
}

// checks are in the order in which their faults count.
func (v *verifier) checks() []func(depth int) {
	return []func(depth int){v.checkStrength, v.checkLink, v.checkRole, v.checkExtensions, v.checkValidity, v.checkOutlives}
}

// add keeps one fault of a kind for each certificate: two rules may find the
// same, one looking down and one looking up.
func (v *verifier) add(f Fault, depth int, detail string) {
	for _, have := range v.found {
		if have.Fault == f && have.Depth == depth {
			return
		}
	}
	v.found = append(v.found, fault(f, v.chain, depth, detail))
}

// The checks that TrustDir makes one by one.
func (v *verifier) strength(depth int) *ChainError    { return v.first(v.checkStrength, depth) }
func (v *verifier) keyStrength(depth int) *ChainError { return v.first(v.checkKeyStrength, depth) }
func (v *verifier) extensions(depth int) *ChainError  { return v.first(v.checkExtensions, depth) }
func (v *verifier) validity(depth int) *ChainError    { return v.first(v.checkValidity, depth) }
func (v *verifier) ca(depth int) *ChainError          { return v.first(v.checkCA, depth) }

// first returns the first fault that a check adds.
func (v *verifier) first(check func(depth int), depth int) *ChainError {
	n := len(v.found)
	if check(depth); len(v.found) > n {
		return v.found[n]
	}
	return nil
}

// parent returns nil for the last certificate.
func (v *verifier) parent(depth int) *x509.Certificate {
	if depth+1 < len(v.chain) {
		return v.chain[depth+1]
	}
	return nil
}

// checkLink compares name and signature. x509's CheckSignatureFrom would refuse every
// proxy because its issuer is no CA.
func (v *verifier) checkLink(depth int) {
	c, parent := v.chain[depth], v.parent(depth)
	if parent == nil {
		return
	}
	if !bytes.Equal(c.RawIssuer, parent.RawSubject) {
		v.add(FaultIssuer, depth, "the next certificate in the chain is not the issuer's")
		return
	}
	if weakKey(parent) != "" || weakSignature(c, true) != "" {
		return // its fault is known, and verifying means little or takes long
	}
	if err := parent.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		v.add(FaultSignature, depth, "the certificate is not signed by the next one in the chain")
	}
}

// checkRole applies the rules for what a certificate is: proxy, end entity, CA.
func (v *verifier) checkRole(depth int) {
	switch eec := len(v.proxies); {
	case depth < eec:
		v.checkProxy(depth)
		v.checkProxyExtensions(depth)
	case depth > eec:
		v.checkCA(depth)
	default:
		v.checkEndEntity(depth)
	}
}

func (v *verifier) checkEndEntity(depth int) {
	c := v.chain[depth]
	if c.IsCA {
		v.add(FaultCA, depth, "the certificate of a CA stands where that of a person or host belongs")
	}
	if isEmptyName(c.RawSubject) {
		// The subject is the identity: without one, whoever compares names
		// would compare nothing with nothing.
		v.add(FaultSubject, depth, "the certificate of the user names nobody, its subject is empty")
	}
}

func isEmptyName(raw []byte) bool {
	rdns, err := dn.RDNs(raw)
	return err == nil && len(rdns) == 0
}

func (v *verifier) checkProxy(depth int) {
	c, issuer, info := v.chain[depth], v.parent(depth), v.proxies[depth]
	if info.Type != v.proxies[0].Type {
		v.add(FaultMixedTypes, depth, "proxies of different kinds follow each other")
	}
	if info.Type != TypeRFC3820 && !v.opts.AllowLegacy {
		v.add(FaultLegacy, depth, "the certificate is a "+string(info.Type)+" proxy, from before RFC 3820, which TLS servers refuse")
	}
	if info.Type == TypeRFC3820 && !info.Critical {
		v.add(FaultNotCritical, depth, "the proxyCertInfo extension is not critical")
	}
	if detail := info.badPolicy(); detail != "" {
		v.add(FaultProxyInfo, depth, detail)
	}
	if issuer != nil {
		if parent, _, ok := dn.CutCN(c.RawSubject); !ok || !bytes.Equal(parent, issuer.RawSubject) {
			v.add(FaultSubject, depth, "the proxy's subject is not its issuer's subject and one CN more")
		}
	}
	switch most := info.PathLen; {
	case most < 0:
	case depth > most:
		v.add(FaultPathLength, depth, fmt.Sprintf("the proxy allows %d further proxies, %d follow", most, depth))
	case v.promisedBelow(depth) > most:
		v.add(FaultPathLength, depth, fmt.Sprintf("the proxy allows %d further proxies, and one below it promises more than is left, which TLS servers refuse", most))
	}
	if depth+1 < len(v.proxies) && v.proxies[depth+1].limited() && !info.limited() && !info.independent() {
		v.add(FaultLimitedLost, depth, "a full proxy was made from a limited one")
	}
}

// badPolicy: a language that is not understood must be refused, and the two
// languages of RFC 3820 section 3.8.2 have no policy text.
func (p *proxyInfo) badPolicy() string {
	switch {
	case p.limited(), p.malformed:
		return ""
	case !p.Policy.Language.Equal(oidInheritAll) && !p.independent():
		return "the proxy restricts its rights in a language that is not understood (" + p.Policy.Language.String() + ")"
	case len(p.Policy.Policy) > 0:
		return "the proxy has a policy text where none may be"
	}
	return ""
}

// promisedBelow is how many proxies OpenSSL counts below one: those that are
// there, and those that a path length among them promises. RFC 3820 section
// 4.1.3 would have the shorter length count (measured: OpenSSL 3.0.19, "proxy
// path length constraint exceeded").
func (v *verifier) promisedBelow(depth int) int {
	n := 0
	for _, p := range v.proxies[:depth] {
		if p.PathLen >= 0 {
			n = p.PathLen
		}
		n++
	}
	return n
}

func (v *verifier) checkProxyExtensions(depth int) {
	c, issuer := v.chain[depth], v.parent(depth)
	if c.IsCA {
		v.add(FaultCA, depth, "the proxy certificate calls itself a CA")
	}
	if hasExtension(c, oidSubjectAltName) || hasExtension(c, oidIssuerAltName) {
		v.add(FaultSAN, depth, "the proxy certificate has an alternative name, which TLS servers refuse")
	}
	// RFC 3820 section 3.6 asks it of the issuer. OpenSSL's servers refuse a
	// leaf without it as well (measured: davs with a proxy of keyEncipherment).
	if !mayDigitallySign(c) {
		v.add(FaultKeyUsage, depth, "the proxy certificate's key may not be used for digital signatures")
	}
	if issuer == nil {
		return
	}
	if issuer.IsCA {
		v.add(FaultCA, depth+1, "a CA's certificate issued the proxy")
	}
	if !mayDigitallySign(issuer) {
		v.add(FaultKeyUsage, depth+1, "the issuer's key may not be used for digital signatures, so it cannot issue proxies")
	}
}

// mayDigitallySign holds for certificates without keyUsage, too.
func mayDigitallySign(c *x509.Certificate) bool {
	return !hasExtension(c, oidKeyUsage) || c.KeyUsage&x509.KeyUsageDigitalSignature != 0
}

func hasExtension(c *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	for _, ext := range c.Extensions {
		if ext.Id.Equal(oid) {
			return true
		}
	}
	return false
}

// checkCA judges a certificate above the end-entity certificate (RFC 5280 section
// 6.1.4).
func (v *verifier) checkCA(depth int) {
	c := v.chain[depth]
	if !isCA(c) {
		if eec := len(v.proxies); depth == eec+1 {
			v.add(FaultNotProxy, eec, notProxyText)
		} else {
			v.add(FaultCA, depth, "the certificate issued others but is no CA's")
		}
		return
	}
	if hasExtension(c, oidKeyUsage) && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		v.add(FaultKeyUsage, depth, "the CA's key may not be used to sign certificates")
	}
	below := 0 // CAs between this one and the end-entity certificate
	for i := len(v.proxies) + 1; i < depth; i++ {
		if !isSelfIssued(v.chain[i]) {
			below++
		}
	}
	if limit := c.MaxPathLen; (limit > 0 || limit == 0 && c.MaxPathLenZero) && below > limit {
		v.add(FaultPathLength, depth, fmt.Sprintf("the CA allows %d further CAs, %d follow", limit, below))
	}
}

// checkExtensions: Go counts proxyCertInfo among the critical extensions that it
// does not handle. Here it is handled, once for each proxy.
func (v *verifier) checkExtensions(depth int) {
	for _, oid := range v.chain[depth].UnhandledCriticalExtensions {
		if depth >= len(v.proxies) || !oid.Equal(v.proxies[depth].extension()) {
			v.add(FaultUnknownCritical, depth, "the certificate has a critical extension that is not understood ("+oid.String()+")")
			return
		}
	}
}

func (v *verifier) checkValidity(depth int) {
	c := v.chain[depth]
	switch {
	case v.opts.Now.After(c.NotAfter):
		v.add(FaultExpired, depth, "the certificate expired at "+timeText(c.NotAfter))
	case v.opts.Now.Before(c.NotBefore):
		v.add(FaultNotYetValid, depth, "the certificate is valid only from "+timeText(c.NotBefore)+" on, it is "+timeText(v.opts.Now))
	}
}

// checkOutlives is about ends only: a proxy often begins before its issuer does,
// by Backdate.
func (v *verifier) checkOutlives(depth int) {
	c, issuer := v.chain[depth], v.parent(depth)
	if !v.opts.RefuseOutliving || depth >= len(v.proxies) || issuer == nil || !c.NotAfter.After(issuer.NotAfter) {
		return
	}
	v.add(FaultOutlives, depth, "the proxy ends at "+timeText(c.NotAfter)+", after its issuer, which ends at "+timeText(issuer.NotAfter))
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
