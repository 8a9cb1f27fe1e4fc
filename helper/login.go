package helper

import (
	"context"
	"errors"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// LoginRequest is what a human asks for at a terminal.
type LoginRequest struct {
	Profile    string        // "" for the default one
	Passphrase secret.Secret // nil: it is asked for on the terminal
}

// LoginAnswer is what came of it.
type LoginAnswer struct {
	Get  *GetAnswer
	Kept string // where the pass phrase is kept now: "keyring" or ""
}

// loginTimeout bounds a login, the typing included.
const loginTimeout = 5 * time.Minute

// Login tries a pass phrase with the server, puts the proxy into the cache and,
// unless the configuration forbids it, the pass phrase into the keyring. A pass
// phrase that the server refuses replaces nothing. The identity seen is
// remembered as the profile's.
func (h *Helper) Login(ctx context.Context, r LoginRequest) (*LoginAnswer, error) {
	request := DefaultGetRequest()
	request.Profile = r.Profile
	request.Interactive = InteractiveAuto
	request.Timeout = loginTimeout
	ctx, cancel := context.WithTimeout(h.withPrompts(ctx, request), loginTimeout)
	defer cancel()
	w, err := h.newWish(request)
	if err != nil {
		return nil, h.coded(err)
	}
	a, err := h.login(ctx, w, r)
	if err != nil {
		return nil, inProfile(h.coded(err), w.profile)
	}
	return a, nil
}

func (h *Helper) login(ctx context.Context, w *wish, r LoginRequest) (*LoginAnswer, error) {
	ref := w.primary()
	if ref == nil || ref.Question == "" && r.Passphrase == nil {
		return nil, Errorf(CodeInvalidRequest, "profile %q needs no login", w.profile.Name)
	}
	w.given = &givenSecret{value: r.Passphrase, keep: h.Config.Store.Passphrases == cache.Keyring}
	if w.given.keep { // before anybody types in vain
		if _, err := h.Cache.Secret(ctx, ref.Account); err != nil && !errors.Is(err, cache.ErrNotFound) {
			return nil, h.storage(err)
		}
	}
	if w.given.value == nil {
		if !h.mayAsk(w.request) {
			return nil, Errorf(CodeInteractionRequired, "login asks for the %s on a terminal, and there is none", secretWord(ref.Kind)).
				WithHint("give it on standard input: x509-credential-helper login --passphrase-stdin")
		}
		value, err := h.readSecret(ctx, ref, Client{})
		if err != nil {
			return nil, err
		}
		w.given.value = value
	}
	w.identity = w.profile.Identity // a new login may change what was remembered
	got, err := h.fetch(ctx, w)
	if err != nil {
		return nil, err
	}
	if w.profile.Identity == "" {
		if err := h.Identities.Set(w.profile.Name, got.Credential.Identity); err != nil {
			got.Warnings = append(got.Warnings, Warning{"identity_not_remembered", CleanText(err.Error())})
		}
	}
	return &LoginAnswer{Get: got, Kept: w.given.kept}, nil
}

// Logout forgets all that is kept of a profile: credentials, secrets and the
// remembered identity.
func (h *Helper) Logout(ctx context.Context, profile string) (*EraseAnswer, error) {
	selection := Selection{Profile: profile}
	p, err := h.choose(selection)
	if err != nil {
		return nil, h.coded(err)
	}
	a, err := h.Erase(ctx, &EraseRequest{Selection: selection, What: []string{"all"}})
	if err != nil {
		return nil, err
	}
	if err := h.Identities.Forget(p.Name); err != nil {
		return nil, inProfile(h.coded(h.storage(err)), p)
	}
	return a, nil
}
