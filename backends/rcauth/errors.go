package rcauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// The operations, as Op of the errors names them.
const (
	opDiscovery = "discovery"
	opKeys      = "keys"
	opToken     = "token"
	opRefresh   = "refresh"
	opUserInfo  = "userinfo"
	opGetProxy  = "getproxy"
	opInfo      = "info"
	opRevoke    = "revoke"
)

// ErrWrongState is a redirect that belongs to another attempt to log in: of a
// second tab, of yesterday, or somebody's forgery.
var ErrWrongState = errors.New("this redirect belongs to another login: finish the one that was begun last, or begin anew")

// ErrNoRevocation is a portal before 0.2.0.
var ErrNoRevocation = errors.New("this portal is too old to end a session when asked: it ends by itself")

// RequestError is a request that cannot be sent. It never contains a secret.
type RequestError struct {
	Field  string // "portal", "redirect URI", …
	Reason string
}

func (e *RequestError) Error() string { return "the " + e.Field + " " + e.Reason }

// TransportError is a portal that could not be reached, could not be trusted,
// or broke off.
type TransportError struct {
	Host string // host:port
	Op   string
	// Sent says that the request may have arrived whole: what it asked for may
	// have happened.
	Sent bool
	Err  error
}

func (e *TransportError) Error() string {
	about := e.about()
	switch {
	case e.Untrusted():
		return fmt.Sprintf("%s cannot be trusted: %s", e.Host, about)
	case e.Timeout():
		return fmt.Sprintf("%s took too long (%s)", e.Host, e.Op)
	case e.Sent:
		return fmt.Sprintf("%s ended the connection in place of an answer (%s): %s", e.Host, e.Op, about)
	}
	return fmt.Sprintf("%s did not answer (%s): %s", e.Host, e.Op, about)
}

// about leaves out what net/http quotes from an answer that is no HTTP: the
// portal may have repeated what it was sent.
func (e *TransportError) about() string {
	var onTheWay *net.OpError
	if e.Sent && !errors.As(e.Err, &onTheWay) && !errors.Is(e.Err, io.EOF) && !errors.Is(e.Err, io.ErrUnexpectedEOF) && !errors.Is(e.Err, context.Canceled) {
		return "nothing came that is HTTP"
	}
	return helper.CleanText(e.Err.Error())
}

// Timeout says whether the portal was too slow; it makes this a net.Error's
// like.
func (e *TransportError) Timeout() bool {
	var slow net.Error
	return errors.Is(e.Err, context.DeadlineExceeded) || errors.As(e.Err, &slow) && slow.Timeout()
}

// Untrusted says whether it was the portal's certificate.
func (e *TransportError) Untrusted() bool {
	var bad *tls.CertificateVerificationError
	return errors.As(e.Err, &bad)
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// AnswerError is a portal whose answer is not what it owed: a redirect, far too
// long, no JSON, an address on another host.
type AnswerError struct {
	Op     string
	Reason string // what the answer is, as the end of a sentence
	Err    error  // may be nil
}

func (e *AnswerError) Error() string { return "the portal's answer (" + e.Op + ") " + e.Reason }

// Unwrap returns the cause.
func (e *AnswerError) Unwrap() error { return e.Err }

// AuthorizationError is a login that ended with error=… (RFC 6749 section
// 4.1.2.1).
type AuthorizationError struct {
	Code        string // "access_denied" where the user said no; cleaned
	Description string // cleaned, may be ""
}

func (e *AuthorizationError) Error() string {
	if e.Description == "" {
		return "the portal ended the login: " + e.Code
	}
	return "the portal ended the login: " + e.Description + " (" + e.Code + ")"
}

// RedirectError is a text that is not the URL at which a login ends.
type RedirectError struct{ Reason string }

func (e *RedirectError) Error() string { return e.Reason }

// IDTokenFault is what is wrong with an id_token.
type IDTokenFault string

// The faults of id_tokens.
const (
	FaultMissing   IDTokenFault = "missing"
	FaultMalformed IDTokenFault = "malformed" // no JWT, or not signed with an algorithm of portals
	FaultSignature IDTokenFault = "signature"
	FaultAudience  IDTokenFault = "audience"
	FaultNonce     IDTokenFault = "nonce"
	FaultSubject   IDTokenFault = "subject" // of another user than the login
	FaultIssuer    IDTokenFault = "issuer"  // all else of it is right, but perhaps its time
	FaultExpired   IDTokenFault = "expired" // or not valid yet; all else of it is right
)

// IDTokenError is an id_token that does not verify.
type IDTokenError struct {
	Fault  IDTokenFault
	Detail string
	Err    error // may be nil
}

func (e *IDTokenError) Error() string { return "the portal's id_token is not valid: " + e.Detail }

// Unwrap returns the cause.
func (e *IDTokenError) Unwrap() error { return e.Err }

// CredentialError is a proxy that does not verify. Its cause is often a
// *gsi.ChainError.
type CredentialError struct{ Err error }

func (e *CredentialError) Error() string { return "the portal's proxy is not valid: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *CredentialError) Unwrap() error { return e.Err }

// IdentityError is a certificate of somebody else than the user who logged in.
// Both names are in the form of RFC 2253, cleaned.
type IdentityError struct{ Claimed, Subject string }

func (e *IdentityError) Error() string {
	return "the portal says that the user is " + strconv.Quote(e.Claimed) + ", and sent a certificate of " + strconv.Quote(e.Subject)
}

// clip makes words from outside fit to be shown, see helper.CleanText.
func clip(s string) string { return helper.CleanText(s) }

func quoted(s string) string { return strconv.Quote(clip(s)) }
