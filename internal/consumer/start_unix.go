//go:build unix

package consumer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Start becomes the tool: the process id stays, and with it everything a batch
// system or a shell knows about us. It returns only if that failed, with a
// *StartError. The search is that of execvp(3), in the PATH of env.
func Start(argv, env []string) error {
	name := argv[0]
	var denied error
	for _, path := range candidates(name, env) {
		err := execve(path, argv, env)
		switch {
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

// defaultPath is what execvp(3) of glibc searches where PATH is not set.
const defaultPath = "/bin:/usr/bin"

func candidates(name string, env []string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	if name == "" {
		return nil
	}
	path, ok := lookup(env, "PATH")
	if !ok {
		path = defaultPath
	}
	var paths []string
	for _, dir := range strings.Split(path, ":") {
		if dir == "" {
			dir = "."
		}
		paths = append(paths, dir+string(filepath.Separator)+name)
	}
	return paths
}

// execve gives a script without "#!" to the shell, as execvp(3) does. ENOEXEC
// is also the answer for a directory entry of the wrong kind.
func execve(path string, argv, env []string) error {
	err := syscall.Exec(path, argv, env)
	if errors.Is(err, syscall.ENOEXEC) {
		return syscall.Exec("/bin/sh", append([]string{"sh", path}, argv[1:]...), env)
	}
	return err
}
