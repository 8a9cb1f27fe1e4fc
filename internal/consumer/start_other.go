//go:build !unix

package consumer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
)

// Start runs the tool and waits for it, because this system has no execve. The
// error is *Exited, or a *StartError if it did not run.
func Start(argv, env []string) error {
	child, err := spawn(argv, env)
	if err != nil {
		return err
	}
	return wait(child)
}

func spawn(argv, env []string) (*os.Process, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		status := StatusNotExecutable
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			status = StatusNotFound
		}
		return nil, &StartError{Name: argv[0], Status: status, Err: err}
	}
	child, err := os.StartProcess(path, argv, &os.ProcAttr{Env: env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return nil, &StartError{Name: argv[0], Status: StatusNotExecutable, Err: err}
	}
	return child, nil
}

func wait(child *os.Process) error {
	state, err := child.Wait()
	if err != nil {
		return fmt.Errorf("wait for the command: %w", err)
	}
	return &Exited{Status: state.ExitCode()}
}

// Repeat returns the status of the tool.
func (e *Exited) Repeat() int { return e.Status }

// forwarded are none: the console tells the tool itself what it tells us.
var forwarded = []os.Signal{os.Interrupt}

// terminalSends says that whoever is told something, the tool is, too.
func terminalSends(os.Signal, *os.Process) bool { return true }

// ends says whether a signal asks the tool to end soon.
func ends(os.Signal) bool { return false }

// listen keeps Ctrl-C from ending us before the tool.
func listen(c chan<- os.Signal) { signal.Notify(c, forwarded...) }
