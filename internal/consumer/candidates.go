package consumer

import (
	"path/filepath"
	"strings"
)

// defaultPath is what execvp(3) of glibc searches where PATH is not set.
const defaultPath = "/bin:/usr/bin"

// candidates are the files that a command may be, as execvp(3) tries them.
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
	for _, dir := range strings.Split(path, string(filepath.ListSeparator)) {
		if dir == "" {
			dir = "."
		}
		paths = append(paths, dir+string(filepath.Separator)+name)
	}
	return paths
}
