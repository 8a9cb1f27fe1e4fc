package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// ErrBadAnswer is the cause of errors about a helper that does not keep to the
// protocol.
var ErrBadAnswer = errors.New("the credential helper gave no proper answer")

// GetAnswer is the answer of the verb get.
type GetAnswer struct {
	Profile    string     `json:"profile"`
	Backend    string     `json:"backend"`
	Source     string     `json:"source"`    // "cache" or "backend"
	StoredIn   string     `json:"stored_in"` // "keyring", "kernel", "runtime", "file", "none"; more may come
	Credential Credential `json:"credential"`
	Warnings   []Warning  `json:"warnings"`
}

// Credential is what was asked for.
type Credential struct {
	PEM             Secret           `json:"pem"`  // proxy, private key, issuers; or
	Path            string           `json:"path"` // a file with that
	Type            string           `json:"type"` // "rfc3820", or "eec" from an online CA
	Limited         bool             `json:"limited"`
	Subject         string           `json:"subject"`
	Identity        string           `json:"identity"` // the user's DN, OpenSSL one-line
	IdentityRFC2253 string           `json:"identity_rfc2253"`
	NotBefore       time.Time        `json:"not_before"`
	NotAfter        time.Time        `json:"not_after"`  // of the whole chain and every VOMS attribute
	ExpiresIn       int64            `json:"expires_in"` // seconds, by the helper's clock
	RefreshAfter    time.Time        `json:"refresh_after"`
	VOMS            []VOMSAttributes `json:"voms"`
	Fingerprint     string           `json:"fingerprint"` // for EraseRequest
}

// VOMSAttributes are the attributes of one VO.
type VOMSAttributes struct {
	VO       string    `json:"vo"`
	FQANs    []string  `json:"fqans"`
	NotAfter time.Time `json:"not_after"`
}

// Warning is what else there is to say.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// StoreAnswer is the answer of the verb store.
type StoreAnswer struct {
	Profile  string `json:"profile"`
	StoredIn string `json:"stored_in"`
}

// EraseAnswer is the answer of the verb erase.
type EraseAnswer struct {
	Erased struct {
		Credentials int      `json:"credentials"`
		Secrets     []string `json:"secrets"` // kinds
	} `json:"erased"`
	Warnings []Warning `json:"warnings"`
}

// ListAnswer is the answer of the verb list.
type ListAnswer struct {
	Entries  []ListEntry `json:"entries"`
	Warnings []Warning   `json:"warnings"`
}

// ListEntry is one cached credential, without its secrets.
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
	Versions []int `json:"versions"`
	Helper   struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"helper"`
	Verbs    []string `json:"verbs"`
	Features []string `json:"features"`
	Limits   struct {
		RequestBytes int `json:"request_bytes"`
	} `json:"limits"`
	Backends []struct {
		Name string `json:"name"`
	} `json:"backends"`
}

// decode takes an answer apart. It has a result or an error, and fields that
// nobody here knows are left alone.
func decode(data []byte, status int, answer any) error {
	var outer struct {
		Version int    `json:"version"`
		Error   *Error `json:"error"`
	}
	if err := json.Unmarshal(data, &outer); err != nil {
		return fmt.Errorf("%w: it is not one JSON object (%w)", ErrBadAnswer, err)
	}
	switch {
	case outer.Version != version:
		return fmt.Errorf("%w: its version is %d, not %d", ErrBadAnswer, outer.Version, version)
	case outer.Error != nil && (outer.Error.Code == "" || outer.Error.Message == ""):
		return fmt.Errorf("%w: it is an error without a code or a message", ErrBadAnswer)
	case outer.Error != nil:
		outer.Error.Status = status
		return outer.Error
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("%w: %w", ErrBadAnswer, err)
	}
	return nil
}

// check says whether the credential is there as it was asked for.
func (c *Credential) check(output string) error {
	if output == OutputPath {
		if !filepath.IsAbs(c.Path) {
			return fmt.Errorf("%w: it has no path of a file", ErrBadAnswer)
		}
		return nil
	}
	if len(c.PEM) == 0 {
		return fmt.Errorf("%w: it has no credential", ErrBadAnswer)
	}
	return nil
}
