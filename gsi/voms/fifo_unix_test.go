//go:build unix

package voms

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFIFO: a FIFO in a vomsdir neither blocks nor counts.
func TestFIFO(t *testing.T) {
	path := t.TempDir()
	if err := os.Mkdir(filepath.Join(path, "vo"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"host.lsc", "x.pem"} {
		if err := syscall.Mkfifo(filepath.Join(path, "vo", name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if chains, _, e := dir.lsc("vo", "host"); chains != nil || e == nil || e.Reason != ReasonBadFile {
		t.Errorf("%q, %v", chains, e)
	}
	if got := dir.authorities("vo", nil); got != nil {
		t.Errorf("found %d", len(got))
	}
}
