package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// A keyring is one process that serves its clients one after the other, some
// 300 a second, and each of them gives it 3 seconds. Of a thousand that ask in
// one moment two thirds would wait in vain (measured: 630 and 681 in two of
// three runs, with turns none; of 2000 nearly all). So processes take turns: a
// few at a time may talk to the keyring, the others wait for a slot, and only
// then does their time begin.
const (
	// turnSlots is enough to keep two processors and the keyring busy. With
	// one or two slots they wait for each other (measured, 1000 processes with
	// 1, 2, 4, 8 slots: 7.9, 7.2, 7.1 and 6.2 s).
	turnSlots = 8
	// turnPatience is how long a process waits for its turn. Whoever holds a
	// slot needs it for some milliseconds and a silent keyring's deadline at
	// the most; but a process may be stopped by its user in the middle. Then
	// the others go ahead without: turns are a courtesy, not a lock.
	turnPatience = 10 * time.Second
)

// turns is a KeyStore that is used by a few processes at a time.
type turns struct {
	KeyStore
	dir      func() (*safefile.Dir, error)
	slots    int
	patience time.Duration

	mu    sync.Mutex
	until time.Time // a keyring that others found silent is left alone so long
}

// TakeTurns lets only a few processes of a user use a keyring at once. They
// agree by locks below lockDir; without it there are no turns. A process
// that is waiting while the keyring keeps one before it waiting for nothing
// shares that one's ErrTimeout.
func TakeTurns(keys KeyStore, lockDir func() (string, error)) KeyStore {
	return &turns{KeyStore: keys, slots: turnSlots, patience: turnPatience,
		dir: func() (*safefile.Dir, error) { return subDir(lockDir, "lock") }}
}

// Get implements KeyStore.
func (t *turns) Get(ctx context.Context, account string) (value []byte, err error) {
	err = t.do(ctx, func(ctx context.Context, _ bool) error {
		value, err = t.KeyStore.Get(ctx, account)
		return err
	})
	return value, err
}

// Set implements KeyStore.
func (t *turns) Set(ctx context.Context, account string, secret []byte) error {
	return t.do(ctx, func(ctx context.Context, _ bool) error { return t.KeyStore.Set(ctx, account, secret) })
}

// Delete implements KeyStore.
func (t *turns) Delete(ctx context.Context, account string) error {
	return t.do(ctx, func(ctx context.Context, _ bool) error { return t.KeyStore.Delete(ctx, account) })
}

// DeleteAll implements KeyStore.
func (t *turns) DeleteAll(ctx context.Context) error {
	return t.do(ctx, func(ctx context.Context, _ bool) error { return t.KeyStore.DeleteAll(ctx) })
}

// inTurn calls f once a key store may be used; uses of the store within f, with
// its context, are of the same turn. waited says that other processes were
// before: what they have found out need not be asked again.
func inTurn(ctx context.Context, keys KeyStore, f func(ctx context.Context, waited bool) error) error {
	if t, ok := keys.(*turns); ok {
		return t.do(ctx, f)
	}
	return f(ctx, false)
}

type turnKey struct{}

type aheadKey struct{}

// Ahead is for whoever others wait for: with it nobody waits for a turn at the
// keyring behind them.
func Ahead(ctx context.Context) context.Context { return context.WithValue(ctx, aheadKey{}, true) }

// do calls f in this process's turn. Where a user may be asked to unlock the
// keyring there are no turns: nobody else should wait for an answer.
func (t *turns) do(ctx context.Context, f func(ctx context.Context, waited bool) error) error {
	if ctx.Value(turnKey{}) != nil || promptAllowed(ctx) {
		return f(ctx, false)
	}
	if t.resting() {
		return late(ctx)
	}
	if ctx.Value(aheadKey{}) != nil {
		return f(ctx, false)
	}
	started, _ := BootInstant()
	slot, waited, err := t.take(ctx)
	if err != nil {
		return err
	}
	if slot == nil {
		return f(ctx, waited)
	}
	defer slot.Close()
	if waited && wasLate(slot, started) {
		t.rest()
		return late(ctx)
	}
	err = f(context.WithValue(ctx, turnKey{}, true), waited)
	if errors.Is(err, ErrTimeout) && ctx.Err() == nil { // not only for who was in haste
		noteLate(slot)
	}
	return err
}

// take returns a slot, or nil where there is none to be had.
func (t *turns) take(ctx context.Context) (slot *safefile.Lock, waited bool, err error) {
	dir, err := t.dir()
	if err != nil {
		return nil, false, nil
	}
	defer dir.Close()
	first := rand.IntN(t.slots)
	for i := range t.slots {
		slot, err := dir.TryLock(slotName((first + i) % t.slots))
		if err == nil {
			return slot, false, nil
		}
		if !errors.Is(err, safefile.ErrLocked) {
			return nil, false, nil
		}
	}
	patient, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	slot, err = dir.Lock(patient, slotName(first))
	switch {
	case err == nil:
		return slot, true, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, true, ctx.Err()
	case ctx.Err() != nil:
		return nil, true, &Error{Kind: ErrTimeout, Text: "other processes kept the keyring busy for too long",
			Remedy: "try again, or allow more time", Err: context.DeadlineExceeded}
	}
	return nil, true, nil
}

func slotName(n int) string { return fmt.Sprintf("keyring-%d.lock", n) }

// noteLate leaves the moment at which the keyring let somebody wait in vain to
// those who wait for the same slot.
func noteLate(slot *safefile.Lock) {
	now, _ := BootInstant()
	if data, err := json.Marshal(now); err == nil {
		_ = slot.Write(data) // then the next one finds out itself
	}
}

// wasLate says whether that was since started.
func wasLate(slot *safefile.Lock, started Instant) bool {
	var at Instant
	data, err := slot.Read(maxLockFile)
	if err != nil || json.Unmarshal(data, &at) != nil {
		return false
	}
	now, _ := BootInstant()
	return at.after(started) && !at.after(now)
}

// rest leaves the keyring alone for a while: a process that asks twice waits
// once.
func (t *turns) rest() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = time.Now().Add(lateRest)
}

func (t *turns) resting() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Before(t.until)
}
