package helper

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
)

// A credential has two thresholds. Past the soft one, RenewWindow, it is still
// handed out, and one process tries for a newer one; that this failed is a
// warning. Below the hard one, min_lifetime, it is not handed out any more.

// The hard threshold where neither request nor profile have one. Of 200 batch
// tasks that were let go with 45 s left, 10 were refused by xrootd: a node may
// be so busy that a minute passes before a tool is at the server.
const (
	minimum      = 5 * time.Minute
	batchMinimum = 10 * time.Minute
)

// batchVariables are in the environment of every job of Slurm, HTCondor and
// Kubernetes.
var batchVariables = []string{"SLURM_JOB_ID", "_CONDOR_SCRATCH_DIR", "KUBERNETES_SERVICE_HOST"}

func (h *Helper) usualMinimum(p *Profile) time.Duration {
	if p.MinLifetime > 0 {
		return p.MinLifetime
	}
	for _, v := range batchVariables {
		if h.Getenv(v) != "" {
			return batchMinimum
		}
	}
	return minimum
}

// RenewWindow is the part of a credential's life, in shares of it, in which it
// is renewed. Hosts draw their moment in it, so its width is what keeps ten
// thousand nodes from asking in the same second: with 12 h and a quarter of
// them it is 0.93 a second.
type RenewWindow struct{ From, To float64 }

var defaultRenew = RenewWindow{0.50, 0.75}

// parseRenewWindow reads "50%-75%". It has to be a tenth wide, or its purpose is
// lost.
func parseRenewWindow(s string) (RenewWindow, error) {
	fault := errors.New(`must be two shares of the life that are 10 % apart or more, from 1 % to 95 %, like "50%-75%"`)
	from, to, ok := strings.Cut(s, "-")
	var shares [2]int
	for i, text := range []string{from, to} {
		digits, percent := strings.CutSuffix(text, "%")
		n, err := strconv.Atoi(digits)
		if !ok || !percent || err != nil || n < 1 || n > 95 || digits != strconv.Itoa(n) {
			return RenewWindow{}, fault
		}
		shares[i] = n
	}
	if shares[1]-shares[0] < 10 {
		return RenewWindow{}, fault
	}
	return RenewWindow{float64(shares[0]) / 100, float64(shares[1]) / 100}, nil
}

// after is the moment from which one process looks for a newer credential while
// the others go on with this one. Its share of the window differs from host to
// host and from one generation to the next.
func (r RenewWindow) after(seed string, b cache.Binding, fetched, notAfter time.Time) time.Time {
	h := sha256.New()
	for _, s := range append([]string{seed, b.Profile, b.Backend, b.Endpoint, b.Principal, b.CredentialName}, b.VOMS...) {
		_ = binary.Write(h, binary.BigEndian, uint32(len(s)))
		_, _ = h.Write([]byte(s))
	}
	_ = binary.Write(h, binary.BigEndian, notAfter.Unix())
	u := float64(binary.BigEndian.Uint32(h.Sum(nil))) / (1 << 32)
	life := notAfter.Sub(fetched)
	return whole(notAfter.Add(-time.Duration(float64(life) * (1 - r.From - (r.To-r.From)*u))))
}

// enough is how long a credential that was carried here must live to be used as
// it is: so long that the whole window is before the hard threshold, or the
// nodes that it was carried to would all renew it at the same end; and longer
// than the one that it is to replace. A caller who wants a new one gets a new
// one.
func (h *Helper) enough(w *wish) time.Duration {
	if w.request.Cache == CacheBypass || w.given != nil {
		return 0
	}
	window := time.Duration(float64(h.usualMinimum(w.profile)) / (1 - w.profile.Renew.To))
	return max(window, w.request.MinLifetime, w.left+time.Second)
}

// least is what a credential that a backend has must live for where no server
// answers. Where the cache has one, that is good enough.
func least(w *wish) time.Duration {
	if w.request.Cache == CacheBypass || w.given != nil || w.left > 0 {
		return 0
	}
	return max(w.request.MinLifetime, time.Second)
}

// refreshBudget bounds what a caller waits for a newer credential while the
// one in the cache is still good.
const refreshBudget = 5 * time.Second

// refreshAhead tries for a newer credential without making anybody wait: only
// if nobody else does, without questions, and not again for a while if it
// failed. Without an answer the old one has to do; the setback says why, if
// there was one.
func (h *Helper) refreshAhead(ctx context.Context, w *wish, old *cache.Entry) (*GetAnswer, *setback) {
	lock, err := h.Cache.TryLockEntry(w.binding)
	if err != nil {
		return nil, nil
	}
	defer lock.Close()
	state := readState(lock)
	if state.Setback.left(h.Cache.Now()) > 0 {
		return nil, state.Setback
	}
	if entry, err := h.lookUp(ctx, w); err == nil && h.Clock().Before(entry.RefreshAfter) {
		a, err := h.answer(w, entry, SourceCache, nil) // somebody else was quicker
		if err == nil {
			return a, nil
		}
	}
	limited := ctx
	if !w.request.Background {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, refreshBudget)
		defer cancel()
	}
	quiet := *w
	request := *w.request
	request.Interactive = InteractiveNever
	quiet.request, quiet.left = &request, old.NotAfter.Sub(h.Clock())
	a, err := h.fetchLocked(limited, &quiet, lock)
	if err == nil {
		return a, nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, nil // it was this caller who gave up
	}
	state = readState(lock)
	state.Setback = state.Setback.next(h.coded(err), h.Cache.Now())
	_ = writeState(lock, state) // then the next caller tries again
	return nil, state.Setback
}

// setback is what kept a credential from being renewed ahead of its end.
type setback struct {
	Error *Error        `json:"error"`
	At    cache.Instant `json:"at"`
	Count int           `json:"count"` // in a row
	Pause time.Duration `json:"pause"` // nanoseconds
}

// After a setback the next attempt waits a minute, then two, up to a quarter of
// an hour, or half of that: hosts draw it, for when a server is back ten
// thousand are waiting. Then they make some 15 attempts a second, and a
// proxy of 12 h is tried for sixteen times at least before it ends.
const (
	firstSetback = time.Minute
	lastSetback  = 15 * time.Minute
)

// next counts one more.
func (s *setback) next(e *Error, now cache.Instant) *setback {
	n := setback{Error: e, At: now, Count: 1}
	if s != nil {
		n.Count += s.Count
	}
	longest := setbackPause(n.Count)
	n.Pause = longest/2 + rand.N(longest/2)
	return &n
}

// setbackPause is the longest pause after that many setbacks.
func setbackPause(count int) time.Duration {
	pause := firstSetback
	for n := 1; n < count && pause < lastSetback; n++ {
		pause *= 2
	}
	return min(pause, lastSetback)
}

// left is how long nobody need try.
func (s *setback) left(now cache.Instant) time.Duration {
	if s == nil || s.Error == nil {
		return 0
	}
	ago, ok := since(now, s.At)
	if !ok {
		return 0 // of another start of the machine
	}
	return s.Pause - ago
}

// warning tells those who are served the old credential. What passes by itself
// is told from what somebody has to mend.
func (s *setback) warning(life time.Duration) Warning {
	text := fmt.Sprintf("the credential lives another %s and was not renewed: %s", span(life), s.Error.Message)
	if s.Error.Retryable {
		return Warning{"renewal_failed", text + "; it is tried again"}
	}
	if s.Error.Hint != "" {
		text += "; " + s.Error.Hint
	}
	return Warning{"renewal_blocked", text}
}
