package consumer

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// machine is a clock that sleeping moves, and what happened on it.
type machine struct {
	now    time.Time
	naps   []time.Duration
	calls  []time.Duration // since the beginning: when Refresh was called
	least  []time.Duration // and for a proxy that lives longer than that
	failed []time.Duration // the life that was left

	lost   time.Duration // since the beginning: when the file is not intact any more; 0: never
	mended int           // the number of calls after which it is
}

// keep runs a Keeper for so long. refresh says what becomes of the nth call.
func keep(t *testing.T, life Life, limit time.Duration, random float64, refresh func(m *machine, n int) (Life, error)) *machine {
	t.Helper()
	return (&machine{now: now}).keep(t, life, limit, random, refresh)
}

func (m *machine) keep(t *testing.T, life Life, limit time.Duration, random float64, refresh func(m *machine, n int) (Life, error)) *machine {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	k := &Keeper{
		Clock:  func() time.Time { return m.now },
		Random: func() float64 { return random },
		Sleep: func(_ context.Context, d time.Duration) error {
			m.naps = append(m.naps, d)
			m.now = m.now.Add(d)
			if m.now.Sub(now) > limit {
				cancel()
			}
			return ctx.Err()
		},
		Refresh: func(_ context.Context, notAfter time.Time) (Life, error) {
			m.calls, m.least = append(m.calls, m.now.Sub(now)), append(m.least, notAfter.Sub(now))
			if len(m.calls) > 1000 {
				t.Fatal("it never rests")
			}
			return refresh(m, len(m.calls)-1)
		},
		Failed: func(_ error, left, again time.Duration) { m.failed = append(m.failed, left) },
		Intact: func(time.Time) bool { return m.lost == 0 || m.now.Sub(now) < m.lost || len(m.calls) > m.mended },
	}
	k.Keep(ctx, life)
	return m
}

// twelve is a fresh proxy of twelve hours, to be refreshed after seven.
func twelve(m *machine, _ int) (Life, error) {
	return Life{RefreshAfter: m.now.Add(7 * time.Hour), NotAfter: m.now.Add(12 * time.Hour)}, nil
}

// TestKeep: a proxy is refreshed when it is time, and at no other one.
func TestKeep(t *testing.T) {
	life := Life{RefreshAfter: now.Add(7 * time.Hour), NotAfter: now.Add(12 * time.Hour)}
	m := keep(t, life, 22*time.Hour, 0.5, twelve)
	want := []time.Duration{7 * time.Hour, 14 * time.Hour, 21 * time.Hour}
	if !slices.Equal(m.calls, want) || len(m.failed) > 0 {
		t.Errorf("refreshed after %v, failed %v; want %v", m.calls, m.failed, want)
	}
	if longest := slices.Max(m.naps); longest > time.Minute {
		t.Errorf("slept for %v at a time: a suspended machine would sleep on", longest)
	}
	// It is late already, so there is no time to lose.
	m = keep(t, Life{RefreshAfter: now.Add(-time.Hour), NotAfter: now.Add(time.Minute)}, time.Hour, 0.5, twelve)
	if !slices.Equal(m.calls, []time.Duration{0}) {
		t.Errorf("refreshed after %v", m.calls)
	}
}

// TestKeepSuspended: a machine that slept past the moment refreshes at once when
// it wakes, although its timers stood still.
func TestKeepSuspended(t *testing.T) {
	life := Life{RefreshAfter: now.Add(7 * time.Hour), NotAfter: now.Add(12 * time.Hour)}
	m := &machine{now: now}
	ctx, cancel := context.WithCancel(t.Context())
	k := &Keeper{
		Clock: func() time.Time { return m.now },
		Sleep: func(_ context.Context, d time.Duration) error {
			m.now = m.now.Add(d)
			if m.now.Sub(now) == 10*time.Minute {
				m.now = now.Add(8 * time.Hour)
			}
			return nil
		},
		Refresh: func(context.Context, time.Time) (Life, error) {
			m.calls = append(m.calls, m.now.Sub(now))
			cancel()
			return life, nil
		},
		Intact: func(time.Time) bool { return true },
	}
	k.Keep(ctx, life)
	if !slices.Equal(m.calls, []time.Duration{8 * time.Hour}) {
		t.Errorf("refreshed after %v", m.calls)
	}
}

// TestKeepTriesAgain: after a failure it comes back, each time later, but while
// the proxy lives always often enough to have four more chances.
func TestKeepTriesAgain(t *testing.T) {
	life := Life{RefreshAfter: now, NotAfter: now.Add(5 * time.Hour)}
	m := keep(t, life, 3*time.Hour, 0.999999999, func(*machine, int) (Life, error) { return Life{}, errors.New("down") })
	var pauses []time.Duration
	for i := range m.calls[1:] {
		pauses = append(pauses, (m.calls[i+1] - m.calls[i]).Round(time.Second))
	}
	want := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute}
	if !slices.Equal(pauses[:len(want)], want) || slices.Max(pauses) != 15*time.Minute {
		t.Errorf("pauses %v, want %v and no longer ones", pauses, want)
	}
	if len(m.failed) != len(m.calls) || m.failed[0] != 5*time.Hour {
		t.Errorf("told of %v", m.failed)
	}

	life.NotAfter = now.Add(time.Minute)
	m = keep(t, life, time.Hour, 0.999999999, func(*machine, int) (Life, error) { return Life{}, errors.New("down") })
	if alive := slices.IndexFunc(m.failed, func(left time.Duration) bool { return left <= 0 }); alive < 5 {
		t.Errorf("tried %d times before the proxy ended", alive)
	}

	// The first success ends it, and the next failure begins anew.
	m = keep(t, Life{RefreshAfter: now, NotAfter: now.Add(12 * time.Hour)}, 15*time.Hour, 0.999999999, func(m *machine, n int) (Life, error) {
		if n < 3 || n == 4 {
			return Life{}, errors.New("down")
		}
		return twelve(m, n)
	})
	if got := (m.calls[5] - m.calls[4]).Round(time.Second); got != 30*time.Second {
		t.Errorf("after a success the first pause is %v", got)
	}
}

// TestKeepRests: neither chance nor a server that grants next to nothing, or what
// is to be refreshed at once, makes it ask without a rest.
func TestKeepRests(t *testing.T) {
	life := Life{RefreshAfter: now, NotAfter: now.Add(time.Hour)}
	for name, refresh := range map[string]func(*machine, int) (Life, error){
		"fails":       func(*machine, int) (Life, error) { return Life{}, errors.New("down") },
		"has expired": func(m *machine, _ int) (Life, error) { return Life{m.now, m.now}, nil },
	} {
		m := keep(t, life, 10*time.Second, 0, refresh)
		if len(m.calls) > 12 {
			t.Errorf("%s: asked %d times in ten seconds", name, len(m.calls))
		}
	}
}

// TestKeepEnds: what a signal cut short is no failure to speak of.
func TestKeepEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	k := NewKeeper()
	k.Refresh = func(context.Context, time.Time) (Life, error) { cancel(); return Life{}, ctx.Err() }
	k.Failed = func(err error, _, _ time.Duration) { t.Errorf("told of %v", err) }
	k.Keep(ctx, Life{})
}

// TestKeepRestores: a file that is gone, or has an older proxy, is written anew
// within a minute, and no server is asked for one that lives longer. What cannot
// be restored is said, and tried again after a pause.
func TestKeepRestores(t *testing.T) {
	life := Life{RefreshAfter: now.Add(7 * time.Hour), NotAfter: now.Add(12 * time.Hour)}
	m := &machine{now: now, lost: 90 * time.Second}
	m.keep(t, life, 8*time.Hour, 0.5, func(m *machine, n int) (Life, error) {
		if n == 0 {
			return life, nil
		}
		return twelve(m, n)
	})
	if want := []time.Duration{2 * time.Minute, 7 * time.Hour}; !slices.Equal(m.calls, want) {
		t.Errorf("refreshed after %v, want %v", m.calls, want)
	}
	if want := []time.Duration{2 * time.Minute, 12 * time.Hour}; !slices.Equal(m.least, want) {
		t.Errorf("asked for proxies that live longer than %v, want %v", m.least, want)
	}
	m = &machine{now: now, lost: 90 * time.Second, mended: 1000}
	m.keep(t, life, 5*time.Hour, 0.999999999, func(*machine, int) (Life, error) { return Life{}, errors.New("gone") })
	if n := len(m.failed); n < 10 || n > 30 {
		t.Errorf("told of %d failures in five hours", n)
	}
}
