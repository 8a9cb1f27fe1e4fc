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

// Get returns the secret as the keyring has it now.
func (l *SecretLock) Get(ctx context.Context) (secret.Secret, error) {
	return l.c.Secret(ctx, l.account)
}

// Put keeps the secret, after reading it back, and forgets refusals. Pass
// phrases never fall back to another store: without a keyring it fails.
func (l *SecretLock) Put(ctx context.Context, s secret.Secret) error {
	if l.c.o.Passphrases != Keyring || l.c.o.Keys == nil {
		return &Error{Kind: ErrUnavailable, Text: "secrets are not kept here", Remedy: "set passphrases to \"keyring\""}
	}
	if err := l.c.o.Keys.Set(ctx, l.account, s); err != nil {
		return err
	}
	return l.Accept()
}

// Delete forgets the secret, and refusals with it. What is absent is no error.
func (l *SecretLock) Delete(ctx context.Context) error {
	if l.c.o.Passphrases == Keyring && l.c.o.Keys != nil {
		if err := l.c.o.Keys.Delete(ctx, l.account); err != nil {
			return err
		}
	}
	return l.Accept()
}

// Close gives the right back.
func (l *SecretLock) Close() error { return l.lock.Close() }
