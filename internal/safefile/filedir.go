package safefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// FileDir makes and checks the directory of credentials for machines where a
// plain file is all there is: batch nodes, containers. It is configured, an
// absolute path, if that is set. Else it is the first of these that can be made
// 0700, is ours, no link, and can be written to:
//   - x509-credential-helper in $XDG_RUNTIME_DIR, if that is ours and 0700;
//   - /dev/shm/x509-credential-helper-UID;
//   - x509-credential-helper-UID in $TMPDIR;
//   - x509-credential-helper/file in $XDG_CACHE_HOME, or in .cache of home.
//
// Unlike RuntimeDir it takes a directory on a disk, and passes over what
// somebody else has made in its place. The error says what was wrong with each.
func FileDir(configured string, getenv func(string) string, home string) (string, error) {
	return fileDir(configured, "/dev/shm", getenv, home)
}

func fileDir(configured, shm string, getenv func(string) string, home string) (string, error) {
	if configured != "" {
		if !filepath.IsAbs(configured) {
			return "", fmt.Errorf("file_dir is %q; set it to an absolute path", configured)
		}
		if err := usable(configured); err != nil {
			return "", fmt.Errorf("no directory for credentials (%w); set file_dir to another one", err)
		}
		return configured, nil
	}
	var failed error
	for _, c := range fileDirs(shm, getenv, home) {
		err := c.check()
		if err == nil {
			return c.path, nil
		}
		failed = errors.Join(failed, err)
	}
	if failed == nil {
		failed = errors.New("neither XDG_RUNTIME_DIR, TMPDIR nor HOME is set")
	}
	return "", fmt.Errorf("no directory for credentials (%w); set file_dir to a private directory", failed)
}

// place is where the directory may be.
type place struct {
	private string // must be there, ours and closed to others; "" for nothing
	exists  string // must be there; "" for nothing
	path    string
}

func (p place) check() error {
	if p.private != "" {
		d, err := OpenDir(p.private)
		if err != nil {
			return err
		}
		_ = d.Close()
	}
	if p.exists != "" {
		if _, err := os.Stat(p.exists); err != nil { // nobody wants a /dev/shm on a disk
			return err
		}
	}
	return usable(p.path)
}

func fileDirs(shm string, getenv func(string) string, home string) []place {
	var list []place
	own := fmt.Sprintf("%s-%d", appDir, os.Geteuid())
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		list = append(list, place{private: dir, path: filepath.Join(dir, appDir)})
	}
	if filepath.IsAbs(shm) { // which it is not on Windows
		list = append(list, place{exists: shm, path: filepath.Join(shm, own)})
	}
	if dir := getenv("TMPDIR"); filepath.IsAbs(dir) {
		list = append(list, place{exists: dir, path: filepath.Join(dir, own)})
	}
	if dir := getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return append(list, place{path: filepath.Join(dir, appDir, "file")})
	}
	if filepath.IsAbs(home) {
		list = append(list, place{exists: home, path: filepath.Join(home, ".cache", appDir, "file")})
	}
	return list
}

// usable makes a directory if it is missing and looks whether it is ours alone
// and can be written to.
func usable(path string) error {
	d, err := MakeDir(path)
	if err != nil {
		return err
	}
	_ = d.Close()
	return Writable(path)
}
