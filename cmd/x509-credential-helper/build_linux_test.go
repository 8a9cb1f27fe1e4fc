package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// TestLocksOutliveSession: keep-fresh and exec go on when the session that they
// were started beside ends, and takes the directory of its locks with it.
func TestLocksOutliveSession(t *testing.T) {
	session, err := os.MkdirTemp("/dev/shm", "x509ch-session-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(session) })
	p := &process{environ: []string{"XDG_RUNTIME_DIR=" + session}}
	c, account := p.newCache(&helper.Config{}, t.TempDir()), t.Name()
	for _, what := range []string{"in the session", "after it"} {
		lock, err := c.LockSecret(t.Context(), account)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
		dir, err := safefile.LockDir("", p.getenv)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "lock", fmt.Sprintf("secret-%x.lock", sha256.Sum256([]byte(account))))
		if err := os.Remove(path); err != nil { // it may be our user's own directory
			t.Errorf("%s: %v", what, err)
		}
		_, _ = os.Remove(filepath.Dir(path)), os.Remove(dir)
		if err := os.RemoveAll(session); err != nil {
			t.Fatal(err)
		}
	}
}
