package gsi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// PolicyMode says what signing policies count for.
type PolicyMode string

// The modes; the zero value is PolicyRequire, which is what Globus does.
const (
	PolicyRequire   PolicyMode = "require"    // a CA without a policy may sign nothing
	PolicyIfPresent PolicyMode = "if_present" // a CA without a policy may sign everything
	PolicyIgnore    PolicyMode = "ignore"
)

// CRLMode says what revocation lists count for.
type CRLMode string

// The modes; the zero value is CRLCheck, which is what Globus does. A CA
// without a list is accepted in all of them.
const (
	CRLCheck        CRLMode = "check"         // an expired list refuses everything
	CRLAllowExpired CRLMode = "allow_expired" // an expired list still refuses what is on it
	CRLIgnore       CRLMode = "ignore"
)

// TrustOptions says how strictly a trust directory is read. The zero value
// fails closed, as Globus does (measured: myproxy-logon 6.2.14).
type TrustOptions struct {
	SigningPolicy PolicyMode
	CRL           CRLMode
	// AllowSHA1 accepts SHA-1 in signatures below the root.
	AllowSHA1 bool
}

// TrustReason is why a chain is not trusted.
type TrustReason string

// The reasons.
const (
	TrustNoDirectory    TrustReason = "no_directory"
	TrustUnknownIssuer  TrustReason = "unknown_issuer"    // the CA is not in the directory
	TrustSignature      TrustReason = "signature"         // a CA of that name is, but did not sign
	TrustExpired        TrustReason = "expired"           // a certificate on the path
	TrustNotYetValid    TrustReason = "not_yet_valid"     // a certificate on the path
	TrustNoPolicy       TrustReason = "no_signing_policy" // the file is missing
	TrustPolicy         TrustReason = "signing_policy"    // the policy does not allow the subject
	TrustRevoked        TrustReason = "revoked"
	TrustCRLExpired     TrustReason = "crl_expired"
	TrustCRLNotYetValid TrustReason = "crl_not_yet_valid"
	TrustCRLInvalid     TrustReason = "crl_invalid" // not signed by the CA, or of a kind that is not understood
	TrustBadFile        TrustReason = "bad_file"    // cannot be read or parsed
	TrustBadCertificate TrustReason = "bad_certificate"

	// What TrustDir.Anchors finds besides.
	TrustOtherPolicy TrustReason = "policy_of_another_ca" // the policy file does not speak of the CA
	TrustCRLMissing  TrustReason = "crl_missing"          // the CA has no revocation list; it is trusted without
	TrustWeakKey     TrustReason = "weak_key"
	TrustSHA1        TrustReason = "sha1" // a sub-CA signed with SHA-1 or worse
	TrustHash        TrustReason = "hash" // the file's name is not the CA's hash
)

// TrustError says why a chain is not trusted, and which file says so.
type TrustError struct {
	Reason  TrustReason
	File    string // path of the file or directory that decided, may be empty
	Subject string // of the certificate that is refused, may be empty
	Detail  string // a sentence without its end
}

// Error implements error.
func (e *TrustError) Error() string {
	var b strings.Builder
	b.WriteString(e.Detail)
	if e.Subject != "" {
		b.WriteString(": " + e.Subject)
	}
	if e.File != "" {
		b.WriteString(" (" + e.File + ")")
	}
	return b.String()
}

// trustFault turns a broken rule of a chain into a reason not to trust it.
func trustFault(err error) *TrustError {
	e := &TrustError{Reason: TrustBadCertificate, Detail: err.Error()}
	var ce *ChainError
	if !errors.As(err, &ce) {
		return e
	}
	e.Subject, e.Detail = ce.Subject, ce.Detail
	switch ce.Fault {
	case FaultExpired:
		e.Reason = TrustExpired
	case FaultNotYetValid:
		e.Reason = TrustNotYetValid
	case FaultSignature:
		e.Reason = TrustSignature
	}
	return e
}

// NameError is a server that is not who was asked for.
type NameError struct {
	Host  string   // as asked for; empty where a whole DN was
	Names []string // that the certificate is good for
	DN    string   // the certificate's subject, one-line form
}

// Error implements error.
func (e *NameError) Error() string {
	names := showNames(e.Names)
	switch {
	case e.Host == "":
		return "the server is not the one with the expected DN, it is " + e.DN
	case names == "":
		return fmt.Sprintf("the server's certificate is not for %s, it names no host; its DN is %s", e.Host, e.DN)
	}
	return fmt.Sprintf("the server's certificate is not for %s but for %s; its DN is %s", e.Host, names, e.DN)
}

// maxShownNames is how many names of a certificate an error tells.
const maxShownNames = 8

// showNames lists the names of somebody who is not trusted: escaped for a
// terminal, and not all of very many.
func showNames(names []string) string {
	shown := make([]string, 0, maxShownNames+1)
	for _, name := range names[:min(len(names), maxShownNames)] {
		quoted := strconv.QuoteToASCII(name[:min(len(name), 255)])
		shown = append(shown, quoted[1:len(quoted)-1])
	}
	if more := len(names) - maxShownNames; more > 0 {
		shown = append(shown, fmt.Sprintf("%d more", more))
	}
	return strings.Join(shown, ", ")
}
