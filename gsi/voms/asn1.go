package voms

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"
)

var (
	oidACs        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 5}
	oidFQANs      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 4}
	oidCerts      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 10}
	oidNoRevAvail = asn1.ObjectIdentifier{2, 5, 29, 56}
	oidAKI        = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// Tags of GeneralName (RFC 5280 section 4.2.1.6).
const (
	tagDirectoryName = 4
	tagURI           = 6
)

// attributeCertificate is RFC 3281 section 4.1 as far as VOMS fills it.
type attributeCertificate struct {
	Info               acInfo
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          asn1.BitString
}

type acInfo struct {
	Raw          asn1.RawContent
	Version      int
	Holder       acHolder
	Issuer       asn1.RawValue // CHOICE { GeneralNames, [0] V2Form }
	Signature    pkix.AlgorithmIdentifier
	SerialNumber *big.Int
	Validity     acValidity
	Attributes   []acAttribute
	IssuerUID    asn1.BitString   `asn1:"optional"`
	Extensions   []pkix.Extension `asn1:"optional"`
}

type acHolder struct {
	BaseCertificateID issuerSerial  `asn1:"optional,tag:0"`
	EntityName        asn1.RawValue `asn1:"optional,tag:1"`
	ObjectDigest      asn1.RawValue `asn1:"optional,tag:2"`
}

type issuerSerial struct {
	Issuer    []asn1.RawValue // GeneralNames
	Serial    *big.Int
	IssuerUID asn1.BitString `asn1:"optional"`
}

type acValidity struct {
	NotBefore, NotAfter time.Time `asn1:"generalized"`
}

type acAttribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// ietfAttrSyntax is RFC 3281 section 4.4.
type ietfAttrSyntax struct {
	PolicyAuthority []asn1.RawValue `asn1:"optional,tag:0"`
	Values          []asn1.RawValue
}
