package helper

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// current is Spec.Current: what the cache has of this profile and target, full
// proxies first, of those the one that lives longest. Nothing was promised for
// how long it lives: that it is too short for the caller is why it is wanted. A
// store that could not be looked into is an error only where the others have
// nothing.
func (h *Helper) current(ctx context.Context, w *wish) (*gsi.Credential, error) {
	if w.given != nil {
		return nil, nil
	}
	entries, hidden := h.Cache.List(ctx)
	entries = slices.DeleteFunc(entries, func(e *cache.Entry) bool {
		return !sameTarget(e.Binding, w.binding) || h.Clock().Before(e.NotBefore) // those that have expired are not listed
	})
	slices.SortStableFunc(entries, func(a, b *cache.Entry) int {
		return cmp.Or(compareBool(a.Binding.Limited, b.Binding.Limited), b.NotAfter.Compare(a.NotAfter))
	})
	for _, e := range entries {
		cred, err := h.open(ctx, e.Binding, w.identity)
		switch {
		case cred != nil:
			return cred, nil
		case err != nil && !errors.Is(err, cache.ErrNotFound): // gone since it was listed
			hidden = errors.Join(hidden, err)
		}
	}
	return nil, h.storage(hidden)
}

// open reads a cached credential, nil if it cannot be used or belongs to
// somebody else.
func (h *Helper) open(ctx context.Context, b cache.Binding, identity string) (*gsi.Credential, error) {
	e, err := h.Cache.Get(ctx, b)
	if err != nil {
		return nil, err
	}
	defer e.PEM.Wipe()
	if identity != "" && !sameIdentity(e, identity) {
		return nil, nil
	}
	cred, err := gsi.ParseCredential(e.PEM)
	if err != nil {
		return nil, nil
	}
	return cred, nil
}

// sameTarget says whether two credentials came from the same place and belong to
// the same profile and user.
func sameTarget(a, b cache.Binding) bool {
	return a.Profile == b.Profile && a.Backend == b.Backend && a.Endpoint == b.Endpoint &&
		a.Principal == b.Principal && a.CredentialName == b.CredentialName
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
