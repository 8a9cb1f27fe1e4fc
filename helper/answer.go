package helper

import (
	"bytes"
	"encoding/json"
	"time"
)

// The values of an answer's source.
const (
	SourceCache   = "cache"
	SourceBackend = "backend"
)

// GetAnswer is the answer of the verb get.
type GetAnswer struct {
	Version    int        `json:"version"`
	Profile    string     `json:"profile"`
	Backend    string     `json:"backend"`
	Source     string     `json:"source"`
	StoredIn   string     `json:"stored_in"`
	Credential Credential `json:"credential"`
	Warnings   []Warning  `json:"warnings,omitempty"`
}

// Credential is what get hands out. Times are UTC in whole seconds.
type Credential struct {
	PEM             Text             `json:"pem,omitempty"`
	Path            string           `json:"path,omitempty"`
	Type            string           `json:"type"` // "rfc3820" or "eec"
	Limited         bool             `json:"limited"`
	Subject         string           `json:"subject"`
	Identity        string           `json:"identity"` // the end entity's DN, OpenSSL one-line
	IdentityRFC2253 string           `json:"identity_rfc2253"`
	NotBefore       time.Time        `json:"not_before"` // the latest of the chain
	NotAfter        time.Time        `json:"not_after"`  // the earliest of chain and VOMS attributes
	ExpiresIn       int64            `json:"expires_in"` // seconds
	RefreshAfter    time.Time        `json:"refresh_after"`
	VOMS            []VOMSAttributes `json:"voms"`
	Fingerprint     string           `json:"fingerprint"` // sha256:… of the leaf's DER
}

// Text is a secret that an answer is made to carry: it is written as it is by
// JSON and redacted by everything else.
type Text []byte

// MarshalText implements encoding.TextMarshaler.
func (t Text) MarshalText() ([]byte, error) { return t, nil }

// UnmarshalText implements encoding.TextUnmarshaler, for callers in Go.
func (t *Text) UnmarshalText(data []byte) error { *t = append((*t)[:0], data...); return nil }

// String implements fmt.Stringer.
func (Text) String() string { return "[redacted]" }

// GoString implements fmt.GoStringer.
func (Text) GoString() string { return "[redacted]" }

// VOMSAttributes are the attributes of one VO.
type VOMSAttributes struct {
	VO       string    `json:"vo"`
	FQANs    []string  `json:"fqans"`
	NotAfter time.Time `json:"not_after"`
}

// StoreAnswer is the answer of the verb store.
type StoreAnswer struct {
	Version  int    `json:"version"`
	Profile  string `json:"profile"`
	StoredIn string `json:"stored_in"`
}

// EraseAnswer is the answer of the verb erase.
type EraseAnswer struct {
	Version  int       `json:"version"`
	Erased   Erased    `json:"erased"`
	Warnings []Warning `json:"warnings,omitempty"`
	// Kept are the kinds of secrets that Logout has left, and that were there.
	Kept []string `json:"-"`
}

// Erased counts what was there and is gone.
type Erased struct {
	Credentials int      `json:"credentials"`
	Secrets     []string `json:"secrets"`              // kinds; of "erase --all" one for each secret of a profile
	Identities  int      `json:"identities,omitempty"` // of "erase --all" only
}

// ListAnswer is the answer of the verb list.
type ListAnswer struct {
	Version int         `json:"version"`
	Entries []ListEntry `json:"entries"`
	// Warnings has the code of what kept a store from being looked into.
	Warnings []Warning `json:"warnings,omitempty"`
}

// ListEntry is one cached credential without its secrets.
type ListEntry struct {
	Profile     string    `json:"profile"`
	Backend     string    `json:"backend"`
	Identity    string    `json:"identity"`
	Limited     bool      `json:"limited"`
	VOMS        []string  `json:"voms"`
	NotAfter    time.Time `json:"not_after"`
	ExpiresIn   int64     `json:"expires_in"`
	StoredIn    string    `json:"stored_in"`
	Fingerprint string    `json:"fingerprint"`
}

// CapabilitiesAnswer is the answer of the verb capabilities.
type CapabilitiesAnswer struct {
	Version  int           `json:"version"`
	Versions []int         `json:"versions"`
	Helper   HelperInfo    `json:"helper"`
	Verbs    []string      `json:"verbs"`
	Features []string      `json:"features"`
	Limits   Limits        `json:"limits"`
	Backends []BackendInfo `json:"backends"`
}

// HelperInfo names this program.
type HelperInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Limits are the bounds a caller should know.
type Limits struct {
	RequestBytes int `json:"request_bytes"`
}

// BackendInfo names one backend.
type BackendInfo struct {
	Name string `json:"name"`
}

type errorAnswer struct {
	Version int    `json:"version"`
	Error   *Error `json:"error"`
}

// encode makes the one object and newline of an answer.
func encode(answer any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(answer); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// EncodeError makes the answer of a verb that failed.
func EncodeError(e *Error) []byte {
	data, err := encode(errorAnswer{Version: Version, Error: e})
	if err != nil { // strings and numbers always encode
		return []byte(`{"version":1,"error":{"code":"internal","message":"the error cannot be encoded","retryable":false}}` + "\n")
	}
	return data
}

// whole is a time as an answer shows it.
func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
