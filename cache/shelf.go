package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// maxEntry bounds the file of an entry, in bytes.
const maxEntry = 1 << 20

// shelf is a place for entries: one directory, and the way they are written
// there.
type shelf struct {
	store Store
	root  func() (string, error)
	// keeper has the key under which entries are sealed; without one they are
	// plain.
	keeper *keeper
	// prefix begins the name of the directory of a key.
	prefix string
	// soft says that where this shelf cannot be used the search goes on.
	soft bool
}

// drawer is a shelf that is open.
type drawer struct {
	*shelf
	dir *safefile.Dir
	key *dataKey
}

// open opens the shelf to read. If nothing can be in it, because there is no
// directory or no key, that is fs.ErrNotExist; any other error says why the
// shelf cannot be used.
func (s *shelf) open(ctx context.Context) (*drawer, error) {
	if s.keeper == nil {
		return s.opened(nil, safefile.OpenDir, (*safefile.Dir).OpenSub)
	}
	if used, err := s.used(); !used {
		return nil, err // and the key need not be asked for
	}
	key, err := s.keeper.get(ctx)
	if errors.Is(err, ErrNotFound) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return s.opened(key, safefile.OpenDir, (*safefile.Dir).OpenSub)
}

// make opens the shelf to write and makes what is missing, the key too.
func (s *shelf) make(ctx context.Context) (*drawer, error) {
	if s.keeper == nil {
		return s.opened(nil, safefile.MakeDir, (*safefile.Dir).Sub)
	}
	key, err := s.keeper.fresh(ctx)
	if err != nil {
		return nil, err
	}
	return s.opened(key, safefile.MakeDir, (*safefile.Dir).Sub)
}

// openReally opens the shelf with the key that the store has now, not with one
// that is remembered or copied.
func (s *shelf) openReally(ctx context.Context) (*drawer, error) {
	if s.keeper == nil {
		return s.open(ctx)
	}
	key, err := s.keeper.read(ctx)
	if err != nil {
		return nil, err
	}
	return s.opened(key, safefile.OpenDir, (*safefile.Dir).OpenSub)
}

// opened walks down to the directory. Every level below root is judged.
func (s *shelf) opened(key *dataKey, first func(string) (*safefile.Dir, error), next func(*safefile.Dir, string) (*safefile.Dir, error)) (*drawer, error) {
	root, err := s.root()
	if err != nil {
		return nil, noPlace{err}
	}
	dir, err := first(root)
	for _, name := range s.path(key) {
		if err != nil {
			return nil, err
		}
		parent := dir
		dir, err = next(parent, name)
		_ = parent.Close()
	}
	if err != nil {
		return nil, err
	}
	return &drawer{shelf: s, dir: dir, key: key}, nil
}

// path is that below the root. Each key has a directory of its own, so that
// hosts with different keyrings do not fight in one NFS home.
func (s *shelf) path(key *dataKey) []string {
	switch {
	case s.keeper == nil:
		return []string{"entry"}
	case key == nil: // no key was made yet
		return []string{version}
	}
	return []string{version, s.prefix + hex.EncodeToString(key.kid[:])}
}

func (s *shelf) long() bool { return s.prefix == longPrefix }

// used says whether any key has a directory on the shelf of what lives long:
// few people have, and its key is never to be had but from the keyring.
func (s *shelf) used() (bool, error) {
	if !s.long() {
		return true, nil
	}
	dir, err := openVersion(s.root)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	names, err := dir.Names()
	for _, name := range names {
		if strings.HasPrefix(name, s.prefix) {
			return true, nil
		}
	}
	return false, errors.Join(fs.ErrNotExist, err)
}

// version is the directory of all sealed entries of this format.
const version = "v1"

func openVersion(root func() (string, error)) (*safefile.Dir, error) {
	path, err := root()
	if err != nil {
		return nil, noPlace{err}
	}
	top, err := safefile.OpenDir(path)
	if err != nil {
		return nil, err
	}
	defer top.Close()
	return top.OpenSub(version)
}

func (d *drawer) close() { _ = d.dir.Close() }

func (d *drawer) ext() string {
	if d.key == nil {
		return ".cred"
	}
	return ".xche"
}

func (d *drawer) name(b Binding) string {
	id := sha256.Sum256(b.canon())
	if d.key != nil {
		id = d.key.entryID(b)
	}
	return hex.EncodeToString(id[:]) + d.ext()
}

// idOf is the inverse of name for names that isEntry accepts.
func idOf(name string) (id [32]byte) {
	stem, _, _ := strings.Cut(name, ".")
	_, _ = hex.Decode(id[:], []byte(stem))
	return id
}

func (d *drawer) isEntry(name string) bool {
	stem, ok := strings.CutSuffix(name, d.ext())
	return ok && isHex(stem, 64)
}

// isOurs says whether a file is an entry or a rescued secret.
func (d *drawer) isOurs(name string) bool { return d.isEntry(name) || isRescue(name) }

func isHex(s string, n int) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == n && s == strings.ToLower(s)
}

// save writes one entry.
func (d *drawer) save(b Binding, plain []byte) error {
	name := d.name(b)
	if d.key == nil {
		return d.dir.Write(name, summed(name, plain))
	}
	data, err := d.key.seal(idOf(name), plain)
	if err != nil {
		return err
	}
	return d.dir.Write(name, data)
}

// load reads one entry. What is wrong with its content is errDamaged.
func (d *drawer) load(name string) (*Entry, error) {
	data, err := d.dir.Read(name, maxEntry)
	if err != nil {
		return nil, err
	}
	var plain []byte
	if d.key == nil {
		plain, err = unsummed(name, data)
	} else {
		plain, err = d.key.open(idOf(name), data)
	}
	if err != nil {
		return nil, err
	}
	e, err := decodeEntry(plain)
	if err != nil {
		return nil, err
	}
	if d.name(e.Binding) != name {
		return nil, fmt.Errorf("%w: it is filed under another name", errDamaged)
	}
	e.StoredIn = d.store
	return e, nil
}

// visit gets an entry, or the error of reading it. Its own error ends the walk.
type visit func(name string, e *Entry, err error) error

// each visits every entry.
func (d *drawer) each(f visit) error {
	names, err := d.dir.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !d.isEntry(name) {
			continue
		}
		e, err := d.load(name)
		if err := f(name, e, err); err != nil {
			return err
		}
	}
	return nil
}
