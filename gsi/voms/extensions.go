package voms

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
)

// setExtensions reads the extensions that VOMS knows. Only the targets may be
// critical; noRevAvail and the authority key identifier must be there
// (libvomsapi, AC_ERR_EXT_CRIT and AC_ERR_EXTS_ABSENT).
func (a *Attributes) setExtensions(list asn1.RawValue) error {
	var seen []asn1.ObjectIdentifier
	if len(list.FullBytes) > 0 {
		if !isUniversal(list, asn1.TagSequence) {
			return errMalformed
		}
		err := each(list, maxExtensions, func(v asn1.RawValue) error {
			var ext pkix.Extension
			if err := whole(v.FullBytes, &ext); err != nil {
				return err
			}
			if contains(seen, ext.Id) {
				a.odd(ReasonMalformed, "the attribute certificate has the extension "+ext.Id.String()+" twice")
				return nil
			}
			seen = append(seen, ext.Id)
			return a.setExtension(ext)
		})
		if err != nil {
			return err
		}
	}
	if !contains(seen, oidNoRevAvail) || !contains(seen, oidAKI) {
		a.odd(ReasonMalformed, "the attribute certificate lacks noRevAvail or the authority key identifier")
	}
	return nil
}

func contains(list []asn1.ObjectIdentifier, oid asn1.ObjectIdentifier) bool {
	for _, o := range list {
		if o.Equal(oid) {
			return true
		}
	}
	return false
}

func (a *Attributes) setExtension(ext pkix.Extension) error {
	if ext.Critical && !ext.Id.Equal(oidTargets) {
		a.odd(ReasonUnknownCritical, "the attribute certificate has a critical extension that is not understood ("+ext.Id.String()+")")
	}
	switch {
	case ext.Id.Equal(oidTargets):
		return a.setTargets(ext.Value)
	case ext.Id.Equal(oidGeneric):
		return a.setGeneric(ext.Value)
	case ext.Id.Equal(oidCerts):
		return a.setChain(ext.Value)
	case ext.Id.Equal(oidNoRevAvail):
		if !bytes.Equal(ext.Value, asn1.NullBytes) {
			a.odd(ReasonMalformed, "the attribute certificate has a malformed noRevAvail")
		}
	case ext.Id.Equal(oidAKI):
		var id struct {
			KeyID []byte `asn1:"optional,tag:0"`
		}
		if err := whole(ext.Value, &id); err != nil {
			return err
		}
		a.keyID = id.KeyID
	}
	return nil
}

// setChain reads SEQUENCE { SEQUENCE OF Certificate }. A certificate that
// crypto/x509 does not read keeps nobody from seeing the attributes.
func (a *Attributes) setChain(der []byte) error {
	list, err := only(der)
	if err != nil {
		return err
	}
	return each(list, maxCertificates, func(v asn1.RawValue) error {
		cert, err := x509.ParseCertificate(v.FullBytes)
		if err != nil {
			a.odd(ReasonNoAA, "a certificate that was sent along with the attributes cannot be read: "+err.Error())
			return nil
		}
		a.Chain = append(a.Chain, cert)
		return nil
	})
}
