package gsi

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/files"
)

var oidIssuingPoint = asn1.ObjectIdentifier{2, 5, 29, 28}

// checkRevocation looks the certificate up in the issuer's revocation lists.
// None at all is fine; one that cannot be read or trusted is not.
func (t *TrustDir) checkRevocation(c *x509.Certificate, issuer anchor, now time.Time, mode CRLMode) *TrustError {
	if mode == CRLIgnore {
		return nil
	}
	var stale *TrustError
	fresh := false
	seen := map[string]bool{}
	for n := '0'; n <= '9'; n++ {
		for _, name := range t.companions(issuer, ".r"+string(n)) {
			if !t.names[name] {
				continue
			}
			crl, e := t.loadCRL(name, issuer)
			if e != nil {
				e.Detail += ", run fetch-crl"
				return e
			}
			if crl == nil || seen[string(crl.Signature)] {
				continue
			}
			seen[string(crl.Signature)] = true
			if e := t.revoked(c, crl, name); e != nil {
				return e
			}
			reason, detail := freshness(crl, now)
			switch reason {
			case "":
				fresh = true
				continue
			case TrustCRLExpired:
				detail += ", run fetch-crl"
			}
			stale = &TrustError{Reason: reason, File: t.file(name), Subject: subjectText(c), Detail: detail + "; it is needed for the certificate"}
		}
	}
	if stale == nil || fresh || mode == CRLAllowExpired && stale.Reason == TrustCRLExpired {
		return nil
	}
	return stale
}

// loadCRL returns nil for a list of another CA, or of another key of this one.
func (t *TrustDir) loadCRL(name string, ca anchor) (*x509.RevocationList, *TrustError) {
	refuse := func(reason TrustReason, detail string) *TrustError {
		return &TrustError{Reason: reason, File: t.file(name), Subject: subjectText(ca.cert), Detail: detail}
	}
	data, err := t.read(t.file(name), maxCRLFile)
	if err != nil {
		return nil, refuse(TrustBadFile, "the revocation list of the CA cannot be read: "+files.Cause(err))
	}
	parse := func(data []byte) (*x509.RevocationList, error) {
		crl, reason, detail := parseCRL(data, ca.cert)
		if detail != "" {
			return nil, refuse(reason, detail)
		}
		return crl, nil
	}
	crl, err := (*x509.RevocationList)(nil), error(nil)
	if ca.file == "" { // strangers send any number of CAs
		crl, err = parse(data)
	} else {
		crl, err = parseOnce(&t.kept, kindCRL, ca.cert, data, parse)
	}
	if err != nil {
		return nil, err.(*TrustError)
	}
	return crl, nil
}

// parseCRL reads and verifies a list. It says why it does not count, or returns
// nil for a list of another CA.
func parseCRL(data []byte, ca *x509.Certificate) (crl *x509.RevocationList, reason TrustReason, detail string) {
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	crl, err := x509.ParseRevocationList(data)
	if err != nil {
		return nil, TrustBadFile, "the revocation list of the CA is damaged"
	}
	if !bytes.Equal(crl.RawIssuer, ca.RawSubject) {
		return nil, "", "" // two CAs can share a hash
	}
	if err := ca.CheckSignature(crl.SignatureAlgorithm, crl.RawTBSRevocationList, crl.Signature); err != nil {
		// A key identifier can only excuse a list that the key did not sign:
		// one that it did sign counts, whatever is written in it.
		if len(crl.AuthorityKeyId) > 0 && len(ca.SubjectKeyId) > 0 && !bytes.Equal(crl.AuthorityKeyId, ca.SubjectKeyId) {
			return nil, "", ""
		}
		return nil, TrustCRLInvalid, "the revocation list is not signed by the CA"
	}
	if hasExtension(ca, oidKeyUsage) && ca.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return nil, TrustCRLInvalid, "the CA may not sign revocation lists"
	}
	if err := checkCRLExtensions(crl); err != nil {
		return nil, TrustCRLInvalid, err.Error()
	}
	return crl, "", ""
}

func (t *TrustDir) revoked(c *x509.Certificate, crl *x509.RevocationList, name string) *TrustError {
	for i := range crl.RevokedCertificateEntries {
		entry := &crl.RevokedCertificateEntries[i]
		if entry.SerialNumber.Cmp(c.SerialNumber) == 0 {
			return &TrustError{
				Reason: TrustRevoked, File: t.file(name), Subject: subjectText(c),
				Detail: fmt.Sprintf("the certificate with serial number %X was revoked at %s", c.SerialNumber, timeText(entry.RevocationTime)),
			}
		}
	}
	return nil
}

// freshness says why a list does not count now, or "". One without nextUpdate
// never expires (RFC 5280 section 5.1.2.5 requires it, OpenSSL does not).
func freshness(crl *x509.RevocationList, now time.Time) (reason TrustReason, detail string) {
	switch {
	case now.Before(crl.ThisUpdate):
		return TrustCRLNotYetValid, "the CA's revocation list is valid only from " + timeText(crl.ThisUpdate) + " on, it is " + timeText(now)
	case !crl.NextUpdate.IsZero() && now.After(crl.NextUpdate):
		return TrustCRLExpired, "the CA's revocation list expired at " + timeText(crl.NextUpdate)
	}
	return "", ""
}

// checkCRLExtensions refuses lists that do not speak for all certificates of
// their CA in the simple way: deltas, indirect lists, lists of some reasons.
func checkCRLExtensions(crl *x509.RevocationList) error {
	for _, ext := range crl.Extensions {
		switch {
		case !ext.Critical:
		case !ext.Id.Equal(oidIssuingPoint):
			return fmt.Errorf("the revocation list has a critical extension that is not understood (%s)", ext.Id)
		default:
			var fields []asn1.RawValue
			if rest, err := asn1.Unmarshal(ext.Value, &fields); err != nil || len(rest) > 0 {
				return errors.New("the revocation list has a malformed distribution point")
			}
			for _, f := range fields {
				const onlySomeReasons, indirect = 3, 4 // RFC 5280 section 5.2.5
				if f.Tag == onlySomeReasons || f.Tag == indirect && !bytes.Equal(f.Bytes, []byte{0}) {
					return errors.New("the revocation list is indirect or for some reasons only, which is not understood")
				}
			}
		}
	}
	return nil
}
