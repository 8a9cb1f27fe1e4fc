package consumer

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// TestRealToolOfOthers: a program that others may run and we may not is passed
// over, as execvp(3) does, and not found only to fail. Root may run everything,
// so a thread gives that up; it ends with its goroutine, which stays locked to it.
func TestRealToolOfOthers(t *testing.T) {
	theirs, ours := t.TempDir(), t.TempDir()
	err := errors.Join(os.WriteFile(filepath.Join(theirs, "tool"), nil, 0o600), os.Chmod(filepath.Join(theirs, "tool"), 0o601),
		os.WriteFile(filepath.Join(ours, "tool"), nil, 0o700))
	if err != nil {
		t.Fatal(err)
	}
	var got string
	err = <-safego.Go(func() (err error) {
		runtime.LockOSThread()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var sets [2]unix.CapUserData
		if err := unix.Capget(&header, &sets[0]); err != nil {
			return err
		}
		sets[0].Effective &^= 1 << unix.CAP_DAC_OVERRIDE
		if err := unix.Capset(&header, &sets[0]); err != nil {
			return err
		}
		got, err = RealTool("tool", []string{"PATH=" + theirs + ":" + ours})
		return err
	})
	if err != nil || got != filepath.Join(ours, "tool") {
		t.Errorf("found %q, %v", got, err)
	}
}
