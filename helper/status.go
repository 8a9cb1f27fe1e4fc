package helper

import (
	"context"
	"errors"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
)

// The states of a profile.
const (
	StateValid   = "valid"
	StateExpired = "expired"
	StateNone    = "none"
	StateError   = "error"
)

// StatusAnswer is what status tells people and, as JSON, programs.
type StatusAnswer struct {
	Version  int             `json:"version"`
	Profiles []ProfileStatus `json:"profiles"`
}

// ProfileStatus is the state of one profile's credential, one for each
// different wish that is in the cache.
type ProfileStatus struct {
	Profile    string     `json:"profile"`
	Backend    string     `json:"backend"`
	Server     string     `json:"server,omitempty"`
	Default    bool       `json:"default"`
	State      string     `json:"state"`
	Identity   string     `json:"identity,omitempty"`
	VOMS       []string   `json:"voms"`
	Limited    bool       `json:"limited"`
	NotAfter   *time.Time `json:"not_after,omitempty"`
	ExpiresIn  int64      `json:"expires_in"` // seconds
	Lifetime   int64      `json:"lifetime"`   // seconds, when it was new
	StoredIn   string     `json:"stored_in,omitempty"`
	Passphrase string     `json:"passphrase"` // "keyring", "none", "unknown"
	Error      *Error     `json:"error,omitempty"`
}

// Status describes all profiles. A profile that cannot be used, and a keyring
// that does not answer, are part of the answer. Nothing is fetched.
func (h *Helper) Status(ctx context.Context) (*StatusAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	if h.Config.err != nil {
		return nil, h.Config.err
	}
	a := &StatusAnswer{Version: Version, Profiles: []ProfileStatus{}}
	entries, listErr := h.Cache.List(ctx)
	for _, p := range h.Config.Profiles() {
		a.Profiles = append(a.Profiles, h.profileStatus(ctx, p, entries, listErr)...)
	}
	return a, nil
}

func (h *Helper) profileStatus(ctx context.Context, p *Profile, entries []*cache.Entry, listErr error) []ProfileStatus {
	s := ProfileStatus{
		Profile: p.Name, Backend: p.Backend, Default: p.Name == h.Config.DefaultProfile,
		State: StateNone, VOMS: append([]string{}, p.VOMS...), Limited: p.Limited, Passphrase: "unknown",
	}
	fail := func(err error) []ProfileStatus {
		s.State, s.Error = StateError, h.coded(err)
		return []ProfileStatus{s}
	}
	if p.err != nil {
		return fail(p.err)
	}
	target, err := h.Backends[p.Backend].Target(p)
	if err != nil {
		return fail(err)
	}
	s.Server = target.Endpoint
	if listErr != nil {
		return fail(h.storage(listErr))
	}
	s.Passphrase = h.passphraseStatus(ctx, target)
	var list []ProfileStatus
	for _, e := range entries {
		if e.Binding.Profile == p.Name && e.Binding.Endpoint == target.Endpoint && e.Binding.Principal == target.Principal {
			list = append(list, h.entryStatus(s, e))
		}
	}
	if list == nil {
		list = []ProfileStatus{s}
	}
	return list
}

func (h *Helper) entryStatus(s ProfileStatus, e *cache.Entry) ProfileStatus {
	left := e.NotAfter.Sub(h.Clock())
	s.State = StateValid
	if left <= 0 {
		s.State = StateExpired
	}
	end := whole(e.NotAfter)
	s.NotAfter = &end
	s.ExpiresIn = int64(left / time.Second)
	s.Lifetime = int64(e.Granted / time.Second)
	s.Identity, s.StoredIn = e.Identity, string(e.StoredIn)
	s.VOMS = append([]string{}, e.Binding.VOMS...)
	s.Limited = e.Binding.Limited
	return s
}

func (h *Helper) passphraseStatus(ctx context.Context, target *Target) string {
	if h.Config.Store.Passphrases == cache.None || len(target.Secrets) == 0 {
		return string(cache.None)
	}
	_, err := h.Cache.Secret(ctx, target.Secrets[0].Account)
	switch {
	case err == nil:
		return string(cache.Keyring)
	case errors.Is(err, cache.ErrNotFound):
		return string(cache.None)
	}
	return "unknown"
}
