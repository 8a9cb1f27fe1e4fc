package safefile

import (
	"fmt"
	"path/filepath"
	"slices"
)

// appDir is the name of our directory inside shared ones.
const appDir = "x509-credential-helper"

// RuntimeDir makes and checks the directory for files that tools read, and
// returns its path. It is, in this order:
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

// LockDir makes and checks the directory for locks, and returns its path. It is
// that of RuntimeDir; but on Linux a process without XDG_RUNTIME_DIR, of cron or
// su, uses /run/user/UID while the user has a session. Such a process finds the
// session's keyring, so the two must agree on the locks of what is in there.
// Files stay out of it: they would go with a session that is not theirs.
func LockDir(configured string, getenv func(string) string) (string, error) {
	if configured != "" {
		return RuntimeDir(configured, getenv)
	}
	return platformLockDir(getenv)
}

// OtherRuntimeDirs are those that RuntimeDir gives to processes of the user with
// another environment, as far as they exist and are safe: what a job of cron
// has left is not where a session looks for it. Who configures a directory, or
// sets XDG_RUNTIME_DIR to an unusual one, is in a world of its own.
func OtherRuntimeDirs(configured string, getenv func(string) string) []string {
	own, err := RuntimeDir(configured, getenv)
	if err != nil {
		return nil
	}
	return otherDirs(own, platformRuntimeDirs())
}

func otherDirs(own string, usual []string) []string {
	if !slices.Contains(usual, own) {
		return nil
	}
	return slices.DeleteFunc(usual, func(path string) bool {
		d, err := OpenDir(path)
		if err == nil {
			_ = d.Close()
		}
		return err != nil || path == own
	})
}

func made(path string) (string, error) {
	d, err := MakeDir(path)
	if err != nil {
		return "", fmt.Errorf("no runtime directory (%w); set runtime_dir to a private directory on a local file system", err)
	}
	return path, d.Close()
}
