package helper

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// Code is the machine-readable kind of an Error. It is an open set: callers
// that meet an unknown one go by Retryable and the exit class.
type Code string

// The codes of protocol version 1, in the order of their exit classes.
const (
	CodeInternal Code = "internal"

	CodeInvalidRequest     Code = "invalid_request"
	CodeUnsupportedVersion Code = "unsupported_version"
	CodeUnsupportedVerb    Code = "unsupported_verb"
	CodeUnsupportedFeature Code = "unsupported_feature"

	CodeNotFound        Code = "not_found"
	CodeNotConfigured   Code = "not_configured"
	CodeNoProfileForURL Code = "no_profile_for_url"

	CodeInteractionRequired Code = "interaction_required"

	CodeAuthenticationFailed Code = "authentication_failed"
	CodeAuthorizationDenied  Code = "authorization_denied"
	CodeServerRefused        Code = "server_refused"
	CodeCredentialRejected   Code = "credential_rejected"

	CodeBackendUnavailable Code = "backend_unavailable"
	CodeTimeout            Code = "timeout"
	CodeBusy               Code = "busy"
	CodeRateLimited        Code = "rate_limited"

	CodeKeyringUnavailable Code = "keyring_unavailable"
	CodeKeyringLocked      Code = "keyring_locked"
	CodeStorageError       Code = "storage_error"

	CodeInvalidCredential   Code = "invalid_credential"
	CodeUntrustedServer     Code = "untrusted_server"
	CodePolicyRefused       Code = "policy_refused"
	CodeLifetimeUnavailable Code = "lifetime_unavailable"
	CodeClockSkew           Code = "clock_skew"

	CodeCancelled Code = "cancelled"
)

// exits maps every code to the exit status of its class. The JSON is
// normative, the status is advice.
var exits = map[Code]int{
	CodeInternal:       1,
	CodeInvalidRequest: 2, CodeUnsupportedVersion: 2, CodeUnsupportedVerb: 2, CodeUnsupportedFeature: 2,
	CodeNotFound: 3, CodeNotConfigured: 3, CodeNoProfileForURL: 3,
	CodeInteractionRequired:  4,
	CodeAuthenticationFailed: 5, CodeAuthorizationDenied: 5, CodeServerRefused: 5, CodeCredentialRejected: 5,
	CodeBackendUnavailable: 6, CodeTimeout: 6, CodeBusy: 6, CodeRateLimited: 6,
	CodeKeyringUnavailable: 7, CodeKeyringLocked: 7, CodeStorageError: 7,
	CodeInvalidCredential: 8, CodeUntrustedServer: 8, CodePolicyRefused: 8, CodeLifetimeUnavailable: 8, CodeClockSkew: 8,
	CodeCancelled: 130,
}

// ExitStatus is the status a process ends with that answers with this code.
func (c Code) ExitStatus() int {
	if n, ok := exits[c]; ok {
		return n
	}
	return 1
}

// retryable says whether the same request may succeed later without anybody
// doing anything.
func (c Code) retryable() bool { return c.ExitStatus() == 6 }

// Action is what a human is needed for. Argv is made by the helper only and
// begins with its absolute path, so a caller may offer to run it.
type Action struct {
	Kind string   `json:"kind"` // "login" or "unlock_keyring"
	Argv []string `json:"argv,omitempty"`
}

// Error is the answer of a verb that failed: what happened, in one sentence,
// and what to do next.
type Error struct {
	Code       Code     `json:"code"`
	Message    string   `json:"message"`
	Hint       string   `json:"hint,omitempty"` // for people, never to be run
	Action     *Action  `json:"action,omitempty"`
	Retryable  bool     `json:"retryable"`
	RetryAfter int64    `json:"retry_after,omitempty"` // seconds
	Granted    int64    `json:"granted,omitempty"`     // seconds, of lifetime_unavailable
	Supported  []int    `json:"supported,omitempty"`   // versions, of unsupported_version
	Profile    string   `json:"profile,omitempty"`
	Backend    string   `json:"backend,omitempty"`
	Causes     []string `json:"causes,omitempty"`

	err error
}

// Errorf makes an Error. A %w operand becomes its cause for errors.Is and
// errors.As.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: oneLine(err.Error()), Retryable: code.retryable(), err: errors.Unwrap(err)}
}

// oneLine joins the lines of several errors that became one. Two stores may
// have the same to say.
func oneLine(s string) string {
	said := func(line, before string) bool { return strings.HasSuffix(before, line) }
	return strings.Join(slices.CompactFunc(strings.Split(s, "\n"), said), "; ")
}

// WithHint adds the sentence that says what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Error returns the message alone; the hint is for whoever shows it.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// AsError finds the Error in err's chain or makes an internal one: whatever
// has no code is a defect of ours.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var p *safego.PanicError
	if errors.As(err, &p) {
		return Errorf(CodeInternal, "this is a defect of x509-credential-helper: %w", p).
			WithHint("please report it")
	}
	return Errorf(CodeInternal, "unexpected: %w", err)
}

// maxServerText bounds what a server's own words may take up in an answer.
const maxServerText = 200

// CleanText makes a server's words fit to be shown: at most 200 characters,
// no control, escape or bidirectional characters, blanks folded. Terminals obey
// escape sequences, and an error text is not where a server talks to one.
func CleanText(s string) string { return clean(s, maxServerText) }

// clean is CleanText for words that may be longer: what helps stands at their
// end.
func clean(s string, most int) string {
	var b strings.Builder
	n, blank := 0, false
	for _, r := range s {
		if unicode.IsSpace(r) {
			blank = n > 0
			continue
		}
		if !unicode.IsGraphic(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs) || r == unicode.ReplacementChar {
			continue
		}
		width := 1
		if blank {
			width = 2
		}
		if n+width >= most { // one place is for the ellipsis
			b.WriteRune('…')
			break
		}
		if blank {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		n, blank = n+width, false
	}
	return b.String()
}
