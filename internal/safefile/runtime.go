package safefile

import (
	"fmt"
	"path/filepath"
)

// appDir is the name of our directory inside shared ones.
const appDir = "x509-credential-helper"

// RuntimeDir makes and checks the directory for locks and for files that tools
// read, and returns its path. It is, in this order:
//   - configured, an absolute path, which may be on a disk;
//   - on Linux x509-credential-helper in $XDG_RUNTIME_DIR, if that is in
//     memory, ours and 0700, else /dev/shm/x509-credential-helper-UID;
//   - elsewhere a directory in the user's own temporary directory.
//
// The error names the setting that helps.
func RuntimeDir(configured string, getenv func(string) string) (string, error) {
	if configured != "" {
		if !filepath.IsAbs(configured) {
			return "", fmt.Errorf("runtime_dir is %q; set it to an absolute path", configured)
		}
		return made(configured)
	}
	return platformRuntimeDir(getenv)
}

func made(path string) (string, error) {
	d, err := MakeDir(path)
	if err != nil {
		return "", fmt.Errorf("no runtime directory (%w); set runtime_dir to a private directory on a local file system", err)
	}
	return path, d.Close()
}
