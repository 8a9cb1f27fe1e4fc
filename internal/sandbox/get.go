package sandbox

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

const (
	textCannotDelegate = "Unable to delegate credentials."
	textCannotCertify  = "Certificate generation failure."
)

// get is command 0: a proxy from the repository or a certificate of the online
// CA.
func (c *conversation) get(r *request, stored *credential) error {
	if err := c.answer(StageRequest, okResponse(c.wantedRoots(r))); err != nil {
		return err
	}
	csr, err := c.readOrEnd()
	if err != nil {
		return err
	}
	certificates, refusal := c.certify(r, stored, csr)
	if c.faults.RefuseLate != "" {
		refusal = c.faults.RefuseLate
	}
	if refusal != "" {
		return c.answer(StageCSR, errorResponse(refusal))
	}
	if err := c.answer(StageCSR, c.message(certificates)); err != nil {
		return err
	}
	if err := c.answer(StageEnd, okResponse(nil)); err != nil {
		return err
	}
	c.s.logons.Add(1)
	return nil
}

// usable checks a stored credential before the first response; the text is the
// refusal.
func (c *conversation) usable(stored *credential) string {
	if line := stored.lockLine(); line != nil {
		return "credential locked\n" + *line
	}
	return c.s.verifyStored(stored.file.certificates)
}

// certify checks the request for a certificate and signs; the text is what
// comes in place of certificates.
func (c *conversation) certify(r *request, stored *credential, der []byte) ([]*x509.Certificate, string) {
	refusal := textCannotDelegate
	if stored == nil {
		refusal = textCannotCertify
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil {
		return nil, refusal
	}
	pub := csr.PublicKey.(crypto.PublicKey)
	if c.faults.WrongKey {
		if pub, err = anotherKey(pub); err != nil {
			return nil, refusal
		}
	}
	if stored == nil {
		username := r.username
		if c.faults.As != "" {
			username = c.faults.As
		}
		a := c.s.account(username, nil)
		if a == nil {
			return nil, refusal
		}
		cert, err := c.s.certificate(r, a, pub, c.faults.Skew)
		if err != nil {
			return nil, refusal
		}
		return []*x509.Certificate{cert}, ""
	}
	passphrase := r.passphrase
	if c.faults.As != "" {
		a := c.s.account(c.faults.As, nil)
		if stored = c.s.lookup(c.faults.As, nil); a == nil || stored == nil {
			return nil, refusal
		}
		passphrase = a.Passphrase
	}
	key, err := stored.file.open(passphrase)
	if err != nil {
		return nil, refusal
	}
	return c.proxy(r, stored, &gsi.Credential{Chain: stored.file.chain, Key: key}, csr, pub)
}

// proxy signs below the stored credential.
func (c *conversation) proxy(r *request, stored *credential, issuer *gsi.Credential, csr *x509.CertificateRequest, pub crypto.PublicKey) ([]*x509.Certificate, string) {
	language, err := c.language(issuer.Chain[0], csr)
	if err != nil {
		return nil, textCannotDelegate
	}
	now := c.s.now().Add(c.faults.Skew)
	lifetime := c.granted(r, stored)
	end := now.Add(lifetime)
	if last := issuer.Chain[0].NotAfter; end.After(last) {
		end = last
	}
	var attributes []pkix.Extension
	if !c.faults.NoVOMS {
		var refusal string
		chain, _ := c.s.path(stored.file.certificates)
		if attributes, refusal = c.s.attributes(r, chain[len(chain)-1], now.Add(-skew), end); refusal != "" {
			return nil, refusal
		}
	}
	cert, err := signProxy(issuer, pub, proxyOptions{
		language: language, now: now, lifetime: lifetime, extensions: attributes,
	})
	if err != nil {
		return nil, textCannotDelegate
	}
	return append([]*x509.Certificate{cert}, issuer.Chain...), ""
}

// language is the policy of a new proxy: that of a stored proxy wins over what
// is asked, and a client with a limited proxy gets no more than that.
func (c *conversation) language(issuer *x509.Certificate, csr *x509.CertificateRequest) (asn1.ObjectIdentifier, error) {
	asked, err := proxyLanguage(csr.Extensions)
	if err != nil {
		return nil, err
	}
	stored, err := proxyLanguage(issuer.Extensions)
	switch {
	case err != nil:
		return nil, err
	case c.faults.Limited, c.peer.limited:
		return oidLimited, nil
	case stored != nil:
		return stored, nil
	case asked.Equal(oidLimited) && c.faults.NotLimited:
		return oidInheritAll, nil
	case asked.Equal(oidLimited), asked.Equal(oidIndependent):
		return asked, nil
	}
	return oidInheritAll, nil
}

// granted is the lifetime of a proxy: the least of what is asked, stored and
// configured that is not zero, at least five minutes, in whole minutes. If all
// are zero it ends with its issuer.
func (c *conversation) granted(r *request, stored *credential) time.Duration {
	lifetime := time.Duration(r.lifetime) * time.Second
	for _, limit := range []time.Duration{time.Duration(stored.lifetime) * time.Second, c.s.opts.MaxLifetime} {
		if limit > 0 && (lifetime == 0 || limit < lifetime) {
			lifetime = limit
		}
	}
	if lifetime == 0 {
		return unlimited
	}
	return max(lifetime, minLifetime).Truncate(time.Minute)
}

// certificate is the online CA's work: a new end-entity certificate. Measured:
// a lifetime of 0 is not replaced by a default, so the certificate ends in the
// second it is signed in.
func (s *Sandbox) certificate(r *request, a *account, pub crypto.PublicKey, ahead time.Duration) (*x509.Certificate, error) {
	key, ok := pub.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a public key of type %T", pub)
	}
	if key.E < 65537 || key.N.BitLen() < s.opts.MinKeyBits {
		return nil, fmt.Errorf("a weak public key")
	}
	limit := s.opts.MaxLifetime
	if limit == 0 {
		limit = defaultLifetime
	}
	now := s.now().Add(ahead)
	issuer := *s.ca.cert
	issuer.SubjectKeyId = nil // measured: no authority key identifier
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(s.serial.Add(1)),
		Subject:               dn("Online", a.CommonName),
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(min(time.Duration(r.lifetime)*time.Second, limit)),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		SubjectKeyId:          keyID(pub),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, &issuer, pub, s.ca.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// onlineName is the one-line DN that the online CA gives to a user.
func onlineName(a *account) string {
	return "/C=XX/O=" + organization + "/OU=Online/CN=" + a.CommonName
}

// message is the answer to a certificate request: a count byte and DER, with no
// NUL at its end.
func (c *conversation) message(certificates []*x509.Certificate) []byte {
	count := byte(len(certificates))
	ders := make([][]byte, len(certificates))
	for i, cert := range certificates {
		ders[i] = cert.Raw
	}
	if c.faults.BadSignature {
		spoilt := bytes.Clone(ders[0])
		spoilt[len(spoilt)-1] ^= 1
		ders[0] = spoilt
	}
	switch {
	case c.faults.CutChain:
		ders = ders[:1]
	case c.faults.CountZero:
		count, ders = 0, nil
	}
	if c.faults.Rewrite != nil {
		count, ders = c.faults.Rewrite(count, ders)
	}
	return append([]byte{count}, bytes.Join(ders, nil)...)
}

// anotherKey is a new public key of the same kind.
func anotherKey(pub crypto.PublicKey) (crypto.PublicKey, error) {
	if key, ok := pub.(*rsa.PublicKey); ok {
		// An odd number is modulus enough for a certificate that nobody may use.
		other := *key
		other.N = new(big.Int).Sub(key.N, big.NewInt(2))
		return &other, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return key.Public(), nil
}
