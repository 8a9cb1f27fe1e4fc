// Package vectors finds the recorded conversations with real servers that
// tests replay. They are no part of this tree: X509CH_VECTORS names their
// folder, and a checkout that has none skips what needs them.
package vectors

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir returns the folder of recordings of one kind of server ("myproxy",
// "rcauth"). Where there is none the test is skipped with one line, except in
// CI, where it fails.
func Dir(t testing.TB, kind string) string {
	t.Helper()
	root := os.Getenv("X509CH_VECTORS")
	if root == "" {
		root = filepath.Join(moduleRoot(t), "..", "shared", "vectors")
	}
	dir := filepath.Join(root, kind)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no recorded conversations at %s: set X509CH_VECTORS", dir)
	}
	t.Skipf("no recorded conversations at %s: set X509CH_VECTORS", dir)
	return ""
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("the test does not run inside the module")
		}
		dir = parent
	}
}
