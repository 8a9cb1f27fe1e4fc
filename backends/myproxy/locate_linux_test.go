package myproxy

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// asNobody runs f in a thread without rights. The thread is not unlocked, so it
// ends with f.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	<-safego.Go(func() error {
		runtime.LockOSThread()
		if _, _, err := syscall.RawSyscall(syscall.SYS_SETRESUID, 65534, 65534, 65534); err != 0 {
			t.Errorf("setresuid: %v", err)
			return err
		}
		f()
		return nil
	})
}

// Root can read everything; everybody else cannot use a host's key.
func TestLocateIdentityUnreadableKey(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, who becomes somebody else")
	}
	root := t.TempDir()
	must(t, os.Chmod(root, 0o755))
	must(t, os.Chmod(filepath.Dir(root), 0o755))
	file(t, root, "etc/grid-security/hostcert.pem", nil, 0o644)
	file(t, root, "etc/grid-security/hostkey.pem", nil, 0o400)
	var passed error
	options := LocateOptions{Getenv: env{}.get, UID: -1, root: root, Passed: func(err error) { passed = err }}
	if got, err := LocateIdentity(options); err != nil || got == nil {
		t.Fatalf("root: got %+v, %v", got, err)
	}
	asNobody(t, func() {
		if got, err := LocateIdentity(options); err != nil || got != nil || passed == nil || !strings.Contains(passed.Error(), "permission denied") {
			t.Errorf("nobody: got %+v, %v, passed over %v", got, err, passed)
		}
	})
}
