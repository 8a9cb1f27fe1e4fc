package gsi

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// keyCost bounds what the opening of one encrypted key may cost, since whoever
// wrote the file chose the parameters.
type keyCost struct {
	Iterations int // of PBKDF2
	Memory     int // of scrypt, bytes
	Parallel   int // of scrypt: its time is this times that of its memory
}

// maxKeyCost: OpenSSL writes 2048 iterations, careful people a few hundred
// thousand; OpenSSL's scrypt takes 16 MiB, and it reads none above 32 MiB.
// Measured on one core of 2024: the most that is let through takes 3.5 s with
// HMAC-SHA256, 12 s with HMAC-SHA512 and 2 s with scrypt. It cannot be stopped
// half-way.
var maxKeyCost = keyCost{Iterations: 10_000_000, Memory: 64 << 20, Parallel: 8}

const (
	writtenRounds = 600_000 // OWASP's figure for PBKDF2 with HMAC-SHA256, 0.2 s here
	writtenSalt   = 16      // bytes; RFC 8018 section 4.1 asks for at least 8
	maxSalt       = 1024    // bytes
)

var errNoPassphrase = errors.New("there is no pass phrase to encrypt the private key with")

// The identifiers of PBES2 (RFC 8018 appendix A), of scrypt (RFC 7914 section
// 7) and of the ciphers and hashes that OpenSSL 3 writes with them.
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA224 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 8}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA384 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidDES3CBC    = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}
	oidAES128CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// encryptedKeyInfo is EncryptedPrivateKeyInfo of RFC 5958 section 3.
type encryptedKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// pbes2Params is PBES2-params of RFC 8018 appendix A.4.
type pbes2Params struct {
	KDF, Scheme pkix.AlgorithmIdentifier
}

// pbkdf2Params is PBKDF2-params of RFC 8018 appendix A.2.
type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// scryptParams is scrypt-params of RFC 7914 section 7.1.
type scryptParams struct {
	Salt                []byte
	Cost, Block, Thread int
	KeyLength           int `asn1:"optional"`
}

// decryptPKCS8 opens an EncryptedPrivateKeyInfo; what comes out is a PKCS#8
// key, or nonsense that begins and ends well by chance. It takes at most the
// time and memory of most and three times the memory of der.
func decryptPKCS8(der, passphrase []byte, most keyCost) ([]byte, error) {
	var info encryptedKeyInfo
	var params pbes2Params
	if !unmarshalAll(der, &info) {
		return nil, ErrBadKey
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, ErrKeyEncryption
	}
	if !unmarshalAll(info.Algorithm.Parameters.FullBytes, &params) {
		return nil, ErrBadKey
	}
	size, newCipher := cipherOf(params.Scheme.Algorithm)
	if newCipher == nil {
		return nil, ErrKeyEncryption
	}
	var iv []byte
	if !unmarshalAll(params.Scheme.Parameters.FullBytes, &iv) {
		return nil, ErrBadKey
	}
	key, err := deriveKey(params.KDF, passphrase, size, most)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := newCipher(key)
	if err != nil || len(iv) != block.BlockSize() || len(info.Data) == 0 || len(info.Data)%block.BlockSize() != 0 {
		return nil, ErrBadKey
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	n, ok := withoutPadding(plain, block.BlockSize())
	if !ok {
		clear(plain)
		return nil, ErrWrongPassphrase
	}
	return plain[:n], nil
}

// unmarshalAll reads DER that must end where the value ends.
func unmarshalAll(der []byte, value any) bool {
	rest, err := asn1.Unmarshal(der, value)
	return err == nil && len(rest) == 0
}

// cipherOf returns the length of the key and the cipher, nil for an unknown one.
func cipherOf(oid asn1.ObjectIdentifier) (int, func([]byte) (cipher.Block, error)) {
	switch {
	case oid.Equal(oidAES256CBC):
		return 32, aes.NewCipher
	case oid.Equal(oidAES192CBC):
		return 24, aes.NewCipher
	case oid.Equal(oidAES128CBC):
		return 16, aes.NewCipher
	case oid.Equal(oidDES3CBC):
		return 24, des.NewTripleDESCipher
	}
	return 0, nil
}

// withoutPadding returns the length of what stands before the padding of RFC
// 8018 section 6.1.1.
func withoutPadding(plain []byte, blockSize int) (int, bool) {
	n := int(plain[len(plain)-1])
	if n == 0 || n > blockSize {
		return 0, false
	}
	end := len(plain) - n
	return end, bytes.Equal(plain[end:], bytes.Repeat([]byte{byte(n)}, n))
}

// deriveKey refuses parameters beyond most before it computes anything.
func deriveKey(kdf pkix.AlgorithmIdentifier, passphrase []byte, size int, most keyCost) ([]byte, error) {
	switch der := kdf.Parameters.FullBytes; {
	case kdf.Algorithm.Equal(oidPBKDF2):
		return derivePBKDF2(der, passphrase, size, most)
	case kdf.Algorithm.Equal(oidScrypt):
		return deriveScrypt(der, passphrase, size, most)
	}
	return nil, ErrKeyEncryption
}

func derivePBKDF2(der, passphrase []byte, size int, most keyCost) ([]byte, error) {
	var p pbkdf2Params
	if !unmarshalAll(der, &p) || p.Iterations < 1 || p.KeyLength != 0 && p.KeyLength != size {
		return nil, ErrBadKey
	}
	if p.Iterations > most.Iterations || len(p.Salt) > maxSalt {
		return nil, ErrKeyCost
	}
	newHash := hashOf(p.PRF.Algorithm)
	if newHash == nil {
		return nil, ErrKeyEncryption
	}
	key, err := pbkdf2.Key(newHash, string(passphrase), p.Salt, p.Iterations, size)
	if err != nil {
		return nil, ErrKeyEncryption // FIPS 140 mode refuses some hashes and salts
	}
	return key, nil
}

// hashOf returns the hash of a PRF, nil for an unknown one. HMAC-SHA1 is the
// default (RFC 8018 appendix A.2) and what OpenSSL before 1.1.0 wrote.
func hashOf(prf asn1.ObjectIdentifier) func() hash.Hash {
	switch {
	case len(prf) == 0, prf.Equal(oidHMACSHA1):
		return sha1.New
	case prf.Equal(oidHMACSHA224):
		return sha256.New224
	case prf.Equal(oidHMACSHA256):
		return sha256.New
	case prf.Equal(oidHMACSHA384):
		return sha512.New384
	case prf.Equal(oidHMACSHA512):
		return sha512.New
	}
	return nil
}

func deriveScrypt(der, passphrase []byte, size int, most keyCost) ([]byte, error) {
	var p scryptParams
	if !unmarshalAll(der, &p) || p.Cost < 2 || p.Cost&(p.Cost-1) != 0 || p.Block < 1 || p.Thread < 1 ||
		p.KeyLength != 0 && p.KeyLength != size {
		return nil, ErrBadKey
	}
	// Each factor by itself first: their product could overflow. The two are
	// scrypt's work space and one block of it for each thread.
	units := most.Memory / 128
	if p.Cost > units || p.Block > units || p.Thread > most.Parallel || len(p.Salt) > maxSalt ||
		int64(p.Block)*int64(p.Cost+p.Thread+2) > int64(units) {
		return nil, ErrKeyCost
	}
	key, err := scrypt.Key(passphrase, p.Salt, p.Cost, p.Block, p.Thread, size)
	if err != nil {
		return nil, ErrBadKey
	}
	return key, nil
}

// encryptPKCS8 is the other half of decryptPKCS8.
func encryptPKCS8(der, passphrase []byte, rounds int) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, errNoPassphrase
	}
	random := make([]byte, writtenSalt+aes.BlockSize)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	salt, iv := random[:writtenSalt], random[writtenSalt:]
	key, err := pbkdf2.Key(sha256.New, string(passphrase), salt, rounds, 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	n := aes.BlockSize - len(der)%aes.BlockSize
	data := make([]byte, len(der)+n)
	copy(data[copy(data, der):], bytes.Repeat([]byte{byte(n)}, n))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	return marshalPBES2(salt, rounds, iv, data)
}

func marshalPBES2(salt []byte, rounds int, iv, data []byte) ([]byte, error) {
	kdf, err := asn1.Marshal(pbkdf2Params{
		Salt: salt, Iterations: rounds,
		PRF: pkix.AlgorithmIdentifier{Algorithm: oidHMACSHA256, Parameters: asn1.NullRawValue},
	})
	if err != nil {
		return nil, err
	}
	vector, err := asn1.Marshal(iv)
	if err != nil {
		return nil, err
	}
	params, err := asn1.Marshal(pbes2Params{
		KDF:    pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2, Parameters: asn1.RawValue{FullBytes: kdf}},
		Scheme: pkix.AlgorithmIdentifier{Algorithm: oidAES256CBC, Parameters: asn1.RawValue{FullBytes: vector}},
	})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(encryptedKeyInfo{
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: asn1.RawValue{FullBytes: params}},
		Data:      data,
	})
}
