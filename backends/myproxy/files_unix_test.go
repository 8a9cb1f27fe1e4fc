//go:build unix

package myproxy

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

func mkfifo(t *testing.T, path string) {
	t.Helper()
	must(t, syscall.Mkfifo(path, 0o600))
}

// A good proxy does not wait for ever until the trust directory is free: whoever
// may read it can hold its lock.
func TestUpdateRootsWaits(t *testing.T) {
	var d *os.File
	t.Cleanup(func() { d.Close() }) // once the directory is gone
	w, ctx := newWorld(t), t.Context()
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	dir, _ := ownTrust(t, w.dir, nil)
	var err error
	d, err = os.Open(dir)
	must(t, err)
	must(t, syscall.Flock(int(d.Fd()), syscall.LOCK_EX))
	spec := &helper.Spec{Trust: func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir(dir) }}
	if got := codes(updateRoots(ctx, spec, w.roots())); got != "trust_roots_not_updated" {
		t.Errorf("warnings %q", got)
	}
}
