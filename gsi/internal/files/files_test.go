package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestRead: a file of just the limit is read, one byte more and whatever is no
// file is refused. (FIFOs are in the tests of the packages that read these.)
func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := Read(path, 5); string(data) != "12345" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	if data, err := Read(path, 4); data != nil || err == nil {
		t.Errorf("above the limit: %q, %v", data, err)
	}
	if data, err := Read(dir, 5); data != nil || err == nil {
		t.Errorf("a directory: %q, %v", data, err)
	}
	_, err := Read(filepath.Join(dir, "none"), 5)
	if !errors.Is(err, fs.ErrNotExist) || Cause(err) == err.Error() {
		t.Errorf("no file: %v", err)
	}
	if !IsDir(dir) || IsDir(path) || IsDir(filepath.Join(dir, "none")) {
		t.Error("IsDir")
	}
}
