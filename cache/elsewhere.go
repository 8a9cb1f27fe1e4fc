package cache

import (
	"context"
	"errors"
)

// elsewhere are the caches of plain files that processes of the user with
// another environment have kept in other runtime directories.
func (c *Cache) elsewhere() (list []*Cache) {
	if c.o.OtherRuntimeDirs == nil {
		return nil
	}
	for _, dir := range c.o.OtherRuntimeDirs() {
		list = append(list, New(Options{Credentials: Runtime, Clock: c.o.Clock, Boot: c.o.Boot,
			RuntimeDir: func() (string, error) { return dir, nil }}))
	}
	return list
}

// eraseElsewhere is EraseAll for other runtime directories.
func (c *Cache) eraseElsewhere(ctx context.Context) (credentials int, err error) {
	for _, other := range c.elsewhere() {
		n, failed := other.EraseAll(ctx)
		credentials, err = credentials+n, errors.Join(err, failed)
	}
	return credentials, err
}

// ForgetElsewhere forgets the credentials of a profile in other runtime
// directories, and its files for tools there, and says how many credentials
// there were.
func (c *Cache) ForgetElsewhere(ctx context.Context, profile string) (credentials int, err error) {
	for _, other := range c.elsewhere() {
		entries, failed := other.ListAll(ctx)
		err = errors.Join(err, failed)
		for _, e := range entries {
			if e.Binding.Profile == profile {
				err = errors.Join(err, other.Delete(ctx, e.Binding))
				credentials++
			}
		}
		err = errors.Join(err, other.RemoveToolFiles(profile))
	}
	return credentials, err
}
