package cache

import (
	"context"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// A portal that gives no refresh tokens gives one credential that lives for
// days. It belongs to a session, not to a profile's wish: it is an entry on the
// shelf of what lives long whose binding has no profile, so that nobody is
// handed it out and List does not know it.

func longBinding(account string) Binding { return Binding{Backend: "session", Endpoint: account} }

// isLong says whether a binding is that of a session.
func (b Binding) isLong() bool { return b.Profile == "" }

// PutLong keeps a credential in PEM beside the secret, sealed, for as long as it
// is valid. Without a keyring it fails.
func (l *SecretLock) PutLong(ctx context.Context, pem secret.Secret) error {
	if err := l.c.kept(); err != nil {
		return err
	}
	end, err := leafNotAfter(pem)
	if err != nil {
		return err
	}
	now := l.c.o.Clock()
	e := &Entry{Binding: longBinding(l.account), FetchedAt: now, NotAfter: end, PEM: pem}
	plain, err := encodeEntry(e)
	if err != nil {
		return err
	}
	defer clear(plain)
	return l.c.longShelf().put(ctx, e.Binding, plain, now)
}

// Long returns the credential that PutLong kept, or ErrNotFound.
func (l *SecretLock) Long(ctx context.Context) (secret.Secret, error) {
	if l.c.kept() != nil {
		return nil, absent(l.account)
	}
	e, err := l.c.longShelf().lookup(ctx, longBinding(l.account), l.c.o.Clock())
	if isAbsent(err) {
		return nil, absent(l.account)
	}
	if err != nil {
		return nil, err
	}
	return e.PEM, nil
}

// DeleteLong forgets it. What is absent is no error.
func (l *SecretLock) DeleteLong(ctx context.Context) error {
	if l.c.kept() != nil {
		return nil
	}
	return l.c.longShelf().remove(ctx, longBinding(l.account))
}
