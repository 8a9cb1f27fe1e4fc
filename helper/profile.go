package helper

import (
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// Profile is one way to get one kind of proxy: backend, server, user, VO.
type Profile struct {
	Name    string
	Backend string

	Lifetime time.Duration // wish for a new credential; default 12 h
	// MinLifetime is the hard threshold of requests that name none; 0: what is
	// usual. Renew is the soft one.
	MinLifetime time.Duration
	Renew       RenewWindow
	VOMS        []string // as written: "vo" or "vo:/vo/group/Role=x"
	VOMSES      []string // lines of five quoted fields, as in a vomses file
	Limited     bool
	Match       []*Pattern
	Key         gsi.KeyType // default rsa2048
	Identity    string      // the one DN this profile may have, or ""

	CADir        string
	VOMSDir      string // for tools; nothing here looks into it
	VerifyIssuer bool   // an anchor must be present for what the backend returns
	Trust        gsi.TrustOptions

	// Settings are the backend's own keys, of the kinds that its Keys gave.
	Settings Settings

	asksLifetime bool // Lifetime is the profile's own

	file string // where it was configured, for error texts
	err  *Error // why it cannot be used
}

// IdentityHint says how another identity becomes the one of the profile. A login
// changes only what a login has remembered.
func (p *Profile) IdentityHint() string {
	if p.Identity != "" {
		return "if that is right, change \"identity\" of the profile in the configuration"
	}
	return "if that is right, run: x509-credential-helper login " + p.Name
}

// Settings are the values of a backend's own profile keys. A key that the
// profile leaves out has the zero value.
type Settings map[string]any

// String returns the value of a KindString or KindPath key.
func (s Settings) String(key string) string { v, _ := s[key].(string); return v }

// Strings returns the value of a KindStrings key.
func (s Settings) Strings(key string) []string { v, _ := s[key].([]string); return v }

// Bool returns the value of a KindBool key.
func (s Settings) Bool(key string) bool { v, _ := s[key].(bool); return v }

// Duration returns the value of a KindDuration key.
func (s Settings) Duration(key string) time.Duration { v, _ := s[key].(time.Duration); return v }

// Ints returns the value of a KindInts key.
func (s Settings) Ints(key string) []int { v, _ := s[key].([]int); return v }
