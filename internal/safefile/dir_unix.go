//go:build unix

package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is an open directory of ours that nobody else may enter.
type Dir struct {
	f *os.File
}

// OpenDir opens a directory that exists. Its last element must not be a
// symbolic link; it must be ours, with no permission for anybody else. An
// absent one is fs.ErrNotExist.
func OpenDir(path string) (*Dir, error) {
	return openDirAt(unix.AT_FDCWD, path, path)
}

// MakeDir makes what is missing of path, 0700, and opens it like OpenDir.
func MakeDir(path string) (*Dir, error) {
	d, err := OpenDir(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	if err := makeAll(path); err != nil {
		return nil, err
	}
	return OpenDir(path)
}

// makeAll is os.MkdirAll, but what it makes is 0700 under every umask: one that
// takes our own rights would shut us out.
func makeAll(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		parent := filepath.Dir(path)
		if parent == path {
			return err
		}
		if err := makeAll(parent); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o700)
	}
	if err != nil {
		if fi, statErr := os.Stat(path); statErr == nil && fi.IsDir() {
			return nil
		}
		return err
	}
	return os.Chmod(path, 0o700)
}

func openDirAt(dirfd int, name, path string) (*Dir, error) {
	fd, err := openat(dirfd, name, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOTDIR) {
		return nil, &UnsafeError{path, "it is no directory"}
	}
	if err != nil {
		return nil, err
	}
	if err := checkPrivateDir(fd, path); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &Dir{f: os.NewFile(uintptr(fd), path)}, nil
}

// Path is the path that the directory was opened by.
func (d *Dir) Path() string { return d.f.Name() }

// Close closes the directory. Locks taken in it stay.
func (d *Dir) Close() error { return d.f.Close() }

func (d *Dir) fd() int { return int(d.f.Fd()) }

func (d *Dir) join(name string) string { return filepath.Join(d.Path(), name) }

// Sub opens a directory inside this one and makes it, 0700, if it is missing.
func (d *Dir) Sub(name string) (*Dir, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	err := unix.Mkdirat(d.fd(), name, 0o700)
	if err == nil { // a umask may have taken our own bits
		err = unix.Fchmodat(d.fd(), name, 0o700, 0)
	}
	if err != nil && err != unix.EEXIST {
		return nil, &fs.PathError{Op: "mkdir", Path: d.join(name), Err: err}
	}
	return openDirAt(d.fd(), name, d.join(name))
}

// OpenSub opens a directory inside this one; an absent one is fs.ErrNotExist.
func (d *Dir) OpenSub(name string) (*Dir, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return openDirAt(d.fd(), name, d.join(name))
}

// Read returns the content of a private file of at most max bytes. A longer
// one is ErrTooLarge, an absent one fs.ErrNotExist.
func (d *Dir) Read(name string, max int64) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	fd, err := openat(d.fd(), name, d.join(name), unix.O_RDONLY|unknown, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), d.join(name))
	defer f.Close()
	st, err := checkPrivate(fd, f.Name())
	if err != nil {
		return nil, err
	}
	return readAll(f, st.Size, max)
}

// readAll reads a file of about size bytes, and never more than max.
func readAll(f *os.File, size, max int64) ([]byte, error) {
	if size > max {
		return nil, fmt.Errorf("%s: %w", f.Name(), ErrTooLarge)
	}
	data := make([]byte, 0, size+1)
	for {
		n, err := f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > max: // it grew while we read
			return nil, fmt.Errorf("%s: %w", f.Name(), ErrTooLarge)
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, err
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

// Write replaces a file by one with this content and mode 0600. Until the new
// one is on the disk the old one stays; a failure leaves nothing behind.
func (d *Dir) Write(name string, data []byte) error {
	if err := d.replace(name, data, true); err != nil {
		return err
	}
	return d.sync()
}

// sync makes the names in the directory outlive a loss of power. Some network
// file systems cannot be asked for that.
func (d *Dir) sync() error {
	err := d.f.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// Forget is Remove for what must not come back after a loss of power.
func (d *Dir) Forget(name string) error {
	if err := d.Remove(name); err != nil {
		return err
	}
	return d.sync()
}

// maxReplaceTries bounds how often a cleaner may win. A pass of a cleaner is
// slow beside a write, so a second loss in a row is rare already.
const maxReplaceTries = 100

// replace puts a new file in the place of one. Without sync that is one step
// for other processes, but not for a disk whose power fails. A cleaner of old
// files may take the new one away before it has its name.
func (d *Dir) replace(name string, data []byte, sync bool) error {
	if err := checkName(name); err != nil {
		return err
	}
	for try := 1; ; try++ {
		temp := tempName()
		if err := d.create(temp, data, sync); err != nil {
			_ = unix.Unlinkat(d.fd(), temp, 0)
			if path := (*fs.PathError)(nil); errors.As(err, &path) {
				path.Path = d.join(name) // nobody knows the temporary one
			}
			return err
		}
		err := unix.Renameat(d.fd(), temp, d.fd(), name)
		if err == nil {
			return nil
		}
		_ = unix.Unlinkat(d.fd(), temp, 0)
		if err != unix.ENOENT || try == maxReplaceTries {
			return &fs.PathError{Op: "rename", Path: d.join(name), Err: err}
		}
	}
}

func (d *Dir) create(name string, data []byte, sync bool) error {
	fd, err := openat(d.fd(), name, d.join(name), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), d.join(name))
	defer f.Close()
	if err := f.Chmod(0o600); err != nil { // a umask may have taken our own bits
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return f.Close()
}

// Remove removes a file. What is absent is no error.
func (d *Dir) Remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := unix.Unlinkat(d.fd(), name, 0); err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "remove", Path: d.join(name), Err: err}
	}
	return nil
}

// Names lists the directory in order, without files that are being written.
func (d *Dir) Names() ([]string, error) {
	names, err := d.all()
	if err != nil {
		return nil, err
	}
	kept := names[:0]
	for _, name := range names {
		if !strings.HasPrefix(name, tempPrefix) {
			kept = append(kept, name)
		}
	}
	sort.Strings(kept)
	return kept, nil
}

// all lists the directory by a descriptor of its own: reading moves an offset,
// and a Dir may be used by several goroutines.
func (d *Dir) all() ([]string, error) {
	fd, err := openat(d.fd(), ".", d.Path(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), d.Path())
	defer f.Close()
	return f.Readdirnames(-1)
}

// RemoveTemps removes what writers that were killed left behind, if it has not
// changed since before.
func (d *Dir) RemoveTemps(before time.Time) error {
	names, err := d.all()
	if err != nil {
		return err
	}
	for _, name := range names {
		var st unix.Stat_t
		if !strings.HasPrefix(name, tempPrefix) || unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		if sec, nsec := st.Mtim.Unix(); time.Unix(sec, nsec).Before(before) {
			err = errors.Join(err, d.Remove(name))
		}
	}
	return err
}

// Exists says whether there is anything of that name. It is a hint: what is
// used must be opened.
func (d *Dir) Exists(name string) bool {
	var st unix.Stat_t
	return checkName(name) == nil && unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}
