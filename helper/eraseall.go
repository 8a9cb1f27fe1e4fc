package helper

import "context"

// notErased is the warning that a login node's logout ends with.
func notErased(err error) Warning {
	text, _ := told(err)
	return Warning{string(CodeKeyringUnavailable), text + ": if a keyring elsewhere has a pass phrase, it keeps it"}
}

// EraseAll forgets all that was ever kept for anybody's profile: credentials,
// secrets, files for tools, remembered identities and the data keys. Profiles
// that are no longer configured are no exception. What cannot be reached is the
// error, and does not keep the rest from being erased.
func (h *Helper) EraseAll(ctx context.Context) (*EraseAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	if h.Config.err != nil {
		return nil, h.Config.err
	}
	a := &EraseAnswer{Version: Version, Erased: Erased{Secrets: []string{}}}
	secrets := h.eraseSecrets(ctx, a)
	var entries, identities error
	a.Erased.Credentials, entries = h.Cache.EraseAll(ctx)
	a.Erased.Identities, identities = h.Identities.ForgetAll()
	for _, err := range []error{secrets, entries, identities} {
		if err != nil {
			return nil, h.unerased(err)
		}
	}
	return a, nil
}

// unerased is the error of an erase that could not reach everything. What it
// could reach is gone, and nobody should take the rest for gone, too.
func (h *Helper) unerased(err error) *Error {
	e := *h.coded(h.storage(err))
	e.Message = "not everything was erased: " + e.Message
	return &e
}

// eraseSecrets forgets the secrets of all profiles one by one, to count them,
// and with them the notes about those that a server refused.
func (h *Helper) eraseSecrets(ctx context.Context, a *EraseAnswer) error {
	for _, p := range h.Config.Profiles() {
		if p.err != nil {
			continue
		}
		target, err := h.Backends[p.Backend].Target(p)
		if err != nil {
			continue // the cache knows items that no profile leads to
		}
		for _, ref := range target.Secrets {
			gone, err := h.eraseSecret(ctx, ref)
			switch {
			case h.doesWithout(err):
				a.Warnings = []Warning{notErased(err)}
				return nil
			case err != nil:
				return err
			case gone:
				a.Erased.Secrets = append(a.Erased.Secrets, ref.Kind)
			}
		}
	}
	return nil
}

// RotateKeys replaces the keys under which credentials are sealed.
func (h *Helper) RotateKeys(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	if h.Config.err != nil {
		return h.Config.err
	}
	err := h.storage(h.Cache.Rotate(ctx))
	if err == nil {
		return nil
	}
	e := h.coded(err)
	if h.doesWithout(err) {
		e.WithHint("what is sealed without a keyring can be opened for a day at the most; to forget it now run: x509-credential-helper logout --all")
	}
	return e
}
