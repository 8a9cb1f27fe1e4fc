//go:build unix

package consumer

import (
	"errors"
	"os"
	"syscall"
)

// Start becomes the tool: the process id stays, and with it everything a batch
// system or a shell knows about us. It returns only if that failed, with a
// *StartError. The search is that of execvp(3), in the PATH of env.
func Start(argv, env []string) error {
	return search(argv, env, func(path string, argv []string) error { return syscall.Exec(path, argv, env) })
}

// spawn starts the tool as a child, found as Start finds it.
func spawn(argv, env []string) (child *os.Process, err error) {
	err = search(argv, env, func(path string, argv []string) error {
		child, err = os.StartProcess(path, argv, &os.ProcAttr{Env: env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
		return err
	})
	return child, err
}

// search calls run for what name may be, until it succeeds.
func search(argv, env []string, run func(path string, argv []string) error) error {
	name := argv[0]
	var denied error
	for _, path := range candidates(name, env) {
		err := run(path, argv)
		if errors.Is(err, syscall.ENOEXEC) {
			// A script without "#!" is the shell's, as in execvp(3). ENOEXEC is also
			// the answer for a directory entry of the wrong kind.
			err = run("/bin/sh", append([]string{"sh", path}, argv[1:]...))
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR) && path != name:
		case errors.Is(err, syscall.EACCES):
			denied = err
		default:
			return &StartError{Name: name, Status: StatusNotExecutable, Err: err}
		}
	}
	if denied != nil {
		return &StartError{Name: name, Status: StatusNotExecutable, Err: denied}
	}
	return &StartError{Name: name, Status: StatusNotFound, Err: os.ErrNotExist}
}
