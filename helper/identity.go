package helper

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// Identities remembers the one identity that each profile may have: the DN
// seen at the first login. A DN is no secret, so it stands in a plain file of
// the user's state directory; a profile's key "identity" goes before it.
type Identities struct{ dir string }

// NewIdentities keeps identities below dir, $XDG_STATE_HOME as a rule. With an
// empty dir nothing is remembered, and Set says so.
func NewIdentities(dir string) *Identities { return &Identities{dir} }

// StateDir is where the XDG base directories put what should survive.
func StateDir(getenv func(string) string, home string) string {
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	if filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state")
	}
	return ""
}

const maxIdentity = 4096

func (i *Identities) path() string {
	return filepath.Join(i.dir, "x509-credential-helper", "identity")
}

// Get returns what is remembered for a profile, or "".
func (i *Identities) Get(profile string) (string, error) {
	if i == nil || i.dir == "" {
		return "", nil
	}
	dir, err := safefile.OpenDir(i.path())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer dir.Close()
	data, err := dir.Read(profile, maxIdentity)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSuffix(string(data), "\n"), err
}

// Set remembers an identity.
func (i *Identities) Set(profile, identity string) error {
	if i == nil {
		return nil
	}
	if i.dir == "" {
		return errors.New("there is no home directory for it; set HOME or XDG_STATE_HOME")
	}
	dir, err := safefile.MakeDir(i.path())
	if err != nil {
		return err
	}
	defer dir.Close()
	_ = dir.RemoveTemps(time.Now().Add(-time.Hour)) // of logins that were killed
	return dir.Write(profile, []byte(identity+"\n"))
}

// Forget drops what is remembered for a profile.
func (i *Identities) Forget(profile string) error {
	if i == nil || i.dir == "" {
		return nil
	}
	dir, err := safefile.OpenDir(i.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Remove(profile)
}

// ForgetAll drops what is remembered for any profile and counts it.
func (i *Identities) ForgetAll() (n int, err error) {
	if i == nil || i.dir == "" {
		return 0, nil
	}
	dir, err := safefile.OpenDir(i.path())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	_ = dir.RemoveTemps(time.Now()) // of logins that were killed
	names, err := dir.Names()
	for _, name := range names {
		if gone := dir.Remove(name); gone != nil {
			err = errors.Join(err, gone)
			continue
		}
		n++
	}
	return n, err
}
