package gsi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
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
}

// Verify checks that the key is the leaf's, and the chain as VerifyChain does.
// Errors are *ChainError.
func (c *Credential) Verify(opts VerifyOptions) error {
	if len(c.Chain) > 0 && c.Chain[0] != nil {
		if c.Key == nil || !samePublicKey(c.Chain[0].PublicKey, c.Key.Public()) {
			return fault(FaultWrongKey, c.Chain, 0, "the certificate is not for this private key")
		}
	}
	return VerifyChain(c.Chain, opts)
}

// VerifyChain checks a chain without its root, leaf first: that each
// certificate is signed by the next, the rules of RFC 3820 from the leaf to
// the end-entity certificate, the strength of keys and signatures, and that
// all are valid now. A chain without proxies, as online CAs give, is checked
// the same way; certificates after the end-entity certificate must be CAs.
//
// Who signed the last certificate is not its business: see TrustDir.Verify.
// The first broken rule is returned as *ChainError; expiry comes last, so that
// a forged chain is not reported as an old one.
func VerifyChain(chain []*x509.Certificate, opts VerifyOptions) error {
	proxies, err := classify(chain)
	if err != nil {
		return err
	}
	v := verifier{chain: chain, proxies: proxies, opts: opts}
	for _, check := range []func(depth int) *ChainError{v.strength, v.link, v.role, v.extensions, v.validity} {
		for depth := range chain {
			if err := check(depth); err != nil {
				return err
			}
		}
	}
	return nil
}

type verifier struct {
	chain   []*x509.Certificate
	proxies []*proxyInfo // of chain[:len(proxies)]
	opts    VerifyOptions
}

func (v *verifier) fault(f Fault, depth int, detail string) *ChainError {
	return fault(f, v.chain, depth, detail)
}

// parent returns nil for the last certificate.
func (v *verifier) parent(depth int) *x509.Certificate {
	if depth+1 < len(v.chain) {
		return v.chain[depth+1]
	}
	return nil
}

// strength comes before signatures: verifying with an RSA key of a million
// bits would take longer than anybody waits.
func (v *verifier) strength(depth int) *ChainError {
	if err := v.keyStrength(depth); err != nil {
		return err
	}
	c := v.chain[depth]
	if isSelfIssued(c) && depth > 0 {
		return nil // a root's own signature proves nothing
	}
	if reason := weakSignature(c, v.opts.AllowSHA1); reason != "" {
		return v.fault(FaultSHA1, depth, reason)
	}
	return nil
}

func (v *verifier) keyStrength(depth int) *ChainError {
	if reason := weakKey(v.chain[depth]); reason != "" {
		return v.fault(FaultWeakKey, depth, reason)
	}
	return nil
}

// weakKey goes by OpenSSL's security level 2, which grid servers have: RSA
// below 2048 bits fails there (measured: xrootd 5.5.3, curl "ee key too small").
func weakKey(c *x509.Certificate) string {
	const minBits, maxBits = 2048, 16384
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minBits || n > maxBits {
			return fmt.Sprintf("the certificate has an RSA key of %d bits, at least %d and at most %d are accepted", n, minBits, maxBits)
		}
		return ""
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return ""
	}
	return "the certificate has a key of a type that is not accepted (not RSA, ECDSA or Ed25519)"
}

func weakSignature(c *x509.Certificate, allowSHA1 bool) string {
	switch c.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		if allowSHA1 {
			return ""
		}
		return "the certificate is signed with SHA-1, which servers refuse"
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.DSAWithSHA1, x509.DSAWithSHA256:
		return "the certificate is signed with " + c.SignatureAlgorithm.String() + ", which is broken"
	}
	return ""
}

// link checks name and signature. x509's CheckSignatureFrom would refuse every
// proxy because its issuer is no CA.
func (v *verifier) link(depth int) *ChainError {
	c, parent := v.chain[depth], v.parent(depth)
	if parent == nil {
		return nil
	}
	if !bytes.Equal(c.RawIssuer, parent.RawSubject) {
		return v.fault(FaultIssuer, depth, "the next certificate in the chain is not the issuer's")
	}
	if err := parent.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return v.fault(FaultSignature, depth, "the certificate is not signed by the next one in the chain")
	}
	return nil
}

// role applies the rules for what a certificate is: proxy, end entity, CA.
func (v *verifier) role(depth int) *ChainError {
	eec := len(v.proxies)
	switch {
	case depth < eec:
		return v.proxy(depth)
	case depth > eec:
		return v.ca(depth)
	}
	c := v.chain[depth]
	switch {
	case c.IsCA:
		return v.fault(FaultCA, depth, "the certificate of a CA stands where that of a person or host belongs")
	case isEmptyName(c.RawSubject):
		// The subject is the identity: without one, whoever compares names
		// would compare nothing with nothing.
		return v.fault(FaultSubject, depth, "the certificate of the user names nobody, its subject is empty")
	}
	return nil
}

func isEmptyName(raw []byte) bool {
	rdns, err := dn.RDNs(raw)
	return err == nil && len(rdns) == 0
}

func (v *verifier) proxy(depth int) *ChainError {
	c, issuer, info := v.chain[depth], v.parent(depth), v.proxies[depth]
	if info.Type != v.proxies[0].Type {
		return v.fault(FaultMixedTypes, depth, "proxies of different kinds follow each other")
	}
	if info.Type != TypeRFC3820 && !v.opts.AllowLegacy {
		return v.fault(FaultLegacy, depth, "proxy from before RFC 3820, which servers refuse")
	}
	if info.Type == TypeRFC3820 && !info.Critical {
		return v.fault(FaultNotCritical, depth, "the proxyCertInfo extension is not critical")
	}
	if detail := info.badPolicy(); detail != "" {
		return v.fault(FaultProxyInfo, depth, detail)
	}
	if parent, _, ok := dn.CutCN(c.RawSubject); !ok || !bytes.Equal(parent, issuer.RawSubject) {
		return v.fault(FaultSubject, depth, "the proxy's subject is not its issuer's subject and one CN more")
	}
	if info.PathLen >= 0 && depth > info.PathLen {
		return v.fault(FaultPathLength, depth, fmt.Sprintf("the proxy allows %d further proxies, %d follow", info.PathLen, depth))
	}
	if depth+1 < len(v.proxies) && v.proxies[depth+1].limited() && !info.limited() && !info.independent() {
		return v.fault(FaultLimitedLost, depth, "a full proxy was made from a limited one")
	}
	return v.proxyExtensions(depth)
}

// badPolicy: a language that is not understood must be refused, and the two
// languages of RFC 3820 section 3.8.2 have no policy text.
func (p *proxyInfo) badPolicy() string {
	switch {
	case p.limited():
		return ""
	case !p.Policy.Language.Equal(oidInheritAll) && !p.independent():
		return "the proxy restricts its rights in a language that is not understood (" + p.Policy.Language.String() + ")"
	case len(p.Policy.Policy) > 0:
		return "the proxy has a policy text where none may be"
	}
	return ""
}

func (v *verifier) proxyExtensions(depth int) *ChainError {
	c, issuer := v.chain[depth], v.parent(depth)
	if c.IsCA {
		return v.fault(FaultCA, depth, "the proxy certificate calls itself a CA")
	}
	if hasExtension(c, oidSubjectAltName) || hasExtension(c, oidIssuerAltName) {
		return v.fault(FaultSAN, depth, "the proxy certificate has an alternative name, which servers refuse")
	}
	// RFC 3820 section 3.6 asks it of the issuer. OpenSSL's servers refuse a
	// leaf without it as well (measured: davs with a proxy of keyEncipherment).
	if !mayDigitallySign(c) {
		return v.fault(FaultKeyUsage, depth, "the proxy certificate's key may not be used for digital signatures")
	}
	if issuer.IsCA {
		return v.fault(FaultCA, depth+1, "a CA's certificate issued the proxy")
	}
	if !mayDigitallySign(issuer) {
		return v.fault(FaultKeyUsage, depth+1, "the issuer's key may not be used for digital signatures, so it cannot issue proxies")
	}
	return nil
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

// ca checks a certificate above the end-entity certificate (RFC 5280 section
// 6.1.4). A root of version 1 has no basicConstraints.
func (v *verifier) ca(depth int) *ChainError {
	c := v.chain[depth]
	if isSelfIssued(c) && c.Version < 3 {
		return nil
	}
	if !c.BasicConstraintsValid || !c.IsCA {
		if eec := len(v.proxies); depth == eec+1 && !hasExtension(v.chain[eec], oidProxyCertInfo) {
			return v.fault(FaultNotProxy, eec, "the certificate was issued by one that is no CA's, yet it is no proxy")
		}
		return v.fault(FaultCA, depth, "the certificate issued others but is no CA's")
	}
	if hasExtension(c, oidKeyUsage) && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return v.fault(FaultKeyUsage, depth, "the CA's key may not be used to sign certificates")
	}
	below := 0 // CAs between this one and the end-entity certificate
	for i := len(v.proxies) + 1; i < depth; i++ {
		if !isSelfIssued(v.chain[i]) {
			below++
		}
	}
	if limit := c.MaxPathLen; (limit > 0 || limit == 0 && c.MaxPathLenZero) && below > limit {
		return v.fault(FaultPathLength, depth, fmt.Sprintf("the CA allows %d further CAs, %d follow", limit, below))
	}
	return nil
}

// extensions: Go counts proxyCertInfo among the critical extensions that it
// does not handle. Here it is handled, once for each proxy.
func (v *verifier) extensions(depth int) *ChainError {
	for _, oid := range v.chain[depth].UnhandledCriticalExtensions {
		if depth >= len(v.proxies) || !oid.Equal(v.proxies[depth].extension()) {
			return v.fault(FaultUnknownCritical, depth, "the certificate has a critical extension that is not understood ("+oid.String()+")")
		}
	}
	return nil
}

func (v *verifier) validity(depth int) *ChainError {
	c := v.chain[depth]
	switch {
	case v.opts.Now.After(c.NotAfter):
		return v.fault(FaultExpired, depth, "the certificate expired at "+timeText(c.NotAfter))
	case v.opts.Now.Before(c.NotBefore):
		return v.fault(FaultNotYetValid, depth, "the certificate is valid only from "+timeText(c.NotBefore)+" on, it is "+timeText(v.opts.Now))
	}
	return nil
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
