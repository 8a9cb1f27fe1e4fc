package voms

import (
	"crypto/x509"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
)

// Reason is why attributes are not believed, one value for each rule.
type Reason string

// The reasons, in the order in which Verify looks for them.
const (
	ReasonMalformed       Reason = "malformed"                  // not what RFC 3281 and VOMS write
	ReasonUnknownCritical Reason = "unknown_critical_extension" // RFC 3281 section 4.3
	ReasonVO              Reason = "vo_mismatch"                // attributes of another VO than the server's
	ReasonBadFile         Reason = "bad_file"                   // the .lsc file cannot be read or parsed
	ReasonLSCMissing      Reason = "lsc_missing"                // the vomsdir does not know VO and host
	ReasonLSCMismatch     Reason = "lsc_mismatch"               // the .lsc file names other certificates
	ReasonNoAA            Reason = "no_aa_certificate"          // neither sent along nor in the vomsdir
	ReasonWeakKey         Reason = "weak_key"                   // the server's RSA key is below 2048 bits, or of an unknown type
	ReasonSHA1            Reason = "sha1"                       // signed with SHA-1 or worse
	ReasonSignature       Reason = "signature"                  // not signed by the server
	ReasonKeyID           Reason = "key_identifier"             // signed, but under the name of another key
	ReasonUntrusted       Reason = "aa_untrusted"               // no trusted CA vouches for the server now
	ReasonHolder          Reason = "holder"                     // the attributes are somebody else's
	ReasonTarget          Reason = "target"                     // not for this host
	ReasonExpired         Reason = "expired"
	ReasonNotYetValid     Reason = "not_yet_valid"

	ReasonNoDirectory Reason = "no_directory" // OpenDir and FindDir
)

// VerifyError says why attributes are not believed, and which file says so.
type VerifyError struct {
	Reason Reason
	VO     string // of the attribute certificate, may be empty
	File   string // path of the file or directory that decided, may be empty
	Detail string // a sentence without its end
	Err    error  // the cause, may be nil; Detail has its text
}

// Error implements error.
func (e *VerifyError) Error() string {
	text := e.Detail
	if e.VO != "" {
		text = "VOMS attributes of " + clip(e.VO) + ": " + text
	}
	if e.File != "" {
		text += " (" + e.File + ")"
	}
	return text
}

// Unwrap returns the cause.
func (e *VerifyError) Unwrap() error { return e.Err }

// clip bounds a text that strangers choose.
func clip(s string) string {
	if len(s) > maxShown {
		return s[:maxShown] + "..."
	}
	return s
}

func subjectText(c *x509.Certificate) string {
	s, err := dn.OneLine(c.RawSubject)
	if err != nil {
		return "(unreadable subject)"
	}
	return clip(s)
}
