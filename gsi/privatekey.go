package gsi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"strings"
)

// Errors of encrypted private keys, for errors.Is.
var (
	// ErrEncryptedKey: there is no pass phrase for it.
	ErrEncryptedKey = errors.New("the private key is encrypted and there is no pass phrase for it")
	// ErrWrongPassphrase: what the pass phrase makes of the key is no key. A
	// key whose encrypted bytes are damaged looks the same.
	ErrWrongPassphrase = errors.New("the pass phrase does not open the private key")
	// ErrKeyEncryption: a method older or rarer than PBES2 with AES or triple
	// DES, for instance PBES1 of OpenSSL before 1.1.0 or PKCS#12's.
	ErrKeyEncryption = errors.New("the private key is encrypted with a method that is not supported: write it anew, for instance with openssl pkey -aes256")
	// ErrKeyCost: more than 10 million iterations of PBKDF2 or 64 MiB for scrypt.
	ErrKeyCost = errors.New("the private key is encrypted with parameters that would take too much time or memory to open")
)

// maxKeyBytes bounds a key's DER. RSA of 16384 bits takes 9300 bytes, and
// reading a key costs the cube of its length.
const maxKeyBytes = 12 << 10

// openKey reads a key block, with the pass phrase where it is encrypted.
// Parsers' errors are dropped on purpose: what is in them about a private key
// is nobody's business.
func openKey(b *pem.Block, passphrase []byte, most keyCost) (crypto.Signer, error) {
	const maxEncryption = 2 << 10 // salt, parameters and padding
	if len(b.Bytes) > maxKeyBytes+maxEncryption {
		return nil, ErrBadKey
	}
	kind, encrypted := strings.CutPrefix(b.Type, "ENCRYPTED ")
	_, traditional := b.Headers["DEK-Info"]
	traditional = traditional || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED")
	switch {
	case !encrypted && !traditional:
		return parseKey(kind, b.Bytes)
	case len(passphrase) == 0:
		return nil, ErrEncryptedKey
	}
	var der []byte
	var err error
	switch {
	case encrypted && traditional, encrypted && kind != "PRIVATE KEY":
		return nil, ErrBadKey
	case encrypted:
		der, err = decryptPKCS8(b.Bytes, passphrase, most)
	default:
		der, err = decryptTraditional(b, passphrase)
	}
	if err != nil {
		return nil, err
	}
	defer clear(der)
	// The padding of one wrong pass phrase in 256 is right by chance.
	if !looksLikeKey(der) {
		return nil, ErrWrongPassphrase
	}
	return parseKey(kind, der)
}

// decryptTraditional opens what OpenSSL wrote before PKCS#8, with the headers
// of RFC 1421 and a key of the cipher made by one round of MD5.
func decryptTraditional(b *pem.Block, passphrase []byte) ([]byte, error) {
	mode, _, _ := strings.Cut(b.Headers["DEK-Info"], ",")
	switch mode {
	case "AES-256-CBC", "AES-192-CBC", "AES-128-CBC", "DES-EDE3-CBC", "DES-CBC":
	case "":
		return nil, ErrBadKey
	default:
		return nil, ErrKeyEncryption
	}
	//lint:ignore SA1019 It is deprecated for want of integrity protection, which the form does not have; MyProxy's STORE and RETRIEVE use no other.
	der, err := x509.DecryptPEMBlock(b, passphrase)
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, ErrWrongPassphrase
	case err != nil:
		return nil, ErrBadKey
	}
	return der, nil
}

// looksLikeKey tells a key, of whatever type, from what a wrong pass phrase
// makes of it: PKCS#1, PKCS#8, SEC 1 and DSA keys are a SEQUENCE that begins
// with an INTEGER and ends with the text.
func looksLikeKey(der []byte) bool {
	var seq asn1.RawValue
	if !unmarshalAll(der, &seq) || seq.Class != asn1.ClassUniversal || seq.Tag != asn1.TagSequence || !seq.IsCompound {
		return false
	}
	var version int
	rest, err := asn1.Unmarshal(seq.Bytes, &version)
	for err == nil && len(rest) > 0 {
		var field asn1.RawValue
		rest, err = asn1.Unmarshal(rest, &field)
	}
	return err == nil
}

// parseKey reads a key that is not encrypted.
func parseKey(kind string, der []byte) (crypto.Signer, error) {
	if len(der) > maxKeyBytes {
		return nil, ErrBadKey
	}
	var key any
	var err error
	switch kind {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(der)
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
