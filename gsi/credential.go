package gsi

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of a credential. A real one is 6 to 12 kB with two to five
// certificates, VOMS attributes included.
const (
	MaxCredentialBytes = 1 << 20
	MaxCertificates    = 16
)

// Errors of ParseCredential and ParseCertificates, for errors.Is.
var (
	ErrTooBig        = errors.New("more than 1 MiB or 16 certificates: this is no credential")
	ErrNoCertificate = errors.New("no certificate in it: expected a PEM block CERTIFICATE")
	ErrNoKey         = errors.New("no private key in it: expected a PEM block PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY")
	ErrTwoKeys       = errors.New("more than one private key in it: keep one")
	ErrEncryptedKey  = errors.New("the private key is encrypted: decrypt it first, for instance with openssl pkey")
	ErrBadKey        = errors.New("the private key cannot be read: it is damaged or of a type that the grid does not use")
	ErrBadPEM        = errors.New("a PEM block is damaged: a BEGIN line has no readable block after it")
)

// Credential is a certificate chain with the private key of its first
// certificate. It prints and marshals as its subject, never as its key.
type Credential struct {
	// Chain has the proxy certificate first, then each one's issuer, down to
	// the end-entity certificate and possibly the CAs between it and the
	// root. The root is not in it.
	Chain []*x509.Certificate
	Key   crypto.Signer
}

// ParseCredential reads PEM text as it lies in proxy files: certificates and
// one unencrypted key (PKCS#1, PKCS#8 or SEC 1) in any order, with any line
// ends and with other text around. The chain is put in order, leaf first; a
// self-signed root at its end is dropped. Nothing is verified.
func ParseCredential(data []byte) (*Credential, error) {
	blocks, err := decode(data)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	var key crypto.Signer
	for _, b := range blocks {
		switch {
		case isCertificate(b):
			cert, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate %d cannot be read: %w", len(certs)+1, err)
			}
			certs = append(certs, cert)
		case strings.HasSuffix(b.Type, "PRIVATE KEY"):
			if key != nil {
				return nil, ErrTwoKeys
			}
			if key, err = parseKey(b); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case len(certs) == 0:
		return nil, ErrNoCertificate
	case key == nil:
		return nil, ErrNoKey
	}
	return &Credential{Chain: order(certs, key), Key: key}, nil
}

// ParseCertificates reads every certificate of a PEM text in the order of the
// text; other blocks are passed over.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	blocks, err := decode(text)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for _, b := range blocks {
		if !isCertificate(b) {
			continue
		}
		cert, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, ErrNoCertificate
	}
	return certs, nil
}

// decode cuts a text into PEM blocks. encoding/pem passes over damaged blocks
// in silence, which would turn half a chain into a shorter one, so their
// number is compared with that of the BEGIN lines.
func decode(data []byte) ([]*pem.Block, error) {
	if len(data) > MaxCredentialBytes {
		return nil, ErrTooBig
	}
	const maxBlocks = 2 * MaxCertificates
	begins := bytes.Count(data, []byte("-----BEGIN "))
	if begins > maxBlocks {
		return nil, ErrTooBig
	}
	var blocks []*pem.Block
	certs := 0
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if isCertificate(b) {
			certs++
		}
		blocks = append(blocks, b)
	}
	switch {
	case certs > MaxCertificates:
		return nil, ErrTooBig
	case len(blocks) != begins:
		return nil, ErrBadPEM
	}
	return blocks, nil
}

func isCertificate(b *pem.Block) bool {
	return b.Type == "CERTIFICATE" || b.Type == "X509 CERTIFICATE"
}

// parseKey reads a key. Parsers' errors are dropped on purpose: what is in
// them about a private key is nobody's business.
func parseKey(b *pem.Block) (crypto.Signer, error) {
	if b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, ErrEncryptedKey
	}
	var key any
	var err error
	switch b.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	default:
		return nil, ErrBadKey
	}
	if err != nil {
		return nil, ErrBadKey
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, ErrBadKey
}

// order sorts a bag of certificates: the one of the key, then issuer after
// issuer. What does not fit stays at the end for Verify to complain about. All
// tools but XRootD's plain GSI fail on a file that begins with another
// certificate (measured: gfal2 2.21, curl, xrootd 5.5.3 with TLS).
func order(certs []*x509.Certificate, key crypto.Signer) []*x509.Certificate {
	left := make([]*x509.Certificate, 0, len(certs))
	for _, c := range certs {
		if !contains(left, c) {
			left = append(left, c)
		}
	}
	take := func(i int) *x509.Certificate {
		c := left[i]
		left = append(left[:i:i], left[i+1:]...)
		return c
	}
	first := 0
	for i, c := range left {
		if samePublicKey(c.PublicKey, key.Public()) {
			first = i
			break
		}
	}
	chain := []*x509.Certificate{take(first)}
search:
	for len(left) > 0 {
		for i, c := range left {
			if bytes.Equal(c.RawSubject, chain[len(chain)-1].RawIssuer) {
				chain = append(chain, take(i))
				continue search
			}
		}
		break
	}
	if n := len(chain); n > 1 && len(left) == 0 && isSelfIssued(chain[n-1]) {
		chain = chain[:n-1]
	}
	return append(chain, left...)
}

func contains(certs []*x509.Certificate, c *x509.Certificate) bool {
	for _, have := range certs {
		if have.Equal(c) {
			return true
		}
	}
	return false
}

func isSelfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

func samePublicKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// Leaf returns the first certificate, nil where there is none.
func (c *Credential) Leaf() *x509.Certificate {
	if len(c.Chain) == 0 {
		return nil
	}
	return c.Chain[0]
}

// PEM writes the credential in the order that every grid tool accepts: the
// leaf, its key as PKCS#8 (grid-proxy-info cannot read "EC PRIVATE KEY"), the
// issuers towards the end-entity certificate. A root is left out.
func (c *Credential) PEM() ([]byte, error) {
	if len(c.Chain) == 0 {
		return nil, ErrNoCertificate
	}
	if c.Key == nil {
		return nil, ErrNoKey
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, errors.New("the private key cannot be written: it is not in memory or of an unknown type")
	}
	defer clear(der)
	var out bytes.Buffer
	write := func(kind string, der []byte) error {
		return pem.Encode(&out, &pem.Block{Type: kind, Bytes: der})
	}
	if err := write("CERTIFICATE", c.Chain[0].Raw); err != nil {
		return nil, err
	}
	if err := write("PRIVATE KEY", der); err != nil {
		return nil, err
	}
	for _, cert := range c.Chain[1:] {
		if isSelfIssued(cert) {
			continue
		}
		if err := write("CERTIFICATE", cert.Raw); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// String names the credential by its subject.
func (c Credential) String() string {
	if len(c.Chain) == 0 {
		return "credential without a certificate"
	}
	return "credential of " + subjectText(c.Chain[0])
}

// Format implements fmt.Formatter for every verb: %+v and %#v would print the
// private key.
func (c Credential) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// MarshalJSON implements json.Marshaler: the exported fields of a key are the
// private key.
func (c Credential) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }
