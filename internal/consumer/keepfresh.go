package consumer

import (
	"context"
	"math/rand/v2"
	"time"
)

// Life is how long a proxy is good.
type Life struct {
	RefreshAfter time.Time // when to look for a newer one
	NotAfter     time.Time
}

// Keeper keeps the file of one proxy fresh for those who read it again and
// again: XRootD opens it for each new connection.
type Keeper struct {
	// Refresh replaces the file, in one step, by a proxy that lives longer than
	// notAfter. It asks nobody anything. What cannot be had is an error, and the
	// file is as it was.
	Refresh func(ctx context.Context, notAfter time.Time) (Life, error)
	// Failed is told of each refresh that failed. left is how long the proxy in
	// the file still lives, again when the next attempt is.
	Failed func(err error, left, again time.Duration)
	// Intact says whether the file still has a proxy that lives until notAfter.
	// It may be gone with a runtime directory, or be overwritten by a process
	// that found the last proxy in the cache just before Refresh replaced it.
	Intact func(notAfter time.Time) bool

	Clock  func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) error // Sleep, but in tests
	Random func() float64                                   // in [0,1)
}

// NewKeeper is a Keeper with the time and chance of this machine.
func NewKeeper() *Keeper {
	// Round takes the monotonic clock out, which stands still while a machine is
	// suspended.
	return &Keeper{Clock: func() time.Time { return time.Now().Round(0) }, Sleep: Sleep, Random: rand.Float64}
}

// nap is the longest sleep at a time: timers stand still while a machine is
// suspended, the life of a proxy does not. After each the file is looked at.
const nap = time.Minute

// shortest is the shortest time from one refresh to the next, should a server
// grant next to nothing.
const shortest = time.Second

// Keep refreshes in time until the context ends.
func (k *Keeper) Keep(ctx context.Context, life Life) {
	next, failures := life.RefreshAfter, 0
	for ctx.Err() == nil {
		atLeast := life.NotAfter
		if d := next.Sub(k.Clock()); d > 0 {
			_ = k.Sleep(ctx, min(d, nap)) // ctx says why it ended early
			if ctx.Err() != nil || failures > 0 || k.Intact(life.NotAfter) {
				continue
			}
			atLeast = k.Clock() // the one in the cache will do
		}
		fresh, err := k.Refresh(ctx, atLeast)
		now := k.Clock()
		switch {
		case ctx.Err() != nil:
		case err == nil:
			life, failures = fresh, 0
			next = latest(fresh.RefreshAfter, now.Add(shortest))
		default:
			left := life.NotAfter.Sub(now)
			pause := k.pause(failures, left)
			next = now.Add(pause)
			failures++
			k.Failed(err, left, pause)
		}
	}
}

// Pauses after failures: up to half a minute, then twice that, up to a quarter of
// an hour. Ten thousand nodes that wait for a server to come back are then
// twenty-two requests a second at worst.
const (
	firstPause = 30 * time.Second
	lastPause  = 15 * time.Minute
)

// pause is how long to wait after that many failures before this one: any time
// up to a limit that doubles, so that nodes do not come back together, but at
// most a quarter of the life that is left.
func (k *Keeper) pause(failures int, left time.Duration) time.Duration {
	limit := firstPause
	for ; failures > 0 && limit < lastPause; failures-- {
		limit *= 2
	}
	limit = min(limit, lastPause)
	if left > 0 {
		limit = min(limit, left/4)
	}
	return max(time.Duration(k.Random()*float64(limit)), shortest)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Sleep waits, or returns the context's error.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
