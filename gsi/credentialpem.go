package gsi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
)

var errKeyNotWritten = errors.New("the private key cannot be written: it is not in memory or of an unknown type")

// PEM writes the credential in the order that every grid tool accepts: the
// leaf, its key as PKCS#8 (grid-proxy-info cannot read "EC PRIVATE KEY"), the
// issuers towards the end-entity certificate. A root is left out. The key is
// not encrypted.
func (c *Credential) PEM() ([]byte, error) {
	return c.writePEM(1, func() (*pem.Block, error) {
		der, err := x509.MarshalPKCS8PrivateKey(c.Key)
		if err != nil {
			return nil, errKeyNotWritten
		}
		return &pem.Block{Type: "PRIVATE KEY", Bytes: der}, nil
	})
}

// EncryptedPEM is PEM with an encrypted key, in the form that OpenSSL 3 writes:
// PKCS#8 "ENCRYPTED PRIVATE KEY" with PBES2, AES-256-CBC and PBKDF2 with
// HMAC-SHA256. OpenSSL takes 2048 rounds of PBKDF2, this takes 600000 (0.2 s).
// An empty pass phrase is an error, because no tool would ask for it.
func (c *Credential) EncryptedPEM(passphrase []byte) ([]byte, error) {
	return c.encryptedPEM(passphrase, writtenRounds)
}

func (c *Credential) encryptedPEM(passphrase []byte, rounds int) ([]byte, error) {
	return c.writePEM(1, func() (*pem.Block, error) {
		der, err := x509.MarshalPKCS8PrivateKey(c.Key)
		if err != nil {
			return nil, errKeyNotWritten
		}
		defer clear(der)
		encrypted, err := encryptPKCS8(der, passphrase, rounds)
		if err != nil {
			return nil, err
		}
		return &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: encrypted}, nil
	})
}

// TraditionalPEM writes the certificates and then the key in OpenSSL's own old
// form: "RSA PRIVATE KEY" or "EC PRIVATE KEY" with the headers Proc-Type and
// DEK-Info, AES-256-CBC. It is what myproxy-store sends (recorded) and what
// tools read that know no PKCS#8. The key of the cipher is one round of MD5
// over the pass phrase: where there is a choice, EncryptedPEM is the better
// one. Ed25519 keys have no such form.
func (c *Credential) TraditionalPEM(passphrase []byte) ([]byte, error) {
	return c.writePEM(len(c.Chain), func() (*pem.Block, error) {
		var kind string
		var der []byte
		var err error
		switch key := c.Key.(type) {
		case *rsa.PrivateKey:
			kind, der = "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)
		case *ecdsa.PrivateKey:
			kind = "EC PRIVATE KEY"
			der, err = x509.MarshalECPrivateKey(key)
		default:
			return nil, errors.New("the private key cannot be written in the traditional form: only RSA and ECDSA keys have one")
		}
		if err != nil {
			return nil, errKeyNotWritten
		}
		defer clear(der)
		return encryptTraditional(kind, der, passphrase)
	})
}

// writePEM writes the chain without a root, and the block that key gives after
// that many certificates or at the end. The buffer has its final size from the
// start: one that grows leaves copies of what is in it behind.
func (c *Credential) writePEM(keyAt int, key func() (*pem.Block, error)) ([]byte, error) {
	if len(c.Chain) == 0 {
		return nil, ErrNoCertificate
	}
	if c.Key == nil {
		return nil, ErrNoKey
	}
	block, err := key()
	if err != nil {
		return nil, err
	}
	defer clear(block.Bytes)
	var blocks []*pem.Block
	for i, cert := range c.Chain {
		if i == 0 || !isSelfIssued(cert) {
			blocks = append(blocks, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
		}
	}
	blocks = slices.Insert(blocks, min(keyAt, len(blocks)), block)
	size := 0
	for _, b := range blocks {
		size += 2*len(b.Bytes) + 256 // base64, line ends and the lines around
	}
	var out bytes.Buffer
	out.Grow(size)
	for _, b := range blocks {
		if err := pem.Encode(&out, b); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// encryptTraditional is the other half of decryptTraditional.
func encryptTraditional(kind string, der, passphrase []byte) (*pem.Block, error) {
	if len(passphrase) == 0 {
		return nil, errNoPassphrase
	}
	//lint:ignore SA1019 It is deprecated for want of integrity protection, which the form does not have; MyProxy's STORE and RETRIEVE use no other.
	block, err := x509.EncryptPEMBlock(rand.Reader, kind, der, passphrase, x509.PEMCipherAES256)
	if err != nil {
		return nil, errors.New("the private key cannot be encrypted")
	}
	return block, nil
}
