package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoEscapes: what stands in the name of a file, which somebody else may have
// made, is shown and not obeyed by a terminal.
func TestNoEscapes(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &process{stderr: f}
	p.complain("open /tmp/a\x1b[2Jb\r\u202ec: no such file", "run: ls '/tmp/a\x07b'\n  or not")
	p.note("note: %s", "\x1b]0;title\x07")
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	if want := "x509-credential-helper: open /tmp/a[2Jbc: no such file\n  run: ls '/tmp/ab'\n  or not\nnote: ]0;title\n"; string(data) != want {
		t.Errorf("%v: got %q, want %q", err, data, want)
	}
}

// TestOutputLost: a full disk is no defect of ours, and said in a sentence.
func TestOutputLost(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	defer full.Close()
	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	p := &process{args: []string{"version"}, stdout: full, stderr: said, before: func() {}}
	if status := p.command(t.Context()); status != 1 {
		t.Errorf("status %d", status)
	}
	data, err := os.ReadFile(said.Name())
	if want := "x509-credential-helper: standard output cannot be written: no space left on device\n"; string(data) != want {
		t.Errorf("%v: got %q, want %q", err, data, want)
	}
}

// TestLongLine: what is piped in by mistake is told, and not kept.
func TestLongLine(t *testing.T) {
	in, err := os.Create(filepath.Join(t.TempDir(), "stdin"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := errors.Join(in.Truncate(longestLine+1), func() error { _, err := in.Seek(0, io.SeekStart); return err }()); err != nil {
		t.Fatal(err)
	}
	p := &process{stdin: in}
	_, err = p.passphraseLine(t.Context())
	if err == nil || !strings.Contains(err.Error(), "longer than 4096 bytes") {
		t.Errorf("got %v", err)
	}
}
