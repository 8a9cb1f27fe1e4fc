package cache

import (
	"context"
	"errors"
	"sync"
	"time"

	keyring "github.com/zalando/go-keyring"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// guarded runs f after the preflight, within the deadline. Neither can be
// called off, so on a timeout they are left behind; what they have not begun
// by then they do not do any more.
func (k *osKeyring) guarded(ctx context.Context, f func(ctx context.Context) error) error {
	limit := k.o.Deadline
	if promptAllowed(ctx) {
		limit = promptDeadline
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	leave, err := k.one.take(ctx, limit)
	if err != nil {
		return err
	}
	done := safego.Go(func() (err error) {
		defer func() { leave(err == nil || errors.Is(err, keyring.ErrNotFound)) }()
		restore, err := k.check(ctx)
		defer restore()
		if err != nil {
			return err
		}
		return f(ctx)
	})
	select {
	case err = <-done:
		err = classify(ctx, err)
	case <-ctx.Done():
		err = late(ctx)
	}
	if errors.Is(err, ErrTimeout) && time.Since(begin) >= limit {
		k.one.wasLate()
	}
	return err
}

// oneCall lets in one call at a time. A call that came too late stays in until
// it really ends, and nobody waits for it any longer; nor is a keyring asked
// that has just not answered: a process that calls twice has one deadline.
type oneCall struct {
	mu    sync.Mutex
	free  chan struct{} // closed when the call has ended; nil: there is none
	hung  chan struct{} // closed when it should have ended
	until time.Time     // so long no call is let in
}

// lateRest is how long a keyring that did not answer is left alone.
const lateRest = 30 * time.Second

// ofProcess is for all keyrings of this process: its environment and the D-Bus
// connection, which a call sets and closes, are one, too.
var ofProcess oneCall

// take waits until no other call runs. leave lets in the next one.
func (o *oneCall) take(ctx context.Context, limit time.Duration) (leave func(answered bool), err error) {
	for {
		free, hung, leave := o.try(limit)
		if leave != nil {
			return leave, nil
		}
		select {
		case <-free:
		case <-hung:
			return nil, late(ctx)
		case <-ctx.Done():
			return nil, late(ctx)
		}
	}
}

// try is take without waiting: it returns leave, or how to wait.
func (o *oneCall) try(limit time.Duration) (free, hung <-chan struct{}, leave func(answered bool)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Now().Before(o.until) {
		closed := make(chan struct{})
		close(closed)
		return nil, closed, nil
	}
	if o.free != nil {
		return o.free, o.hung, nil
	}
	ended, overdue := make(chan struct{}), make(chan struct{})
	o.free, o.hung = ended, overdue
	timer := time.AfterFunc(limit, func() { close(overdue) })
	return nil, nil, func(answered bool) {
		timer.Stop()
		o.mu.Lock()
		defer o.mu.Unlock()
		o.free = nil
		if answered { // late, but well
			o.until = time.Time{}
		}
		close(ended)
	}
}

// wasLate notes that a call did not end in its time.
func (o *oneCall) wasLate() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.until = time.Now().Add(lateRest)
}

// maxTries bounds how often a call is repeated whose item vanished: with the
// pauses between them, a quarter of a second.
const maxTries = 9

// steadily calls f again when its item vanished under it: then there is none,
// or a new one.
func (k *osKeyring) steadily(ctx context.Context, f func() error) error {
	pause := time.Millisecond
	for try := 1; ; try++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := f()
		if err == nil || try == maxTries || !k.vanished(ctx, err) {
			return err
		}
		sleep(ctx, pause)
		pause *= 2
	}
}

// sleep ends early with the context.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// late is what a call returns that was given up.
func late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return &Error{Kind: ErrTimeout, Text: "the keyring did not answer in time",
		Remedy: "see whether a dialog of it is waiting, or restart it: gnome-keyring-daemon --replace --components=secrets", Err: context.DeadlineExceeded}
}
