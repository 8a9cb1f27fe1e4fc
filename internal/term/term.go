// Package term is the one owner of the terminal. Questions go to /dev/tty and
// answers come from there, whatever standard input and output are: those belong
// to the protocol.
//
// What it guarantees: nothing is asked unless this process is in the terminal's
// foreground process group, so that a job in the background never steals a line
// that was meant for the shell; while a secret is typed it is not shown; and the
// terminal is as it was before when ReadSecret returns, also when its context is
// cancelled by a signal, and when the job is stopped with Ctrl-Z.
//
//	tty := term.New()
//	if tty.Foreground() {
//		passphrase, err := tty.ReadSecret(ctx, "Pass phrase: ")
//	}
package term

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// The ways in which a question can fail beside those of the operating system.
var (
	// ErrNoTerminal: there is nobody to ask.
	ErrNoTerminal = errors.New("there is no terminal")
	// ErrBackground: the terminal is in use by somebody else.
	ErrBackground = errors.New("this process is not in the foreground of its terminal")
	// ErrTooLong: no pass phrase is that long; something was pasted by mistake.
	ErrTooLong = errors.New("the line is too long")
)

// maxLine is the longest line that is taken, in bytes. It is what a terminal of
// Linux passes on at once (N_TTY_BUF_SIZE).
const maxLine = 4095

// Terminal is the controlling terminal of this process. It holds nothing open
// between calls.
type Terminal struct{ path string }

// New returns the controlling terminal; whether there is one shows when it is
// used.
func New() *Terminal { return &Terminal{path: "/dev/tty"} }

// Foreground says whether there is a terminal and this process is in its
// foreground process group.
func (t *Terminal) Foreground() bool { return t.foreground() }

// ReadSecret shows the prompt and reads one line without showing it. The line
// end is not part of the result. An end of input (Ctrl-D) before anything was
// typed is io.EOF, a cancelled context its error.
func (t *Terminal) ReadSecret(ctx context.Context, prompt string) (secret.Secret, error) {
	return t.read(ctx, printable(prompt), hidden)
}

// ReadLine is ReadSecret for what need not be hidden: the answer to a question.
// The prompt may have several lines.
func (t *Terminal) ReadLine(ctx context.Context, prompt string) (string, error) {
	lines := strings.Split(prompt, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	answer, err := t.read(ctx, strings.Join(lines, "\n"), shown)
	return string(answer), err
}

// echo says whether what is typed shows.
type echo bool

const (
	hidden echo = false
	shown  echo = true
)

// IsTerminal says whether an open file is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Width is the number of columns of the terminal that f is, or 0.
func Width(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// printable drops what a terminal would obey instead of show.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return -1
		}
		return r
	}, s)
}

// line collects what is read until a line end.
type line struct{ buf []byte }

// add takes the bytes of one read and says whether the line is complete.
func (l *line) add(p []byte) (bool, error) {
	if len(p) == 0 { // Ctrl-D: the end of what was typed, if anything was
		if len(l.buf) == 0 {
			return false, io.EOF
		}
		return true, nil
	}
	for i, c := range p {
		if c == '\n' || c == '\r' {
			l.buf = append(l.buf, p[:i]...)
			return true, nil
		}
	}
	if len(l.buf)+len(p) > maxLine {
		return false, ErrTooLong
	}
	l.buf = append(l.buf, p...)
	return false, nil
}
