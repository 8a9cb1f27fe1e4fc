//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package term

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// tick is how long a cancelled context may go unnoticed. The terminal is looked
// at with select(2) because neither kqueue nor poll(2) work on /dev/tty of macOS.
const tick = 50 * time.Millisecond

func (t *Terminal) open() (int, error) {
	for {
		// O_NONBLOCK: somebody else may take the line that select spoke of.
		fd, err := unix.Open(t.path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		switch {
		case err == nil:
			return fd, nil
		case !errors.Is(err, unix.EINTR):
			return -1, fmt.Errorf("%w: %w", ErrNoTerminal, err)
		}
	}
}

func (t *Terminal) foreground() bool {
	fd, err := t.open()
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	return inForeground(fd)
}

func inForeground(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

func (t *Terminal) read(ctx context.Context, prompt string, e echo) (secret.Secret, error) {
	fd, err := t.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	if !inForeground(fd) { // changing the terminal's mode would stop us with SIGTTOU
		return nil, ErrBackground
	}
	q := &question{fd: fd, prompt: prompt, echo: e}
	defer q.watchStops()()
	if err := q.begin(); err != nil {
		return nil, err
	}
	answer, err := q.read(ctx)
	if err != nil {
		_ = writeAll(fd, "\n") // the user's own line end was not typed
	}
	return answer, errors.Join(err, q.end())
}

// question is one prompt that waits for its line.
type question struct {
	fd     int
	prompt string
	echo   echo
	before unix.Termios
	stops  chan os.Signal
}

// watchStops asks for the signals of job control, unless the process was
// started to ignore them, and returns what undoes that.
func (q *question) watchStops() func() {
	q.stops = make(chan os.Signal, 4)
	if !signal.Ignored(unix.SIGTSTP) {
		signal.Notify(q.stops, unix.SIGTSTP, unix.SIGCONT)
	}
	return func() { signal.Stop(q.stops) }
}

// begin hides what is typed if it is secret, throws away what was typed before
// anybody asked, and shows the prompt.
func (q *question) begin() error {
	mode, err := unix.IoctlGetTermios(q.fd, getTermios)
	if err != nil {
		return fmt.Errorf("read the terminal's mode: %w", err)
	}
	q.before = *mode
	during := q.before
	if q.echo == shown {
		during.Lflag |= unix.ECHO
	} else {
		during.Lflag &^= unix.ECHO
	}
	during.Lflag |= unix.ICANON | unix.ISIG | unix.ECHONL
	during.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(q.fd, setTermiosFlush, &during); err != nil {
		return fmt.Errorf("set the terminal's mode: %w", err)
	}
	if err := writeAll(q.fd, q.prompt); err != nil {
		return errors.Join(fmt.Errorf("write to the terminal: %w", err), q.end())
	}
	return nil
}

func (q *question) end() error {
	for {
		err := unix.IoctlSetTermios(q.fd, setTermios, &q.before)
		if err == nil || !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (q *question) read(ctx context.Context) (secret.Secret, error) {
	var l line
	var buf [maxLine + 1]byte
	defer clear(buf[:])
	for {
		if err := q.interrupted(ctx); err != nil {
			return nil, err
		}
		ready, err := readable(q.fd)
		if err != nil {
			return nil, fmt.Errorf("wait for the terminal: %w", err)
		}
		if !ready {
			continue
		}
		n, err := unix.Read(q.fd, buf[:])
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("read from the terminal: %w", err)
		}
		if done, err := l.add(buf[:n]); done || err != nil {
			return l.buf, err
		}
	}
}

// interrupted looks after the context and after job control. A shell may leave
// a stopped job's terminal as it finds it, and show what is typed after "fg":
// so the mode is put back before stopping, and hidden again afterwards.
func (q *question) interrupted(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s := <-q.stops:
		if s == unix.SIGCONT {
			return q.begin()
		}
		if err := q.end(); err != nil {
			return err
		}
		return unix.Kill(unix.Getpid(), unix.SIGSTOP)
	default:
		return nil
	}
}

// readable waits for one tick.
func readable(fd int) (bool, error) {
	var set unix.FdSet
	if fd >= unix.FD_SETSIZE {
		return false, errors.New("too many files are open")
	}
	set.Zero()
	set.Set(fd)
	timeout := unix.NsecToTimeval(tick.Nanoseconds())
	n, err := unix.Select(fd+1, &set, nil, nil, &timeout)
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	return n > 0, err
}

func writeAll(fd int, s string) error {
	for p := []byte(s); len(p) > 0; {
		n, err := unix.Write(fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN): // Ctrl-S
			time.Sleep(tick)
		case err != nil:
			return err
		}
		p = p[max(n, 0):]
	}
	return nil
}
