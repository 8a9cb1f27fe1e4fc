package gsi

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTrustDirReadOnly: what nobody can write to is as good as where it came
// from. The volumes of Kubernetes have this mode.
func TestTrustDirReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	dir := t.TempDir()
	mount := func(flags uintptr) {
		t.Helper()
		err := unix.Mount("none", dir, "tmpfs", flags, "mode=1777")
		switch {
		case err == nil:
		case os.Getenv("X509CH_LAB") == "require":
			t.Fatal(err)
		default:
			t.Skipf("root may not mount here, as in many containers: %v", err)
		}
	}
	mount(0)
	defer func() { _ = unix.Unmount(dir, 0) }()
	ca := newCA(t, "Root", nil)
	hash, err := SubjectHash(ca.cert.RawSubject)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, hash+".0")
	write(t, file, pemOf(ca.cert))
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = OpenTrustDir(dir)
	wantTrust(t, err, TrustNoDirectory, dir)
	mount(unix.MS_REMOUNT | unix.MS_RDONLY)
	opened, err := OpenTrustDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if cas := opened.CAs(); len(cas) != 1 {
		t.Errorf("%d CAs, want the one that is there", len(cas))
	}
}
