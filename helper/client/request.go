package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// version is the version of the protocol.
const version = 1

// The values of the fields of a GetRequest that have a fixed set of them. The
// first of each is the default.
const (
	CachePrefer = "prefer"
	CacheOnly   = "only"
	CacheBypass = "bypass"

	OutputPEM  = "pem"
	OutputPath = "path"

	InteractiveNever = "never"
	InteractiveAuto  = "auto"
)

// Expiring as a MinLifetime takes a credential that is valid now, for however
// short a time.
const Expiring time.Duration = -1

// GetRequest asks for a credential. Every field may be left out.
type GetRequest struct {
	Profile string // a profile of the helper's configuration
	URL     string // what the credential is for; finds the profile

	MinLifetime time.Duration // the credential must live so long; 0: five minutes. See Expiring
	Lifetime    time.Duration // a wish for a new one; 0: the profile's
	VOMS        []string      // "vo" or "vo:/vo/group/Role=x"; nil: the profile's, empty: none
	Limited     *bool         // nil: the profile's
	Cache       string
	Output      string
	Interactive string        // "auto" lets the helper ask on the terminal
	Timeout     time.Duration // for the whole call; 0: 30 s, five minutes with "auto"

	// Optional names the fields that an older helper may ignore. It refuses those
	// that it does not know.
	Optional []string
}

// StoreRequest keeps a secret of a profile.
type StoreRequest struct {
	Profile, URL string
	Kind         string // "passphrase", "client_secret", "refresh_token" or "key_passphrase"
	Value        Secret
}

// EraseRequest forgets what belongs to a profile.
type EraseRequest struct {
	Profile, URL string
	What         []string // "credential", the default; a kind of secret; "all"
	Fingerprint  string   // only this credential
	Rejected     bool     // a server refused the credential of that fingerprint
}

// Secret is a private key or a pass phrase: bytes that do not show when they are
// printed, logged or marshalled.
type Secret []byte

// Format implements fmt.Formatter, for every verb.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, secret.Redacted) }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error { *s = bytes.Clone(text); return nil }

// wire is a request as it is sent, of any verb.
type wire struct {
	Version     int        `json:"version"`
	Client      *asker     `json:"client,omitempty"`
	Profile     string     `json:"profile,omitempty"`
	URL         string     `json:"url,omitempty"`
	MinLifetime *int64     `json:"min_lifetime,omitempty"`
	Lifetime    int64      `json:"lifetime,omitempty"`
	VOMS        []string   `json:"voms,omitzero"`
	Limited     *bool      `json:"limited,omitempty"`
	Cache       string     `json:"cache,omitempty"`
	Output      string     `json:"output,omitempty"`
	Interactive string     `json:"interactive,omitempty"`
	Timeout     int64      `json:"timeout,omitempty"`
	Optional    []string   `json:"optional,omitempty"`
	Secret      *plaintext `json:"secret,omitempty"`
	What        []string   `json:"what,omitempty"`
	Fingerprint string     `json:"fingerprint,omitempty"`
	Reason      string     `json:"reason,omitempty"`
}

type asker struct {
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
}

type plaintext struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

func (r GetRequest) wire() *wire {
	w := &wire{
		Profile: r.Profile, URL: r.URL, Lifetime: seconds(r.Lifetime), VOMS: r.VOMS, Limited: r.Limited,
		Cache: r.Cache, Output: r.Output, Interactive: r.Interactive, Timeout: seconds(r.Timeout), Optional: r.Optional,
	}
	if r.MinLifetime != 0 {
		least := max(0, seconds(r.MinLifetime))
		w.MinLifetime = &least
	}
	return w
}

// wire refuses what JSON cannot carry unchanged: encoding/json would put U+FFFD
// in the place of a byte, and another pass phrase would be kept.
func (r StoreRequest) wire() (*wire, error) {
	if !utf8.Valid(r.Value) {
		return nil, errors.New("the secret is not valid UTF-8, so the helper cannot keep it; change it")
	}
	return &wire{Profile: r.Profile, URL: r.URL, Secret: &plaintext{r.Kind, string(r.Value)}}, nil
}

func (r EraseRequest) wire() *wire {
	w := &wire{Profile: r.Profile, URL: r.URL, What: r.What, Fingerprint: r.Fingerprint}
	if r.Rejected {
		w.Reason = "rejected"
	}
	return w
}

func encode(w *wire) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(w)
	return b.Bytes(), err
}

// seconds counts those begun: who asks for 90.5 s does not want 90.
func seconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	if d > 0 && d%time.Second > 0 {
		n++
	}
	return n
}

// shorter is the time for a call where only left is left: the request's own, or
// whole seconds that leave the helper half a second to answer before the end.
func shorter(r GetRequest, left time.Duration) time.Duration {
	own := r.Timeout
	switch {
	case own == 0 && r.Interactive == InteractiveAuto:
		own = 5 * time.Minute
	case own == 0:
		own = 30 * time.Second
	}
	if left -= time.Second / 2; left >= own {
		return r.Timeout
	}
	return max(left.Truncate(time.Second), time.Second)
}
