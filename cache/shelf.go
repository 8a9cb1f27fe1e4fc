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

// shelf is one directory of entries and the way they are written there.
type shelf struct {
	store Store
	root  func() (string, error)
	path  []string // below root
	ext   string
	id    func(Binding) [32]byte
	seal  func(name string, plain []byte) ([]byte, error)
	open  func(name string, data []byte) ([]byte, error)
}

// shelf returns that of the configured store. With Keyring it needs the data
// key, which it makes only if create is set; else its absence is ErrNotFound.
func (c *Cache) shelf(ctx context.Context, create bool) (*shelf, error) {
	switch c.o.Credentials {
	case Keyring:
		key, err := c.dataKey(ctx, create)
		if err != nil {
			return nil, err
		}
		return c.sealedShelf(key), nil
	case Runtime:
		return c.plainShelf(), nil
	case None:
		return nil, &Error{Kind: ErrNotFound, Text: "no credential is cached because the store is \"none\"", Remedy: "fetch a new one"}
	}
	return nil, fmt.Errorf("the store %q of credentials is not known; use keyring, runtime or none", c.o.Credentials)
}

// sealedShelf has a directory for each data key, so that hosts with different
// keyrings do not fight in one NFS home.
func (c *Cache) sealedShelf(key *dataKey) *shelf {
	return &shelf{
		store: Keyring,
		root:  c.o.CacheDir,
		path:  []string{"v1", hex.EncodeToString(key.kid[:])},
		ext:   ".xche",
		id:    key.entryID,
		seal:  func(name string, plain []byte) ([]byte, error) { return key.seal(idOf(name), plain) },
		open:  func(name string, data []byte) ([]byte, error) { return key.open(idOf(name), data) },
	}
}

// plainShelf keeps what a sealed entry has inside, for machines without a
// keyring. The runtime directory is in memory unless configured otherwise.
func (c *Cache) plainShelf() *shelf {
	same := func(_ string, data []byte) ([]byte, error) { return data, nil }
	return &shelf{
		store: Runtime,
		root:  c.o.RuntimeDir,
		path:  []string{"entry"},
		ext:   ".cred",
		id:    func(b Binding) [32]byte { return sha256.Sum256(b.canon()) },
		seal:  same,
		open:  same,
	}
}

func (s *shelf) name(b Binding) string {
	id := s.id(b)
	return hex.EncodeToString(id[:]) + s.ext
}

// idOf is the inverse of name for names that isEntry accepts.
func idOf(name string) (id [32]byte) {
	stem, _, _ := strings.Cut(name, ".")
	_, _ = hex.Decode(id[:], []byte(stem))
	return id
}

func (s *shelf) isEntry(name string) bool {
	stem, ok := strings.CutSuffix(name, s.ext)
	_, err := hex.DecodeString(stem)
	return ok && err == nil && len(stem) == 64 && stem == strings.ToLower(stem)
}

// openDir opens the directory of entries; a missing one is fs.ErrNotExist.
// Every level below root is judged.
func (s *shelf) openDir() (*safefile.Dir, error) {
	return s.walk(safefile.OpenDir, (*safefile.Dir).OpenSub)
}

func (s *shelf) makeDir() (*safefile.Dir, error) {
	return s.walk(safefile.MakeDir, (*safefile.Dir).Sub)
}

func (s *shelf) walk(first func(string) (*safefile.Dir, error), next func(*safefile.Dir, string) (*safefile.Dir, error)) (*safefile.Dir, error) {
	root, err := s.root()
	if err != nil {
		return nil, err
	}
	dir, err := first(root)
	for _, name := range s.path {
		if err != nil {
			return nil, err
		}
		parent := dir
		dir, err = next(parent, name)
		_ = parent.Close()
	}
	return dir, err
}

// load reads one entry. What is wrong with its content is errDamaged.
func (s *shelf) load(dir *safefile.Dir, name string) (*Entry, error) {
	data, err := dir.Read(name, maxEntry)
	if err != nil {
		return nil, err
	}
	plain, err := s.open(name, data)
	if err != nil {
		return nil, err
	}
	e, err := decodeEntry(plain)
	if err != nil {
		return nil, err
	}
	if s.name(e.Binding) != name {
		return nil, fmt.Errorf("%w: it is filed under another name", errDamaged)
	}
	e.StoredIn = s.store
	return e, nil
}

// visit gets an entry, or the error of reading it. Its own error ends the walk.
type visit func(dir *safefile.Dir, name string, e *Entry, err error) error

// each visits every entry. No directory is no entry.
func (s *shelf) each(f visit) error {
	dir, err := s.openDir()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	return s.eachIn(dir, f)
}

func (s *shelf) eachIn(dir *safefile.Dir, f visit) error {
	names, err := dir.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !s.isEntry(name) {
			continue
		}
		e, err := s.load(dir, name)
		if err := f(dir, name, e, err); err != nil {
			return err
		}
	}
	return nil
}
