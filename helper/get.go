package helper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// Get returns a credential that satisfies the request, from the cache or from
// the backend. Its error is an *Error.
func (h *Helper) Get(ctx context.Context, r *GetRequest) (*GetAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	w, err := h.newWish(r)
	if err != nil {
		return nil, h.coded(err)
	}
	a, err := h.get(ctx, w)
	if err != nil {
		return nil, inProfile(tooShort(h.coded(err), w), w.profile)
	}
	return a, nil
}

// tooShort adds to an error that the cache has something all the same.
func tooShort(e *Error, w *wish) *Error {
	if w.short <= 0 || e.Code == CodeLifetimeUnavailable {
		return e
	}
	more := *e // a backend may use the same one again
	more.Message += fmt.Sprintf("; the one in the cache lives another %s, and %s were asked for", span(w.short), span(w.request.MinLifetime))
	return &more
}

// get decides: cache or backend.
func (h *Helper) get(ctx context.Context, w *wish) (*GetAnswer, error) {
	if w.request.Cache == CacheBypass {
		return h.fetch(ctx, w)
	}
	entry, err := h.lookUp(ctx, w)
	if errors.Is(err, cache.ErrLocked) && h.mayAsk(w.request) {
		// The keyring may ask only for what the caller has to wait for.
		entry, err = h.lookUp(cache.AllowPrompt(ctx), w)
		if errors.Is(err, cache.ErrLocked) && h.Config.Store.Passphrases == cache.Keyring {
			return nil, h.storage(err) // whoever dismissed it is not asked again for the pass phrase
		}
	}
	switch {
	case entry != nil:
		return h.hit(ctx, w, entry)
	case err != nil && !errors.Is(err, cache.ErrNotFound):
		return nil, err
	case w.request.Cache != CacheOnly:
		return h.fetch(ctx, w)
	}
	if mayHide(err) {
		return nil, h.storage(err)
	}
	return nil, Errorf(CodeNotFound, "no credential that would do is in the cache")
}

// hit answers from the cache. Past its refresh time one process looks for a
// newer credential first, for a few seconds at the most; the others, and it
// after that, are served the one that is still good. That there is no newer one
// is a warning.
func (h *Helper) hit(ctx context.Context, w *wish, entry *cache.Entry) (*GetAnswer, error) {
	var warnings []Warning
	if w.request.Cache == CachePrefer && !h.Clock().Before(entry.RefreshAfter) {
		a, failed := h.refreshAhead(ctx, w, entry)
		if a != nil {
			return a, nil
		}
		if failed != nil {
			warnings = append(warnings, failed.warning(entry.NotAfter.Sub(h.Clock())))
		}
	}
	return h.answer(w, entry, SourceCache, warnings)
}

// lookUp returns the cached credential if it will do. If there is none, so that
// a new one may help, its error is cache.ErrNotFound; lifetime_unavailable says
// that a new one would be no longer.
func (h *Helper) lookUp(ctx context.Context, w *wish) (*cache.Entry, error) {
	entry, err := h.Cache.Get(ctx, w.binding)
	if errors.Is(err, cache.ErrNotFound) {
		return nil, err
	}
	if err != nil {
		return nil, h.storage(err)
	}
	now := h.Clock()
	switch {
	case now.Before(entry.NotBefore): // the clock went back; a new one will tell
		return nil, cache.ErrNotFound
	case w.identity != "" && !sameIdentity(entry, w.identity):
		return nil, cache.ErrNotFound
	case entry.NotAfter.Sub(now) >= w.request.MinLifetime:
		return entry, nil
	case clipped(entry) && entry.Granted < w.request.MinLifetime && now.Before(entry.RefreshAfter):
		return nil, lifetimeUnavailable(w, entry)
	}
	w.short = entry.NotAfter.Sub(now)
	return nil, cache.ErrNotFound
}

// clipped says whether the server gave less than it was asked for, so that
// asking for more would not help.
func clipped(e *cache.Entry) bool {
	return e.Asked > 0 && e.Granted < e.Asked-lifetimeTolerance
}

func lifetimeUnavailable(w *wish, e *cache.Entry) error {
	hint := "ask for a shorter min_lifetime"
	if !w.target.ServerKey { // nobody can store one at a portal
		hint += ", or store a credential on the server that may live longer"
	}
	err := Errorf(CodeLifetimeUnavailable, "a credential that lives another %s was asked for, but the server grants %s",
		span(w.request.MinLifetime), span(e.Granted)).WithHint("%s", hint)
	err.Granted = int64(e.Granted / time.Second)
	return err
}

// limitedUnasked is the warning about a limited proxy that nobody asked for.
// Portals give one to clients that were registered so.
func limitedUnasked(w *wish) Warning {
	if w.target.ServerKey {
		return Warning{"limited_by_portal", "the portal gives this client limited proxies only, though nobody asked for one"}
	}
	return Warning{"limited_unasked", "the server returned a limited proxy, which nobody asked for"}
}

// answer says what an entry is. It trusts the certificates, not what was noted
// beside them.
func (h *Helper) answer(w *wish, entry *cache.Entry, source string, warnings []Warning) (*GetAnswer, error) {
	chain, err := gsi.ParseCertificates(entry.PEM)
	if err != nil {
		return nil, Errorf(CodeInternal, "the cached credential cannot be read: %w", err)
	}
	info, err := gsi.Inspect(chain)
	if err != nil {
		return nil, Errorf(CodeInternal, "the cached credential cannot be read: %w", err)
	}
	a := &GetAnswer{
		Version:  Version,
		Profile:  w.profile.Name,
		Backend:  w.profile.Backend,
		Source:   source,
		StoredIn: string(entry.StoredIn),
		Credential: Credential{
			Type:            string(info.Type),
			Limited:         info.Limited,
			Subject:         info.Subject,
			Identity:        info.Identity,
			IdentityRFC2253: info.IdentityRFC2253,
			NotBefore:       whole(info.NotBefore),
			NotAfter:        whole(info.NotAfter),
			ExpiresIn:       int64(info.NotAfter.Sub(h.Clock()) / time.Second),
			RefreshAfter:    whole(entry.RefreshAfter),
			VOMS:            []VOMSAttributes{},
			Fingerprint:     info.Fingerprint,
		},
		Warnings: warnings,
	}
	if info.Limited && !w.limited {
		a.Warnings = append(a.Warnings, limitedUnasked(w))
	}
	for _, v := range info.VOMS {
		a.Credential.VOMS = append(a.Credential.VOMS, VOMSAttributes{VO: v.VO, FQANs: v.FQANs, NotAfter: whole(v.NotAfter)})
	}
	if w.request.Output != OutputPath {
		a.Credential.PEM = Text(entry.PEM)
		return a, nil
	}
	name := cache.ToolFileName(w.binding.Profile, info.Identity, w.binding.VOMS, w.binding.Limited, w.binding.Key)
	a.Credential.Path, err = h.Cache.WriteToolFile(name, entry.PEM)
	return a, h.storage(err)
}
