package sandbox

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/des"
	"crypto/ecdsa"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// credentialFile is the PEM text of a stored credential and what the real
// server reads out of it, which is not always what its owner meant.
type credentialFile struct {
	text []byte
	// certificates are all of the text: they are verified, and INFO's times are
	// the latest start and the earliest end among them.
	certificates []*x509.Certificate
	// chain is what a delegation sees: the first certificate and those that
	// come behind the key. The others are skipped in the search for the key.
	chain []*x509.Certificate
	// keyBlock is the first key behind the first certificate, anyKey the first
	// one at all; each is nil if there is none.
	keyBlock, anyKey *pem.Block

	mu         sync.Mutex
	key        crypto.Signer // once it has been seen in the clear
	passphrase *string       // one that opened it
}

var errNoCertificate = errors.New("there is no certificate in the text")

// parseCredentialFile reads a stored text. A block that is no certificate in
// spite of its name is an error, as it is to the real server's verification.
func parseCredentialFile(text []byte) (*credentialFile, error) {
	f := &credentialFile{text: text}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, err
			}
			if len(f.certificates) == 0 || f.keyBlock != nil {
				f.chain = append(f.chain, cert)
			}
			f.certificates = append(f.certificates, cert)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if f.anyKey == nil {
				f.anyKey = block
			}
			if f.keyBlock == nil && len(f.certificates) > 0 {
				f.keyBlock = block
			}
		}
	}
	if len(f.certificates) == 0 {
		return nil, errNoCertificate
	}
	return f, nil
}

// encrypted is true also where there is no key, or none that can be read: the
// real server only finds that it cannot read the key without a pass phrase.
func (f *credentialFile) encrypted() bool {
	if f.anyKey == nil || isEncrypted(f.anyKey) {
		return true
	}
	_, err := f.decode(f.anyKey, "")
	return err != nil
}

func isEncrypted(block *pem.Block) bool {
	return strings.HasPrefix(block.Type, "ENCRYPTED ") || block.Headers["DEK-Info"] != ""
}

// open returns the key that a delegation signs with. The pass phrase is
// ignored where the key is not encrypted.
func (f *credentialFile) open(passphrase string) (crypto.Signer, error) {
	return f.openBlock(f.keyBlock, passphrase)
}

// verify is nil if the pass phrase opens the file's key.
func (f *credentialFile) verify(passphrase string) error {
	_, err := f.openBlock(f.anyKey, passphrase)
	return err
}

func (f *credentialFile) openBlock(block *pem.Block, passphrase string) (crypto.Signer, error) {
	if block == nil {
		return nil, gsi.ErrBadKey
	}
	passphrase = passphrase[:min(len(passphrase), maxOpening)]
	f.mu.Lock()
	defer f.mu.Unlock()
	if block == f.keyBlock && f.passphrase != nil && (*f.passphrase == passphrase || !isEncrypted(block)) {
		return f.key, nil
	}
	key, err := f.decode(block, passphrase)
	if err == nil && block == f.keyBlock {
		f.key, f.passphrase = key, &passphrase
	}
	return key, err
}

// maxOpening is how many bytes of a pass phrase OpenSSL takes to open a key,
// though the server encrypts with one more.
const maxOpening = 1023

// known is the key if the sandbox has ever seen it, else nil.
func (f *credentialFile) known() crypto.Signer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.key
}

func (f *credentialFile) decode(block *pem.Block, passphrase string) (crypto.Signer, error) {
	if isEncrypted(block) && passphrase == "" {
		return nil, gsi.ErrEncryptedKey
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.certificates[0].Raw}) // no key is read without one
	cred, err := gsi.ParseCredentialWith(append(text, pem.EncodeToMemory(block)...), gsi.ParseOptions{Passphrase: []byte(passphrase)})
	if err != nil {
		return nil, err
	}
	return cred.Key, nil
}

// times are those of INFO.
func (f *credentialFile) times() (start, end time.Time) {
	for i, cert := range f.certificates {
		if i == 0 || cert.NotBefore.After(start) {
			start = cert.NotBefore
		}
		if i == 0 || cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return start, end
}

// newCredentialFile writes a file as the server does after PUT and CHANGE:
// certificate, key, issuers, the key encrypted unless the pass phrase is empty.
func newCredentialFile(chain []*x509.Certificate, key crypto.Signer, passphrase string) (*credentialFile, error) {
	block, err := keyBlock(key)
	if err == nil && passphrase != "" {
		err = encryptBlock(block, passphrase)
	}
	if err != nil {
		return nil, err
	}
	f, err := parseCredentialFile(credentialText(chain, block))
	if err == nil {
		f.key = key
		if len(passphrase) <= maxOpening {
			f.passphrase = &passphrase
		}
	}
	return f, err
}

// credentialText is a file in the order of MyProxy.
func credentialText(chain []*x509.Certificate, key *pem.Block) []byte {
	var text []byte
	for i, cert := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
		if i == 0 {
			text = append(text, pem.EncodeToMemory(key)...)
		}
	}
	return text
}

// relabelled is the file with its key called an RSA key, as the real server
// writes every key: it cannot read an elliptic one again.
func (f *credentialFile) relabelled() (*credentialFile, error) {
	if f.keyBlock.Type == labelRSA {
		return f, nil
	}
	block := *f.keyBlock
	block.Type = labelRSA
	return parseCredentialFile(credentialText(f.chain, &block))
}

const labelRSA = "RSA PRIVATE KEY"

func keyBlock(key crypto.Signer) (*pem.Block, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return &pem.Block{Type: labelRSA, Bytes: x509.MarshalPKCS1PrivateKey(k)}, nil
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(k)
		return &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}, err
	}
	return nil, fmt.Errorf("the sandbox stores no keys of type %T", key)
}

// encryptBlock encrypts like OpenSSL before PKCS#8 (RFC 1421 headers, triple
// DES, a key made of the pass phrase by rounds of MD5), the form of every key
// that the real server writes.
func encryptBlock(block *pem.Block, passphrase string) error {
	const keySize = 24
	iv := make([]byte, des.BlockSize)
	if _, err := rand.Read(iv); err != nil {
		return err
	}
	var key, digest []byte
	for len(key) < keySize {
		sum := md5.Sum(slices.Concat(digest, []byte(passphrase), iv))
		digest = sum[:]
		key = append(key, digest...)
	}
	secret, err := des.NewTripleDESCipher(key[:keySize])
	if err != nil {
		return err
	}
	padding := des.BlockSize - len(block.Bytes)%des.BlockSize
	data := append(bytes.Clone(block.Bytes), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(secret, iv).CryptBlocks(data, data)
	block.Bytes = data
	block.Headers = map[string]string{
		"Proc-Type": "4,ENCRYPTED",
		"DEK-Info":  "DES-EDE3-CBC," + strings.ToUpper(hex.EncodeToString(iv)),
	}
	return nil
}
