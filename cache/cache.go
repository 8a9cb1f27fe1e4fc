package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// Options are what a Cache works with.
type Options struct {
	// Credentials is where credentials go, Passphrases where secrets go:
	// Keyring, or anything else for nowhere.
	Credentials, Passphrases Store
	// CacheDir is the directory of sealed entries, RuntimeDir that of locks
	// and plain files. They are called when they are first needed.
	CacheDir, RuntimeDir func() (string, error)
	// Keys holds the data key and the secrets.
	Keys KeyStore
	// Clock is time.Now where it is nil, Boot is BootInstant.
	Clock func() time.Time
	Boot  func() (Instant, error)
}

// Cache is one user's cache. It may be used by several goroutines.
type Cache struct {
	o Options

	mu  sync.Mutex
	key *dataKey // once it was read
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
	if o.CacheDir == nil {
		o.CacheDir = func() (string, error) { return "", errors.New("no cache directory is configured") }
	}
	return &Cache{o: o}
}

// Get returns the entry kept under a binding. Absent, damaged, of another data
// key or expired is ErrNotFound. Errors of the keyring pass through, and so
// does *safefile.UnsafeError.
func (c *Cache) Get(ctx context.Context, b Binding) (*Entry, error) {
	s, err := c.shelf(ctx, false)
	if err != nil {
		return nil, err
	}
	dir, err := s.openDir()
	if err != nil {
		return nil, orMiss(err, b.Profile)
	}
	defer dir.Close()
	name := s.name(b)
	e, err := s.load(dir, name)
	if err != nil {
		return nil, orMiss(err, b.Profile)
	}
	if !e.Binding.equal(b) {
		return nil, miss(b.Profile, "is filed under another name")
	}
	if !e.NotAfter.After(c.o.Clock()) {
		return nil, miss(b.Profile, "has expired")
	}
	return e, nil
}

// Put keeps an entry, removes those that have expired, and says where it went:
// with the store None nowhere.
func (c *Cache) Put(ctx context.Context, e *Entry) (Store, error) {
	if c.o.Credentials == None {
		return None, nil
	}
	plain, err := encodeEntry(e)
	if err != nil {
		return "", err
	}
	defer clear(plain)
	s, err := c.shelf(ctx, true)
	if err != nil {
		return "", err
	}
	dir, err := s.makeDir()
	if err != nil {
		return "", err
	}
	defer dir.Close()
	name := s.name(e.Binding)
	data, err := s.seal(name, plain)
	if err != nil {
		return "", err
	}
	if err := dir.Write(name, data); err != nil {
		return "", err
	}
	c.sweep(s, dir, name)
	return s.store, nil
}

// Delete forgets the entry of a binding. What is absent is no error.
func (c *Cache) Delete(ctx context.Context, b Binding) error {
	s, err := c.shelf(ctx, false)
	if err == nil {
		var dir *safefile.Dir
		if dir, err = s.openDir(); err == nil {
			defer dir.Close()
			err = dir.Remove(s.name(b))
		}
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// List returns the entries that have not expired, without their PEM, ordered
// by profile. There is no index that could disagree: it reads them all.
func (c *Cache) List(ctx context.Context) ([]*Entry, error) {
	var list []*Entry
	s, err := c.shelf(ctx, false)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = s.each(func(_ *safefile.Dir, _ string, e *Entry, err error) error {
		switch {
		case err != nil && errors.As(err, new(*safefile.UnsafeError)):
			return err
		case err == nil && e.NotAfter.After(c.o.Clock()):
			e.PEM.Wipe()
			e.PEM = nil
			list = append(list, e)
		}
		return nil
	})
	sort.SliceStable(list, func(i, j int) bool { return list[i].Binding.Profile < list[j].Binding.Profile })
	return list, err
}

// maxSwept bounds the work that one Put does for others.
const maxSwept = 256

// sweep removes expired entries of ours and what killed writers left. It is
// housekeeping: what fails is tried again by the next one.
func (c *Cache) sweep(s *shelf, dir *safefile.Dir, keep string) {
	now := c.o.Clock()
	_ = dir.RemoveTemps(now.Add(-time.Hour))
	n := 0
	_ = s.eachIn(dir, func(dir *safefile.Dir, name string, e *Entry, err error) error {
		if err == nil && name != keep && !e.NotAfter.After(now) {
			_ = dir.Remove(name)
		}
		if n++; n >= maxSwept {
			return errEnough
		}
		return nil
	})
}

var errEnough = errors.New("enough")

// miss says why there is nothing for a profile.
func miss(profile, why string) error {
	return &Error{Kind: ErrNotFound, Text: fmt.Sprintf("the cached credential of profile %q %s", profile, why), Remedy: "fetch a new one"}
}

// orMiss makes a miss of what is absent or damaged and passes the rest on.
func orMiss(err error, profile string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Kind: ErrNotFound, Text: fmt.Sprintf("no credential of profile %q is cached", profile), Remedy: "fetch a new one"}
	case errors.Is(err, errDamaged), errors.Is(err, safefile.ErrTooLarge):
		return miss(profile, "is damaged")
	}
	return err
}
