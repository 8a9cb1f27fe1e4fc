package cache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// A sealed entry is:
//
//	off len  field
//	0   4    magic "XCHE"
//	4   1    version = 1
//	5   1    suite   = 1 (HKDF-SHA256 -> AES-256-GCM, 96-bit random nonce)
//	6   2    flags   = 0
//	8   8    kid     = HKDF(data key, "…/key-id")[:8]
//	16  32   salt    random per write
//	48  12   nonce   random
//	60  n+16 ciphertext and tag
//
// Its key is HKDF(data key, salt, "…/entry"), a fresh one for each write, so
// there is no budget of nonces to count. The additional data is bytes 0..47
// and the 32 bytes of the entry's id, which is also its file name: an entry
// moved to another name does not open.
const (
	magic        = "XCHE\x01\x01\x00\x00"
	saltOffset   = 16
	nonceOffset  = 48
	sealOverhead = nonceOffset + 12 + 16

	infoKeyID   = "x509-credential-helper/v1/key-id"
	infoEntry   = "x509-credential-helper/v1/entry"
	infoEntryID = "x509-credential-helper/v1/entry-id"
	infoRefusal = "x509-credential-helper/v1/refusal"
)

// dataKey is a key that is kept in a keyring, and what is derived from it.
type dataKey struct {
	secret []byte
	kid    [8]byte
	idKey  []byte
}

func newDataKey(secret []byte) (*dataKey, error) {
	k := &dataKey{secret: secret}
	kid, err := hkdf.Key(sha256.New, secret, nil, infoKeyID, len(k.kid))
	if err != nil {
		return nil, err
	}
	copy(k.kid[:], kid)
	k.idKey, err = hkdf.Key(sha256.New, secret, nil, infoEntryID, sha256.Size)
	return k, err
}

// entryID names an entry so that the name tells nobody who does not have the
// key whose it is.
func (k *dataKey) entryID(b Binding) (id [32]byte) {
	copy(id[:], mac(k.idKey, b.canon()))
	return id
}

// rescueID names the rescued secret of an account. No entry has this name: a
// binding's encoding begins with another word.
func (k *dataKey) rescueID(account string) (id [32]byte) {
	copy(id[:], mac(k.idKey, lengthPrefixed("rescue", account)))
	return id
}

// refusalMAC recognises a secret that was refused without keeping it.
func (k *dataKey) refusalMAC(account string, secret []byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, k.secret, nil, infoRefusal, sha256.Size)
	if err != nil {
		return nil, err
	}
	return mac(key, lengthPrefixed(account, string(secret))), nil
}

func mac(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

func (k *dataKey) seal(id [32]byte, plain []byte) ([]byte, error) {
	out := make([]byte, nonceOffset, sealOverhead+len(plain))
	copy(out, magic)
	copy(out[8:], k.kid[:])
	_, _ = rand.Read(out[saltOffset:nonceOffset]) // never fails
	aead, err := k.aead(out[saltOffset:nonceOffset])
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, nil, plain, additional(out, id)), nil
}

func (k *dataKey) open(id [32]byte, sealed []byte) ([]byte, error) {
	switch {
	case len(sealed) < sealOverhead:
		return nil, fmt.Errorf("%w: too short", errDamaged)
	case string(sealed[:len(magic)]) != magic:
		return nil, fmt.Errorf("%w: not a sealed entry of version 1", errDamaged)
	case string(sealed[8:saltOffset]) != string(k.kid[:]):
		return nil, fmt.Errorf("%w: sealed with another key", errDamaged)
	}
	aead, err := k.aead(sealed[saltOffset:nonceOffset])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, sealed[nonceOffset:], additional(sealed, id))
	if err != nil {
		return nil, fmt.Errorf("%w: changed since it was sealed", errDamaged)
	}
	return plain, nil
}

func additional(sealed []byte, id [32]byte) []byte {
	aad := make([]byte, 0, nonceOffset+len(id))
	return append(append(aad, sealed[:nonceOffset]...), id[:]...)
}

// aead writes its random nonce before the ciphertext and reads it from there.
func (k *dataKey) aead(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.secret, salt, infoEntry, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// A plain entry is not sealed, but it must be whole all the same: one that was
// cut off may lack its key and look good. It is the SHA-256 of the file's name
// and what follows, then that. Against people it protects nothing.
func summed(name string, plain []byte) []byte {
	sum := plainSum(name, plain)
	return append(sum[:], plain...)
}

func unsummed(name string, data []byte) ([]byte, error) {
	if len(data) < sha256.Size {
		return nil, fmt.Errorf("%w: too short", errDamaged)
	}
	plain := data[sha256.Size:]
	if sum := plainSum(name, plain); string(sum[:]) != string(data[:sha256.Size]) {
		return nil, fmt.Errorf("%w: changed since it was written", errDamaged)
	}
	return plain, nil
}

func plainSum(name string, plain []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(lengthPrefixed(name))
	h.Write(plain)
	h.Sum(sum[:0])
	return sum
}
