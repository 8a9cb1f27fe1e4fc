package gsi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// checkStrength comes before signatures: verifying with an RSA key of a million
// bits would take longer than anybody waits.
func (v *verifier) checkStrength(depth int) {
	v.checkKeyStrength(depth)
	c := v.chain[depth]
	if isSelfIssued(c) && depth > 0 && v.parent(depth) == nil {
		return // a root's own signature proves nothing
	}
	if reason := weakSignature(c, v.opts.AllowSHA1); reason != "" {
		v.add(FaultSHA1, depth, reason)
	}
}

func (v *verifier) checkKeyStrength(depth int) {
	if reason := weakKey(v.chain[depth]); reason != "" {
		v.add(FaultWeakKey, depth, reason)
	}
}

func weakKey(c *x509.Certificate) string {
	if reason := weakPublicKey(c.PublicKey); reason != "" {
		return "the certificate has " + reason
	}
	return ""
}

// weakPublicKey goes by OpenSSL's security level 2, which grid servers have:
// RSA below 2048 bits fails there (measured: xrootd 5.5.3, curl "ee key too
// small").
func weakPublicKey(key crypto.PublicKey) string {
	const minBits, maxBits = 2048, 16384
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch n := key.N.BitLen(); {
		case n < minBits || n > maxBits:
			return fmt.Sprintf("an RSA key of %d bits, at least %d and at most %d are accepted", n, minBits, maxBits)
		case key.E < 3 || key.E%2 == 0:
			return "an RSA key with an exponent that protects nothing"
		}
		return ""
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return ""
	}
	return "a key of a type that is not accepted (not RSA, ECDSA or Ed25519)"
}

func weakSignature(c *x509.Certificate, allowSHA1 bool) string {
	switch c.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		if allowSHA1 {
			return ""
		}
		return "the certificate is signed with SHA-1, which TLS servers refuse"
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.DSAWithSHA1, x509.DSAWithSHA256:
		return "the certificate is signed with " + c.SignatureAlgorithm.String() + ", which is broken"
	}
	return ""
}
