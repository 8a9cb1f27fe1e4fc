//go:build unix

package gsi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTrustDirOfOthers: who can add a CA can stand in for every server, and is
// sent the pass phrases that are meant for it.
func TestTrustDirOfOthers(t *testing.T) {
	dir := newTrust(t).dir
	if _, err := OpenTrustDir(dir); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o777, 0o757, 0o777 | os.ModeSticky} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		_, err := OpenTrustDir(dir)
		wantTrust(t, err, TrustNoDirectory, dir)
		if err != nil && !strings.Contains(err.Error(), "chmod o-w") {
			t.Errorf("%v: got %v", mode, err)
		}
	}
	// A group has its own members, and a site's directory its own owner.
	if err := os.Chmod(dir, 0o775); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTrustDir(dir); err != nil {
		t.Error(err)
	}
}

// TestTrustDirOfForeignHome: su leaves the HOME of whoever called it.
func TestTrustDirOfForeignHome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to somebody else")
	}
	home := t.TempDir()
	own := filepath.Join(home, ".globus", "certificates")
	if err := os.MkdirAll(own, 0o755); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"HOME": home}[name] }
	if got, err := FindTrustDir("", getenv); got != own || err != nil {
		t.Fatalf("ours: got %q, %v", got, err)
	}
	if err := os.Chown(own, 4711, 4711); err != nil {
		t.Fatal(err)
	}
	_, err := FindTrustDir("", getenv)
	wantTrust(t, err, TrustNoDirectory, own)
	if got, err := FindTrustDir(own, getenv); got != own || err != nil { // said to be meant
		t.Errorf("configured: got %q, %v", got, err)
	}
}
