package helper

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
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
	Stores   []StoreStatus   `json:"stores"`
	// Incomplete is why profiles may have more than is shown: a store that
	// could not be looked into.
	Incomplete *Error `json:"incomplete,omitempty"`
}

// StoreStatus is a store that the configuration has use for, in the order in
// which they are tried.
type StoreStatus struct {
	Store  string `json:"store"`
	Usable bool   `json:"usable"`
	Reason string `json:"reason,omitempty"` // why not
	Hint   string `json:"hint,omitempty"`
}

// ProfileStatus is the state of one profile's credential, one for each
// different wish that is in the cache. Those that have expired are shown where
// nothing else is.
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
	// NextLogin is when a session ends, so that a human is needed.
	NextLogin *time.Time `json:"next_login,omitempty"`
}

// Status describes all profiles. A profile that cannot be used, and a keyring
// that does not answer, are part of the answer. Nothing is fetched.
func (h *Helper) Status(ctx context.Context) (*StatusAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	if h.Config.err != nil {
		return nil, h.Config.err
	}
	a := &StatusAnswer{Version: Version, Profiles: []ProfileStatus{}, Stores: []StoreStatus{}}
	entries, err := h.Cache.ListAll(ctx)
	if err != nil {
		a.Incomplete = h.coded(h.storage(err))
	}
	l := &looked{entries: entries, incomplete: a.Incomplete}
	for _, s := range h.Cache.Stores(ctx) {
		a.Stores = append(a.Stores, storeStatus(s.Store, s.Err))
		if s.Store == cache.Keyring && errors.As(s.Err, new(*cache.Error)) { // not its directory
			l.keyring = s.Err
		}
	}
	for _, p := range h.Config.Profiles() {
		a.Profiles = append(a.Profiles, h.profileStatus(ctx, p, l)...)
	}
	inStores := func(s StoreStatus) bool { return s.Store == string(cache.Keyring) }
	if l.keyring != nil && !slices.ContainsFunc(a.Stores, inStores) { // wanted for pass phrases
		a.Stores = append(a.Stores, storeStatus(cache.Keyring, l.keyring))
	}
	return a, nil
}

func storeStatus(store cache.Store, err error) StoreStatus {
	s := StoreStatus{Store: string(store), Usable: err == nil}
	if err == nil {
		return s
	}
	s.Reason, s.Hint = told(err)
	if errors.Is(err, cache.ErrUnavailable) { // nobody has to mend what a machine does without
		s.Hint = ""
	}
	return s
}

// looked is what was found in the stores.
type looked struct {
	entries    []*cache.Entry
	incomplete *Error
	keyring    error // why the keyring cannot be used; it is not asked again
}

func (h *Helper) profileStatus(ctx context.Context, p *Profile, l *looked) []ProfileStatus {
	s := ProfileStatus{
		Profile: p.Name, Backend: p.Backend, Default: p.Name == h.Config.DefaultProfile,
		State: StateNone, VOMS: append([]string{}, p.VOMS...), Limited: p.Limited, Passphrase: "unknown",
	}
	fail := func(err *Error) []ProfileStatus {
		s.State, s.Error = StateError, err
		return []ProfileStatus{s}
	}
	if p.err != nil {
		return fail(p.err)
	}
	target, err := h.Backends[p.Backend].Target(p)
	if err != nil {
		return fail(h.coded(err))
	}
	s.Server = target.Endpoint
	kept := h.keptSecret(ctx, target, &s, l)
	defer kept.Wipe()
	s.NextLogin = h.nextLogin(p, kept)
	var list []ProfileStatus
	for _, e := range l.entries {
		if e.Binding.Profile == p.Name && e.Binding.Endpoint == target.Endpoint && e.Binding.Principal == target.Principal {
			list = append(list, h.entryStatus(s, e))
		}
	}
	expired := func(s ProfileStatus) bool { return s.State == StateExpired }
	if alive := slices.DeleteFunc(slices.Clone(list), expired); len(alive) > 0 {
		return alive
	}
	switch {
	case l.incomplete != nil:
		return fail(l.incomplete) // there may be one that lives
	case list != nil:
		return list
	}
	return []ProfileStatus{s}
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

// keptSecret says where the primary secret is kept, and returns it.
func (h *Helper) keptSecret(ctx context.Context, target *Target, s *ProfileStatus, l *looked) secret.Secret {
	ref := target.primary()
	if h.Config.Store.Passphrases == cache.None || ref == nil {
		s.Passphrase = string(cache.None)
		return nil
	}
	if l.keyring != nil {
		return nil // unknown
	}
	value, err := h.Cache.Secret(ctx, ref.Account)
	switch {
	case err == nil:
		s.Passphrase = string(cache.Keyring)
	case errors.Is(err, cache.ErrNotFound):
		s.Passphrase = string(cache.None)
	default:
		l.keyring = err
	}
	return value
}

// nextLogin is when the session of a profile ends, nil where it has none or
// nobody knows.
func (h *Helper) nextLogin(p *Profile, kept secret.Secret) *time.Time {
	b, ok := h.Backends[p.Backend].(Session)
	if !ok || kept == nil {
		return nil
	}
	until, err := b.Until(p, kept)
	if err != nil || until.IsZero() {
		return nil
	}
	until = whole(until)
	return &until
}
