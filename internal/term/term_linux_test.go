package term

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/term/ptytest"
)

// childVar makes the test binary the program that asks.
const childVar = "TERM_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVar) {
	case "":
		os.Exit(m.Run())
	case "background":
		background()
	case "line":
		askLine()
	default:
		ask()
	}
}

// ask reads one secret and says what it got; only a test may print it.
func ask() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	t := New()
	fmt.Fprintf(os.Stderr, "foreground %v\n", t.Foreground())
	got, err := t.ReadSecret(ctx, "Pass\x1b[2J phrase: ")
	switch {
	case err == nil:
		fmt.Fprintf(os.Stderr, "got %q\n", string(got))
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "cancelled")
		os.Exit(130)
	case errors.Is(err, io.EOF):
		fmt.Fprintln(os.Stderr, "end of input")
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// askLine reads one line that may be seen.
func askLine() {
	got, err := New().ReadLine(context.Background(), "two\x1b[2J\nlines? ")
	fmt.Fprintf(os.Stderr, "got %q, %v\n", got, err)
}

// background starts the asking program in a process group of its own, which the
// terminal does not have in its foreground.
func background() {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"=ask")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	_ = cmd.Run()
}

func console(t *testing.T, mode string) *ptytest.Console {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+mode)
	return ptytest.Start(t, cmd)
}

// TestReadSecret: what is typed is not shown, the line end is, and the terminal
// is afterwards as it was.
func TestReadSecret(t *testing.T) {
	c := console(t, "ask")
	c.Expect("foreground true")
	c.Expect("Pass[2J phrase: ") // no escape sequence
	if c.Echo() {
		t.Error("the terminal shows what is typed")
	}
	c.Type("s3cret pass\n")
	c.Expect(`got "s3cret pass"`)
	if n := strings.Count(c.Output(), "s3cret"); n != 1 {
		t.Errorf("the secret shows %d times, expected once, where the test prints it:\n%s", n, c.Output())
	}
	if status := c.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if !c.Echo() {
		t.Error("the terminal was left without echo")
	}
}

// TestReadLine: what is no secret shows while it is typed, and a prompt of
// several lines is still not obeyed.
func TestReadLine(t *testing.T) {
	c := console(t, "line")
	c.Expect("two[2J\r\nlines? ")
	c.Type("yes\n")
	c.Expect("yes\r\n")
	c.Expect(`got "yes", <nil>`)
}

// TestEditing: the terminal's own line editing works, and an empty line and a
// Ctrl-D are two things.
func TestEditing(t *testing.T) {
	for _, tc := range []struct{ name, typed, want string }{
		{"backspace", "abX\x7fc\n", `got "abc"`},
		{"kill the line", "wrong\x15right\n", `got "right"`},
		{"an empty line", "\n", `got ""`},
		{"Ctrl-D at once", "\x04", "end of input"},
		{"Ctrl-D twice after text", "abc\x04\x04", `got "abc"`},
		{"not ASCII", "pässword\n", `got "pässword"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := console(t, "ask")
			c.Expect("phrase: ")
			c.Type(tc.typed)
			c.Expect(tc.want)
		})
	}
}

// TestCancelled: whatever ends the question, the terminal shows again what is
// typed. Ctrl-C is a signal that the terminal itself sends.
func TestCancelled(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(c *ptytest.Console)
	}{
		{"Ctrl-C", func(c *ptytest.Console) { c.Type("half\x03") }},
		{"SIGTERM", func(c *ptytest.Console) { c.Signal(syscall.SIGTERM) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := console(t, "ask")
			c.Expect("phrase: ")
			tc.end(c)
			c.Expect("cancelled")
			if status := c.Wait(); status != 130 {
				t.Errorf("exit status %d", status)
			}
			if !c.Echo() {
				t.Error("the terminal was left without echo")
			}
		})
	}
}

// TestStopped: Ctrl-Z gives the terminal back as it was, and after SIGCONT the
// question is there again and hides what is typed. There is no shell here: the
// session's leader would not be stopped by SIGTSTP, so it is sent SIGCONT as
// soon as it has stopped itself.
func TestStopped(t *testing.T) {
	c := console(t, "ask")
	c.Expect("phrase: ")
	c.Signal(syscall.SIGTSTP)
	waitFor(t, "the process to stop", func() bool { return state(t, c.Pid()) == "T" })
	if !c.Echo() {
		t.Error("stopped with the terminal without echo")
	}
	c.Signal(syscall.SIGCONT)
	c.Expect("phrase: ")
	if c.Echo() {
		t.Error("the terminal shows what is typed after fg")
	}
	c.Type("again\n")
	c.Expect(`got "again"`)
	if c.Wait(); !c.Echo() {
		t.Error("the terminal was left without echo")
	}
}

// TestBackground: a job in the background never asks: it would be stopped by
// SIGTTOU, or take a line that was meant for the shell.
func TestBackground(t *testing.T) {
	c := console(t, "background")
	c.Expect("foreground false")
	c.Expect("error: " + ErrBackground.Error())
	if strings.Contains(c.Output(), "phrase") {
		t.Error("it asked")
	}
}

// TestNoTerminal: a daemon has no terminal.
func TestNoTerminal(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"=ask")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "foreground false") || !strings.Contains(string(out), ErrNoTerminal.Error()) {
		t.Errorf("%v, %s", err, out)
	}
}

// TestLine: a line may come in pieces, and is bounded.
func TestLine(t *testing.T) {
	var l line
	for _, piece := range []string{"one ", "two\nthree"} {
		done, err := l.add([]byte(piece))
		if err != nil || done != strings.Contains(piece, "\n") {
			t.Fatalf("%q: done %v, %v", piece, done, err)
		}
	}
	if string(l.buf) != "one two" {
		t.Errorf("got %q", l.buf)
	}
	l = line{}
	if _, err := l.add(make([]byte, maxLine)); err != nil {
		t.Errorf("the longest line: %v", err)
	}
	if _, err := l.add([]byte("x")); !errors.Is(err, ErrTooLong) {
		t.Errorf("one byte more: %v", err)
	}
}

func state(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return rest[:1]
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(ptytest.Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
