package consumer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// beside starts the test binary, which starts a shell's script beside itself and
// waits for its first line.
func beside(t *testing.T, before, script string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", before+`exec "$0" sh -c "$1"`, os.Args[0], script)
	cmd.Env = []string{"CONSUMER_TEST=run", "PATH=/bin:/usr/bin"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { timer.Stop() })
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd, lines
}

// TestRunForwards: each signal that is sent to us reaches the tool, once, and the
// tool decides what becomes of it.
func TestRunForwards(t *testing.T) {
	for _, s := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGXCPU,
	} {
		n := int(s)
		script := fmt.Sprintf(`trap 'echo got; exit 7' %d; echo ready; while :; do sleep 0.05; done`, n)
		cmd, lines := beside(t, "", script)
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		out, _ := io.ReadAll(lines)
		_ = cmd.Wait()
		if string(out) != "got\n" || cmd.ProcessState.ExitCode() != 7 {
			t.Errorf("%v: the tool says %q, status %d", s, out, cmd.ProcessState.ExitCode())
		}
	}
}

// TestRunEndsAlike: whoever waits for us sees the end of the tool, whether it
// returned or died.
func TestRunEndsAlike(t *testing.T) {
	for _, script := range []string{
		"exit 0", "exit 1", "exit 255", "kill -TERM $$", "kill -KILL $$", "kill -INT $$", "kill -HUP $$",
		"kill -USR1 $$", "kill -PIPE $$", "kill -ABRT $$", "kill -SEGV $$", "kill -QUIT $$",
	} {
		direct := exec.Command("/bin/sh", "-c", "ulimit -c 0; "+script)
		_ = direct.Run()
		cmd, lines := beside(t, "", "ulimit -c 0; echo ready; "+script)
		_, _ = io.ReadAll(lines)
		_ = cmd.Wait()
		want, got := direct.ProcessState.Sys().(syscall.WaitStatus), cmd.ProcessState.Sys().(syscall.WaitStatus)
		if got != want {
			t.Errorf("%s: %v, alone %v", script, cmd.ProcessState, direct.ProcessState)
		}
	}
}

// TestRunIgnores: nohup(1) is for the tool as well.
func TestRunIgnores(t *testing.T) {
	cmd, lines := beside(t, "trap '' HUP; ", `echo ready; kill -HUP $$; kill -HUP $PPID; echo still here`)
	out, _ := io.ReadAll(lines)
	if err := cmd.Wait(); err != nil || string(out) != "still here\n" {
		t.Errorf("%v, %q", err, out)
	}
}

// TestRunFiles: the tool has our standard files, and others that were left open
// for it.
func TestRunFiles(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", `echo from three > f; exec 3<f; echo from zero | "$0" sh -c 'cat; cat <&3; echo to two >&2'`, os.Args[0])
	cmd.Env, cmd.Dir = []string{"CONSUMER_TEST=run", "PATH=/bin:/usr/bin"}, t.TempDir()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || string(out) != "from zero\nfrom three\n" || stderr.String() != "to two\n" {
		t.Errorf("%v, %q, %q", err, out, &stderr)
	}
}

// TestRunStops: when the tool is asked to end, nothing is fetched for it any
// more, though it may take its time; and a signal from before its start is its
// end.
func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Run(ctx, []string{"touch", t.TempDir() + "/started"}, os.Environ(), func(context.Context) { t.Error("something is kept fresh") })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after a signal: %v", err)
	}

	stopped := make(chan struct{})
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	script := fmt.Sprintf(`trap 'read x <&%d; exit 3' TERM; kill -TERM %d; while :; do sleep 0.05; done`, 9, os.Getpid())
	env := append(os.Environ(), "PATH=/bin:/usr/bin")
	argv := []string{"sh", "-c", fmt.Sprintf("exec 9</proc/%d/fd/%d; %s", os.Getpid(), read.Fd(), script)}
	err = Run(t.Context(), argv, env, func(ctx context.Context) {
		<-ctx.Done()
		close(stopped)
		_, _ = write.WriteString("go on\n") // only then may the tool end
	})
	var exited *Exited
	if !errors.As(err, &exited) || exited.Status != 3 {
		t.Errorf("ended with %v", err)
	}
	<-stopped
}

// TestRunPanic: what goes wrong beside a tool does not end it.
func TestRunPanic(t *testing.T) {
	err := Run(t.Context(), []string{"sh", "-c", "sleep 0.1; exit 5"}, os.Environ(), func(context.Context) { panic("oh") })
	var exited *Exited
	if !errors.As(err, &exited) || exited.Status != 5 {
		t.Errorf("ended with %v", err)
	}
}

// TestRunWaits: what may not be cut off, because a token would be lost with it, is
// waited for after the tool's end.
func TestRunWaits(t *testing.T) {
	home := false
	_ = Run(t.Context(), []string{"true"}, os.Environ(), func(ctx context.Context) {
		<-ctx.Done()
		time.Sleep(1100 * time.Millisecond) // a second would be thought patient
		home = true
	})
	if !home {
		t.Error("the end of the tool was the end of everything")
	}
}

// TestRunUnread: a line about a refresh that nobody can read does not end us
// before the tool, whose status somebody waits for; a tool that writes to nobody
// ends by SIGPIPE as ever.
func TestRunUnread(t *testing.T) {
	for script, want := range map[string]syscall.WaitStatus{
		"exit 5":        5 << 8,
		"kill -PIPE $$": syscall.WaitStatus(syscall.SIGPIPE),
	} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_ = read.Close()
		mark := t.TempDir() + "/mark"
		cmd := exec.Command(os.Args[0], "sh", "-c", `n=0; until test -e "$CONSUMER_MARK" || test $n -gt 200; do n=$((n+1)); sleep 0.05; done; `+script)
		cmd.Env = []string{"CONSUMER_TEST=complain", "CONSUMER_MARK=" + mark, "PATH=/bin:/usr/bin"}
		cmd.Stderr = write
		_ = cmd.Run()
		_ = write.Close()
		if got := cmd.ProcessState.Sys().(syscall.WaitStatus); got != want {
			t.Errorf("%s: %v", script, cmd.ProcessState)
		}
	}
}
