package voms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	_ "crypto/sha256" // for crypto.SHA256
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// SignOptions describes an attribute certificate to make.
type SignOptions struct {
	Issuer *x509.Certificate   // the attribute authority's
	Key    crypto.Signer       // its key
	Above  []*x509.Certificate // its issuers without the root, sent along

	Holder *x509.Certificate // the end-entity certificate of the member

	VO    string
	Host  string // "voms.example.org:15001"
	FQANs []string

	Generic []GenericAttribute // an empty Qualifier stands for the VO
	Targets []string           // hosts; none: for use everywhere

	NotBefore, NotAfter time.Time
	Serial              *big.Int // nil: a random one
}

// Sign makes the extension that a VOMS server's attribute certificate becomes
// in a proxy, so that tests and the sandbox can play the server. The VOMS
// library 2.1 verifies what it makes.
func Sign(opts SignOptions) (pkix.Extension, error) {
	info, err := newInfo(opts)
	if err != nil {
		return pkix.Extension{}, err
	}
	return signInfo(opts.Key, crypto.SHA256, info)
}

// signInfo signs what a test may have changed, with the digest that it asks for.
func signInfo(key crypto.Signer, digest crypto.Hash, info *signedInfo) (pkix.Extension, error) {
	der, err := asn1.Marshal(*info)
	if err != nil {
		return pkix.Extension{}, err
	}
	signature, err := signBytes(key, digest, der)
	if err != nil {
		return pkix.Extension{}, err
	}
	ac, err := asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: der}, info.Signature, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		return pkix.Extension{}, err
	}
	value, err := asn1.Marshal([][]asn1.RawValue{{{FullBytes: ac}}})
	return pkix.Extension{Id: oidACs, Value: value}, err
}

// The algorithms; RSA's has a NULL parameter (RFC 4055 section 5), the others
// none.
var (
	sha256WithRSA   = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue}
	ecdsaWithSHA256 = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	ed25519Alone    = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 101, 112}}
)

func algorithmOf(key crypto.Signer) (pkix.AlgorithmIdentifier, error) {
	switch key.Public().(type) {
	case *rsa.PublicKey:
		return sha256WithRSA, nil
	case *ecdsa.PublicKey:
		return ecdsaWithSHA256, nil
	case ed25519.PublicKey:
		return ed25519Alone, nil
	}
	return pkix.AlgorithmIdentifier{}, fmt.Errorf("cannot sign with a key of type %T", key.Public())
}

func signBytes(key crypto.Signer, digest crypto.Hash, info []byte) ([]byte, error) {
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		return key.Sign(rand.Reader, info, crypto.Hash(0))
	}
	h := digest.New()
	h.Write(info)
	return key.Sign(rand.Reader, h.Sum(nil), digest)
}

// signedInfo is acInfo as it is written, its lists open.
type signedInfo struct {
	Version    int
	Holder     signedHolder
	Issuer     signedIssuer `asn1:"tag:0"`
	Signature  pkix.AlgorithmIdentifier
	Serial     *big.Int
	Validity   acValidity
	Attributes []signedAttribute
	Extensions []pkix.Extension
}

type signedHolder struct {
	Base signedSerial `asn1:"tag:0"`
}

type signedSerial struct {
	Issuer []asn1.RawValue
	Serial *big.Int
}

type signedIssuer struct{ Names []asn1.RawValue }

type signedAttribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

func newInfo(opts SignOptions) (*signedInfo, error) {
	if opts.Issuer == nil || opts.Key == nil || opts.Holder == nil {
		return nil, errors.New("an attribute certificate needs an issuer, its key and a holder")
	}
	algorithm, err := algorithmOf(opts.Key)
	if err != nil {
		return nil, err
	}
	serial := opts.Serial
	if serial == nil {
		if serial, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
			return nil, err
		}
	}
	attribute, err := fqanAttribute(opts)
	if err != nil {
		return nil, err
	}
	extensions, err := acExtensions(opts)
	if err != nil {
		return nil, err
	}
	return &signedInfo{
		Version:    1,
		Holder:     signedHolder{signedSerial{Issuer: directoryName(opts.Holder.RawIssuer), Serial: opts.Holder.SerialNumber}},
		Issuer:     signedIssuer{directoryName(opts.Issuer.RawSubject)},
		Signature:  algorithm,
		Serial:     serial,
		Validity:   acValidity{opts.NotBefore.UTC(), opts.NotAfter.UTC()},
		Attributes: []signedAttribute{attribute},
		Extensions: extensions,
	}, nil
}

func directoryName(raw []byte) []asn1.RawValue {
	return []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: tagDirectoryName, IsCompound: true, Bytes: raw}}
}

// authorityURI is the name by which VO and server go.
func authorityURI(opts SignOptions) []asn1.RawValue {
	return []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: tagURI, Bytes: []byte(opts.VO + "://" + opts.Host)}}
}

func fqanAttribute(opts SignOptions) (signedAttribute, error) {
	var values []asn1.RawValue
	for _, fqan := range opts.FQANs {
		values = append(values, asn1.RawValue{Tag: asn1.TagOctetString, Bytes: []byte(fqan)})
	}
	syntax, err := asn1.Marshal(struct {
		PolicyAuthority []asn1.RawValue `asn1:"tag:0"`
		Values          []asn1.RawValue
	}{authorityURI(opts), values})
	return signedAttribute{Type: oidFQANs, Values: []asn1.RawValue{{FullBytes: syntax}}}, err
}

// acExtensions: VOMS refuses attribute certificates without noRevAvail and
// authority key identifier, and takes the issuer's certificate from the third.
func acExtensions(opts SignOptions) ([]pkix.Extension, error) {
	keyID, err := keyIdentifier(opts.Issuer)
	if err != nil {
		return nil, err
	}
	aki, err := asn1.Marshal(struct {
		ID []byte `asn1:"tag:0"`
	}{keyID})
	if err != nil {
		return nil, err
	}
	certs := []asn1.RawValue{{FullBytes: opts.Issuer.Raw}}
	for _, c := range opts.Above {
		certs = append(certs, asn1.RawValue{FullBytes: c.Raw})
	}
	bundle, err := asn1.Marshal([][]asn1.RawValue{certs})
	if err != nil {
		return nil, err
	}
	out := []pkix.Extension{
		{Id: oidNoRevAvail, Value: asn1.NullBytes},
		{Id: oidAKI, Value: aki},
		{Id: oidCerts, Value: bundle},
	}
	if len(opts.Generic) > 0 {
		value, err := genericValue(opts)
		if err != nil {
			return nil, err
		}
		out = append(out, pkix.Extension{Id: oidGeneric, Value: value})
	}
	if len(opts.Targets) > 0 {
		value, err := targetsValue(opts.Targets)
		if err != nil {
			return nil, err
		}
		out = append(out, pkix.Extension{Id: oidTargets, Critical: true, Value: value})
	}
	return out, nil
}

func genericValue(opts SignOptions) ([]byte, error) {
	var tags []genericTag
	for _, g := range opts.Generic {
		qualifier := g.Qualifier
		if qualifier == "" {
			qualifier = opts.VO
		}
		tags = append(tags, genericTag{[]byte(g.Name), []byte(g.Value), []byte(qualifier)})
	}
	type holder struct {
		Grantor []asn1.RawValue
		Tags    []genericTag
	}
	return asn1.Marshal([][]holder{{{authorityURI(opts), tags}}})
}

// targetsValue writes the layout of VOMS, with a SEQUENCE around each target.
func targetsValue(hosts []string) ([]byte, error) {
	var targets [][]asn1.RawValue
	for _, host := range hosts {
		name, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tagURI, Bytes: []byte(host)})
		if err != nil {
			return nil, err
		}
		targets = append(targets, []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: name}})
	}
	return asn1.Marshal([][][]asn1.RawValue{targets})
}

// keyIdentifier is the SHA-1 of the public key's bits (RFC 5280 section
// 4.2.1.2, method 1). VOMS computes it and does not look at the issuer's own
// subjectKeyIdentifier (measured: libvomsapi 2.1, "AC issuer key unreadable or
// unverifiable").
func keyIdentifier(issuer *x509.Certificate) ([]byte, error) {
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawSubjectPublicKeyInfo, &spki); err != nil {
		return nil, errors.New("the issuer's public key cannot be read")
	}
	sum := sha1.Sum(spki.Key.RightAlign())
	return sum[:], nil
}
