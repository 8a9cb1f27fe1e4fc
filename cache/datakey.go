package cache

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
)

// dataKeyAccount is the keyring item of the data key. Its value is
// {"v":1,"key":"<base64 of 32 bytes>"}: text, because some keyrings show it.
const dataKeyAccount = "data-key:v1"

const dataKeySize = 32

type dataKeyItem struct {
	V   int    `json:"v"`
	Key []byte `json:"key"`
}

// dataKey returns the data key, from memory after the first call. An absent
// one is made if create is set, else it is ErrNotFound. Every other error of
// the keyring passes through: a key that could not be read is never replaced.
func (c *Cache) dataKey(ctx context.Context, create bool) (*dataKey, error) {
	c.mu.Lock()
	key := c.key
	c.mu.Unlock()
	if key != nil {
		return key, nil
	}
	if c.o.Keys == nil {
		return nil, &Error{Kind: ErrUnavailable, Text: "there is no keyring", Remedy: noKeyringRemedy}
	}
	key, err := c.readDataKey(ctx)
	if create && errors.Is(err, ErrNotFound) {
		key, err = c.makeDataKey(ctx)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key = key
	return key, nil
}

// makeDataKey makes the key under a lock, and uses what the keyring gives back
// rather than what was written: hosts may share a keyring, but not a lock.
func (c *Cache) makeDataKey(ctx context.Context) (*dataKey, error) {
	lock, err := c.lock(ctx, "data-key.lock")
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	key, err := c.readDataKey(ctx)
	if !errors.Is(err, ErrNotFound) {
		return key, err
	}
	secret := make([]byte, dataKeySize)
	_, _ = rand.Read(secret) // never fails
	item, err := json.Marshal(dataKeyItem{V: 1, Key: secret})
	if err != nil {
		return nil, err
	}
	if err := c.o.Keys.Set(ctx, dataKeyAccount, item); err != nil {
		return nil, err
	}
	return c.readDataKey(ctx)
}

func (c *Cache) readDataKey(ctx context.Context) (*dataKey, error) {
	value, err := c.o.Keys.Get(ctx, dataKeyAccount)
	if err != nil {
		return nil, err
	}
	secret, ok := parseDataKey(value)
	clear(value)
	if !ok {
		return nil, &Error{Kind: ErrUnavailable, Text: "the keyring's item " + dataKeyAccount + " is damaged",
			Remedy: "remove it (on Linux: secret-tool clear service " + Service + " username " + dataKeyAccount + ") and a new one is made"}
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
