package ptytest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// Patience is how long Expect waits.
const Patience = time.Minute

// Console is a program and the master side of its terminal.
type Console struct {
	t      testing.TB
	cmd    *exec.Cmd
	master *os.File

	mu     sync.Mutex
	output []byte
	seen   int // how much of output Expect has matched
	done   <-chan error
}

// Start runs cmd in a session of its own whose controlling terminal is new.
// Those of its standard files that are nil are the terminal. The terminal is 80
// columns wide.
func Start(t testing.TB, cmd *exec.Cmd) *Console {
	t.Helper()
	master, slave := open(t)
	defer slave.Close()
	if cmd.Stdin == nil {
		cmd.Stdin = slave
	}
	if cmd.Stdout == nil {
		cmd.Stdout = slave
	}
	if cmd.Stderr == nil {
		cmd.Stderr = slave
	}
	cmd.ExtraFiles = []*os.File{slave} // number 3 in the child
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start on a terminal: %v", err)
	}
	c := &Console{t: t, cmd: cmd, master: master}
	c.done = safego.Go(c.listen)
	t.Cleanup(c.close)
	return c
}

func open(t testing.TB) (master, slave *os.File) {
	t.Helper()
	// Not os.OpenFile: a blocking descriptor in the runtime's poller would make
	// Close wait for a read that nobody ends.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatalf("no pseudo terminal: %v", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatalf("pseudo terminal: %v", err)
	}
	return master, slave
}

// listen collects what the program shows until its terminal is closed.
func (c *Console) listen() error {
	buf := make([]byte, 4096)
	for {
		n, err := c.master.Read(buf)
		c.mu.Lock()
		c.output = append(c.output, buf[:n]...)
		c.mu.Unlock()
		if err != nil { // EIO: nobody holds the other side any more
			return err
		}
	}
}

// Expect waits until text shows after what earlier calls matched.
func (c *Console) Expect(text string) {
	c.t.Helper()
	for end := time.Now().Add(Patience); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		i := strings.Index(string(c.output[c.seen:]), text)
		if i >= 0 {
			c.seen += i + len(text)
			c.mu.Unlock()
			return
		}
		shown := string(c.output)
		c.mu.Unlock()
		if time.Now().After(end) {
			c.t.Fatalf("the terminal never showed %q, but:\n%s", text, shown)
		}
	}
}

// Type types.
func (c *Console) Type(s string) {
	c.t.Helper()
	if _, err := c.master.WriteString(s); err != nil {
		c.t.Fatalf("type: %v", err)
	}
}

// Output is everything shown so far, with the terminal's line ends.
func (c *Console) Output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.output)
}

// Echo says whether the terminal shows what is typed.
func (c *Console) Echo() bool {
	c.t.Helper()
	var mode *unix.Termios
	raw, err := c.master.SyscallConn()
	if err == nil {
		err = errors.Join(raw.Control(func(fd uintptr) {
			mode, err = unix.IoctlGetTermios(int(fd), unix.TCGETS)
		}), err)
	}
	if err != nil {
		c.t.Fatalf("read the terminal's mode: %v", err)
	}
	return mode.Lflag&unix.ECHO != 0
}

// Pid is the program's process id.
func (c *Console) Pid() int { return c.cmd.Process.Pid }

// Signal sends a signal to the program.
func (c *Console) Signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatalf("signal: %v", err)
	}
}

// Wait waits for the program's end and returns its exit status, -1 if a signal
// ended it.
func (c *Console) Wait() int {
	c.t.Helper()
	timer := time.AfterFunc(Patience, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatalf("wait: %v", err)
	}
	return c.cmd.ProcessState.ExitCode()
}

func (c *Console) close() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
	_ = c.master.Close()
	<-c.done
}
