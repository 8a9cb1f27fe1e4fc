package voms

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"time"
)

var (
	oidACs        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 5}
	oidFQANs      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 4}
	oidCerts      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 10}
	oidGeneric    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 11}
	oidTargets    = asn1.ObjectIdentifier{2, 5, 29, 55}
	oidNoRevAvail = asn1.ObjectIdentifier{2, 5, 29, 56}
	oidAKI        = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// Tags of GeneralName (RFC 5280 section 4.2.1.6).
const (
	tagDNSName       = 2
	tagDirectoryName = 4
	tagURI           = 6
)

// attributeCertificate is RFC 3281 section 4.1 as far as VOMS fills it. Lists
// are kept raw and walked with a limit: the elements of one may be of two
// bytes each, and each would cost a slice element of seventy.
type attributeCertificate struct {
	Info               acInfo
	SignatureAlgorithm asn1.RawValue
	Signature          asn1.BitString
	Extra              asn1.RawValue `asn1:"optional"` // nothing; encoding/asn1 skips what has no field
}

type acInfo struct {
	Raw          asn1.RawContent
	Version      int
	Holder       acHolder
	Issuer       asn1.RawValue // CHOICE { GeneralNames, [0] V2Form }
	Signature    asn1.RawValue
	SerialNumber *big.Int
	Validity     acValidity
	Attributes   asn1.RawValue  // SEQUENCE OF acAttribute
	IssuerUID    asn1.BitString `asn1:"optional"`
	Extensions   asn1.RawValue  `asn1:"optional"` // SEQUENCE OF pkix.Extension
	Extra        asn1.RawValue  `asn1:"optional"` // nothing
}

type acHolder struct {
	BaseCertificateID issuerSerial  `asn1:"optional,tag:0"`
	EntityName        asn1.RawValue `asn1:"optional,tag:1"`
	ObjectDigest      asn1.RawValue `asn1:"optional,tag:2"`
}

type issuerSerial struct {
	Issuer    asn1.RawValue // GeneralNames
	Serial    *big.Int
	IssuerUID asn1.BitString `asn1:"optional"`
}

type acValidity struct {
	NotBefore, NotAfter time.Time `asn1:"generalized"`
}

type acAttribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue // SET OF
}

// ietfAttrSyntax is RFC 3281 section 4.4.
type ietfAttrSyntax struct {
	PolicyAuthority asn1.RawValue `asn1:"optional,tag:0"`
	Values          asn1.RawValue // SEQUENCE OF
}

// errMalformed is what every reader here returns.
var errMalformed = errors.New("attribute certificate is malformed")

func isUniversal(v asn1.RawValue, tag int) bool {
	return v.Class == asn1.ClassUniversal && v.Tag == tag
}

func isContext(v asn1.RawValue, tag int) bool {
	return v.Class == asn1.ClassContextSpecific && v.Tag == tag
}

// each calls f with the elements of a SEQUENCE or SET, at most limit.
func each(list asn1.RawValue, limit int, f func(asn1.RawValue) error) error {
	if !list.IsCompound {
		return errMalformed
	}
	var element asn1.RawValue
	var err error
	for rest := list.Bytes; len(rest) > 0; limit-- {
		if limit == 0 {
			return errMalformed
		}
		if rest, err = asn1.Unmarshal(rest, &element); err != nil {
			return errMalformed
		}
		if err := f(element); err != nil {
			return err
		}
	}
	return nil
}

// whole reads all of der into v.
func whole(der []byte, v any) error {
	if rest, err := asn1.Unmarshal(der, v); err != nil || len(rest) > 0 {
		return errMalformed
	}
	return nil
}

// only returns the single element of the SEQUENCE der.
func only(der []byte) (asn1.RawValue, error) {
	var outer, inner asn1.RawValue
	if err := whole(der, &outer); err != nil || !isUniversal(outer, asn1.TagSequence) || !outer.IsCompound {
		return inner, errMalformed
	}
	if err := whole(outer.Bytes, &inner); err != nil || !isUniversal(inner, asn1.TagSequence) {
		return inner, errMalformed
	}
	return inner, nil
}

// algorithms are the signatures that can be verified. RSA-PSS is none of them:
// no VOMS server writes it.
func algorithms() []struct {
	oid  asn1.ObjectIdentifier
	name x509.SignatureAlgorithm
} {
	rsa := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, n} }
	ecdsa := func(n ...int) asn1.ObjectIdentifier {
		return append(asn1.ObjectIdentifier{1, 2, 840, 10045, 4}, n...)
	}
	return []struct {
		oid  asn1.ObjectIdentifier
		name x509.SignatureAlgorithm
	}{
		{rsa(11), x509.SHA256WithRSA}, {rsa(12), x509.SHA384WithRSA}, {rsa(13), x509.SHA512WithRSA},
		{rsa(5), x509.SHA1WithRSA}, {rsa(4), x509.MD5WithRSA}, {rsa(2), x509.MD2WithRSA},
		{ecdsa(3, 2), x509.ECDSAWithSHA256}, {ecdsa(3, 3), x509.ECDSAWithSHA384}, {ecdsa(3, 4), x509.ECDSAWithSHA512},
		{ecdsa(1), x509.ECDSAWithSHA1},
		{asn1.ObjectIdentifier{1, 3, 101, 112}, x509.PureEd25519},
	}
}

// algorithmName reads an AlgorithmIdentifier.
func algorithmName(v asn1.RawValue) (x509.SignatureAlgorithm, error) {
	var id pkix.AlgorithmIdentifier
	if err := whole(v.FullBytes, &id); err != nil {
		return 0, err
	}
	for _, a := range algorithms() {
		if a.oid.Equal(id.Algorithm) {
			return a.name, nil
		}
	}
	return x509.UnknownSignatureAlgorithm, nil
}
