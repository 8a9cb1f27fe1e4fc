package helper

import (
	"context"
	"errors"
	"sync"
	"time"
)

// holdTime bounds what neither a timeout nor a signal may cut off. A server
// that has not answered by then has most likely not heard the question.
const holdTime = 20 * time.Second

// holds counts what must not be cut off while one verb runs. Whoever would give
// an answer for a verb that was cancelled waits for them, and lets no new one
// begin.
type holds struct {
	mu     sync.Mutex
	n      int
	closed bool
	free   chan struct{} // closed once n is 0 after close
}

type holdsKey struct{}

func withHolds(ctx context.Context) (context.Context, *holds) {
	h := &holds{free: make(chan struct{})}
	return context.WithValue(ctx, holdsKey{}, h), h
}

// take says whether it may begin.
func (h *holds) take() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.n++
	return true
}

func (h *holds) give() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n--; h.n == 0 && h.closed {
		close(h.free)
	}
}

// close lets no other begin; what it returns is closed when all have ended.
func (h *holds) close() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		if h.n == 0 {
			close(h.free)
		}
	}
	return h.free
}

// hold is Secrets.Hold.
func hold(ctx context.Context) (context.Context, func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	give := func() {}
	if h, ok := ctx.Value(holdsKey{}).(*holds); ok {
		if !h.take() {
			return nil, nil, context.Canceled
		}
		give = h.give
	}
	held, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), holdTime, errHeldTooLong)
	return held, sync.OnceFunc(func() { cancel(); give() }), nil
}

var errHeldTooLong = errors.New("no answer within " + holdTime.String())
