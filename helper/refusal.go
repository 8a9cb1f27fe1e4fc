package helper

import (
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
)

// refusal is a server's last no to a profile without a pass phrase, kept in the
// state of the entry. Those with one are kept by it, see heldSecrets.
type refusal struct {
	Error *Error        `json:"error"`
	At    cache.Instant `json:"at"`
	Count int           `json:"count"` // in a row
}

// After a refusal the server is left alone for a minute, then two, up to a
// quarter of an hour: a batch job must not miss that the policy was mended.
const (
	firstPause = time.Minute
	lastPause  = 15 * time.Minute
)

func (r *refusal) pause() time.Duration {
	pause := firstPause
	for n := 1; n < r.Count && pause < lastPause; n++ {
		pause *= 2
	}
	return min(pause, lastPause)
}

// checkRefusal stops what the server has just refused. A login may ask at once.
func (h *Helper) checkRefusal(w *wish, s entryState) error {
	r := s.Refusal
	if r == nil || r.Error == nil || w.given != nil || w.primary() != nil {
		return nil
	}
	ago, ok := since(h.Cache.Now(), r.At)
	left := r.pause() - ago
	if !ok || left <= 0 {
		return nil
	}
	e := *r.Error
	e.Message = "the server refused profile \"" + w.profile.Name + "\", and it is not asked again for " + span(left) + ": " + e.Message
	e.RetryAfter = int64(left / time.Second)
	return &e
}

// noteRefusal keeps a server's no for the next callers, as far as nobody's pass
// phrase is to blame.
func (h *Helper) noteRefusal(w *wish, s entryState, e *Error, lock *cache.EntryLock) {
	if w.primary() != nil || e.Code != CodeNotFound && e.Code.ExitStatus() != CodeServerRefused.ExitStatus() {
		return
	}
	count := 1
	if s.Refusal != nil {
		count += s.Refusal.Count
	}
	s.Refusal = &refusal{Error: e, At: h.Cache.Now(), Count: count}
	_ = writeState(lock, s) // then the next caller asks again
}
