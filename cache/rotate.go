package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// Rotate replaces the data keys and seals the entries anew. What of them does
// not work out, or is in the way of a kill, is a miss later. Secrets come
// first: rescued ones are moved to the keyring before their key goes, and
// nothing happens while a secret is in use, which may be rescued at the next
// moment.
func (c *Cache) Rotate(ctx context.Context) error {
	if !c.usesKeyring() && c.o.Kernel == nil {
		return &Error{Kind: ErrUnavailable, Text: "there are no data keys because no keyring is used", Remedy: "there is nothing to do"}
	}
	lock, err := c.lock(ctx, dataKeyLock)
	if err != nil {
		return err
	}
	defer lock.Close()
	held := secretLocks{}
	defer held.close()
	if err := held.takeAll(c); err != nil {
		return err
	}
	if c.o.Kernel != nil { // nobody makes a new copy while we have the lock
		if err := c.o.Kernel.Delete(ctx, copyAccount); err != nil && !isMissing(err) {
			return err
		}
	}
	if c.usesKeyring() {
		if err := c.settleAll(ctx, held); err != nil {
			return err
		}
		for _, s := range []*shelf{c.keyringShelf(), c.longShelf()} {
			if err := c.rotate(ctx, s); err != nil {
				return err
			}
		}
	}
	if err := c.rotate(ctx, c.kernelShelf()); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

// secretLocks are the locks of secrets that Rotate holds, by name.
type secretLocks map[string]*safefile.Lock

func (held secretLocks) close() {
	for _, l := range held {
		_ = l.Close()
	}
}

// take takes a lock without waiting: who holds it may be waiting for the lock
// of the data keys, which we have.
func (held secretLocks) take(c *Cache, name string) error {
	if held[name] != nil {
		return nil
	}
	lock, err := c.tryLock(name)
	if errors.Is(err, safefile.ErrLocked) {
		return &Error{Kind: ErrBusy, Text: "another process is using a secret", Remedy: "try again"}
	}
	if err == nil {
		held[name] = lock
	}
	return err
}

func (held secretLocks) takeAll(c *Cache) error {
	dir, err := c.lockDir()
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Names()
	for _, name := range names {
		if strings.HasPrefix(name, secretLockPrefix) && strings.HasSuffix(name, ".lock") { // no record beside one
			err = errors.Join(err, held.take(c, name))
		}
	}
	return err
}

// settleAll moves every rescued secret to the keyring, or says which it cannot.
func (c *Cache) settleAll(ctx context.Context, held secretLocks) error {
	any, err := c.anyRescued()
	if !any || err != nil {
		return err
	}
	d, err := c.longShelf().openReally(ctx)
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.close()
	files, err := d.dir.Names()
	for _, file := range files {
		if !isRescue(file) {
			continue
		}
		if err := c.settle(ctx, d, file, held); err != nil {
			return err
		}
	}
	return err
}

// settle reads once to learn whose secret it is, and again under its lock.
func (c *Cache) settle(ctx context.Context, d *drawer, file string, held secretLocks) error {
	r, err := d.loadRescue(file)
	if err == nil {
		r.secret.Wipe()
		if err := held.take(c, lockName("secret", []byte(r.account))); err != nil {
			return err
		}
		r, err = d.loadRescue(file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its owner has moved it
	}
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("the rescued secret in %s is damaged; remove it, then log in again", filepath.Join(d.dir.Path(), file))
	}
	if err != nil {
		return err
	}
	defer r.secret.Wipe()
	return r.settle(ctx, c.o.Keys)
}

// rotate replaces the key of one shelf. The keyring has the new key before the
// first entry is under it; where there could be none the old one stays.
func (c *Cache) rotate(ctx context.Context, s *shelf) error {
	old, err := s.keeper.read(ctx)
	if errors.Is(err, ErrNotFound) {
		s.keeper.forget()
		return nil // one is made when it is needed
	}
	if err != nil {
		return err
	}
	if root, err := s.root(); err == nil {
		if err := canMake(filepath.Join(root, version)); err != nil {
			return err
		}
	}
	key, err := randomKey()
	if err != nil {
		return err
	}
	if err := s.keeper.write(ctx, key); err != nil {
		return err
	}
	if key, err = s.keeper.read(ctx); err != nil {
		return err
	}
	if key.kid == old.kid { // then its directory is not an old one
		return unavailable("the keyring did not replace the data key", errNotKept)
	}
	_, _ = s.keeper.remember(key, nil)
	return s.move(old, key)
}

// move seals what is there under the new key and removes the old directory. An
// entry that does not work out is a miss. A rescued secret stays until it is
// under the new key: settleAll has left none, but another host with our keyring
// has other locks than ours.
func (s *shelf) move(old, key *dataKey) error {
	from, err := s.opened(old, safefile.OpenDir, (*safefile.Dir).OpenSub)
	if isAbsent(err) || errors.As(err, new(noPlace)) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.close()
	to, err := s.opened(key, safefile.MakeDir, (*safefile.Dir).Sub)
	if err == nil {
		defer to.close()
		_ = from.each(func(_ string, e *Entry, err error) error {
			if err == nil {
				_ = to.reseal(e)
				e.PEM.Wipe()
			}
			return nil
		})
		err = from.moveRescued(to)
	}
	return errors.Join(err, from.clear(from.isEntry))
}

func (d *drawer) reseal(e *Entry) error {
	plain, err := encodeEntry(e)
	if err != nil {
		return err
	}
	defer clear(plain)
	return d.save(e.Binding, plain)
}

func (d *drawer) moveRescued(to *drawer) error {
	files, err := d.dir.Names()
	for _, file := range files {
		if !isRescue(file) {
			continue
		}
		r, failed := d.loadRescue(file)
		if failed == nil {
			failed = to.saveRescue(r.account, r.secret)
			r.secret.Wipe()
		}
		if failed == nil {
			failed = d.dir.Forget(file)
		}
		err = errors.Join(err, failed)
	}
	return err
}

// clear removes those files, what killed writers left, and the directory.
func (d *drawer) clear(ours func(name string) bool) error {
	names, err := d.dir.Names()
	for _, name := range names {
		if ours(name) {
			err = errors.Join(err, d.dir.Remove(name))
		}
	}
	err = errors.Join(err, d.dir.RemoveTemps(farFuture))
	_ = os.Remove(d.dir.Path()) // it stays if there is anything else
	return err
}
