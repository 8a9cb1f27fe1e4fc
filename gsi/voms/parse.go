package voms

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
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
	maxCertificates = 16 // attribute certificates, and certificates in one
	maxExtensions   = 32 // in one attribute certificate
	maxAttributes   = 32
	maxNames        = 8 // alternatives for one name
	maxFQANs        = 2048
	maxFQAN         = 1024 // bytes
)

// Attributes is what one attribute certificate claims.
type Attributes struct {
	VO    string   // "atlas"
	Host  string   // of the VOMS server, "voms.example.org:15001"; may be empty
	FQANs []string // as they stand in it, the primary one first

	Generic []GenericAttribute // names and values; extension .100.11
	Targets []string           // hosts that it is for; empty: everywhere

	Issuer    string // of the attribute certificate, one-line form
	IssuerRaw []byte // the same in DER
	Serial    *big.Int

	NotBefore, NotAfter time.Time

	// The certificate that the attributes belong to: the name of its issuer
	// and its serial number. Empty and nil where it is named otherwise.
	HolderIssuer    string
	HolderIssuerRaw []byte
	HolderSerial    *big.Int

	// Chain is what the server sent along to verify the signature: its own
	// certificate, then that of its CA, and so on. Nobody vouches for it.
	Chain []*x509.Certificate

	// SignatureAlgorithm is zero for one that Verify does not know.
	SignatureAlgorithm x509.SignatureAlgorithm
	Raw                []byte // the attribute certificate in DER

	signed    []byte // the part of Raw that the signature is about
	signature []byte
	keyID     []byte       // authority key identifier
	defect    *VerifyError // what Verify says without looking any further
}

// URI is host and port of the VOMS server, as the VO's members know it from
// their vomses files.
func (a *Attributes) URI() string { return a.Host }

// HeldBy reports whether cert, an end-entity certificate or a proxy, is the
// one that the attributes belong to. Serial number and name must be cert's;
// the name is its issuer's or, in attribute certificates of the old format,
// which libvomsapi and voms-proxy-fake still know, its own.
func (a *Attributes) HeldBy(cert *x509.Certificate) bool {
	return a.HolderSerial != nil && cert.SerialNumber != nil && a.HolderSerial.Cmp(cert.SerialNumber) == 0 &&
		(bytes.Equal(a.HolderIssuerRaw, cert.RawIssuer) || bytes.Equal(a.HolderIssuerRaw, cert.RawSubject))
}

// Parse returns the attribute certificates in a proxy certificate, in their
// order; none where it has no VOMS extension. Nothing is verified: see Verify.
//
// What is returned refers to the certificate's bytes. It allocates at most
// 64 times the extension's length, and 64 KiB.
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

// parseExtension reads SEQUENCE { SEQUENCE OF AttributeCertificate }.
func parseExtension(der []byte) ([]Attributes, error) {
	if len(der) > maxExtension {
		return nil, fmt.Errorf("attribute certificates of more than %d bytes", maxExtension)
	}
	certs, err := only(der)
	if err != nil {
		return nil, err
	}
	var out []Attributes
	if len(certs.Bytes) == 0 {
		return nil, errMalformed // libvomsapi looks no further, so this may not pass for no extension
	}
	err = each(certs, maxCertificates+1, func(c asn1.RawValue) error {
		if len(out) == maxCertificates {
			return fmt.Errorf("more than %d attribute certificates in one proxy", maxCertificates)
		}
		a, err := parseOne(c.FullBytes)
		if err == nil {
			out = append(out, *a)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// odd notes what Parse can live with and Verify cannot; the first one stays.
func (a *Attributes) odd(reason Reason, detail string) {
	if a.defect == nil {
		a.defect = &VerifyError{Reason: reason, Detail: detail}
	}
}

func parseOne(der []byte) (*Attributes, error) {
	var ac attributeCertificate
	if err := whole(der, &ac); err != nil {
		return nil, err
	}
	info := &ac.Info
	a := &Attributes{
		Serial:    info.SerialNumber,
		NotBefore: info.Validity.NotBefore,
		NotAfter:  info.Validity.NotAfter,
		Raw:       der,
		signed:    info.Raw,
		signature: ac.Signature.Bytes,
	}
	var err error
	if a.SignatureAlgorithm, err = algorithmName(ac.SignatureAlgorithm); err != nil {
		return nil, err
	}
	a.checkForm(&ac)
	if err := a.setIssuer(info.Issuer); err != nil {
		return nil, err
	}
	if err := a.setHolder(&info.Holder); err != nil {
		return nil, err
	}
	if err := a.setAttributes(info.Attributes); err != nil {
		return nil, err
	}
	if err := a.setExtensions(info.Extensions); err != nil {
		return nil, err
	}
	return a, nil
}

// checkForm notes what libvomsapi refuses, and what lies outside the signed
// part and is not bound by it.
func (a *Attributes) checkForm(ac *attributeCertificate) {
	const maxSerial = 8 * 20 // bits; libvomsapi, AC_ERR_SERIAL
	switch {
	case ac.Info.Version != 1:
		a.odd(ReasonMalformed, "the attribute certificate is not of version 2")
	case !bytes.Equal(ac.Info.Signature.FullBytes, ac.SignatureAlgorithm.FullBytes):
		a.odd(ReasonMalformed, "the attribute certificate names two signature algorithms")
	case ac.Signature.BitLength%8 != 0:
		a.odd(ReasonMalformed, "the signature of the attribute certificate does not consist of bytes")
	case a.Serial.BitLen() > maxSerial:
		a.odd(ReasonMalformed, "the serial number of the attribute certificate is longer than 20 bytes")
	case len(ac.Info.Extra.FullBytes) > 0 || len(ac.Extra.FullBytes) > 0:
		a.odd(ReasonMalformed, "the attribute certificate has more fields than there are")
	}
}

// setIssuer reads AttCertIssuer: a [0] V2Form whose first element is a
// GeneralNames, or the bare GeneralNames of the first version.
func (a *Attributes) setIssuer(v asn1.RawValue) error {
	if v.Class == asn1.ClassContextSpecific {
		var names asn1.RawValue
		rest, err := asn1.Unmarshal(v.Bytes, &names)
		if err != nil || !isUniversal(names, asn1.TagSequence) {
			return errMalformed
		}
		if v.Tag != 0 || len(rest) > 0 {
			a.odd(ReasonMalformed, "the issuer of the attribute certificate is not just a name")
		}
		v = names
	} else {
		a.odd(ReasonMalformed, "the issuer of the attribute certificate has the form of version 1")
	}
	text, raw, err := a.directoryName(v, "issuer")
	if err == nil && raw == nil {
		err = errMalformed
	}
	a.Issuer, a.IssuerRaw = text, raw
	return err
}

// directoryName returns the first distinguished name of a GeneralNames in
// both forms, nothing where there is none.
func (a *Attributes) directoryName(names asn1.RawValue, whose string) (text string, raw []byte, err error) {
	n := 0
	err = each(names, maxNames, func(name asn1.RawValue) (err error) {
		if n++; raw == nil && isContext(name, tagDirectoryName) {
			raw = name.Bytes
			text, err = dn.OneLine(raw)
		}
		return err
	})
	if n > 1 {
		a.odd(ReasonMalformed, "the attribute certificate has several names for its "+whose)
	}
	return text, raw, err
}

func (a *Attributes) setHolder(h *acHolder) error {
	if len(h.ObjectDigest.FullBytes) > 0 || h.BaseCertificateID.IssuerUID.BitLength > 0 {
		a.odd(ReasonHolder, "the attribute certificate names its holder in a way that is not understood")
	}
	if h.BaseCertificateID.Serial == nil {
		return nil
	}
	text, raw, err := a.directoryName(h.BaseCertificateID.Issuer, "holder")
	if err == nil && raw != nil {
		a.HolderIssuer, a.HolderIssuerRaw, a.HolderSerial = text, raw, h.BaseCertificateID.Serial
	}
	return err
}

// setAttributes reads the first list of FQANs, as libvomsapi does.
func (a *Attributes) setAttributes(list asn1.RawValue) error {
	lists := 0
	err := each(list, maxAttributes, func(v asn1.RawValue) error {
		var attr acAttribute
		if err := whole(v.FullBytes, &attr); err != nil {
			return err
		}
		if !attr.Type.Equal(oidFQANs) {
			return nil
		}
		if !isUniversal(attr.Values, asn1.TagSet) {
			return errMalformed
		}
		return each(attr.Values, maxAttributes, func(v asn1.RawValue) error {
			if lists++; lists > 1 {
				return nil
			}
			return a.setFQANs(v.FullBytes)
		})
	})
	if lists != 1 {
		a.odd(ReasonMalformed, fmt.Sprintf("the attribute certificate has %d lists of FQANs instead of one", lists))
	}
	return err
}

// setFQANs reads one IetfAttrSyntax: the VO and server as a URI "vo://host:port"
// and the FQANs as octet strings.
func (a *Attributes) setFQANs(der []byte) error {
	var syntax ietfAttrSyntax
	if err := whole(der, &syntax); err != nil {
		return err
	}
	if len(syntax.PolicyAuthority.FullBytes) > 0 {
		if err := a.setAuthority(syntax.PolicyAuthority); err != nil {
			return err
		}
	}
	err := each(syntax.Values, maxFQANs, func(v asn1.RawValue) error {
		if !isUniversal(v, asn1.TagOctetString) {
			a.odd(ReasonMalformed, "the attribute certificate has a FQAN that is no octet string")
			if !isUniversal(v, asn1.TagUTF8String) {
				return nil // an OID: allowed by RFC 3281, never written by VOMS
			}
		}
		fqan := string(v.Bytes)
		if !isClean(fqan) {
			return errMalformed
		}
		a.FQANs = append(a.FQANs, fqan)
		return nil
	})
	if a.VO == "" {
		a.odd(ReasonMalformed, "the attribute certificate does not say of which VO and server it is")
		if len(a.FQANs) > 0 {
			a.VO, _, _ = strings.Cut(strings.TrimPrefix(a.FQANs[0], "/"), "/")
		}
	}
	return err
}

func (a *Attributes) setAuthority(names asn1.RawValue) error {
	n := 0
	err := each(names, maxNames, func(name asn1.RawValue) error {
		vo, host, ok := strings.Cut(string(name.Bytes), "://")
		if n++; !isContext(name, tagURI) || !ok || a.VO != "" {
			return nil
		}
		if !isClean(vo) || !isClean(host) {
			return errMalformed
		}
		a.VO, a.Host = vo, host
		return nil
	})
	if n > 1 {
		a.odd(ReasonMalformed, "the attribute certificate has several names for its VO")
	}
	return err
}

// isClean refuses what could move the cursor of a terminal or add a line to a
// log.
func isClean(s string) bool {
	return len(s) <= maxFQAN && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
