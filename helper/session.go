package helper

import (
	"context"
	"errors"
	"fmt"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// isSession says whether a secret is one that nobody can type: a server gave it,
// and replaces it when it is used.
func (r *SecretRef) isSession() bool { return r.Question == "" }

// first returns the reference of the primary secret if it is of that kind.
func (s *heldSecrets) first(kind string) (*SecretRef, error) {
	if ref := s.w.primary(); ref != nil && ref.Kind == kind && s.lock != nil {
		return ref, nil
	}
	return nil, fmt.Errorf("only the first secret of a target can be replaced, not %q", kind)
}

// Ready implements Secrets.
func (s *heldSecrets) Ready(ctx context.Context, kind string, mark secret.Secret) error {
	if _, err := s.first(kind); err != nil {
		return err
	}
	if err := s.lock.Ready(ctx, mark); err != nil {
		return s.h.storage(err)
	}
	s.ready = true
	return nil
}

// Put implements Secrets.
func (s *heldSecrets) Put(ctx context.Context, kind string, value secret.Secret) error {
	if _, err := s.first(kind); err != nil {
		return err
	}
	s.primary = value
	return s.put(ctx, value)
}

// put keeps the primary secret in the keyring or, where it was made ready, in a
// sealed file: a server may have forgotten the one before.
func (s *heldSecrets) put(ctx context.Context, value secret.Secret) error {
	err := s.lock.Put(ctx, value)
	if err == nil || !s.ready {
		return s.h.storage(err)
	}
	if failed := s.lock.Rescue(value); failed != nil {
		return s.h.storage(errors.Join(err, failed))
	}
	text, _ := told(err)
	s.warnings = append(s.warnings, Warning{"session_rescued",
		text + ": the new session is kept sealed in a file until the keyring takes it"})
	return nil
}

// Reload implements Secrets.
func (s *heldSecrets) Reload(ctx context.Context, kind string) (secret.Secret, error) {
	ref, err := s.first(kind)
	if err != nil {
		return nil, err
	}
	value, err := s.lock.Get(ctx)
	if errors.Is(err, cache.ErrNotFound) {
		return nil, s.h.missing(ref, s.w.profile)
	}
	if err != nil {
		return nil, s.h.storage(err)
	}
	s.primary = value
	return value, nil
}

// Long implements Secrets.
func (s *heldSecrets) Long(ctx context.Context) (secret.Secret, error) {
	if s.lock == nil {
		return nil, ErrNoLong
	}
	value, err := s.lock.Long(ctx)
	if errors.Is(err, cache.ErrNotFound) {
		return nil, ErrNoLong
	}
	return value, s.h.storage(err)
}

// Hold implements Secrets.
func (s *heldSecrets) Hold(ctx context.Context) (context.Context, func(), error) { return hold(ctx) }

// keepSession keeps what a login in a browser brought, once it was verified. A
// keyring that has gone since the login began leaves the user a proxy and no
// session.
func (s *heldSecrets) keepSession(ctx context.Context, res *Result) error {
	if err := s.keepOpened(ctx); err != nil {
		return err
	}
	g := s.w.given
	if !g.keep || res.Session == nil {
		return nil
	}
	err := s.keepLong(ctx, res.Long)
	if err == nil {
		err = s.put(ctx, res.Session)
	}
	switch {
	case err == nil:
		g.kept = string(cache.Keyring)
	case s.h.doesWithout(err):
		g.why = err
	default:
		return s.h.storage(err)
	}
	return nil
}

// keepLong keeps the long-lived credential of this login; that of another one is
// no good beside it.
func (s *heldSecrets) keepLong(ctx context.Context, pem secret.Secret) error {
	if pem == nil {
		return s.lock.DeleteLong(ctx)
	}
	return s.lock.PutLong(ctx, pem)
}

// Use calls f with what Obtain would get, for a command that talks to the
// server about something else than a credential: the profile's secrets are
// there, and the lock of the first is held. It never asks anybody anything.
// Spec.CSR is nil. What it returns are warnings, as an answer would have them.
func (h *Helper) Use(ctx context.Context, profile string, f func(ctx context.Context, b Backend, spec *Spec) error) ([]Warning, error) {
	request := DefaultGetRequest()
	request.Profile = profile
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	w, err := h.newWish(request)
	if err != nil {
		return nil, h.coded(err)
	}
	secrets, err := h.takeSecrets(ctx, w, func() {})
	if err != nil {
		return nil, inProfile(h.coded(err), w.profile)
	}
	defer secrets.close()
	if err := f(ctx, w.backend, h.spec(w, secrets)); err != nil {
		return secrets.warnings, inProfile(secrets.judge(ctx, err), w.profile)
	}
	return secrets.warnings, nil
}
