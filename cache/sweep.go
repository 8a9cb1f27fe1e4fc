package cache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

const (
	// maxSwept bounds the work that one Put does for others.
	maxSwept = 256
	// foreignFor is how long the directory of another key stays unchanged
	// before its host, or its keyring, is taken for gone.
	foreignFor = 30 * 24 * time.Hour
)

var errEnough = errors.New("enough")

// sweep removes expired entries of ours, what killed writers left, and the
// directories of keys that nobody has any more. It is housekeeping: what fails
// is tried again by the next one.
func (d *drawer) sweep(b Binding, now time.Time) {
	keep := d.name(b)
	_ = d.dir.RemoveTemps(now.Add(-time.Hour))
	n := 0
	_ = d.each(func(name string, e *Entry, err error) error {
		if err == nil && name != keep && !e.NotAfter.After(now) {
			_ = d.dir.Remove(name)
		}
		if n++; n >= maxSwept {
			return errEnough
		}
		return nil
	})
	if d.key != nil {
		d.sweepForeign(now)
	}
}

// sweepForeign removes directories beside this one that have not changed for
// long. A short-lived entry in such a one has expired, whosever it is. With
// the long-lived this is done only from one of theirs: it knows its own.
func (d *drawer) sweepForeign(now time.Time) {
	version, err := openVersion(d.root)
	if err != nil {
		return
	}
	defer version.Close()
	own := filepath.Base(d.dir.Path())
	names, _ := version.Names()
	for _, name := range names {
		kid, ok := strings.CutPrefix(name, d.prefix)
		if !ok || !isHex(kid, 16) || name == own {
			continue
		}
		path := filepath.Join(version.Path(), name)
		fi, err := os.Lstat(path)
		if err != nil || now.Sub(fi.ModTime()) < foreignFor {
			continue
		}
		if !sweepDir(version, name) { // the rest is for the next one
			_ = os.Chtimes(path, fi.ModTime(), fi.ModTime())
			return
		}
	}
}

// sweepDir removes entries from a directory, and then the directory. It stays
// if there is anything else: a rescued secret is somebody's only one. The
// answer is whether it came to the end.
func sweepDir(parent *safefile.Dir, name string) bool {
	dir, err := parent.OpenSub(name)
	if err != nil {
		return true
	}
	defer dir.Close()
	names, _ := dir.Names()
	_ = dir.RemoveTemps(farFuture)
	for i, n := range names {
		if i >= maxSwept {
			return false
		}
		if stem, ok := strings.CutSuffix(n, ".xche"); ok && isHex(stem, 64) {
			_ = dir.Remove(n)
		}
	}
	_ = os.Remove(filepath.Join(parent.Path(), name))
	return true
}
