package helper

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// LoginRequest is what a human asks for at a terminal.
type LoginRequest struct {
	Profile    string        // "" for the default one
	Passphrase secret.Secret // nil: it is asked for on the terminal
	// IdentityProvider is where a login in a browser begins, "" for the
	// profile's own.
	IdentityProvider string
	// AskAgain asks for secrets that are kept and may be wrong.
	AskAgain bool
}

// LoginAnswer is what came of it.
type LoginAnswer struct {
	Get  *GetAnswer
	Kept string // where the pass phrase or session is kept now: "keyring" or ""
	// Browser is set where the login was one in a browser; Until is when the
	// next one is needed, zero if that is not known.
	Browser bool
	Until   time.Time
	// NoSecret is set where none was needed.
	NoSecret bool
	// Why it is not kept, where the configuration says that it should be.
	Why *Error
}

// loginTimeout bounds a login, the typing included, or the way through an
// identity provider that wants a second factor. A portal gives up after 15
// minutes (measured).
const loginTimeout = 10 * time.Minute

// afterLogin is for what comes when a human is back: who has just logged in is not
// sent away because they were slow.
const afterLogin = 2 * time.Minute

// Login tries a pass phrase with the server, puts the proxy into the cache and,
// unless the configuration forbids it, the pass phrase into the keyring. A pass
// phrase that the server refuses replaces nothing. The identity seen is
// remembered as the profile's. A profile that knows its user by a credential in
// place of a pass phrase is tried as well. Where the backend is Interactive it is
// a login in a browser: what is kept then is a session.
func (h *Helper) Login(ctx context.Context, r LoginRequest) (*LoginAnswer, error) {
	request := DefaultGetRequest()
	request.Profile = r.Profile
	request.Interactive = InteractiveAuto
	request.Timeout = loginTimeout
	ctx, cancel := context.WithTimeout(h.withPrompts(ctx, request), loginTimeout+afterLogin)
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
	ref, browser := w.primary(), h.interactive(w) != nil
	switch {
	case browser && r.Passphrase != nil:
		return nil, Errorf(CodeInvalidRequest, "profile %q has no pass phrase: the login is one in a browser", w.profile.Name)
	case browser && h.UI == nil:
		return nil, Errorf(CodeInteractionRequired, "profile %q needs a login in a browser, which cannot be had here", w.profile.Name)
	case browser:
	case r.IdentityProvider != "":
		return nil, Errorf(CodeInvalidRequest, "profile %q has no identity provider to choose: it needs no login in a browser", w.profile.Name)
	case ref == nil && r.Passphrase != nil:
		return nil, Errorf(CodeInvalidRequest, "profile %q needs no pass phrase", w.profile.Name)
	case ref != nil && ref.Question == "" && r.Passphrase == nil:
		return nil, Errorf(CodeInvalidRequest, "profile %q needs no login", w.profile.Name)
	}
	w.given = &givenSecret{value: r.Passphrase, keep: h.Config.Store.Passphrases == cache.Keyring,
		askAgain: r.AskAgain}
	if browser {
		if err := h.checkKeeping(ctx, w, ref); err != nil {
			return nil, err
		}
		if err := h.meetBrowser(ctx, w, r.IdentityProvider); err != nil {
			return nil, err
		}
	} else if ref != nil {
		if err := h.giveSecret(ctx, w, ref); err != nil {
			return nil, err
		}
	} else if err := h.storage(h.nowhere(ctx)); err != nil {
		return nil, err
	}
	w.identity = w.profile.Identity // a new login may change what was remembered
	got, err := h.fetch(ctx, w)
	if w.given.back != nil {
		w.given.back.Over(h.outcome(w, got, err))
	}
	if err != nil {
		return nil, err
	}
	if w.profile.Identity == "" {
		if err := h.Identities.Set(w.profile.Name, got.Credential.Identity); err != nil {
			text, _ := told(err)
			got.Warnings = append(got.Warnings, Warning{"identity_not_remembered", "the identity of this profile is not remembered: " + text})
		}
	}
	a := &LoginAnswer{Get: got, Kept: w.given.kept, NoSecret: ref == nil && !w.typed, Browser: browser, Until: w.given.until}
	if w.given.why != nil {
		a.Why = h.coded(w.given.why)
	}
	return a, nil
}

// interactive is the profile's backend if its users log in with a browser, or
// nil.
func (h *Helper) interactive(w *wish) Interactive {
	b, ok := w.backend.(Interactive)
	if ref := w.primary(); !ok || ref == nil || !ref.isSession() {
		return nil
	}
	return b
}

// meetBrowser waits for a human to come back from the browser. The session's lock
// is needed only to see whether one can be kept: whoever wants a proxy meanwhile
// has one of the session that is there.
func (h *Helper) meetBrowser(ctx context.Context, w *wish, idp string) error {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	secrets, err := h.takeSecrets(ctx, w, func() {})
	if err != nil {
		return err
	}
	secrets.close()
	spec := h.spec(w, secrets)
	spec.IdentityProvider = idp
	if w.given.back, err = h.interactive(w).Login(ctx, spec, h.UI); err != nil {
		return h.ended(ctx, secrets.judge(ctx, err))
	}
	return nil
}

// outcome is what a browser is told.
func (h *Helper) outcome(w *wish, got *GetAnswer, err error) (o LoginOutcome) {
	if err != nil {
		o.Error = h.coded(err)
		return o
	}
	o.Identity, o.NotAfter, o.NextLogin = got.Credential.Identity, got.Credential.NotAfter, w.given.until
	return o
}

// giveSecret asks for the pass phrase, unless the login brought it.
func (h *Helper) giveSecret(ctx context.Context, w *wish, ref *SecretRef) error {
	if err := h.checkKeeping(ctx, w, ref); err != nil { // before anybody types in vain
		return err
	}
	if w.given.value != nil {
		return nil
	}
	if !h.mayAsk(w.request) {
		return Errorf(CodeInteractionRequired, "login asks for the %s on a terminal, and there is none", secretWord(ref.Kind)).
			WithHint("give it on standard input: x509-credential-helper login --passphrase-stdin")
	}
	value, err := h.readSecret(ctx, ref, Client{})
	w.given.value = value
	return err
}

// checkKeeping looks whether the keyring will take the pass phrase. Where there
// is none, as on a login node, the proxy is still worth having, if it can be
// kept; a keyring that is locked or silent is one that somebody can mend. A
// pass phrase that will be kept is worth it even where the cache is read-only.
func (h *Helper) checkKeeping(ctx context.Context, w *wish, ref *SecretRef) error {
	if w.given.keep {
		_, err := h.Cache.Secret(ctx, ref.Account)
		switch {
		case errors.Is(err, cache.ErrUnavailable):
			w.given.keep, w.given.why = false, err
		case err != nil && !errors.Is(err, cache.ErrNotFound):
			return h.storage(err)
		}
	}
	err := h.nowhere(ctx)
	if w.given.keep && errors.Is(err, safefile.ErrReadOnly) {
		return nil
	}
	return h.storage(err)
}

// nowhere says why no store at all can take a credential. One that somebody
// else may have a hand in is not passed over.
func (h *Helper) nowhere(ctx context.Context) (why error) {
	for _, s := range h.Cache.Stores(ctx) {
		switch {
		case s.Err == nil, errors.Is(s.Err, cache.ErrLocked), errors.Is(s.Err, cache.ErrTimeout):
			return nil // a dialog may open it yet
		case errors.As(s.Err, new(*safefile.UnsafeError)):
			return s.Err
		}
		why = cmp.Or(why, s.Err)
	}
	return why
}

// Logout forgets all that is kept of a profile: credentials, secrets and the
// remembered identity. Secrets that are Lasting stay: Erase forgets them.
func (h *Helper) Logout(ctx context.Context, profile string) (*EraseAnswer, error) {
	selection := Selection{Profile: profile}
	p, err := h.choose(selection)
	if err != nil {
		return nil, h.coded(err)
	}
	a, err := h.erase(ctx, &EraseRequest{Selection: selection, What: []string{"all"}}, true)
	if err != nil {
		return nil, err
	}
	if err := h.Identities.Forget(p.Name); err != nil {
		return nil, inProfile(h.coded(h.storage(err)), p)
	}
	return a, nil
}
