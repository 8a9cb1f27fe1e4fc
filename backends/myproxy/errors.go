package myproxy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// Kind says why a server refused.
type Kind string

// The kinds of refusals.
const (
	// KindAuthentication: wrong or no pass phrase, or an unknown user.
	KindAuthentication Kind = "authentication"
	// KindNotFound: the user has no credential of that name.
	KindNotFound Kind = "not_found"
	// KindDenied: a policy of the server or of the credential, or a lock.
	KindDenied Kind = "denied"
	// KindRefused: everything else.
	KindRefused Kind = "refused"
)

// ErrClearText is in the chain of a ServerError whose text did not come
// through TLS: nothing proves that it is the server's.
var ErrClearText = errors.New("the server answered outside TLS")

// ErrCredentialsExist: Store with NoOverwrite found credentials of the same
// user and name. Nothing was sent.
var ErrCredentialsExist = errors.New("credentials are already stored for this user and name: destroy them first, or overwrite them")

// ErrNoIdentity: the command is for the owner of the credential alone, and
// Client.Identity is nil. No connection was made.
var ErrNoIdentity = errors.New("no client certificate")

// Stage says how far a conversation had come when the server refused.
type Stage string

// The stages.
const (
	StageRequest    Stage = "request"    // in place of the first OK
	StageDelegation Stage = "delegation" // in place of what it owed after that: certificates, a certificate request
	StageFinal      Stage = "final"      // after all of the client's data
)

// ServerError is a refusal in the server's own words.
type ServerError struct {
	Server string
	Kind   Kind
	Stage  Stage
	Texts  []string // as they came, one per line
	// ClearText is set where the texts came outside TLS. A GSI server does
	// that when setting up the context fails after the handshake.
	ClearText bool
}

// Error returns the server's words, cleaned of what a terminal would obey.
func (e *ServerError) Error() string {
	words := e.Words()
	if words == "" {
		words = "no reason given"
	}
	if e.ClearText {
		return fmt.Sprintf("%s refused the connection outside TLS: %s", e.Server, words)
	}
	return fmt.Sprintf("%s refused: %s", e.Server, words)
}

// Words is what the server said, in one line that is safe to show.
func (e *ServerError) Words() string { return helper.CleanText(strings.Join(e.Texts, "; ")) }

// Says reports whether the server said this, however much else: Words is cut.
func (e *ServerError) Says(text string) bool {
	return strings.Contains(strings.Join(e.Texts, "\n"), text)
}

// Unwrap returns ErrClearText where that is what happened.
func (e *ServerError) Unwrap() error {
	if e.ClearText {
		return ErrClearText
	}
	return nil
}

// RequestError is a request that cannot be sent. It never contains the value.
type RequestError struct {
	Field  string // "pass phrase", "user name", …
	Reason string
	Err    error // for errors.Is; Reason says it. May be nil.
}

func (e *RequestError) Error() string { return "the " + e.Field + " " + e.Reason }

// Unwrap returns the cause.
func (e *RequestError) Unwrap() error { return e.Err }

// HostError is one server from which not a single byte came.
type HostError struct {
	Host string // host:port
	Err  error
}

func (e *HostError) Error() string { return fmt.Sprintf("%s did not answer: %v", e.Host, e.Err) }

// Unwrap returns the cause.
func (e *HostError) Unwrap() error { return e.Err }

// DialError says that none of the servers answered. Nothing was sent but the
// beginning of a TLS handshake.
type DialError struct{ Hosts []*HostError }

func (e *DialError) Error() string {
	if len(e.Hosts) == 1 {
		return e.Hosts[0].Error()
	}
	names := make([]string, len(e.Hosts))
	for i, h := range e.Hosts {
		names[i] = h.Host
	}
	return "none of the servers answered: " + strings.Join(names, ", ")
}

// Unwrap returns the error of every server.
func (e *DialError) Unwrap() []error {
	errs := make([]error, len(e.Hosts))
	for i, h := range e.Hosts {
		errs[i] = h
	}
	return errs
}

// FailoverError is the error of a server that answered after others had not.
type FailoverError struct {
	Err     error
	Earlier []*HostError
}

func (e *FailoverError) Error() string { return e.Err.Error() }

// Unwrap returns the error of the server that answered.
func (e *FailoverError) Unwrap() error { return e.Err }

// AnonymousError is the error of an anonymous retry, see
// LogonRequest.AnonymousRetry.
type AnonymousError struct {
	Err     error
	Refused error // why the client's certificate was
}

func (e *AnonymousError) Error() string {
	return fmt.Sprintf("%v (asked without a client certificate, because %v)", e.Err, e.Refused)
}

// Unwrap returns the error of the retry.
func (e *AnonymousError) Unwrap() error { return e.Err }

// TimeoutError is a server that was too slow at one step.
type TimeoutError struct {
	Server, Doing string
	Err           error
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s took too long (%s)", e.Server, e.Doing)
}

// Timeout implements net.Error's method of that name.
func (e *TimeoutError) Timeout() bool { return true }

// Unwrap returns the cause.
func (e *TimeoutError) Unwrap() error { return e.Err }

// LostError is a connection that ended in the middle of the conversation.
type LostError struct {
	Server, Doing string
	Err           error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s ended the connection (%s): %v", e.Server, e.Doing, e.Err)
}

// Unwrap returns the cause.
func (e *LostError) Unwrap() error { return e.Err }

// AlertError is a TLS alert of the server: it wants another version of TLS, or
// does not like the client's certificate.
type AlertError struct {
	Server string
	Err    error
	early  bool // it came before the request was sent
}

func (e *AlertError) Error() string {
	if about, ok := identityAlert(e.Err); ok {
		return fmt.Sprintf("%s refuses the client's certificate: %s", e.Server, about)
	}
	return fmt.Sprintf("%s broke off TLS: %v", e.Server, e.Err)
}

// Unwrap returns the cause.
func (e *AlertError) Unwrap() error { return e.Err }

// ProtocolError is a server that does not follow the protocol.
type ProtocolError struct {
	Server, Reason string
	Err            error
}

func (e *ProtocolError) Error() string { return describe(e.Server, e.Reason, e.Err) }

// Unwrap returns the cause.
func (e *ProtocolError) Unwrap() error { return e.Err }

// CertificateError is a server that sent something else than the certificates
// it owed.
type CertificateError struct {
	Server, Reason string
	Err            error
}

func (e *CertificateError) Error() string { return describe(e.Server, e.Reason, e.Err) }

// Unwrap returns the cause.
func (e *CertificateError) Unwrap() error { return e.Err }

// TrustError is a server whose identity could not be verified. Its cause is a
// *gsi.TrustError, a *gsi.NameError, or the failure to read the server's
// certificate at all.
type TrustError struct {
	Server string
	Err    error
}

func (e *TrustError) Error() string {
	return fmt.Sprintf("%s cannot be trusted: %v", e.Server, e.Err)
}

// Unwrap returns the cause.
func (e *TrustError) Unwrap() error { return e.Err }

func describe(server, reason string, err error) string {
	if err != nil {
		return fmt.Sprintf("%s %s: %v", server, reason, err)
	}
	return server + " " + reason
}
