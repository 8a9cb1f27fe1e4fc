package gsi

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Limits of a credential. A real one is 6 to 12 kB with two to five
// certificates, VOMS attributes included.
const (
	MaxCredentialBytes = 1 << 20
	MaxCertificates    = 16
)

// Errors of ParseCredential and ParseCertificates, for errors.Is. None holds a
// byte of a key or a pass phrase.
var (
	ErrTooBig        = errors.New("more than 1 MiB or 16 certificates: this is no credential")
	ErrNoCertificate = errors.New("no certificate in it: expected a PEM block CERTIFICATE")
	ErrNoKey         = errors.New("no private key in it: expected a PEM block PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY")
	ErrTwoKeys       = errors.New("more than one private key in it: keep one")
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
// ends, with or without byte order marks and with other text around. The chain is put in order, leaf first; a
// self-signed root at its end is dropped. Nothing is verified.
func ParseCredential(data []byte) (*Credential, error) {
	return ParseCredentialWith(data, ParseOptions{})
}

// ParseOptions says how ParseCredentialWith treats the private key.
type ParseOptions struct {
	// Passphrase opens an encrypted key; empty is none. It is not kept.
	Passphrase []byte
	// KeyOptional accepts a text without a key, and one with an encrypted key
	// where Passphrase is empty: Credential.Key is nil then, and the leaf is
	// the first certificate that issued none of the others.
	KeyOptional bool
}

// Format implements fmt.Formatter for every verb, so that a pass phrase does
// not end in a log.
func (o ParseOptions) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[redacted]") }

// MarshalJSON implements json.Marshaler for the same reason.
func (o ParseOptions) MarshalJSON() ([]byte, error) { return json.Marshal("[redacted]") }

// ParseCredentialWith is ParseCredential for texts without a key, and for
// encrypted keys: PKCS#8 with PBES2 (PBKDF2 or scrypt; AES or triple DES in CBC
// mode) as OpenSSL since 1.0 writes it, and the traditional form with Proc-Type
// and DEK-Info. The errors are ErrEncryptedKey, ErrWrongPassphrase,
// ErrKeyEncryption and ErrKeyCost beside those of ParseCredential. Opening a
// key takes at most some seconds and 64 MiB, on top of what the package says of
// allocation.
func ParseCredentialWith(data []byte, opts ParseOptions) (*Credential, error) {
	return parseCredential(data, opts, maxKeyCost)
}

func parseCredential(data []byte, opts ParseOptions, most keyCost) (*Credential, error) {
	blocks, err := decode(data)
	if err != nil {
		return nil, err
	}
	defer clearKeys(blocks)
	var certs []*x509.Certificate
	var keyBlock *pem.Block
	for _, b := range blocks {
		switch {
		case isCertificate(b):
			cert, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate %d cannot be read: %w", len(certs)+1, err)
			}
			certs = append(certs, cert)
		case isKey(b):
			if keyBlock != nil {
				return nil, ErrTwoKeys
			}
			keyBlock = b
		}
	}
	if len(certs) == 0 {
		return nil, ErrNoCertificate
	}
	var key crypto.Signer
	switch {
	case keyBlock != nil:
		key, err = openKey(keyBlock, opts.Passphrase, most)
	default:
		err = ErrNoKey
	}
	if err != nil && !(opts.KeyOptional && (err == ErrNoKey || err == ErrEncryptedKey)) {
		return nil, err
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
	clearKeys(blocks)
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
// number is compared with that of the BEGIN lines. It would also read the same
// bytes once for each BEGIN line before them: every BEGIN must have its END
// before the next one, which keeps the work and the memory linear. A byte order
// mark may stand at the beginning of the text and of each block, as if files of
// a Windows editor had been joined: OpenSSL 3 passes over the same ones.
func decode(data []byte) ([]*pem.Block, error) {
	if len(data) > MaxCredentialBytes {
		return nil, ErrTooBig
	}
	begins, err := countBlocks(data)
	if err != nil {
		return nil, err
	}
	var blocks []*pem.Block
	certs := 0
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(bytes.TrimPrefix(rest, []byte("\ufeff"))); b == nil {
			break
		}
		if isCertificate(b) {
			certs++
		}
		blocks = append(blocks, b)
	}
	switch {
	case certs > MaxCertificates:
		err = ErrTooBig
	case len(blocks) != begins:
		err = ErrBadPEM
	}
	if err != nil {
		clearKeys(blocks)
		return nil, err
	}
	return blocks, nil
}

// clearKeys leaves nothing in memory of the keys that were in a text.
func clearKeys(blocks []*pem.Block) {
	for _, b := range blocks {
		if isKey(b) {
			clear(b.Bytes)
		}
	}
}

func isKey(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") }

func countBlocks(data []byte) (int, error) {
	const maxBlocks = 2 * MaxCertificates
	begin, end := []byte("-----BEGIN "), []byte("-----END ")
	begins := bytes.Count(data, begin)
	if begins > maxBlocks {
		return 0, ErrTooBig
	}
	for range begins {
		data = data[bytes.Index(data, begin)+len(begin):]
		next := bytes.Index(data, begin)
		if next < 0 {
			next = len(data)
		}
		if !bytes.Contains(data[:next], end) {
			return 0, ErrBadPEM
		}
	}
	return begins, nil
}

func isCertificate(b *pem.Block) bool {
	return b.Type == "CERTIFICATE" || b.Type == "X509 CERTIFICATE"
}

// order sorts a bag of certificates: the one of the key (without a key, the
// first that issued none of the others), then issuer after issuer. What does
// not fit stays at the end for Verify to complain about. All tools but XRootD's
// plain GSI fail on a file that begins with another certificate (measured: gfal2
// 2.21, curl, xrootd 5.5.3 with TLS).
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
	chain := []*x509.Certificate{take(firstOf(left, key))}
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

// firstOf is the index of the leaf, 0 where none stands out.
func firstOf(certs []*x509.Certificate, key crypto.Signer) int {
	for i, c := range certs {
		if key != nil && samePublicKey(c.PublicKey, key.Public()) {
			return i
		}
		issued := func(other *x509.Certificate) bool {
			return other != c && bytes.Equal(other.RawIssuer, c.RawSubject)
		}
		if key == nil && !slices.ContainsFunc(certs, issued) {
			return i
		}
	}
	return 0
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
