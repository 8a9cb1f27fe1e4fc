//go:build unix

package safefile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// Lock is a lock that is held, and the small file that it is held on.
type Lock struct {
	f *os.File
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
			return l, nil
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
			return l, nil
		}
		_ = l.Close()
	}
}

func (d *Dir) openLock(name string) (*Lock, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	fd, err := openat(d.fd(), name, d.join(name), unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := checkPrivate(fd, d.join(name)); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &Lock{f: os.NewFile(uintptr(fd), d.join(name))}, nil
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

// Read returns the content of the lock's file, of at most max bytes.
func (l *Lock) Read(max int64) ([]byte, error) {
	st, err := l.f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := l.f.Seek(0, 0); err != nil {
		return nil, err
	}
	return readAll(l.f, st.Size(), max)
}

// Write replaces the content of the lock's file in place: the file is never
// replaced itself. A crash can leave a part of it.
func (l *Lock) Write(data []byte) error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err := l.f.WriteAt(data, 0)
	return err
}

// Close gives the lock back.
func (l *Lock) Close() error { return l.f.Close() }
