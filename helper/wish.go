package helper

import (
	"context"
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// wish is a get request after the profile has filled what it left out.
type wish struct {
	request *GetRequest
	profile *Profile
	backend Backend
	target  *Target
	binding cache.Binding

	voms     []voms.Request
	limited  bool
	lifetime time.Duration // to be asked for, if a new one is fetched
	asked    bool          // by the request or the profile
	identity string        // the only one that will do, or ""
	started  cache.Instant // of this call: shared failures and fetches are later

	given *givenSecret // of login: the pass phrase to try
	typed bool         // the secret came from a human, for this call alone

	left  time.Duration // of the one that is to be replaced, while it is still good
	short time.Duration // of one in the cache that will not do, because of this alone
}

// givenSecret is a pass phrase that did not come from the keyring.
type givenSecret struct {
	value secret.Secret
	keep  bool   // in the keyring, once it worked
	kept  string // where it was kept
	why   error  // why not, though it should have been

	askAgain bool // also for secrets that last
	opened   []openedSecret
	back     Return    // from a login in a browser
	until    time.Time // when the session of a login in a browser ends
}

// clockSlack is added to the lifetime that is asked for: a credential is some
// seconds old before its caller has it, and the caller's next check must not
// find it short.
const clockSlack = 300 * time.Second

// newWish resolves a request.
func (h *Helper) newWish(r *GetRequest) (*wish, error) {
	p, err := h.choose(r.Selection)
	if err != nil {
		return nil, err
	}
	if r.MinLifetime < 0 {
		filled := *r
		filled.MinLifetime = h.usualMinimum(p)
		r = &filled
	}
	w := &wish{request: r, profile: p, backend: h.Backends[p.Backend], limited: p.Limited}
	if w.target, err = w.backend.Target(p); err != nil {
		return nil, inProfile(err, p)
	}
	if err := w.setVOMS(); err != nil {
		return nil, inProfile(err, p)
	}
	if r.Limited != nil {
		if p.Limited && !*r.Limited {
			return nil, inProfile(Errorf(CodePolicyRefused, "profile %q gives limited proxies only", p.Name), p)
		}
		w.limited = *r.Limited
	}
	w.lifetime = r.Lifetime
	if w.lifetime == 0 {
		w.lifetime = p.Lifetime
	}
	w.lifetime = max(w.lifetime, r.MinLifetime+clockSlack)
	w.asked = r.Lifetime != 0 || p.asksLifetime || r.MinLifetime > batchMinimum
	w.identity = p.Identity
	if w.identity == "" {
		if w.identity, err = h.Identities.Get(p.Name); err != nil {
			e := h.coded(h.storage(err))
			return nil, inProfile(e.WithHint("set HOME or XDG_STATE_HOME to a directory of yours, or \"identity\" in the profile"), p)
		}
	}
	w.binding = w.makeBinding()
	w.started = h.Cache.Now()
	return w, nil
}

func (w *wish) setVOMS() error {
	list := w.request.VOMS
	if list == nil {
		list = w.profile.VOMS
	}
	for _, s := range list {
		v, err := voms.ParseRequest(s)
		if err != nil {
			return Errorf(CodeInvalidRequest, "the VOMS attribute %s is not valid: %w", quoteName(s), err)
		}
		w.voms = append(w.voms, v)
	}
	return nil
}

func (w *wish) makeBinding() cache.Binding {
	b := cache.Binding{
		Profile:        w.profile.Name,
		Backend:        w.profile.Backend,
		Endpoint:       w.target.Endpoint,
		Principal:      w.target.Principal,
		CredentialName: w.target.CredentialName,
		Limited:        w.limited,
		Key:            string(w.profile.Key),
	}
	for _, v := range w.voms {
		b.VOMS = append(b.VOMS, v.String())
	}
	return b
}

// primary is the secret that a refusal speaks of, or nil.
func (w *wish) primary() *SecretRef { return w.target.primary() }

func (t *Target) primary() *SecretRef {
	i := slices.IndexFunc(t.Secrets, func(r SecretRef) bool { return !r.Local })
	if i < 0 {
		return nil
	}
	return &t.Secrets[i]
}

// mayAsk says whether a human may be asked now.
func (h *Helper) mayAsk(r *GetRequest) bool {
	return r.Interactive == InteractiveAuto && h.Terminal != nil && h.Terminal.Foreground()
}

// withPrompts allows keyring dialogs where the request allows questions.
func (h *Helper) withPrompts(ctx context.Context, r *GetRequest) context.Context {
	if h.mayAsk(r) {
		return cache.AllowPrompt(ctx)
	}
	return ctx
}

// inProfile says which profile an error is about.
func inProfile(err error, p *Profile) error {
	if err == nil {
		return nil
	}
	e := AsError(err)
	if e.Profile == "" {
		e.Profile, e.Backend = p.Name, p.Backend
	}
	return e
}
