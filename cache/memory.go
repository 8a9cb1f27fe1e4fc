package cache

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Memory is a TimedStore for tests. It has the size limit of a real one and
// fails when it is told to.
type Memory struct {
	// Clock is time.Now if it is nil.
	Clock func() time.Time
	// Limit is the size of the biggest value, MaxSecret if 0.
	Limit int
	// Fail, if set, is called before every operation ("get", "set", "delete",
	// "delete-all" with no account); its error is the operation's.
	Fail func(op, account string) error

	mu    sync.Mutex
	items map[string]memoryItem
	calls map[string]int
}

type memoryItem struct {
	value []byte
	ends  time.Time // zero: never
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{items: map[string]memoryItem{}, calls: map[string]int{}}
}

// Name is "memory".
func (m *Memory) Name() string { return "memory" }

// Calls says how often an operation was called.
func (m *Memory) Calls(op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[op]
}

func (m *Memory) begin(ctx context.Context, op, account string) error {
	m.mu.Lock()
	m.calls[op]++
	m.mu.Unlock()
	if m.Fail != nil {
		if err := m.Fail(op, account); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Get returns a copy of the value.
func (m *Memory) Get(ctx context.Context, account string) ([]byte, error) {
	if err := m.begin(ctx, "get", account); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	item, ok := m.items[account]
	if !ok || !item.ends.IsZero() && !m.now().Before(item.ends) {
		return nil, absent(account)
	}
	return append([]byte{}, item.value...), nil
}

func (m *Memory) now() time.Time {
	if m.Clock == nil {
		return time.Now()
	}
	return m.Clock()
}

// Set keeps a copy of the value.
func (m *Memory) Set(ctx context.Context, account string, secret []byte) error {
	return m.set(ctx, account, secret, time.Time{})
}

// SetFor keeps a copy of the value for that long.
func (m *Memory) SetFor(ctx context.Context, account string, secret []byte, ttl time.Duration) error {
	return m.set(ctx, account, secret, m.now().Add(ttl))
}

func (m *Memory) set(ctx context.Context, account string, secret []byte, ends time.Time) error {
	if err := m.begin(ctx, "set", account); err != nil {
		return err
	}
	limit := m.Limit
	if limit == 0 {
		limit = MaxSecret
	}
	if len(secret) > limit {
		return tooBig(len(secret), limit)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items[account] = memoryItem{append([]byte{}, secret...), ends}
	return nil
}

// Delete removes the value.
func (m *Memory) Delete(ctx context.Context, account string) error {
	if err := m.begin(ctx, "delete", account); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.items, account)
	return nil
}

// DeleteAll removes all values.
func (m *Memory) DeleteAll(ctx context.Context) error {
	if err := m.begin(ctx, "delete-all", ""); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.items)
	return nil
}

func absent(account string) error {
	return &Error{Kind: ErrNotFound, Text: fmt.Sprintf("the keyring has no item %q", account), Remedy: "store it first"}
}

func tooBig(n, limit int) error {
	return &Error{Kind: ErrTooBig, Text: fmt.Sprintf("a secret of %d bytes does not fit into the keyring, which takes %d", n, limit), Remedy: "use a shorter one"}
}
