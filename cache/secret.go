package cache

import (
	"context"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// SecretLock is the right to use, change or rotate the secret of one account.
// It is taken after the entry's lock, never before. Two profiles may share an
// account, and must not refresh one session twice or send one wrong pass
// phrase twice.
type SecretLock struct {
	c       *Cache
	account string
	lock    *safefile.Lock
	rescuer *dataKey // since Ready
}

// LockSecret waits for the right to use a secret. A deadline of ctx that runs
// out is ErrBusy.
func (c *Cache) LockSecret(ctx context.Context, account string) (*SecretLock, error) {
	lock, err := c.lock(ctx, lockName("secret", []byte(account)))
	if err != nil {
		return nil, err
	}
	return &SecretLock{c: c, account: account, lock: lock}, nil
}

// Secret returns the secret of an account without its lock: to say whether
// there is one, not to use it.
func (c *Cache) Secret(ctx context.Context, account string) (secret.Secret, error) {
	if c.o.Passphrases != Keyring {
		return nil, &Error{Kind: ErrNotFound, Text: "no secret is kept because the store of pass phrases is \"none\"", Remedy: "type it, or set passphrases to \"keyring\""}
	}
	if c.o.Keys == nil {
		return nil, &Error{Kind: ErrUnavailable, Text: "there is no keyring", Remedy: noKeyringRemedy}
	}
	return c.o.Keys.Get(ctx, account)
}

// kept is the error where secrets are not kept.
func (c *Cache) kept() error {
	if c.o.Passphrases != Keyring || c.o.Keys == nil {
		return &Error{Kind: ErrUnavailable, Text: "secrets are not kept here", Remedy: "set passphrases to \"keyring\""}
	}
	return nil
}

// Get returns the secret as the keyring has it now, or one that was rescued
// since: that goes into the keyring first, if the keyring takes it.
func (l *SecretLock) Get(ctx context.Context) (secret.Secret, error) {
	r, err := l.rescued(ctx)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return l.c.Secret(ctx, l.account)
	}
	defer r.close()
	_ = r.settle(ctx, l.c.o.Keys) // what fails is tried again by the next one
	return r.secret, nil
}

// Put keeps the secret, after reading it back, and forgets refusals. Pass
// phrases never fall back to another store: without a keyring it fails.
func (l *SecretLock) Put(ctx context.Context, s secret.Secret) error {
	if err := l.c.kept(); err != nil {
		return err
	}
	r, err := l.rescued(ctx)
	if err != nil {
		return err
	}
	if r != nil {
		defer r.close()
		err = r.replace(ctx, l.c.o.Keys, s)
	} else {
		err = l.c.o.Keys.Set(ctx, l.account, s)
	}
	if err != nil {
		return err
	}
	return l.Accept()
}

// Delete forgets the secret, refusals of it and what PutLong kept. What is
// absent is no error.
func (l *SecretLock) Delete(ctx context.Context) error {
	if l.c.kept() == nil {
		if err := l.DeleteLong(ctx); err != nil {
			return err
		}
		r, err := l.rescued(ctx)
		if err != nil {
			return err
		}
		if r != nil {
			defer r.close()
			if err := r.dir.Forget(r.file); err != nil {
				return err
			}
		}
		if err := l.c.o.Keys.Delete(ctx, l.account); err != nil {
			return err
		}
	}
	return l.Accept()
}

// Close gives the right back.
func (l *SecretLock) Close() error { return l.lock.Close() }
