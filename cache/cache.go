package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// Options are what a Cache works with.
type Options struct {
	// Credentials is where credentials go. Passphrases is where secrets go,
	// and what else is worth as much: Keyring, or anything else for nowhere.
	Credentials, Passphrases Store
	// CacheDir is the directory of sealed entries, RuntimeDir that of plain
	// files, LockDir that of locks, RuntimeDir where it is nil. They are called
	// when they are first needed.
	CacheDir, RuntimeDir, LockDir func() (string, error)
	// OtherRuntimeDirs are where processes with another environment may have
	// left plain files, for EraseAll and ForgetElsewhere. It may be nil.
	OtherRuntimeDirs func() []string
	// Keys holds the data keys and the secrets.
	Keys KeyStore
	// Kernel holds the data key of the kernel store, and for KeyTTL a copy of
	// the keyring's. It is nil where there is none.
	Kernel TimedStore
	// KeyTTL is how long a data key that was read may be had from the kernel
	// instead of the keyring: between a second and a day, or 0 for never. It
	// outlives a locked screen for that long.
	KeyTTL time.Duration
	// Clock is time.Now where it is nil, Boot is BootInstant.
	Clock func() time.Time
	Boot  func() (Instant, error)
}

// Cache is one user's cache. It may be used by several goroutines.
type Cache struct {
	o Options
	// The data keys: of most entries, of those that live long, and that of the
	// kernel store.
	short, long, kernel *keeper
}

// New returns a cache. It does no I/O.
func New(o Options) *Cache {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Boot == nil {
		o.Boot = BootInstant
	}
	if o.RuntimeDir == nil {
		o.RuntimeDir = func() (string, error) { return safefile.RuntimeDir("", os.Getenv) }
	}
	if o.LockDir == nil {
		o.LockDir = o.RuntimeDir
	}
	if o.CacheDir == nil {
		o.CacheDir = func() (string, error) { return "", errors.New("no cache directory is configured") }
	}
	if o.KeyTTL > 0 {
		o.KeyTTL = min(max(o.KeyTTL, time.Second), kernelTTL)
	}
	c := &Cache{o: o}
	c.short = &keeper{c: c, account: dataKeyAccount, keys: o.Keys}
	c.long = &keeper{c: c, account: longKeyAccount, keys: o.Keys}
	c.kernel = &keeper{c: c, account: dataKeyAccount, keys: o.Kernel, timed: o.Kernel}
	if o.KeyTTL > 0 {
		c.short.copies = o.Kernel
	}
	return c
}

// Get returns the entry kept under a binding, of several the newest. Absent,
// damaged, of another data key or expired is ErrNotFound. With the store Auto
// it is ErrNotFound and ErrLocked, or ErrTimeout, where a keyring that may
// have the entry does not say so. Other stores' errors pass through, and so
// does *safefile.UnsafeError.
func (c *Cache) Get(ctx context.Context, b Binding) (*Entry, error) {
	shelves, err := c.shelves()
	if err != nil {
		return nil, err
	}
	var found *Entry
	looked := search{profile: b.Profile}
	for _, s := range shelves {
		if s.long() && found != nil {
			break // Put has seen to it that there is nothing newer
		}
		e, err := s.lookup(ctx, b, c.o.Clock())
		switch {
		case err == nil:
			found = newer(found, e)
		case !isAbsent(err) && s.ends(ctx, err):
			return nil, err
		default:
			looked.note(err)
		}
	}
	if found != nil {
		return found, nil
	}
	return nil, looked.missed()
}

// newer prefers what was fetched later, and of equals the one from a shelf
// that is used only where those before it cannot be.
func newer(a, b *Entry) *Entry {
	if a == nil || !b.FetchedAt.Before(a.FetchedAt) {
		a, b = b, a
	}
	if b != nil {
		b.PEM.Wipe()
	}
	return a
}

// better is the newer one of those that live, or else of both.
func better(a, b *Entry, now time.Time) *Entry {
	switch alive := a.NotAfter.After(now); {
	case alive == b.NotAfter.After(now):
		return newer(a, b)
	case alive:
		return a
	}
	return b
}

// Put keeps an entry, removes those that it replaces or that have expired, and
// says where it went. What lives longer than a day is kept only where pass
// phrases are.
func (c *Cache) Put(ctx context.Context, e *Entry) (Stored, error) {
	if c.o.Credentials == None {
		return Stored{In: None}, nil
	}
	plain, err := encodeEntry(e)
	if err != nil {
		return Stored{}, err
	}
	defer clear(plain)
	mine, others, err := c.shelvesFor(e)
	if err != nil {
		return Stored{}, err
	}
	var why []error
	for i, s := range mine {
		err := s.put(ctx, e.Binding, plain, c.o.Clock())
		if err == nil {
			c.forget(ctx, e.Binding, append(others, mine[i+1:]...), why)
			return Stored{In: s.store, Why: first(why)}, nil
		}
		if s.ends(ctx, err) {
			return Stored{}, err
		}
		why = append(why, err)
	}
	switch {
	case len(mine) == 0:
		return Stored{In: None, Why: c.notKept()}, nil
	case mine[0].long():
		return Stored{In: None, Why: first(why)}, nil
	}
	return Stored{}, notTaken(why)
}

// forget removes the older entries of a binding from the shelves that did not
// get the new one. A keyring that has just failed is not asked again; if it
// has an older one, Get finds the newer.
func (c *Cache) forget(ctx context.Context, b Binding, shelves []*shelf, failed []error) {
	for _, s := range shelves {
		if s.long() && len(failed) > 0 {
			continue
		}
		_ = s.remove(ctx, b)
	}
}

// Delete forgets the entry of a binding, wherever it is. What is absent is no
// error, and nor is a shelf that cannot be there; one that is locked is.
func (c *Cache) Delete(ctx context.Context, b Binding) error {
	shelves, err := c.shelves()
	for _, s := range shelves {
		if gone := s.remove(ctx, b); gone != nil && !(s.soft && isMissing(gone)) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

// List returns the entries that have not expired, without their PEM, ordered
// by profile. There is no index that could disagree: it reads them all. Beside
// them there can be an error that says why there may be more.
func (c *Cache) List(ctx context.Context) ([]*Entry, error) {
	list, err := c.ListAll(ctx)
	now := c.o.Clock()
	return slices.DeleteFunc(list, func(e *Entry) bool { return !e.NotAfter.After(now) }), err
}

// ListAll is List with what has expired and still lies there.
func (c *Cache) ListAll(ctx context.Context) ([]*Entry, error) {
	shelves, err := c.shelves()
	var list []*Entry
	now, at := c.o.Clock(), map[string]int{} // of each binding
	for _, s := range shelves {
		found, failed := s.list(ctx)
		if failed != nil && s.ends(ctx, failed) {
			return nil, failed
		}
		if failed != nil && !isMissing(failed) {
			err = errors.Join(err, failed)
		}
		for _, e := range found {
			key := string(e.Binding.canon())
			i, seen := at[key]
			switch {
			case !seen:
				at[key] = len(list)
				list = append(list, e)
			case !s.long() || !list[i].NotAfter.After(now):
				list[i] = better(list[i], e, now)
			}
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Binding.Profile < list[j].Binding.Profile })
	return list, err
}

// list returns all but what long-lived credentials are made from.
func (s *shelf) list(ctx context.Context) (list []*Entry, err error) {
	d, err := s.open(ctx)
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.close()
	err = d.each(func(_ string, e *Entry, err error) error {
		switch {
		case err != nil && isUnsafe(err):
			return err
		case err == nil && !e.Binding.isLong():
			e.PEM.Wipe()
			e.PEM = nil
			list = append(list, e)
		}
		return nil
	})
	return list, err
}

func first(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// notTaken says of every store why it did not take an entry.
func notTaken(why []error) error {
	err := why[0]
	for _, next := range why[1:] {
		err = fmt.Errorf("%w; then: %w", err, next)
	}
	return err
}
