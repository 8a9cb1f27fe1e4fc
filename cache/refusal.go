package cache

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// Refusal is a server's no to a secret that has not changed since, or its
// silence.
type Refusal struct {
	Unheard    bool          // no answer was heard, and that more than once
	RetryAfter time.Duration // how long to leave the server alone
	Server     string
	Message    string // the server's words
}

// After a refusal the same secret waits a minute, then two, up to an hour:
// servers lock accounts after a few wrong attempts.
const (
	firstWait = time.Minute
	lastWait  = time.Hour
)

// maxRefusalText bounds the words of a server that are kept, in bytes.
const maxRefusalText = 1 << 10

// refusal is kept in the file of the secret's lock. The secret is recognised
// by its HMAC under the data key. Where no keyring can be used there is no
// such key; then it is a slow hash with a salt of its own.
type refusal struct {
	V       int     `json:"v"`
	Salt    []byte  `json:"salt,omitempty"`
	MAC     []byte  `json:"mac"`
	Server  string  `json:"server"`
	Message string  `json:"message"`
	At      Instant `json:"at"`
	Count   int     `json:"count"`
	Unheard bool    `json:"unheard,omitempty"` // sent, and no answer heard yet
}

func parseRefusal(data []byte) *refusal {
	var r refusal
	if json.Unmarshal(data, &r) != nil || r.V != 1 || len(r.MAC) != sha256.Size || r.Count < 1 {
		return nil
	}
	return &r
}

// wait is how long the same secret is not sent after the last of the refusals.
// A first silence does not count: networks break.
func (r *refusal) wait() time.Duration {
	count := r.Count
	if r.Unheard {
		count--
	}
	if count == 0 {
		return 0
	}
	wait := firstWait
	for n := 1; n < count && wait < lastWait; n++ {
		wait *= 2
	}
	return min(wait, lastWait)
}

// Refused returns the refusal that keeps s from being sent now, or nil. A
// changed secret may be sent at once, and so may any after a restart of the
// machine, whose distance in time nobody knows.
func (l *SecretLock) Refused(ctx context.Context, s secret.Secret) (*Refusal, error) {
	r, err := l.load()
	if r == nil || err != nil {
		return nil, err
	}
	now := l.c.Now()
	if !now.comparable(r.At) || now.Since < r.At.Since {
		return nil, nil
	}
	left := r.At.Since + r.wait() - now.Since
	if left <= 0 {
		return nil, nil
	}
	same, err := l.matches(ctx, r, s)
	if !same || err != nil {
		return nil, err
	}
	return &Refusal{RetryAfter: left, Server: r.Server, Message: r.Message, Unheard: r.Unheard}, nil
}

// Try records that s is about to be sent. If no answer is heard, because the
// caller's time ran out or the process was killed, the record stays: the server
// may have heard and refused it all the same. Refuse or Accept replace it.
func (l *SecretLock) Try(ctx context.Context, s secret.Secret, server string) error {
	return l.note(ctx, s, &refusal{Server: server, Unheard: true})
}

// Refuse records that a server refused s.
func (l *SecretLock) Refuse(ctx context.Context, s secret.Secret, server, message string) error {
	return l.note(ctx, s, &refusal{Server: server, Message: message})
}

// note writes a record. What is known of the same secret counts on; an attempt
// that Try has counted is not counted again.
func (l *SecretLock) note(ctx context.Context, s secret.Secret, r *refusal) error {
	old, err := l.load()
	if err != nil {
		return err
	}
	r.V, r.At, r.Count = 1, l.c.Now(), 1
	r.Server, r.Message = clip(r.Server), clip(r.Message)
	if old != nil {
		same, err := l.matches(ctx, old, s)
		if err != nil {
			return err
		}
		switch {
		case same && old.Unheard && !r.Unheard:
			r.Count = old.Count
		case same:
			r.Count = min(old.Count, 100) + 1
		}
	}
	if err := l.sign(ctx, r, s); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return l.lock.Write(data)
}

// Accept forgets refusals.
func (l *SecretLock) Accept() error { return l.lock.Write(nil) }

// load reads the record; a damaged one is none.
func (l *SecretLock) load() (*refusal, error) {
	data, err := l.lock.Read(maxLockFile)
	if errors.Is(err, safefile.ErrTooLarge) {
		return nil, nil
	}
	return parseRefusal(data), err
}

// matches says whether s is the secret that was refused. A data key that is
// gone recognises nothing.
func (l *SecretLock) matches(ctx context.Context, r *refusal, s secret.Secret) (bool, error) {
	mac, err := l.mac(ctx, r.Salt, s)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && hmac.Equal(mac, r.MAC), err
}

// slowRounds make a guess at a pass phrase cost some 20 ms.
const slowRounds = 50_000

// sign makes a record recognise s: under the data key, or slowly where there
// is none. That the pass phrase is not sent again matters more than how it is
// recognised.
func (l *SecretLock) sign(ctx context.Context, r *refusal, s secret.Secret) (err error) {
	if l.c.usesKeyring() {
		var key *dataKey
		if key, err = l.c.short.getOrMake(ctx); err == nil {
			r.MAC, err = key.refusalMAC(l.account, s)
			return err
		}
		if ctx.Err() != nil {
			return err
		}
	}
	r.Salt = make([]byte, 16)
	_, _ = rand.Read(r.Salt) // never fails
	r.MAC, err = l.mac(ctx, r.Salt, s)
	return err
}

func (l *SecretLock) mac(ctx context.Context, salt []byte, s secret.Secret) ([]byte, error) {
	if len(salt) != 0 {
		bound := append(lengthPrefixed(l.account), salt...)
		return pbkdf2.Key(sha256.New, string(s), bound, slowRounds, sha256.Size)
	}
	key, err := l.c.short.get(ctx)
	if err != nil {
		return nil, err
	}
	return key.refusalMAC(l.account, s)
}

// usesKeyring says whether anything of ours may be in the keyring.
func (c *Cache) usesKeyring() bool {
	return c.o.Keys != nil && (c.o.Credentials == Auto || c.o.Credentials == Keyring || c.o.Passphrases == Keyring)
}

func clip(s string) string {
	if len(s) <= maxRefusalText {
		return s
	}
	return s[:maxRefusalText]
}
