package client

// Code is what kind an Error is. It is an error itself, for errors.Is. The set
// is open: for one that is not listed here go by Retryable and Status.
type Code string

// The codes of version 1.
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

// Error implements error.
func (c Code) Error() string { return string(c) }

// Error is the answer of a helper that says no.
type Error struct {
	Code       Code     `json:"code"`
	Message    string   `json:"message"` // one sentence for people
	Hint       string   `json:"hint"`    // what they can do; never to be run
	Action     *Action  `json:"action"`
	Retryable  bool     `json:"retryable"`   // the same request may succeed later
	RetryAfter int64    `json:"retry_after"` // seconds
	Granted    int64    `json:"granted"`     // seconds, of CodeLifetimeUnavailable
	Supported  []int    `json:"supported"`   // versions, of CodeUnsupportedVersion
	Profile    string   `json:"profile"`
	Backend    string   `json:"backend"`
	Causes     []string `json:"causes"`

	Status int `json:"-"` // the helper's exit status: the class of a code that is not known
}

// Action is what a human is needed for. A program may offer to run Argv, which
// begins with an absolute path; it may not just run it.
type Action struct {
	Kind string   `json:"kind"` // "login" or "unlock_keyring"; more may come
	Argv []string `json:"argv"`
}

// Error returns the sentence and what to do about it.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// Is makes errors.Is(err, CodeNotFound) true for an answer of that code.
func (e *Error) Is(target error) bool { return target == e.Code }
