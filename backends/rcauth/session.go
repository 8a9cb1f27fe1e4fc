package rcauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// session is what a login leaves, as one item of the keyring. It is JSON, or the
// bare refresh token if somebody has put one there.
type session struct {
	V int `json:"v"`
	// RefreshToken is "" where the portal gives none.
	RefreshToken string    `json:"refresh_token,omitempty"`
	RefreshEnds  time.Time `json:"refresh_ends,omitzero"`
	// ProxyEnds is the end of the long-lived proxy: the portal's own, or ours
	// where there is no refresh token.
	ProxyEnds time.Time `json:"proxy_ends,omitzero"`
	LoginAt   time.Time `json:"login_at,omitzero"`
	// Nonce and Subject are those of the login: refreshes repeat them.
	Nonce   string `json:"nonce,omitempty"`
	Subject string `json:"sub,omitempty"`

	// Began is when a refresh began whose new token has not been kept yet, and
	// Broken what was heard of it. The portal kills the old token before it
	// answers: if the next refresh is refused, this is why.
	Began  time.Time `json:"began,omitzero"`
	Broken string    `json:"broken,omitempty"`
	// Lost is why the session is gone for good, LostAt when that was found out.
	Lost   string    `json:"lost,omitempty"`
	LostAt time.Time `json:"lost_at,omitzero"`
	// LoginAsked is when the portal last wanted a login.
	LoginAsked time.Time `json:"login_asked,omitzero"`
}

// The values of Broken; "" is a process that ended in the middle.
const (
	brokenUnheard = "unheard" // the answer did not arrive
	brokenAnswer  = "answer"  // it could not be used
)

var errBadSession = errors.New("the keyring's session of this profile cannot be read")

// parseSession reads what is kept.
func parseSession(kept secret.Secret) (*session, error) {
	if !bytes.HasPrefix(kept, []byte("{")) {
		if !goodToken(string(kept)) {
			return nil, errBadSession
		}
		return &session{V: 1, RefreshToken: string(kept)}, nil
	}
	var s session
	if json.Unmarshal(kept, &s) != nil || s.V != 1 || s.RefreshToken != "" && !goodToken(s.RefreshToken) {
		return nil, errBadSession
	}
	return &s, nil
}

// checkSession is what somebody may put into the keyring by hand.
func checkSession(value secret.Secret) error {
	_, err := parseSession(value)
	if err != nil {
		return errors.New("it is no refresh token")
	}
	return nil
}

func (s *session) encode() (secret.Secret, error) { return json.Marshal(s) }

// until is when a human is needed again, zero if nobody knows.
func (s *session) until() time.Time {
	if s.Lost != "" {
		return s.LostAt
	}
	end := s.RefreshEnds
	if end.IsZero() || !s.ProxyEnds.IsZero() && s.ProxyEnds.Before(end) {
		end = s.ProxyEnds
	}
	return end
}
