package helper

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// Backend turns a specification into a certificate chain. The dispatcher owns
// keys, cache, locks, prompts, verification and policy; a backend only talks to
// its kind of server. Its errors are *Error with the code that protocol.md
// gives for what the server said.
type Backend interface {
	// Keys lists the profile keys that the backend understands beside those
	// every profile has.
	Keys() []Key

	// Target says where a profile leads, from the profile and the
	// environment alone: no network, no keyring, no file of a user's. What is
	// missing is CodeNotConfigured, what cannot work CodePolicyRefused or
	// CodeNotConfigured.
	Target(p *Profile) (*Target, error)

	// Obtain fetches a new credential. It takes its secrets from spec before
	// it connects, calls spec.CSR once the connection stands, and never tries
	// a secret twice. It honours ctx at every step.
	Obtain(ctx context.Context, spec *Spec) (*Result, error)
}

// KeyKind is the type of a profile key's value in config.toml, as an error says
// what it must be.
type KeyKind string

// The kinds of values that profile keys have.
const (
	KindString   KeyKind = "a string"
	KindStrings  KeyKind = "a string or a list of strings" // a single string is a list of one
	KindBool     KeyKind = "true or false"
	KindDuration KeyKind = `a duration like "12h" or "90m"`
	KindInts     KeyKind = "a list of integers"
	KindPath     KeyKind = "an absolute path or one that begins with ~/" // the value is always absolute
)

// Key is one key that may stand in a profile.
type Key struct {
	Name string
	Kind KeyKind
}

// Target is where a profile leads.
type Target struct {
	// Endpoint names the server or, joined by commas in the order of the
	// profile, the servers: "myproxy.example.org:7512". It is part of the
	// cache key.
	Endpoint string
	// Principal is the name by which the server knows the user.
	Principal string
	// CredentialName is the one of several credentials stored there, or "".
	CredentialName string
	// Secrets are the secrets that Obtain may ask for. The first that is not
	// Local is the one whose lock is held while it runs, and the one that
	// authentication_failed speaks of. Without one there is nothing to lock: a
	// backend that knows its user by a credential may be asked for several at
	// once, and its refusals are no authentication_failed.
	Secrets []SecretRef
	// ServerKey is set where the server makes the key pair: Spec.CSR is nil.
	ServerKey bool
}

// SecretRef names one secret of a profile.
type SecretRef struct {
	Kind    string // "passphrase", "client_secret", "refresh_token", "key_passphrase"
	Account string // of the keyring item, e.g. "pass:v1:myproxy:host%3A7512:jane"
	// Question is the prompt for people, made from configuration only, e.g.
	// `MyProxy pass phrase of "jane" at myproxy.example.org`. Empty: it
	// cannot be typed.
	Question string
	// Check refuses a value that the server could never be sent, with one
	// sentence that does not contain it. May be nil.
	Check func(secret.Secret) error
	// Local secrets open a file of this machine and are never sent: what a
	// server says has nothing to do with them. They are asked for only when
	// Obtain gets them.
	Local bool
	// Lasting secrets are typed once, and may be shown to a human only once: a
	// login does not ask for one that is kept, unless it was told to, and a
	// logout does not forget it.
	Lasting bool
}

// Spec is what a backend is asked for.
type Spec struct {
	Profile *Profile
	Target  *Target
	// Lifetime is a wish, in whole seconds, never zero. Without LifetimeAsked it
	// is nobody's: a server that has a default of its own may go by that.
	Lifetime      time.Duration
	LifetimeAsked bool
	VOMS          []voms.Request
	Limited       bool
	// Enough is how long a credential that the backend already has must live to
	// be as good as a new one; 0: only a new one will do. See Result.Held.
	Enough time.Duration
	// Least is how long it must live to be better than nothing where no server
	// answers; 0: then it is an error.
	Least time.Duration
	// CSR returns a PKCS#10 request in DER for a key that the dispatcher
	// keeps. It blocks until the key is there.
	CSR func(ctx context.Context) ([]byte, error)
	// Secrets are those that Target named.
	Secrets Secrets
	// Current returns the newest credential in the cache that this profile got
	// from the same target and that is still valid, whatever its lifetime,
	// rights and attributes, or nil. It goes to the backend alone: to prove who
	// the user is. A login, which may choose another identity, has none.
	Current func(ctx context.Context) (*gsi.Credential, error)
	// Identity is the only DN that will do, "" where none is known yet.
	Identity string
	// Sending is called once, right before the first secret goes to a server
	// that is known to be the right one. Its error ends the attempt.
	Sending func(ctx context.Context) error
	// IdentityProvider is where a login is to begin, in the server's words, ""
	// for the profile's own.
	IdentityProvider string
	// Trust is the profile's directory of trust anchors, opened at the first
	// call, and how strictly to read it.
	Trust        func() (*gsi.TrustDir, error)
	TrustOptions gsi.TrustOptions
}

// Secrets gives a backend its secrets.
type Secrets interface {
	// Get returns the secret of a kind that Target named.
	Get(ctx context.Context, kind string) (secret.Secret, error)
	// Put keeps a new value of the first of them and returns after it was read
	// back. If the keyring does not take it, and there was a Ready, it is sealed
	// in a file until the keyring does: that is a warning, not an error.
	Put(ctx context.Context, kind string, value secret.Secret) error
	// Ready makes sure, before a server is asked to replace the first secret,
	// that the new one can be kept: it keeps mark in place of the present one,
	// nil for the present one itself.
	Ready(ctx context.Context, kind string, mark secret.Secret) error
	// Reload reads the first secret once more: another host may have replaced it.
	Reload(ctx context.Context, kind string) (secret.Secret, error)
	// Long returns the credential in PEM that the last login left as
	// Result.Long; without one it is ErrNoLong.
	Long(ctx context.Context) (secret.Secret, error)
	// Hold returns a context for what must not be cut off: neither the request's
	// timeout nor a signal ends it, but 20 seconds do. Where they have come
	// already it is their error.
	Hold(ctx context.Context) (held context.Context, release func(), err error)
}

// ErrNoLong says that no long-lived credential is kept.
var ErrNoLong = errors.New("no long-lived credential is kept")

// Result is what a backend got. Nothing in it has been verified but the
// server's identity.
type Result struct {
	// Chain is the new certificate followed by its issuers.
	Chain []*x509.Certificate
	// Key is the server's, where Target.ServerKey is set, or that of a credential
	// that is Held.
	Key crypto.Signer
	// Held is set where nothing new came: the backend had a credential with the
	// rights and attributes that are wanted, which lives for Spec.Enough or, where
	// no server answered, for Spec.Least.
	Held bool
	// Server is the one that answered, for people.
	Server string
	// Session is a new value of the first secret, from a login alone. It is kept
	// after everything else has been verified; nil keeps nothing.
	Session secret.Secret
	// Long is a credential in PEM from which a backend makes others, from a login
	// alone. It is kept as Session is, sealed.
	Long secret.Secret
	// Warnings travel to the caller as they are.
	Warnings []Warning
}

// Warning is something a caller may want to know about an answer that is good.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
