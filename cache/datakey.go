package cache

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

// The keyring items of the data keys. The value of one is
// {"v":1,"key":"<base64 of 32 bytes>"}: text, because some keyrings show it.
const (
	dataKeyAccount = "data-key:v1"
	// longKeyAccount is that of the entries that live long and of rescued
	// secrets. It is never put into the kernel's keyring.
	longKeyAccount = "long-data-key:v1"
	// copyAccount is the kernel's copy of the first.
	copyAccount = "cached-data-key:v1"
)

// longPrefix begins the directories of entries under the long data key, so
// that a look-up knows from their names whether it needs that key.
const longPrefix = "long-"

// dataKeyLock is held while a data key is made, replaced, erased or copied.
const dataKeyLock = "data-key.lock"

const dataKeySize = 32

type dataKeyItem struct {
	V   int    `json:"v"`
	Key []byte `json:"key"`
}

// keeper knows where one data key is kept, and remembers it once it was read.
type keeper struct {
	c       *Cache
	account string
	keys    KeyStore   // nil: there is none
	timed   TimedStore // is keys if that forgets by itself
	copies  TimedStore // has a copy for a while, or nil

	mu     sync.Mutex
	key    *dataKey
	copied bool // key is what was in copies
}

// get returns the key to read with: the remembered one, the kernel's copy or
// the keyring's. An absent one is ErrNotFound. Every other error of the
// keyring passes through.
func (k *keeper) get(ctx context.Context) (*dataKey, error) {
	if key := k.remembered(); key != nil {
		return key, nil
	}
	if k.copies == nil {
		return k.remember(k.read(ctx))
	}
	if key, err := k.readCopy(ctx); err == nil || isUnsafe(err) {
		return k.remember(key, err)
	}
	var key *dataKey
	err := inTurn(ctx, k.keys, func(ctx context.Context, waited bool) (err error) {
		if waited {
			if key, err = k.readCopy(ctx); err == nil || isUnsafe(err) {
				return err
			}
		}
		key, err = k.readAndCopy(ctx)
		return err
	})
	return k.remember(key, err)
}

// readAndCopy reads the keyring's key. Under the lock nobody erases or replaces
// it between our reading it and copying it. Where the lock is taken another may
// be at the same, or is about to make the copy worthless.
func (k *keeper) readAndCopy(ctx context.Context) (*dataKey, error) {
	lock, locked := k.c.tryLock(dataKeyLock)
	if locked == nil {
		defer lock.Close()
	}
	key, err := k.read(ctx)
	if err == nil && locked == nil {
		_ = writeKey(ctx, timedSet(k.copies, k.c.o.KeyTTL), copyAccount, key)
	}
	return key, err
}

// fresh returns the key to write with. It is always that of the keyring now,
// and made if it is absent; a key that could not be read is never replaced.
func (k *keeper) fresh(ctx context.Context) (*dataKey, error) {
	key, err := k.read(ctx)
	if errors.Is(err, ErrNotFound) || err == nil && k.timed != nil {
		key, err = k.make(ctx)
	}
	if err == nil && k.copies != nil {
		k.dropOtherCopy(ctx, key)
	}
	return k.remember(key, err)
}

// getOrMake is get, but for an absent key fresh.
func (k *keeper) getOrMake(ctx context.Context) (*dataKey, error) {
	key, err := k.get(ctx)
	if errors.Is(err, ErrNotFound) {
		return k.fresh(ctx)
	}
	return key, err
}

// dropOtherCopy forgets whatever is not a copy of this key; the next Get makes
// one.
func (k *keeper) dropOtherCopy(ctx context.Context, key *dataKey) {
	if old, err := readKey(ctx, k.copies, copyAccount); err != nil || old.kid != key.kid {
		_ = k.copies.Delete(ctx, copyAccount)
	}
}

func (k *keeper) make(ctx context.Context) (*dataKey, error) {
	lock, err := k.c.lock(ctx, dataKeyLock)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	return k.makeLocked(ctx)
}

// makeLocked makes the key if there is still none, and uses what the keyring
// gives back rather than what was written: hosts may share a keyring, but not
// a lock. A key that the store forgets by itself is written again, so that it
// outlives every entry under it.
func (k *keeper) makeLocked(ctx context.Context) (*dataKey, error) {
	key, err := k.read(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		if key, err = randomKey(); err != nil {
			return nil, err
		}
	case err != nil || k.timed == nil:
		return key, err
	}
	if err := k.write(ctx, key); err != nil {
		return nil, err
	}
	return k.read(ctx)
}

func (k *keeper) read(ctx context.Context) (*dataKey, error) {
	if k.keys == nil {
		if k == k.c.kernel {
			return nil, &Error{Kind: ErrUnavailable, Text: "there is no kernel keyring here", Remedy: `set credentials to "runtime"`}
		}
		return nil, &Error{Kind: ErrUnavailable, Text: "there is no keyring", Remedy: noKeyringRemedy}
	}
	key, err := readKey(ctx, k.keys, k.account)
	switch {
	case !errors.Is(err, errDamaged):
		return key, err
	case k.timed != nil: // it would not have lived long anyway
		return nil, absent(k.account)
	}
	return nil, &Error{Kind: ErrUnavailable, Text: "the keyring's item " + k.account + " is damaged",
		Remedy: "remove it (on Linux: secret-tool clear service " + Service + " username " + k.account + ") and a new one is made"}
}

func (k *keeper) write(ctx context.Context, key *dataKey) error {
	set := k.keys.Set
	if k.timed != nil {
		set = timedSet(k.timed, kernelTTL)
	}
	return writeKey(ctx, set, k.account, key)
}

func (k *keeper) remembered() *dataKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.key
}

func (k *keeper) remember(key *dataKey, err error) (*dataKey, error) {
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key = key
	return key, nil
}

func (k *keeper) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key, k.copied = nil, false
}

// readCopy reads the kernel's copy, and marks what is remembered next as one.
func (k *keeper) readCopy(ctx context.Context) (*dataKey, error) {
	key, err := readKey(ctx, k.copies, copyAccount)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.copied = err == nil
	return key, err
}

// outlived says that the remembered key was a copy which is gone or another one
// since, and forgets it. A thousand who wait for one entry may all have read the
// copy of a key that was replaced; whoever kept the entry has removed it.
func (k *keeper) outlived(ctx context.Context) bool {
	k.mu.Lock()
	old, copied := k.key, k.copied
	k.mu.Unlock()
	if !copied {
		return false
	}
	now, err := readKey(ctx, k.copies, copyAccount)
	if err == nil && now.kid == old.kid {
		return false
	}
	k.forget()
	return true
}

func randomKey() (*dataKey, error) {
	secret := make([]byte, dataKeySize)
	_, _ = rand.Read(secret) // never fails
	return newDataKey(secret)
}

func timedSet(s TimedStore, ttl time.Duration) func(context.Context, string, []byte) error {
	return func(ctx context.Context, account string, value []byte) error {
		return s.SetFor(ctx, account, value, ttl)
	}
}

func writeKey(ctx context.Context, set func(context.Context, string, []byte) error, account string, key *dataKey) error {
	item, err := json.Marshal(dataKeyItem{V: 1, Key: key.secret})
	if err != nil {
		return err
	}
	defer clear(item)
	return set(ctx, account, item)
}

func readKey(ctx context.Context, s KeyStore, account string) (*dataKey, error) {
	value, err := s.Get(ctx, account)
	if err != nil {
		return nil, err
	}
	secret, ok := parseDataKey(value)
	clear(value)
	if !ok {
		return nil, errDamaged
	}
	return newDataKey(secret)
}

func parseDataKey(value []byte) ([]byte, bool) {
	var item dataKeyItem
	if json.Unmarshal(value, &item) != nil || item.V != 1 || len(item.Key) != dataKeySize {
		return nil, false
	}
	return item.Key, true
}
