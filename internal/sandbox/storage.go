package sandbox

import (
	"crypto"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// credential is what the repository keeps under one name; the real server has
// three files for it. It is not changed once it is there, but for opened.
type credential struct {
	settings
	username string
	name     *string // nil: the default credential
	owner    string  // the one-line DN of who stored it, not of what is stored
	lifetime int     // seconds, the most that a GET grants; 0 is no limit
	lock     *string
	file     *credentialFile
}

// maxNameLength is how long a name may be for the real server's file names;
// longer ones are hashed.
const maxNameLength = 80

// storageName is the stem of the file name that the real server would use: so
// the user "alice-second" gets at alice's credential "second".
func storageName(user string, credential *string) string {
	if credential == nil {
		return sterile(user)
	}
	return sterile(user) + "-" + sterile(*credential)
}

// sterile makes a name fit for a path. MD5 is what the real server takes.
func sterile(name string) string {
	if len(name) > maxNameLength || strings.Contains(name, "/") {
		sum := md5.Sum([]byte(name))
		return hex.EncodeToString(sum[:])
	}
	if strings.HasPrefix(name, ".") {
		return "-" + name[1:]
	}
	return name
}

// named is the name of a credential in the API for tests, where "" is the
// default one.
func named(name string) *string {
	if name == "" {
		return nil
	}
	return &name
}

// storagePath is where the real server would keep a credential's certificates
// and key; some of its error texts name it.
func (s *Sandbox) storagePath(c *credential) string {
	return filepath.Join(s.opts.Dir, "store", storageName(c.username, c.name)+".creds")
}

// lookup returns what is stored, nil if nothing is.
func (s *Sandbox) lookup(user string, name *string) *credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store[storageName(user, name)]
}

// keep stores a credential. An administrator's lock goes with the old one.
func (s *Sandbox) keep(c *credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store[storageName(c.username, c.name)] = c
}

// drop forgets a credential; false if there is none.
func (s *Sandbox) drop(user string, name *string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	stem := storageName(user, name)
	_, found := s.store[stem]
	delete(s.store, stem)
	return found
}

// amend replaces a credential by a changed one.
func (s *Sandbox) amend(user string, name *string, change func(*credential) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	stem := storageName(user, name)
	old := s.store[stem]
	if old == nil {
		return fmt.Errorf("the sandbox has no credential %s", stem)
	}
	changed := *old
	if err := change(&changed); err != nil {
		return err
	}
	s.store[stem] = &changed
	return nil
}

// Lock keeps a credential from being fetched, as myproxy-admin-query -l does;
// credentialName is "" for the default one. Clients are told the first line of
// the message, which must not be empty.
func (s *Sandbox) Lock(name, credentialName, message string) error {
	if message == "" {
		return fmt.Errorf("the lock of %s needs a message", name)
	}
	return s.amend(name, named(credentialName), func(c *credential) error {
		c.lock = &message
		return nil
	})
}

// Unlock ends Lock.
func (s *Sandbox) Unlock(name, credentialName string) error {
	return s.amend(name, named(credentialName), func(c *credential) error {
		c.lock = nil
		return nil
	})
}

// Stored lists what is in the repository, sorted, as the real server names its
// files: "user" or "user-name".
func (s *Sandbox) Stored() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.store))
}

// StoredPEM returns the stored text of a credential, its key encrypted as it
// lies there; nil if there is none. credentialName is "" for the default one.
func (s *Sandbox) StoredPEM(name, credentialName string) []byte {
	c := s.lookup(name, named(credentialName))
	if c == nil {
		return nil
	}
	return slices.Clone(c.file.text)
}

// SetPassphrase changes a pass phrase, as somebody else's CHANGE would. The
// sandbox must know the key: it does unless a client stored it encrypted and
// nobody has opened it since.
func (s *Sandbox) SetPassphrase(name, credentialName, passphrase string) error {
	s.mu.Lock()
	if a := s.accounts[storageName(name, named(credentialName))]; a != nil {
		changed := *a
		changed.Passphrase = passphrase
		s.accounts[storageName(name, named(credentialName))] = &changed
		if s.opts.Mode == CA {
			s.mu.Unlock()
			return nil
		}
	}
	s.mu.Unlock()
	return s.amend(name, named(credentialName), func(c *credential) error {
		key := c.file.known()
		if key == nil {
			return fmt.Errorf("the sandbox cannot open the key of %s", name)
		}
		return c.encrypt(key, passphrase)
	})
}

// encrypt writes the credential's file anew, in the order of MyProxy:
// certificate, key, issuers.
func (c *credential) encrypt(key crypto.Signer, passphrase string) error {
	file, err := newCredentialFile(c.file.chain, key, passphrase)
	if err != nil {
		return err
	}
	c.file = file
	return nil
}
