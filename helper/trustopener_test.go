package helper

import (
	"os"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// TestTrustOpenerShared: a backend that gave up a connection may still open the
// trust anchors while they are opened here. The race detector judges; that there
// are none makes no difference to it.
func TestTrustOpenerShared(t *testing.T) {
	open := (&Helper{Getenv: os.Getenv}).trustOpener(&Profile{CADir: t.TempDir()})
	done := safego.Go(func() error { _, err := open(); return err })
	_, here := open()
	if there := <-done; here == nil || there == nil {
		t.Errorf("an empty directory was opened: %v, %v", here, there)
	}
}
