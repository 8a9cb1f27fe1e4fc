package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/internal/term/ptytest"
)

// TestExecStatus: the status is the command's own, and 125 to 127 say as env(1)
// does why there was none.
func TestExecStatus(t *testing.T) {
	w := newWorld(t, inMemory)
	ran := w.path("ran")
	touch := []string{"exec", "--", "touch", ran}
	if r := w.run("", touch...); r.status != 125 || !strings.Contains(r.stderr, "run: x509-credential-helper login lab") {
		t.Errorf("no proxy: %+v", r)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the command ran without a proxy")
	}
	w.login()
	plain := w.path("plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		args   []string
		status int
		stderr string // a part
	}{
		{"success", []string{"--", "true"}, 0, ""},
		{"without --", []string{"sh", "-c", "exit 3"}, 3, ""},
		{"options", []string{"--profile", "lab", "--min-lifetime=1h", "--", "sh", "-c", "exit 42"}, 42, ""},
		{"the command's own options", []string{"--", "sh", "--help"}, 2, ""},
		{"the command's own --", []string{"--", "env", "--", "sh", "-c", "exit 4"}, 4, ""},
		{"a signal", []string{"--", "sh", "-c", "kill -TERM $$"}, -1, ""},
		{"not found", []string{"--", w.path("no-such-command")}, 127, "was not found"},
		{"not executable", []string{"--", plain}, 126, "cannot be started"},
		{"a directory", []string{"--", w.dir}, 126, "cannot be started"},
		{"no command", []string{"--"}, 125, "no command was given"},
		{"nothing", nil, 125, "no command was given"},
		{"the profile as an argument", []string{"lab", "--", "true"}, 125, "exec --profile lab --"},
		{"an unknown option", []string{"--profle", "lab", "--", "true"}, 125, "did you mean --profile?"},
		{"a bad duration", []string{"--min-lifetime", "5", "--", "true"}, 125, "write 90m"},
		{"another profile", []string{"--profile", "lba", "--", "true"}, 125, `did you mean "lab"?`},
		{"too long a life", []string{"--min-lifetime", "1000h", "--", "true"}, 125, ""},
	} {
		r := w.run("", append([]string{"exec"}, tc.args...)...)
		if r.status != tc.status || !strings.Contains(r.stderr, tc.stderr) || r.stdout != "" && tc.status != 2 {
			t.Errorf("%s: expected status %d and %q: %+v", tc.name, tc.status, tc.stderr, r)
		}
		if tc.status >= 125 && r.stderr == "" {
			t.Errorf("%s: not a word", tc.name)
		}
	}
}

// TestExecEnvironment: the command gets the environment of our start, with the
// proxy named and without what competes with it.
func TestExecEnvironment(t *testing.T) {
	w := newWorld(t, inMemory)
	w.login()
	kept := slices.Clone(w.env)
	w.env = append(w.env, "X509_USER_PROXY=/tmp/stale", "X509_USER_CERT=/c", "X509_USER_KEY=/k", "XrdSecGSIUSERCERT=/c",
		"XrdSecGSIUSERKEY=/k", "XrdSecGSIUSERPROXY=/p", "RUCIO_CLIENT_PROXY=/r", "XrdSecGSICREATEPROXY=1")
	r := w.run("", "exec", "--", "env", "-0")
	got := strings.Split(strings.TrimSuffix(r.stdout, "\x00"), "\x00")
	var path string
	for _, kv := range got {
		if p, ok := strings.CutPrefix(kv, "X509_USER_PROXY="); ok {
			path = p
		}
	}
	want := append(kept, "X509_CREDENTIAL_HELPER_SHIM=off", "X509_USER_PROXY="+path, "XrdSecGSICREATEPROXY=0", "X509_CERT_DIR="+w.server.TrustDir())
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nexpected\n%q", got, want)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 || !strings.HasPrefix(path, w.path("run")+"/") {
		t.Errorf("the proxy is %s %s", info.Mode(), path)
	}
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("its directory: %v, %v", dir.Mode(), err)
	}
}

// TestExecProcess: the command is this process: same id, same limits, and the
// signals that were ignored still are. The limit of open files is one that Go
// raises at its start.
func TestExecProcess(t *testing.T) {
	w := newWorld(t, inMemory)
	w.login()
	cmd := w.command("exec", "--", "sh", "-c", "echo $$")
	c := w.start(cmd)
	if got, want := strings.TrimSpace(c.wait().stdout), fmt.Sprint(cmd.Process.Pid); got != want {
		t.Errorf("the command is process %s, we are %s", got, want)
	}
	for _, tc := range []struct{ before, show string }{
		{"ulimit -Sn 200", "ulimit -Sn"},
		{"ulimit -Sc 0", "ulimit -Sc; ulimit -Hc"},
		{":", "ulimit -Sc; ulimit -Hc; ulimit -Sn; ulimit -Hn"},
		{"trap '' HUP INT", "grep -E 'Sig(Ign|Blk)' /proc/self/status"},
		{":", "grep -E 'Sig(Ign|Blk)' /proc/self/status"},
		{"umask 027", "umask"},
		{":", "ls -l /proc/self/fd | wc -l"},
	} {
		script := func(run string) string {
			cmd := exec.Command("/bin/sh", "-c", tc.before+`; exec `+run+` sh -c "$1"`, w.program, tc.show)
			cmd.Env, cmd.Dir = w.env, w.dir
			r := w.finish(cmd)
			if r.status != 0 || r.stdout == "" {
				t.Fatalf("%s: %+v", tc.show, r)
			}
			return r.stdout
		}
		if direct, ours := script("env"), script(`"$0" exec --`); direct != ours {
			t.Errorf("%s; %s:\nenv(1) %sours   %s", tc.before, tc.show, direct, ours)
		}
	}
}

// TestNohup: a SIGHUP that was ignored at the start does not end a fetch.
func TestNohup(t *testing.T) {
	w := newWorld(t, inMemory)
	cmd := exec.Command("/bin/sh", "-c", `trap '' HUP; kill -HUP $$; exec "$0" status`, w.program)
	cmd.Env = w.env
	if r := w.finish(cmd); r.status != 0 {
		t.Errorf("%+v", r)
	}
	cmd = exec.Command("/bin/sh", "-c", `trap '' HUP; exec "$0" get`, w.program)
	cmd.Env = w.env
	c := w.startReading(cmd)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	c.request("}")
	check(t, w, "get", c.wait(), "interaction_required")
}

// TestExecAsks: with somebody at the terminal a missing pass phrase is asked
// for, and the command then has the terminal.
func TestExecAsks(t *testing.T) {
	w := newWorld(t, inMemory)
	c := ptytest.Start(t, w.command("exec", "--", "sh", "-c", "test -f $X509_USER_PROXY && read -r x && echo read $x"))
	c.Expect(question)
	c.Type(passphrase + "\n")
	w.waitFor("the command", c.Echo)
	c.Type("this\n")
	c.Expect("read this")
	if status := c.Wait(); status != 0 {
		t.Errorf("status %d", status)
	}
}

// TestNoPrompt: a shell's start file must not ask a question in every window.
func TestNoPrompt(t *testing.T) {
	w := newWorld(t, inMemory)
	c := ptytest.Start(t, w.command("env", "--no-prompt"))
	c.Expect("run: x509-credential-helper login lab")
	if status := c.Wait(); status != 4 || strings.Contains(c.Output(), question) {
		t.Errorf("status %d: %s", status, c.Output())
	}
}

// TestHardened: a process that holds secrets leaves no core dump, and the rest
// of the user's processes cannot look into it: the kernel then gives its folder
// in /proc to root. X509CH_DEBUG=1 is for developers.
func TestHardened(t *testing.T) {
	for _, tc := range []struct {
		env      []string
		core     string
		ownProcs bool
	}{{nil, "0", false}, {[]string{"X509CH_DEBUG=1"}, "4096", true}} {
		w := newWorld(t, inMemory, tc.env...)
		cmd := exec.Command("/bin/sh", "-c", `ulimit -Sc 8 || exit; exec "$0" get`, w.program)
		cmd.Env = w.env
		c := w.startReading(cmd)
		if got := coreLimit(t, cmd.Process.Pid); got != tc.core {
			t.Errorf("%q: core files of %s bytes, expected %s", tc.env, got, tc.core)
		}
		info, err := os.Stat(fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if uid := os.Getuid(); uid != 0 && (int(info.Sys().(*syscall.Stat_t).Uid) == uid) != tc.ownProcs {
			t.Errorf("%q: the process can be looked into, or not, against what was expected (%v)", tc.env, tc.ownProcs)
		}
		c.request("}")
		c.wait()
	}
}

func coreLimit(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if fields, ok := strings.CutPrefix(line, "Max core file size"); ok {
			return strings.Fields(fields)[0]
		}
	}
	t.Fatalf("no core limit in %s", data)
	return ""
}

// reading is a program that waits for the rest of its request.
type reading struct {
	*call
	held *os.File
}

// startReading starts a program, gives it the first byte of a request and waits
// until it has taken that: then it is past its start.
func (w *world) startReading(cmd *exec.Cmd) *reading {
	w.t.Helper()
	in, held, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = in.Close(); _ = held.Close() })
	if _, err := held.WriteString("{"); err != nil {
		w.t.Fatal(err)
	}
	cmd.Stdin = in
	c := &reading{w.start(cmd), held}
	w.waitFor("the first byte to be read", func() bool {
		n, err := unix.IoctlGetInt(int(in.Fd()), unix.TIOCINQ)
		return err == nil && n == 0
	})
	return c
}

// request gives it the rest.
func (r *reading) request(rest string) {
	r.w.t.Helper()
	if _, err := r.held.WriteString(rest); err != nil {
		r.w.t.Fatal(err)
	}
	_ = r.held.Close()
}
