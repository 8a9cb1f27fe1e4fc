package helper

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// entryState is what one entry's processes tell each other beside its lock.
type entryState struct {
	// Began is when the fetch of the entry in the cache began.
	Began cache.Instant `json:"began"`
	// Setback is set where looking ahead for a newer credential last failed.
	Setback *setback `json:"setback,omitempty"`
	// Rejections counts the credentials in a row that a server refused soon
	// after they were fetched, RejectedAt is the last.
	Rejections int           `json:"rejections"`
	RejectedAt cache.Instant `json:"rejected_at"`
	// Refusal is set where the backend's server said no when it was last asked.
	Refusal *refusal `json:"refusal,omitempty"`
}

func readState(l *cache.EntryLock) (s entryState) {
	_ = json.Unmarshal(l.State(), &s) // what cannot be read is no state
	return s
}

func writeState(l *cache.EntryLock, s entryState) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return l.SetState(data)
}

// since is how long ago an instant was by the clock that no one can set; ok is
// false for one of another boot, and for one that is still to come.
func since(now, then cache.Instant) (d time.Duration, ok bool) {
	d = now.Since - then.Since
	return d, d >= 0 && now.Boot != "" && now.Boot == then.Boot
}

// fetch lets one process at a time ask the backend. Whoever gets the lock
// first checks whether the work is still needed: the one before it may have
// done it, or failed.
func (h *Helper) fetch(ctx context.Context, w *wish) (*GetAnswer, error) {
	stop := h.notice("waiting for another process that is fetching the same credential")
	lock, err := h.Cache.LockEntry(ctx, w.binding)
	stop()
	if err != nil {
		return nil, h.storage(err)
	}
	defer lock.Close()
	ctx = cache.Ahead(ctx) // the others wait for us
	if entry, err := h.lookAgain(ctx, w, lock); err != nil || entry != nil {
		if err != nil {
			return nil, err
		}
		_ = lock.Close() // of a thousand that wait, the next need not wait for our answer
		return h.answer(w, entry, SourceCache, nil)
	}
	if record, ok := lock.Failure(w.started); ok && w.given == nil {
		if e := sharedFailure(record); e != nil {
			return nil, e
		}
	}
	return h.fetchLocked(ctx, w, lock)
}

// lookAgain looks into the cache under the lock. A bypass is content with a
// fetch that began after it was called.
func (h *Helper) lookAgain(ctx context.Context, w *wish, lock *cache.EntryLock) (*cache.Entry, error) {
	if w.given != nil {
		return nil, nil
	}
	if w.request.Cache == CacheBypass {
		if d, ok := since(readState(lock).Began, w.started); !ok || d <= 0 {
			return nil, nil
		}
	}
	entry, err := h.lookUp(ctx, w)
	if errors.Is(err, cache.ErrNotFound) {
		return nil, nil
	}
	return entry, err
}

// sharedFailure is the error of a leader that failed while we waited.
func sharedFailure(record []byte) *Error {
	var e Error
	if json.Unmarshal(record, &e) != nil || e.Code == "" {
		return nil
	}
	return &e
}

// isShared says whether the waiters would have met the same failure. What one
// caller's deadline, interruption or silence caused is its own, so is a keyring
// in whose place somebody may type, and what a server says to a pass phrase that
// was typed; a server that does not answer is everybody's.
func isShared(e *Error, typed bool) bool {
	switch e.Code {
	case CodeCancelled, CodeBusy, CodeInteractionRequired, CodeKeyringLocked, CodeKeyringUnavailable, CodeLifetimeUnavailable, CodeInternal:
		return false
	}
	return !typed || e.Retryable
}

// sharesLogin says whether the waiters would have to log in as well: nobody can
// type a session.
func sharesLogin(w *wish, e *Error) bool {
	ref := w.primary()
	return e.Code == CodeInteractionRequired && w.given == nil && ref != nil && ref.isSession()
}

// fetchLocked asks the backend and keeps what it returned. The entry's lock is
// held.
func (h *Helper) fetchLocked(ctx context.Context, w *wish, lock *cache.EntryLock) (*GetAnswer, error) {
	state := readState(lock)
	if err := h.checkRejections(w, state); err != nil {
		return nil, err
	}
	if err := h.checkRefusal(w, state); err != nil {
		return nil, err
	}
	began := h.Cache.Now()
	got, err := h.obtain(h.withPrompts(ctx, w.request), w)
	if err != nil {
		e := h.ended(ctx, err)
		h.noteRefusal(w, state, e, lock)
		if (isShared(e, w.typed) || sharesLogin(w, e)) && ctx.Err() == nil {
			if record, err := json.Marshal(e); err == nil {
				_ = lock.Fail(record) // the waiters then find out themselves
			}
		}
		return nil, inProfile(e, w.profile)
	}
	state.Began, state.Setback, state.Refusal = began, nil, nil
	if w.given != nil {
		state.Rejections = 0
	}
	entry, warnings := h.keep(ctx, w, got, lock, state)
	if entry.NotAfter.Sub(h.Clock()) < w.request.MinLifetime {
		return nil, lifetimeUnavailable(w, entry)
	}
	return h.answer(w, entry, SourceBackend, warnings)
}

// ended gives a failed fetch its code. Where the caller's time or patience
// ended, what the backend made of that does not matter.
func (h *Helper) ended(ctx context.Context, err error) *Error {
	e := h.coded(err)
	if e.Code == CodeInternal || e.Code == CodeCancelled || e.Retryable {
		if errors.Is(ctx.Err(), context.Canceled) {
			return Errorf(CodeCancelled, "cancelled")
		}
		if ctx.Err() != nil && e.Code != CodeTimeout {
			return Errorf(CodeTimeout, "the request's time ran out: %w", err).WithHint("allow more time with \"timeout\"")
		}
	}
	if e.Code == CodeTimeout && e.Hint == "" && ctx.Err() != nil {
		more := *e
		return more.WithHint("allow more time with \"timeout\"")
	}
	return e
}

// keep puts a new credential into the cache. A cache that does not take it is
// a warning: the caller still has a good credential.
func (h *Helper) keep(ctx context.Context, w *wish, got *verified, lock *cache.EntryLock, state entryState) (*cache.Entry, []Warning) {
	now := h.Clock()
	entry := &cache.Entry{
		Binding:     w.binding,
		Identity:    got.info.Identity,
		Subject:     got.info.Subject,
		Fingerprint: got.info.Fingerprint,
		NotBefore:   got.info.NotBefore,
		NotAfter:    got.info.NotAfter,
		FetchedAt:   now,
		Asked:       asked(w),
		Granted:     got.info.NotAfter.Sub(now).Round(time.Second),
		PEM:         got.pem,
		StoredIn:    cache.None,
	}
	if got.held {
		entry.Asked = 0 // nobody was asked: a server may grant more
	}
	entry.RefreshAfter = w.profile.Renew.after(h.Seed, w.binding, now, entry.NotAfter)
	warnings := got.warnings
	stored, err := h.Cache.Put(ctx, entry)
	if err == nil {
		entry.StoredIn, err = stored.In, stored.Why
		// Without the note a caller that waits with "bypass" fetches once more.
		_ = writeState(lock, state)
	}
	if err != nil {
		warnings = append(warnings, notFirstChoice(entry.StoredIn, err))
	}
	return entry, warnings
}

// asked is the lifetime that an entry was asked for, 0 where the server's default
// will do.
func asked(w *wish) time.Duration {
	if !w.asked && w.target.ServerKey {
		return 0
	}
	return w.lifetime
}

// obtain takes the secret, starts the key, asks the backend and verifies. The
// key is made while a human types and while the connection is set up: it is
// nearly the whole cost of a miss. The secret's lock is held while the backend
// may use the secret, so that a wrong one is sent once, whatever the callers
// asked for.
func (h *Helper) obtain(ctx context.Context, w *wish) (*verified, error) {
	var key *gsi.PendingKey
	startKey := func() {
		if key == nil && !w.target.ServerKey {
			key = gsi.StartKey(ctx, w.profile.Key)
		}
	}
	secrets, err := h.takeSecrets(ctx, w, startKey)
	if err != nil {
		return nil, err
	}
	defer secrets.close()
	startKey()
	spec := h.spec(w, secrets)
	if key != nil {
		spec.CSR = func(ctx context.Context) ([]byte, error) { return request(ctx, key, w.limited) }
	}
	if w.given != nil && w.given.back != nil {
		return h.completeLogin(ctx, w, spec, secrets)
	}
	stop := h.notice("waiting for " + w.target.Endpoint)
	res, err := w.backend.Obtain(ctx, spec)
	stop()
	if err != nil {
		return nil, secrets.judge(ctx, err)
	}
	if err := secrets.accepted(ctx); err != nil {
		return nil, err
	}
	signer := crypto.Signer(res.Key)
	if key != nil && !res.Held {
		if signer, err = key.Wait(ctx); err != nil {
			return nil, err
		}
	}
	res.Warnings = append(res.Warnings, secrets.warnings...)
	return h.verify(ctx, w, spec, res, signer)
}

// spec is what a backend is asked for, but for the key.
func (h *Helper) spec(w *wish, secrets *heldSecrets) *Spec {
	return &Spec{
		Profile:       w.profile,
		Target:        w.target,
		Lifetime:      w.lifetime,
		LifetimeAsked: w.asked,
		VOMS:          w.voms,
		Limited:       w.limited,
		Enough:        h.enough(w),
		Least:         least(w),
		Secrets:       secrets,
		Current:       func(ctx context.Context) (*gsi.Credential, error) { return h.current(ctx, w) },
		Identity:      w.identity,
		Sending:       secrets.sending,
		Trust:         h.trustOpener(w.profile),
		TrustOptions:  w.profile.Trust,
	}
}

// completeLogin keeps the session of a human who is back. Nothing is kept before
// everything was verified.
func (h *Helper) completeLogin(ctx context.Context, w *wish, spec *Spec, secrets *heldSecrets) (*verified, error) {
	res, err := w.given.back.Complete(ctx, spec)
	if err != nil {
		return nil, secrets.judge(ctx, err)
	}
	got, err := h.verify(ctx, w, spec, res, res.Key)
	if err != nil {
		return nil, err
	}
	if err := secrets.keepSession(ctx, res); err != nil {
		return nil, err
	}
	if s, ok := w.backend.(Session); ok && w.given.kept != "" {
		w.given.until, _ = s.Until(w.profile, res.Session) // not known is zero
	} else {
		w.given.until = got.info.NotAfter // without a session it is the only one
	}
	got.warnings = append(got.warnings, secrets.warnings...)
	return got, nil
}

// notice tells people what is waited for, if it takes longer than a second.
func (h *Helper) notice(text string) (stop func()) {
	if h.Notify == nil {
		return func() {}
	}
	timer := time.AfterFunc(time.Second, func() {
		_ = safego.Call(func() error { h.Notify(text); return nil })
	})
	return func() { timer.Stop() }
}

// request makes the certificate request once the key is there.
func request(ctx context.Context, key *gsi.PendingKey, limited bool) ([]byte, error) {
	signer, err := key.Wait(ctx)
	if err != nil {
		return nil, err
	}
	return gsi.NewRequest(signer, limited)
}

// trustOpener opens the profile's trust anchors once. A backend whose connection
// failed may still be at it when they are wanted here.
func (h *Helper) trustOpener(p *Profile) func() (*gsi.TrustDir, error) {
	var mu sync.Mutex
	var dir *gsi.TrustDir
	return func() (*gsi.TrustDir, error) {
		mu.Lock()
		defer mu.Unlock()
		if dir != nil {
			return dir, nil
		}
		path, err := gsi.FindTrustDir(p.CADir, h.Getenv)
		if err == nil {
			dir, err = gsi.OpenTrustDir(path)
		}
		return dir, err
	}
}

// rejectionPause is how long a server's second refusal of fresh credentials
// keeps us from fetching another.
const rejectionPause = 10 * time.Minute

func (h *Helper) checkRejections(w *wish, s entryState) error {
	ago, ok := since(h.Cache.Now(), s.RejectedAt)
	if s.Rejections < 2 || !ok || ago >= rejectionPause || w.given != nil {
		return nil
	}
	e := Errorf(CodeCredentialRejected, "a server rejected two fresh credentials of profile %q in a row", w.profile.Name).
		WithHint("a new one would fare no better: check what the server says, then run: x509-credential-helper login %s", w.profile.Name)
	e.RetryAfter = int64((rejectionPause - ago) / time.Second)
	return e
}

var errNoKey = errors.New("the backend returned no key")
