//go:build unix

package consumer

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"

	"github.com/x509-credential-helper/x509-credential-helper/internal/term"
)

// forwarded are the signals that people, shells and batch systems send to the
// process that they started, and mean the tool. Those of job control are left
// alone: the tool is in our process group, and both stop and go on together.
var forwarded = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGXCPU,
}

// terminalSends says whether a signal came from a key, so that the terminal has
// given it to the tool as well: a second Ctrl-C means something else to many. A
// tool that has left our process group, as timeout(1) does, was given none.
func terminalSends(s os.Signal, tool *os.Process) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
		return false
	}
	group, err := syscall.Getpgid(tool.Pid)
	return err == nil && group == syscall.Getpgrp() && term.New().Foreground()
}

// ends says whether a signal asks the tool to end soon.
func ends(s os.Signal) bool { return s == syscall.SIGTERM }

func wait(child *os.Process) error {
	state, err := child.Wait()
	if err != nil {
		return fmt.Errorf("wait for the command: %w", err)
	}
	if status := state.Sys().(syscall.WaitStatus); status.Signaled() {
		return &Exited{Status: 128 + int(status.Signal()), Signal: int(status.Signal())}
	}
	return &Exited{Status: state.ExitCode()}
}

// Repeat ends this process by the signal that ended the tool, so that whoever
// waits for us sees the same: an interrupted loop of a shell ends, too. Without
// one, or where that fails, it returns the status.
//
// A shell sends the signal, in our place and to itself: it has the system's
// default for it, whereas Go's runtime has a handler for every one.
func (e *Exited) Repeat() int {
	if e.Signal != 0 {
		signal.Reset()
		const script = `ulimit -c 0; kill -"$0" $$; exit "$1"`
		_ = syscall.Exec("/bin/sh", []string{"sh", "-c", script, strconv.Itoa(e.Signal), strconv.Itoa(e.Status)}, nil)
	}
	return e.Status
}

// listen asks for the signals to forward, but for those that we were started to
// ignore: the tool ignores them as well.
func listen(c chan<- os.Signal) {
	wanted := slices.DeleteFunc(slices.Clone(forwarded), signal.Ignored)
	if len(wanted) > 0 { // Notify would take none for all
		signal.Notify(c, wanted...)
	}
	// A line of ours that nobody reads any more, as of "exec … 2>&1 | head", ends
	// nobody: the tool would run on alone, and its status be lost.
	if !signal.Ignored(syscall.SIGPIPE) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
}
