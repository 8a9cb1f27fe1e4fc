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
	"fmt"
	"math/big"
	"time"
)

// Commands of the protocol. GET is the one that is here yet.
const (
	commandGet        = 0
	commandTrustRoots = 7 // the one that needs no user name
	commandLast       = 7
)

const (
	textUnknownCommand = "UNKNOWN command in request."
	textCannotDelegate = "Unable to delegate credentials."
	textCannotCertify  = "Certificate generation failure."
)

// get is command 0: a proxy from the repository or a certificate of the online
// CA. The order of the checks is the real server's.
func (c *conversation) get(r *request) error {
	if c.faults.Refuse != "" {
		return c.answer(StageRequest, errorResponse(c.faults.Refuse))
	}
	a, refusal := c.authorize(r)
	if refusal != "" {
		return c.answer(StageRequest, errorResponse(refusal))
	}
	var roots []rootFile
	if r.trustedCerts && !c.s.opts.NoTrustRoots {
		roots = c.s.trustRoots()
	}
	if err := c.answer(StageRequest, okResponse(roots)); err != nil {
		return err
	}
	csr, err := c.read()
	if err != nil {
		return err
	}
	certificates, refusal := c.certify(r, a, csr)
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

// authorize finds the account and checks the pass phrase; the text is the
// refusal.
func (c *conversation) authorize(r *request) (*account, string) {
	if refusal := c.s.retrieverPolicy(c.client); refusal != "" {
		return nil, refusal
	}
	if c.s.opts.Mode == CA {
		return c.authorizeCA(r)
	}
	a := c.s.account(r.username, r.credName, r.hasCredName)
	switch {
	case a == nil && r.hasCredName:
		return nil, "No credentials exist with username \"" + r.username + "\" and credential name \"" + r.credName + "\"."
	case a == nil:
		return nil, "No credentials exist for username \"" + r.username + "\"."
	}
	if refusal := checkPassphrase(a, r.passphrase); refusal != "" {
		c.s.refused.Add(1)
		return nil, refusal
	}
	if a.Locked != "" {
		return nil, "credential locked\n" + a.Locked
	}
	for _, cert := range a.stored.Chain {
		if c.s.now().After(cert.NotAfter) {
			return nil, "X509_verify_cert() failed: certificate has expired"
		}
	}
	return a, ""
}

// checkPassphrase refuses like the repository: it tries to decrypt the stored
// key, unless the pass phrase is too short to be one.
func checkPassphrase(a *account, passphrase string) string {
	switch {
	case a.Unencrypted && passphrase == "":
		return "no passphrase\nauthentication failed"
	case a.Unencrypted:
		return "authentication failed"
	case len(passphrase)+1 < 6: // the C code counts the NUL
		return "invalid credential passphrase"
	case passphrase != a.Passphrase:
		return "Bad password\ninvalid credential passphrase"
	}
	return ""
}

// authorizeCA asks the map file first, then PAM.
func (c *conversation) authorizeCA(r *request) (*account, string) {
	a := c.s.account(r.username, "", false)
	switch {
	case a == nil:
		return nil, "unknown username: " + r.username
	case r.passphrase == "":
		c.s.refused.Add(1)
		return nil, "no passphrase\nauthentication failed"
	case r.passphrase != a.Passphrase:
		c.s.refused.Add(1)
		return nil, c.s.opts.PAMText
	}
	return a, ""
}

// certify checks the request for a certificate and signs; the text is what
// comes in place of certificates.
func (c *conversation) certify(r *request, a *account, der []byte) ([]*x509.Certificate, string) {
	refusal := textCannotDelegate
	if c.s.opts.Mode == CA {
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
	if c.faults.As != "" {
		if a = c.s.account(c.faults.As, "", false); a == nil {
			return nil, refusal
		}
	}
	if c.s.opts.Mode == CA {
		cert, err := c.s.certificate(r, a, pub, c.faults.Skew)
		if err != nil {
			return nil, refusal
		}
		return []*x509.Certificate{cert}, ""
	}
	return c.proxy(r, a, csr, pub)
}

// proxy signs below the stored credential.
func (c *conversation) proxy(r *request, a *account, csr *x509.CertificateRequest, pub crypto.PublicKey) ([]*x509.Certificate, string) {
	language, err := proxyLanguage(csr.Extensions)
	if err != nil {
		return nil, textCannotDelegate
	}
	stored, err := proxyLanguage(a.stored.Chain[0].Extensions)
	switch {
	case err != nil:
		return nil, textCannotDelegate
	case c.faults.Limited:
		language = oidLimited
	case stored != nil: // a stored proxy's own kind wins over what is asked
		language = stored
	case language.Equal(oidLimited) && c.faults.NotLimited:
		language = oidInheritAll
	case !language.Equal(oidLimited) && !language.Equal(oidIndependent):
		language = oidInheritAll
	}
	now := c.s.now().Add(c.faults.Skew)
	lifetime := c.granted(r, a)
	end := now.Add(lifetime)
	if last := a.stored.Chain[0].NotAfter; end.After(last) {
		end = last
	}
	var attributes []pkix.Extension
	if !c.faults.NoVOMS {
		var refusal string
		if attributes, refusal = c.s.attributes(r, a.eec.Chain[0], now.Add(-skew), end); refusal != "" {
			return nil, refusal
		}
	}
	cert, err := signProxy(a.stored, pub, proxyOptions{
		language: language, now: now, lifetime: lifetime, extensions: attributes,
	})
	if err != nil {
		return nil, textCannotDelegate
	}
	return append([]*x509.Certificate{cert}, a.stored.Chain...), ""
}

// granted is the lifetime of a proxy: the least of what is asked, stored and
// configured that is not zero, at least five minutes, in whole minutes.
func (c *conversation) granted(r *request, a *account) time.Duration {
	lifetime := time.Duration(r.lifetime) * time.Second
	for _, limit := range []time.Duration{a.Limit, c.s.opts.MaxLifetime} {
		if limit > 0 && (lifetime == 0 || limit < lifetime) {
			lifetime = limit
		}
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
