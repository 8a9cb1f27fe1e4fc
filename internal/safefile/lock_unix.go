//go:build unix

package safefile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// Lock is a lock that is held, and the small record that its holder keeps for
// the next one.
type Lock struct {
	f    *os.File
	dir  *Dir
	name string
}

// Lock waits for the lock of that name. When ctx ends first the error wraps
// ctx's. The wait is a blocking flock(2) rather than polling: measured, 1000
// waiting processes are through in 1.6 s instead of 5.6 s.
func (d *Dir) Lock(ctx context.Context, name string) (*Lock, error) {
	for {
		l, err := d.openLock(name)
		if err != nil {
			return nil, err
		}
		if err := l.wait(ctx); err != nil {
			return nil, fmt.Errorf("waiting for the lock %s: %w", d.join(name), err)
		}
		if d.current(l, name) {
			return l.in(d, name)
		}
		_ = l.Close()
	}
}

// TryLock takes the lock or returns ErrLocked.
func (d *Dir) TryLock(name string) (*Lock, error) {
	for {
		l, err := d.openLock(name)
		if err != nil {
			return nil, err
		}
		if err := l.flock(unix.LOCK_EX | unix.LOCK_NB); err != nil {
			_ = l.f.Close()
			if err == unix.EWOULDBLOCK {
				err = ErrLocked
			}
			return nil, fmt.Errorf("%s: %w", d.join(name), err)
		}
		if d.current(l, name) {
			return l.in(d, name)
		}
		_ = l.Close()
	}
}

func (d *Dir) openLock(name string) (*Lock, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	fd, err := openat(d.fd(), name, d.join(name), unix.O_RDWR|unix.O_CREAT|unknown, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := checkPrivate(fd, d.join(name))
	if err == nil && uint32(st.Mode)&0o600 != 0o600 { // a umask has taken our own bits
		err = unix.Fchmod(fd, 0o600)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &Lock{f: os.NewFile(uintptr(fd), d.join(name))}, nil
}

// in notes the directory of a lock that was taken. The descriptor is the
// lock's own: who asked for the lock may close the directory.
func (l *Lock) in(d *Dir, name string) (*Lock, error) {
	fd, err := unix.FcntlInt(uintptr(d.fd()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(&fs.PathError{Op: "dup", Path: d.Path(), Err: err}, l.f.Close())
	}
	l.dir, l.name = &Dir{f: os.NewFile(uintptr(fd), d.Path())}, name
	return l, nil
}

// wait closes the lock's file if it fails. A flock that waits cannot be
// called off: its goroutine outlives ctx and gives the lock back when it
// comes, so that a TryLock at that moment can find it taken.
func (l *Lock) wait(ctx context.Context) error {
	err := l.flock(unix.LOCK_EX | unix.LOCK_NB)
	if err == nil {
		return nil
	}
	if err != unix.EWOULDBLOCK {
		return errors.Join(err, l.f.Close())
	}
	abandoned := make(chan struct{})
	taken := make(chan struct{})
	done := safego.Go(func() error {
		if err := l.flock(unix.LOCK_EX); err != nil {
			return errors.Join(err, l.f.Close())
		}
		select {
		case taken <- struct{}{}:
			return nil
		case <-abandoned:
			return l.f.Close()
		}
	})
	select {
	case <-taken:
		return nil
	case err := <-done:
		return err
	case <-ctx.Done():
		close(abandoned)
		return ctx.Err()
	}
}

func (l *Lock) flock(how int) error {
	_, err := retry(func() (int, error) { return 0, unix.Flock(int(l.f.Fd()), how) })
	runtime.KeepAlive(l.f)
	return err
}

// current says whether the file that was locked is still the one of that name.
// Nobody is meant to unlink a lock; a cleaner of temporary files may.
func (d *Dir) current(l *Lock, name string) bool {
	var held, named unix.Stat_t
	if unix.Fstat(int(l.f.Fd()), &held) != nil || held.Nlink != 1 {
		return false
	}
	err := unix.Fstatat(d.fd(), name, &named, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && idOf(&held) == idOf(&named)
}

// Close gives the lock back.
func (l *Lock) Close() error {
	var err error
	if l.dir != nil {
		err = l.dir.Close()
	}
	return errors.Join(err, l.f.Close())
}
