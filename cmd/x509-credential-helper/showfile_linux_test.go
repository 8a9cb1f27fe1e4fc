package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestShowPipes: a FIFO that nobody writes to blocks nobody, what a shell's
// <(...) gives is read, with the warning that other tools do not take it.
func TestShowPipes(t *testing.T) {
	c := newTools(t)
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(c.dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		script, want string
		status       int
	}{
		{`"$0" show fifo`, "fifo is empty", 1},
		{`cat one | "$0" show /dev/stdin`, "it is no regular file: XRootD, gfal2 and curl want one", 0},
		{`cat one | "$0" show -timeleft -`, "4", 0},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, "sh", "-c", tc.script, program)
		cmd.Dir, cmd.Env, cmd.WaitDelay = c.dir, c.env, patience
		out, _ := cmd.CombinedOutput()
		cancel()
		if status := cmd.ProcessState.ExitCode(); status != tc.status || !strings.Contains(string(out), tc.want) {
			t.Errorf("%s: status %d\n%s", tc.script, status, out)
		}
	}
}

// TestShowSignal: whoever writes to a pipe may take for ever, and Ctrl-C ends the
// wait.
func TestShowSignal(t *testing.T) {
	c := newTools(t)
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []string{"--exists", "--verify", "--json"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, program, "show", option, "-")
		var stdout, stderr strings.Builder
		cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.dir, c.env, r, &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		if _, err := w.Write(make([]byte, 128<<10)); err != nil { // more than fits: now it reads
			t.Fatal(err)
		}
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
		cancel()
		_ = w.Close()
		if status := cmd.ProcessState.ExitCode(); status != 130 || !strings.Contains(stderr.String(), "cancelled") {
			t.Errorf("%s: status %d, %s", option, status, &stderr)
		}
		if got := strings.Count(stdout.String(), "\n"); got != 0 && option != "--json" || got != 1 && option == "--json" {
			t.Errorf("%s prints %q", option, &stdout)
		}
	}
}

// TestFileRemarks goes by what the tools do with a file (measured): a key is to
// be readable by its owner alone, and the owner is to be who asks.
func TestFileRemarks(t *testing.T) {
	for _, tc := range []struct {
		file   proxyFile
		hasKey bool
		want   string // the codes
	}{
		{proxyFile{path: "x", regular: true, mode: 0o600, ours: true}, true, ""},
		{proxyFile{path: "x", regular: true, mode: 0o400, ours: true}, true, ""},
		{proxyFile{path: "x", regular: true, mode: 0o640, ours: true}, true, "mode"},
		{proxyFile{path: "x", regular: true, mode: 0o604, ours: true}, true, "mode"},
		{proxyFile{path: "x", regular: true, mode: 0o644, ours: true}, false, ""}, // certificates are public
		{proxyFile{path: "x", regular: true, mode: 0o600, uid: 7}, true, "owner"},
		{proxyFile{path: "x", mode: 0o600, ours: true}, true, "not_a_file"},
		{proxyFile{path: "x", regular: true, mode: 0o666, uid: -1, ours: true}, true, ""}, // modes say nothing there
		{proxyFile{path: "-", stdin: true}, true, ""},
	} {
		var codes []string
		for _, r := range tc.file.remarks(tc.hasKey) {
			codes = append(codes, r.code)
		}
		if got := strings.Join(codes, " "); got != tc.want {
			t.Errorf("%+v, key %v: %q, expected %q", tc.file, tc.hasKey, got, tc.want)
		}
	}
}

// TestShellWord: what people are told to paste into a shell is one word of it.
func TestShellWord(t *testing.T) {
	for _, path := range []string{"/tmp/x509up_u0", "a b", "it's", "$HOME;ls", "-", `"`} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellWord(path)).Output()
		if err != nil || string(out) != path {
			t.Errorf("%q: the shell makes %q of %s (%v)", path, out, shellWord(path), err)
		}
	}
}
