package helper

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
)

// otherTimeout bounds the verbs that have no timeout of their own.
const otherTimeout = 30 * time.Second

// Store keeps a secret in the OS keyring and returns after it was read back.
func (h *Helper) Store(ctx context.Context, r *StoreRequest) (*StoreAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	p, target, err := h.target(r.Selection)
	if err != nil {
		return nil, h.coded(err)
	}
	if err := h.store(ctx, p, target, r); err != nil {
		return nil, inProfile(h.coded(err), p)
	}
	return &StoreAnswer{Version: Version, Profile: p.Name, StoredIn: string(cache.Keyring)}, nil
}

func (h *Helper) store(ctx context.Context, p *Profile, target *Target, r *StoreRequest) error {
	i := slices.IndexFunc(target.Secrets, func(s SecretRef) bool { return s.Kind == r.Kind })
	if i < 0 {
		return Errorf(CodeInvalidRequest, "profile %q has no use for a %s", p.Name, secretWord(r.Kind))
	}
	if err := checkRef(&target.Secrets[i], r.Value); err != nil {
		return err
	}
	if h.Config.Store.Passphrases == cache.None {
		return Errorf(CodePolicyRefused, "the configuration says that no %s is kept (store.passphrases = \"none\")", secretWord(r.Kind)).
			WithHint("set passphrases = \"keyring\" in the table [store], or run: x509-credential-helper login %s", p.Name)
	}
	lock, err := h.Cache.LockSecret(ctx, target.Secrets[i].Account)
	if err != nil {
		return h.storage(err)
	}
	defer lock.Close()
	return h.storage(lock.Put(ctx, r.Value))
}

// target finds the profile of a request and where it leads.
func (h *Helper) target(s Selection) (*Profile, *Target, error) {
	p, err := h.choose(s)
	if err != nil {
		return nil, nil, err
	}
	t, err := h.Backends[p.Backend].Target(p)
	if err != nil {
		return nil, nil, inProfile(err, p)
	}
	return p, t, nil
}

// Erase forgets credentials and secrets of a profile. What is not there is no
// error.
func (h *Helper) Erase(ctx context.Context, r *EraseRequest) (*EraseAnswer, error) {
	return h.erase(ctx, r, false)
}

// erase with keepLasting leaves what a human may be unable to get once more.
func (h *Helper) erase(ctx context.Context, r *EraseRequest, keepLasting bool) (*EraseAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	p, target, err := h.target(r.Selection)
	if err != nil {
		return nil, h.coded(err)
	}
	a := &EraseAnswer{Version: Version, Erased: Erased{Secrets: []string{}}}
	all := slices.Contains(r.What, "all")
	if all || slices.Contains(r.What, "credential") {
		if a.Erased.Credentials, err = h.eraseCredentials(ctx, p, r); err != nil {
			return nil, inProfile(h.unerased(err), p)
		}
	}
	for _, ref := range target.Secrets {
		if !all && !slices.Contains(r.What, ref.Kind) {
			continue
		}
		if keepLasting && ref.Lasting {
			if h.hasSecret(ctx, ref) {
				a.Kept = append(a.Kept, ref.Kind)
			}
			continue
		}
		gone, err := h.eraseSecret(ctx, ref)
		if all && h.doesWithout(err) {
			a.Warnings = append(a.Warnings, notErased(err))
			continue
		}
		if err != nil {
			return nil, inProfile(h.unerased(err), p)
		}
		if gone {
			a.Erased.Secrets = append(a.Erased.Secrets, ref.Kind)
		}
	}
	return a, nil
}

// eraseCredentials erases what it can reach. A store that may have more, as a
// locked keyring may, is an error all the same.
func (h *Helper) eraseCredentials(ctx context.Context, p *Profile, r *EraseRequest) (n int, err error) {
	entries, hidden := h.Cache.ListAll(ctx)
	for _, e := range entries {
		if e.Binding.Profile != p.Name || r.Fingerprint != "" && r.Fingerprint != e.Fingerprint {
			continue
		}
		gone, failed := h.eraseEntry(ctx, e, r)
		if gone {
			n++
		}
		err = errors.Join(err, failed)
	}
	if r.Fingerprint == "" { // also those whose entry is gone, or never was
		others, failed := h.Cache.ForgetElsewhere(ctx, p.Name)
		n, err = n+others, errors.Join(err, h.Cache.RemoveToolFiles(p.Name), failed)
	}
	return n, h.storage(cmp.Or(hidden, err))
}

// eraseEntry drops one credential and the file that tools were given. That a
// server refused it is remembered beside the entry's lock. If it was another
// credential that was meant, because somebody was quicker, it stays: the jobs
// that share one reject it together, and its successor has done nothing.
func (h *Helper) eraseEntry(ctx context.Context, e *cache.Entry, r *EraseRequest) (gone bool, err error) {
	lock, err := h.Cache.LockEntry(ctx, e.Binding)
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if r.Fingerprint != "" {
		now, err := h.Cache.Get(ctx, e.Binding)
		if errors.Is(err, cache.ErrNotFound) || err == nil && now.Fingerprint != r.Fingerprint {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	if r.Rejected {
		state, now := readState(lock), h.Cache.Now()
		if ago, ok := since(now, state.Began); !ok || ago >= rejectionPause {
			state.Rejections = 0
		}
		state.Rejections++
		state.RejectedAt = now
		if err := writeState(lock, state); err != nil {
			return false, err
		}
	}
	if err := h.Cache.Delete(ctx, e.Binding); err != nil {
		return false, err
	}
	b := e.Binding
	return true, h.Cache.RemoveToolFile(cache.ToolFileName(b.Profile, e.Identity, b.VOMS, b.Limited, b.Key))
}

func (h *Helper) eraseSecret(ctx context.Context, ref SecretRef) (bool, error) {
	if h.Config.Store.Passphrases == cache.None {
		return false, nil
	}
	lock, err := h.Cache.LockSecret(ctx, ref.Account)
	if err != nil {
		return false, h.storage(err)
	}
	defer lock.Close()
	if _, err := lock.Get(ctx); errors.Is(err, cache.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, h.storage(err)
	}
	return true, h.storage(lock.Delete(ctx))
}

func (h *Helper) hasSecret(ctx context.Context, ref SecretRef) bool {
	if h.Config.Store.Passphrases == cache.None {
		return false
	}
	value, err := h.Cache.Secret(ctx, ref.Account)
	value.Wipe()
	return err == nil
}

// List names what is in the cache, without secrets. If a store cannot be looked
// into it names what is in the others, and says so; nothing to name is that
// store's error.
func (h *Helper) List(ctx context.Context) (*ListAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	if h.Config.err != nil {
		return nil, h.Config.err
	}
	a := &ListAnswer{Version: Version, Entries: []ListEntry{}}
	entries, err := h.Cache.List(ctx)
	if err != nil {
		if e := h.coded(h.storage(err)); len(entries) > 0 {
			a.Warnings = []Warning{{string(e.Code), e.Message}}
		} else {
			return nil, e
		}
	}
	for _, e := range entries {
		a.Entries = append(a.Entries, ListEntry{
			Profile:     e.Binding.Profile,
			Backend:     e.Binding.Backend,
			Identity:    e.Identity,
			Limited:     e.Binding.Limited,
			VOMS:        append([]string{}, e.Binding.VOMS...),
			NotAfter:    whole(e.NotAfter),
			ExpiresIn:   int64(e.NotAfter.Sub(h.Clock()) / time.Second),
			StoredIn:    string(e.StoredIn),
			Fingerprint: e.Fingerprint,
		})
	}
	return a, nil
}
