//go:build unix

package gsi

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

// TestTrustFileOfOthers: the same goes for a file in a good directory, whatever
// it decides.
func TestTrustFileOfOthers(t *testing.T) {
	for ext, reason := range map[string]TrustReason{".0": TrustUnknownIssuer, ".signing_policy": TrustBadFile, ".r0": TrustBadFile} {
		f := newTrust(t)
		f.crl(t, f.sub, ".r0", testTime.Add(time.Hour))
		verify := func() error { return f.open(t).Verify(f.user.Chain, testTime, TrustOptions{}) }
		if err := verify(); err != nil {
			t.Fatal(err)
		}
		file := f.name(t, f.sub, ext)
		if err := os.Chmod(file, 0o646); err != nil {
			t.Fatal(err)
		}
		var te *TrustError
		if err := verify(); !errors.As(err, &te) || te.Reason != reason {
			t.Errorf("%s: got %v, want %s", ext, err, reason)
		}
		if text := anchorTexts(f.open(t)); !strings.Contains(text, "anybody may write to it") {
			t.Errorf("%s: nobody is told: %s", ext, text)
		}
	}
}

// anchorTexts are all that is wrong with the CAs of a directory.
func anchorTexts(dir *TrustDir) string {
	var all []string
	for _, a := range dir.Anchors(testTime, TrustOptions{}) {
		for _, p := range a.Problems {
			all = append(all, p.Detail)
		}
	}
	return strings.Join(all, "\n")
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
