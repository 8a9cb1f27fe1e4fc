package rcauth

import (
	"crypto/x509"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// MatchSubject compares the name that a portal gave for its user (Claims.DN, in
// the form of RFC 2253) with the subject of the end-entity certificate, which is
// the last but for CAs of a proxy's chain: element by element, the other way
// round, after undoing the escapes. Another name is an *IdentityError, and so is
// one in OpenSSL's form ("/O=Example/CN=Jane"), where a value can look like the
// next element.
func MatchSubject(rfc2253 string, eec *x509.Certificate) error {
	if !strings.HasPrefix(strings.TrimSpace(rfc2253), "/") && gsi.MatchDN(eec.RawSubject, rfc2253) {
		return nil
	}
	subject, err := gsi.RFC2253(eec.RawSubject)
	if err != nil {
		subject = "a name that cannot be read"
	}
	return &IdentityError{Claimed: clip(rfc2253), Subject: clip(subject)}
}
