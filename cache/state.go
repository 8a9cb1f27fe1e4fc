package cache

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// Stores says which stores are tried for credentials, in that order, and what
// keeps each from being used. Nobody is asked anything.
func (c *Cache) Stores(ctx context.Context) []StoreState {
	if c.o.Credentials == None {
		return []StoreState{{Store: None}}
	}
	shelves, err := c.shelves()
	if err != nil {
		return []StoreState{{Store: c.o.Credentials, Err: err}}
	}
	ctx = context.WithValue(ctx, promptKey{}, false)
	var states []StoreState
	for _, s := range shelves {
		if !s.long() {
			states = append(states, StoreState{Store: s.store, Err: s.state(ctx)})
		}
	}
	return states
}

// state reads the key where it really is, not a copy of it, and looks at the
// directories as far as there are any. Whether a disk is full only writing tells.
func (s *shelf) state(ctx context.Context) error {
	var key *dataKey
	if s.keeper != nil {
		var err error
		if key, err = s.keeper.read(ctx); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	d, err := s.opened(key, safefile.OpenDir, (*safefile.Dir).OpenSub)
	if err == nil {
		defer d.close()
		return safefile.Writable(d.dir.Path())
	}
	if !isAbsent(err) {
		return err
	}
	root, err := s.root()
	if err != nil {
		return noPlace{err}
	}
	return canMake(root)
}

// canMake says whether a directory can be written to, or be made.
func canMake(path string) error {
	err := safefile.Writable(path)
	if parent := filepath.Dir(path); isAbsent(err) && parent != path {
		return canMake(parent)
	}
	return err
}
