package voms

import (
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
)

// SignedInfo is what tests change before it is signed.
type SignedInfo = signedInfo

// The extensions that tests remove or replace.
var (
	OIDCerts      = oidCerts
	OIDNoRevAvail = oidNoRevAvail
	OIDAKI        = oidAKI
	OIDGeneric    = oidGeneric
)

// SignChanged is Sign with a change that no server makes. The digest is that
// of the change's info.Signature.
func SignChanged(opts SignOptions, digest crypto.Hash, change func(*SignedInfo)) (pkix.Extension, error) {
	info, err := newInfo(opts)
	if err != nil {
		return pkix.Extension{}, err
	}
	change(info)
	return signInfo(opts.Key, digest, info)
}

// RSAWithSHA1 makes the change that SHA-1 needs.
func RSAWithSHA1(info *SignedInfo) {
	info.Signature.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}
}
