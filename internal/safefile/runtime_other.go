//go:build !linux

package safefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// OnTmpfs is true where we cannot know.
func OnTmpfs(string) bool { return true }

func platformLockDir(getenv func(string) string) (string, error) { return platformRuntimeDir(getenv) }

func platformRuntimeDirs() []string { return nil }

// platformRuntimeDir: macOS gives every user a temporary directory of their
// own, Windows a profile that nobody else can read.
func platformRuntimeDir(getenv func(string) string) (string, error) {
	if runtime.GOOS != "windows" {
		return made(filepath.Join(os.TempDir(), fmt.Sprintf("%s-%d", appDir, os.Geteuid())))
	}
	local := getenv("LOCALAPPDATA")
	if !filepath.IsAbs(local) {
		return "", errors.New("no runtime directory: LOCALAPPDATA is not set; set runtime_dir to a private directory")
	}
	return made(filepath.Join(local, appDir, "run"))
}
