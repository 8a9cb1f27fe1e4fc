package cache

import (
	"context"
	"fmt"
	"sync"
)

// Memory is a KeyStore for tests. It has the size limit of a real one and
// fails when it is told to.
type Memory struct {
	// Limit is the size of the biggest value, MaxSecret if 0.
	Limit int
	// Fail, if set, is called before every operation ("get", "set",
	// "delete"); its error is the operation's.
	Fail func(op, account string) error

	mu    sync.Mutex
	items map[string][]byte
	calls map[string]int
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{items: map[string][]byte{}, calls: map[string]int{}}
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
	v, ok := m.items[account]
	if !ok {
		return nil, absent(account)
	}
	return append([]byte{}, v...), nil
}

// Set keeps a copy of the value.
func (m *Memory) Set(ctx context.Context, account string, secret []byte) error {
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
	m.items[account] = append([]byte{}, secret...)
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

func absent(account string) error {
	return &Error{Kind: ErrNotFound, Text: fmt.Sprintf("the keyring has no item %q", account), Remedy: "store it first"}
}

func tooBig(n, limit int) error {
	return &Error{Kind: ErrTooBig, Text: fmt.Sprintf("a secret of %d bytes does not fit into the keyring, which takes %d", n, limit), Remedy: "use a shorter one"}
}
