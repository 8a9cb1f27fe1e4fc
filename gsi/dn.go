package gsi

import (
	"crypto/x509"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
)

// OneLine writes a name in DER as gridmaps, signing policies and .lsc files
// have it: "/DC=org/DC=example/CN=Jane Doe", types by OpenSSL's short names,
// bytes outside printable ASCII as \xHH. '/' inside a value stands as it is
// ("/CN=host/name": the Globus tools accept only that), unless the rest would
// read as another attribute; then it gets a backslash.
func OneLine(rawDN []byte) (string, error) { return dn.OneLine(rawDN) }

// RFC2253 writes a name in DER as openssl's -nameopt RFC2253 does:
// "CN=Jane Doe,DC=example,DC=org".
func RFC2253(rawDN []byte) (string, error) { return dn.RFC2253(rawDN) }

// MatchDN reports whether text is the name: in the one-line form, with '/'
// inside values escaped (as OpenSSL 3 prints it) or not (as Globus prints it),
// or in that of RFC 2253, spaces after commas allowed. E and Email stand for
// emailAddress and USERID for UID; values are compared exactly.
func MatchDN(rawDN []byte, text string) bool { return dn.Match(rawDN, text) }

// SubjectHash is the eight hex digits that a CA's files in a trust directory
// are named by: what "openssl x509 -subject_hash" prints.
func SubjectHash(rawDN []byte) (string, error) { return dn.Hash(rawDN) }

// SubjectHashOld is the same for OpenSSL before 1.0 ("-subject_hash_old"); the
// IGTF's packages still install links under both names.
func SubjectHashOld(rawDN []byte) string { return dn.HashOld(rawDN) }

// maxNameText bounds a name in an error text; strangers choose how long the
// names in their certificates are.
const maxNameText = 1000

// subjectText is a certificate's subject for error texts.
func subjectText(c *x509.Certificate) string { return nameText(c.RawSubject, "subject") }

func issuerText(c *x509.Certificate) string { return nameText(c.RawIssuer, "issuer") }

func nameText(raw []byte, what string) string {
	s, err := dn.OneLine(raw)
	switch {
	case err != nil:
		return "(unreadable " + what + ")"
	case s == "":
		return "(empty " + what + ")"
	case len(s) > maxNameText:
		return s[:maxNameText] + "..."
	}
	return s
}
