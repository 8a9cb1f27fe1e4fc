package rcauth

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
)

// Bounds of the keys that sign id_tokens.
const (
	maxKeys    = 32
	minKeyBits = 2048
	maxKeyBits = 8192 // a longer one takes long to verify with
)

// signingKeys fetches the keys that the portal's id_tokens are signed with. They
// are fetched before the tokens are: an answer that cannot be verified, because
// something failed after it, would have used up the code or the refresh token.
func (c *Client) signingKeys(ctx context.Context, p *Provider) ([]crypto.PublicKey, error) {
	got, err := c.get(ctx, opKeys, p.JWKS)
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusOK {
		return nil, c.refusal(opKeys, got)
	}
	return parseKeys(got.body)
}

// parseKeys takes the RSA keys from a JWK set (RFC 7517); others are no use,
// see algorithms. The portal writes n with a leading zero byte, which RFC 7518
// section 6.3.1.1 forbids (measured: 0.2.4).
func parseKeys(body []byte) ([]crypto.PublicKey, error) {
	var set struct {
		Keys []struct {
			Type string `json:"kty"`
			Use  string `json:"use"`
			N    string `json:"n"`
			E    string `json:"e"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) > maxKeys {
		return nil, &AnswerError{Op: opKeys, Reason: "is not a set of keys"}
	}
	var keys []crypto.PublicKey
	for _, k := range set.Keys {
		if k.Type != "RSA" || k.Use != "" && k.Use != "sig" {
			continue
		}
		if key, ok := rsaKey(k.N, k.E); ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, &AnswerError{Op: opKeys, Reason: "has no RSA key that an id_token could be verified with"}
	}
	return keys, nil
}

func rsaKey(n, e string) (*rsa.PublicKey, bool) {
	modulus, errN := base64.RawURLEncoding.DecodeString(n)
	exponent, errE := base64.RawURLEncoding.DecodeString(e)
	if errN != nil || errE != nil {
		return nil, false
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus)}
	big := new(big.Int).SetBytes(exponent)
	if !big.IsInt64() || big.Int64() < 3 || big.Int64() > 1<<31-1 || big.Bit(0) == 0 {
		return nil, false
	}
	key.E = int(big.Int64())
	bits := key.N.BitLen()
	return key, bits >= minKeyBits && bits <= maxKeyBits && key.N.Bit(0) == 1
}
