//go:build !unix

package consumer

import (
	"errors"
	"os"
	"os/exec"
)

// Start runs the tool and waits for it, because this system has no execve. The
// error is *Exited, or a *StartError if it did not run.
func Start(argv, env []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		status := StatusNotExecutable
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			status = StatusNotFound
		}
		return &StartError{Name: argv[0], Status: status, Err: err}
	}
	cmd := &exec.Cmd{Path: path, Args: argv, Env: env, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return &Exited{}
	case errors.As(err, &exit):
		return &Exited{Status: exit.ExitCode()}
	}
	return &StartError{Name: argv[0], Status: StatusNotExecutable, Err: err}
}
