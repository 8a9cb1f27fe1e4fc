//go:build windows

package safefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/windows"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// Dir is a directory of ours. The access control list of the user's profile is
// what keeps others out.
type Dir struct{ path string }

// OpenDir opens a directory that exists and is no link.
func OpenDir(path string) (*Dir, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return nil, &UnsafeError{path, "it is no directory"}
	}
	return &Dir{path}, nil
}

// MakeDir makes what is missing of path and opens it.
func MakeDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	return OpenDir(path)
}

// Path is the path that the directory was opened by.
func (d *Dir) Path() string { return d.path }

// Close does nothing here.
func (d *Dir) Close() error { return nil }

func (d *Dir) join(name string) string { return filepath.Join(d.path, name) }

// Sub opens a directory inside this one and makes it if it is missing.
func (d *Dir) Sub(name string) (*Dir, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return MakeDir(d.join(name))
}

// OpenSub opens a directory inside this one.
func (d *Dir) OpenSub(name string) (*Dir, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return OpenDir(d.join(name))
}

// Read returns the content of a regular file of at most max bytes.
func (d *Dir) Read(name string, max int64) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if fi, err := os.Lstat(d.join(name)); err == nil && !fi.Mode().IsRegular() {
		return nil, &UnsafeError{d.join(name), "it is no regular file"}
	}
	f, err := os.Open(d.join(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, max)
}

func readAll(r io.Reader, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(data)) > max {
		return nil, ErrTooLarge
	}
	return data, err
}

// Write replaces a file by one with this content.
func (d *Dir) Write(name string, data []byte) error { return d.replace(name, data, true) }

func (d *Dir) replace(name string, data []byte, sync bool) error {
	if err := checkName(name); err != nil {
		return err
	}
	temp := d.join(tempName())
	err := create(temp, data, sync)
	if err == nil {
		err = os.Rename(temp, d.join(name)) // MoveFileEx with replacement
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}

func create(path string, data []byte, sync bool) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if sync && err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Remove removes a file. What is absent is no error.
func (d *Dir) Remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := os.Remove(d.join(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Forget is Remove; there is no more to be asked for here.
func (d *Dir) Forget(name string) error { return d.Remove(name) }

// Names lists the directory in order, without files that are being written.
func (d *Dir) Names() ([]string, error) {
	list, err := os.ReadDir(d.path)
	var names []string
	for _, e := range list {
		if !strings.HasPrefix(e.Name(), tempPrefix) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// RemoveTemps removes what writers that were killed left behind.
func (d *Dir) RemoveTemps(before time.Time) error {
	list, err := os.ReadDir(d.path)
	for _, e := range list {
		if fi, ierr := e.Info(); ierr == nil && strings.HasPrefix(e.Name(), tempPrefix) && fi.ModTime().Before(before) {
			err = errors.Join(err, d.Remove(e.Name()))
		}
	}
	return err
}

// Exists says whether there is anything of that name.
func (d *Dir) Exists(name string) bool {
	_, err := os.Lstat(d.join(name))
	return checkName(name) == nil && err == nil
}

// Lock is a lock that is held, and the small record that its holder keeps for
// the next one.
type Lock struct {
	f    *os.File
	dir  *Dir
	name string
}

// Lock waits for the lock of that name until ctx ends.
func (d *Dir) Lock(ctx context.Context, name string) (*Lock, error) {
	l, err := d.openLock(name)
	if err != nil {
		return nil, err
	}
	abandoned, taken := make(chan struct{}), make(chan struct{})
	done := safego.Go(func() error {
		if err := l.take(0); err != nil {
			return errors.Join(err, l.f.Close())
		}
		select {
		case taken <- struct{}{}:
			return nil
		case <-abandoned:
			return l.Close()
		}
	})
	select {
	case <-taken:
		return l, nil
	case err := <-done:
		return nil, err
	case <-ctx.Done():
		close(abandoned)
		return nil, fmt.Errorf("waiting for the lock %s: %w", d.join(name), ctx.Err())
	}
}

// TryLock takes the lock or returns ErrLocked.
func (d *Dir) TryLock(name string) (*Lock, error) {
	l, err := d.openLock(name)
	if err != nil {
		return nil, err
	}
	err = l.take(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if err == nil {
		return l, nil
	}
	_ = l.f.Close()
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		err = ErrLocked
	}
	return nil, fmt.Errorf("%s: %w", d.join(name), err)
}

func (d *Dir) openLock(name string) (*Lock, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.join(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &Lock{f: f, dir: d, name: name}, nil
}

// lockOffset is beyond any content: locks are mandatory here.
const lockOffset = 1 << 30

func (l *Lock) take(flags uint32) error {
	ol := &windows.Overlapped{Offset: lockOffset}
	return windows.LockFileEx(windows.Handle(l.f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|flags, 0, 1, 0, ol)
}

// Close gives the lock back.
func (l *Lock) Close() error { return l.f.Close() }

// ReadTrusted reads a regular file of at most max bytes.
func ReadTrusted(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, &UnsafeError{path, "it is no regular file"}
	}
	data, err := readAll(f, max)
	if errors.Is(err, ErrTooLarge) {
		return nil, &UnsafeError{path, fmt.Sprintf("it has more than %d bytes", max)}
	}
	return data, err
}

// ReadTrustedMode is ReadTrusted; there are no permission bits here.
func ReadTrustedMode(path string, max int64) (data []byte, perm fs.FileMode, err error) {
	data, err = ReadTrusted(path, max)
	return data, 0, err
}
