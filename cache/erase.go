package cache

import (
	"context"
	"errors"
	"time"
)

// farFuture is after whatever is being written.
var farFuture = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// EraseAll forgets everything that is ours: credentials in all stores, files
// for tools, pass phrases, tokens and data keys. It goes as far as it can and
// says how many credentials there were; what it could not reach is an error.
// The directories of other hosts' keys stay. It waits for nobody who is using a
// secret or fetching a credential: what they keep later came after it.
func (c *Cache) EraseAll(ctx context.Context) (credentials int, err error) {
	lock, err := c.lock(ctx, dataKeyLock)
	switch {
	case err == nil:
		defer lock.Close()
	case ctx.Err() != nil:
		return 0, err
	}
	// Plain files first, then the keys: after that the sealed ones are only
	// garbage, also those that somebody is writing at this moment.
	var drawers []*drawer
	err = nil
	for _, s := range c.allShelves() {
		d, failed := s.openReally(ctx)
		switch {
		case failed == nil:
			defer d.close()
			drawers = append(drawers, d)
		case !isAbsent(failed) && !c.unreachable(failed):
			err = errors.Join(err, failed)
		}
	}
	for _, d := range drawers {
		credentials += d.count(c.o.Clock())
		if d.key == nil {
			err = errors.Join(err, d.clear(d.isOurs))
		}
	}
	err = errors.Join(err, c.clearToolFiles(), c.eraseKeys(ctx))
	for _, d := range drawers {
		if d.key != nil {
			err = errors.Join(err, d.clear(d.isOurs))
		}
	}
	n, failed := c.eraseElsewhere(ctx)
	return credentials + n, errors.Join(err, failed)
}

// allShelves are those of every store: the configured one may have been
// another one yesterday.
func (c *Cache) allShelves() []*shelf {
	list := []*shelf{c.plainShelf(Runtime)}
	if c.o.Kernel != nil {
		list = append(list, c.kernelShelf())
	}
	if c.erasesKeyring() {
		list = append(list, c.keyringShelf(), c.longShelf())
	}
	return list
}

// erasesKeyring: what the configuration does without today it may have used
// yesterday. With the store file alone no keyring is ever asked.
func (c *Cache) erasesKeyring() bool {
	return c.usesKeyring() || c.o.Keys != nil && c.o.Credentials != File
}

// unreachable is a store that cannot be there. Where the keyring is the chosen
// store its absence is an error: an erase must not lie.
func (c *Cache) unreachable(err error) bool {
	return isMissing(err) && c.o.Credentials != Keyring
}

// count says how many credentials there are.
func (d *drawer) count(now time.Time) (n int) {
	_ = d.each(func(_ string, e *Entry, err error) error {
		if err == nil && e.NotAfter.After(now) {
			n++
		}
		return nil
	})
	return n
}

// eraseKeys forgets the data keys, and with them the secrets.
func (c *Cache) eraseKeys(ctx context.Context) error {
	var err error
	if c.erasesKeyring() {
		if err = c.o.Keys.DeleteAll(ctx); c.unreachable(err) {
			err = nil
		}
	}
	if c.o.Kernel != nil {
		if gone := c.o.Kernel.DeleteAll(ctx); !isMissing(gone) {
			err = errors.Join(err, gone)
		}
	}
	for _, k := range []*keeper{c.short, c.long, c.kernel} {
		k.forget()
	}
	return err
}
