package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// longLived is how long a credential may live that is kept without more ado.
// What lives longer is worth stealing as a pass phrase is, and is kept like
// one: under a key that is never anywhere but in the keyring.
const longLived = 24 * time.Hour

// The shelves, and where each of them is.
func (c *Cache) keyringShelf() *shelf {
	return &shelf{store: Keyring, root: c.o.CacheDir, keeper: c.short}
}

func (c *Cache) kernelShelf() *shelf {
	return &shelf{store: Kernel, root: c.o.CacheDir, keeper: c.kernel}
}

// plainShelf keeps what a sealed entry has inside, for machines without a
// keyring.
func (c *Cache) plainShelf(store Store) *shelf {
	return &shelf{store: store, root: c.o.RuntimeDir}
}

func (c *Cache) longShelf() *shelf {
	return &shelf{store: Keyring, root: c.o.CacheDir, keeper: c.long, prefix: longPrefix, soft: true}
}

// shelves are those of the configured store in the order in which they are
// tried; what lives long comes last.
func (c *Cache) shelves() ([]*shelf, error) {
	var list []*shelf
	switch c.o.Credentials {
	case Auto:
		list = []*shelf{c.keyringShelf(), c.kernelShelf(), c.plainShelf(Runtime)}
		for _, s := range list {
			s.soft = true
		}
	case Keyring:
		list = []*shelf{c.keyringShelf()}
	case Kernel:
		list = []*shelf{c.kernelShelf()}
	case Runtime:
		list = []*shelf{c.plainShelf(Runtime)}
	case File:
		return []*shelf{c.plainShelf(File)}, nil // and no keyring, ever
	case None:
		return nil, nil
	default:
		return nil, fmt.Errorf("the store %q of credentials is not known; use auto, keyring, kernel, runtime, file or none", c.o.Credentials)
	}
	if c.o.Passphrases == Keyring {
		list = append(list, c.longShelf())
	}
	return list, nil
}

// shelvesFor are those that may keep a new entry, and those that may have an
// older one of the same binding. What counts is how long the certificate is
// good for, not its attributes: a thief can do without.
func (c *Cache) shelvesFor(e *Entry) (mine, others []*shelf, err error) {
	end, err := leafNotAfter(e.PEM)
	if err != nil {
		return nil, nil, err
	}
	all, err := c.shelves()
	long := end.Sub(c.o.Clock()) > longLived
	for _, s := range all {
		if s.long() == long {
			mine = append(mine, s)
		} else {
			others = append(others, s)
		}
	}
	return mine, others, err
}

// notKept says why an entry that lives long went nowhere.
func (c *Cache) notKept() error {
	return &Error{Kind: ErrUnavailable, Text: "a credential that lives longer than a day is kept only where pass phrases are, and none are kept here",
		Remedy: `set credentials to "auto" and passphrases to "keyring", or ask for a shorter lifetime`}
}

// ends says whether a shelf's failure ends the search. Where somebody else may
// have had a hand it always does, and where the caller's time is up. It does so
// too when a shelf before it had an entry: the one that is hidden may be newer,
// and whoever could make that directory could have replaced the locks there, so
// the user had better hear of it before the next fetch fails.
func (s *shelf) ends(ctx context.Context, err error) bool {
	return !s.soft || ctx.Err() != nil || isUnsafe(err)
}

// lookup returns the entry of a binding. What is damaged or expired is
// ErrNotFound, what is absent fs.ErrNotExist.
func (s *shelf) lookup(ctx context.Context, b Binding, now time.Time) (*Entry, error) {
	e, err := s.lookupOnce(ctx, b, now)
	if errors.Is(err, fs.ErrNotExist) && s.keeper != nil && s.keeper.outlived(ctx) {
		return s.lookupOnce(ctx, b, now)
	}
	return e, err
}

func (s *shelf) lookupOnce(ctx context.Context, b Binding, now time.Time) (*Entry, error) {
	d, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer d.close()
	e, err := d.load(d.name(b))
	if errors.Is(err, errDamaged) || errors.Is(err, safefile.ErrTooLarge) {
		return nil, miss(b.Profile, "is damaged")
	}
	if err != nil {
		return nil, err
	}
	if !e.Binding.equal(b) {
		return nil, miss(b.Profile, "is filed under another name")
	}
	if !e.NotAfter.After(now) {
		return nil, miss(b.Profile, "has expired")
	}
	return e, nil
}

// put keeps an entry and tidies up. Whoever erases everything may remove the
// directory between two steps; it is made again.
func (s *shelf) put(ctx context.Context, b Binding, plain []byte, now time.Time) (err error) {
	for range 5 {
		if err = s.putOnce(ctx, b, plain, now); !isAbsent(err) {
			break
		}
	}
	return err
}

func (s *shelf) putOnce(ctx context.Context, b Binding, plain []byte, now time.Time) error {
	d, err := s.make(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.save(b, plain); err != nil {
		return err
	}
	d.sweep(b, now)
	return nil
}

// remove forgets the entry of a binding. What is absent is no error.
func (s *shelf) remove(ctx context.Context, b Binding) error {
	d, err := s.open(ctx)
	if err == nil {
		defer d.close()
		err = d.dir.Remove(d.name(b))
	}
	if isAbsent(err) {
		return nil
	}
	return err
}
