package voms

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
)

// Limits of one extension; the largest seen in use have some hundred FQANs.
const (
	maxExtension    = 1 << 20
	maxCertificates = 16
	maxFQANs        = 2048
	maxFQAN         = 1024
)

// Attributes is what one attribute certificate claims.
type Attributes struct {
	VO    string   // "atlas"
	Host  string   // of the VOMS server, "voms.example.org:15001"; may be empty
	FQANs []string // as they stand in it, the primary one first

	Issuer    string // of the attribute certificate, one-line form
	IssuerRaw []byte // the same in DER
	Serial    *big.Int

	NotBefore, NotAfter time.Time

	// The certificate that the attributes belong to: the name of its issuer
	// and its serial number. Empty and nil where it is named otherwise.
	HolderIssuer    string
	HolderIssuerRaw []byte
	HolderSerial    *big.Int
}

// HeldBy reports whether cert, an end-entity certificate or a proxy, is the
// one that the attributes belong to.
func (a *Attributes) HeldBy(cert *x509.Certificate) bool {
	return a.HolderSerial != nil && cert.SerialNumber != nil &&
		a.HolderSerial.Cmp(cert.SerialNumber) == 0 && bytes.Equal(a.HolderIssuerRaw, cert.RawIssuer)
}

// Parse returns the attribute certificates in a proxy certificate, in their
// order; none where it has no VOMS extension. Signatures are not verified.
func Parse(cert *x509.Certificate) ([]Attributes, error) {
	var out []Attributes
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(oidACs) {
			continue
		}
		attrs, err := parseExtension(ext.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, attrs...)
	}
	return out, nil
}

var errMalformed = errors.New("attribute certificate is malformed")

// parseExtension reads SEQUENCE { SEQUENCE OF AttributeCertificate }.
func parseExtension(der []byte) ([]Attributes, error) {
	if len(der) > maxExtension {
		return nil, fmt.Errorf("attribute certificates of more than %d bytes", maxExtension)
	}
	var outer []asn1.RawValue
	rest, err := asn1.Unmarshal(der, &outer)
	if err != nil || len(rest) > 0 || len(outer) == 0 {
		return nil, errMalformed
	}
	var certs []asn1.RawValue
	if rest, err = asn1.Unmarshal(outer[0].FullBytes, &certs); err != nil || len(rest) > 0 {
		return nil, errMalformed
	}
	if len(certs) > maxCertificates {
		return nil, fmt.Errorf("more than %d attribute certificates in one proxy", maxCertificates)
	}
	var out []Attributes
	for _, c := range certs {
		a, err := parseOne(c.FullBytes)
		if err != nil {
			return nil, err
		}
		out = append(out, *a)
	}
	return out, nil
}

func parseOne(der []byte) (*Attributes, error) {
	var ac attributeCertificate
	if rest, err := asn1.Unmarshal(der, &ac); err != nil || len(rest) > 0 {
		return nil, errMalformed
	}
	a := &Attributes{
		Serial:    ac.Info.SerialNumber,
		NotBefore: ac.Info.Validity.NotBefore,
		NotAfter:  ac.Info.Validity.NotAfter,
	}
	if err := a.setIssuer(ac.Info.Issuer); err != nil {
		return nil, err
	}
	if err := a.setHolder(ac.Info.Holder); err != nil {
		return nil, err
	}
	for _, attr := range ac.Info.Attributes {
		if !attr.Type.Equal(oidFQANs) {
			continue
		}
		for _, v := range attr.Values {
			if err := a.addFQANs(v.FullBytes); err != nil {
				return nil, err
			}
		}
	}
	if a.VO == "" && len(a.FQANs) > 0 {
		a.VO, _, _ = strings.Cut(strings.TrimPrefix(a.FQANs[0], "/"), "/")
	}
	return a, nil
}

// setIssuer reads AttCertIssuer: a [0] V2Form whose first element is a
// GeneralNames, or the bare GeneralNames of the first version.
func (a *Attributes) setIssuer(v asn1.RawValue) error {
	body := v.Bytes
	if v.Class == asn1.ClassContextSpecific {
		var names asn1.RawValue
		if _, err := asn1.Unmarshal(body, &names); err != nil || names.Tag != asn1.TagSequence {
			return errMalformed
		}
		body = names.Bytes
	}
	for len(body) > 0 {
		var name asn1.RawValue
		var err error
		if body, err = asn1.Unmarshal(body, &name); err != nil {
			return errMalformed
		}
		if name.Class != asn1.ClassContextSpecific || name.Tag != tagDirectoryName {
			continue
		}
		a.IssuerRaw = name.Bytes
		a.Issuer, err = dn.OneLine(name.Bytes)
		return err
	}
	return errMalformed
}

func (a *Attributes) setHolder(h acHolder) error {
	for _, name := range h.BaseCertificateID.Issuer {
		if name.Class != asn1.ClassContextSpecific || name.Tag != tagDirectoryName {
			continue
		}
		text, err := dn.OneLine(name.Bytes)
		if err != nil {
			return err
		}
		a.HolderIssuer, a.HolderIssuerRaw, a.HolderSerial = text, name.Bytes, h.BaseCertificateID.Serial
		return nil
	}
	return nil
}

// addFQANs reads one IetfAttrSyntax: the VO and server as a URI "vo://host:port"
// and the FQANs as octet strings.
func (a *Attributes) addFQANs(der []byte) error {
	var syntax ietfAttrSyntax
	if rest, err := asn1.Unmarshal(der, &syntax); err != nil || len(rest) > 0 {
		return errMalformed
	}
	for _, name := range syntax.PolicyAuthority {
		vo, host, ok := strings.Cut(string(name.Bytes), "://")
		if name.Class != asn1.ClassContextSpecific || name.Tag != tagURI || !ok {
			continue
		}
		if !isClean(vo) || !isClean(host) {
			return errMalformed
		}
		a.VO, a.Host = vo, host
	}
	for _, v := range syntax.Values {
		fqan := string(v.Bytes)
		if v.Class != asn1.ClassUniversal || v.Tag != asn1.TagOctetString && v.Tag != asn1.TagUTF8String {
			continue // an OID: allowed by RFC 3281, never written by VOMS
		}
		if !isClean(fqan) || len(a.FQANs) == maxFQANs {
			return errMalformed
		}
		a.FQANs = append(a.FQANs, fqan)
	}
	return nil
}

// isClean refuses what could move the cursor of a terminal or add a line to a
// log.
func isClean(s string) bool {
	return len(s) <= maxFQAN && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
