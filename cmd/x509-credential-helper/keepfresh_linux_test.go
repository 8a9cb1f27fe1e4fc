package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/consumer"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term/ptytest"
)

// renewing is a machine whose proxies are replaced every few seconds, and live
// for many more: one that stands still for a while does not lose them.
func renewing(t *testing.T) *grid {
	t.Helper()
	return shortLived(t, 20*time.Second, `renew_after = "10%-20%"`)
}

// shortLived is a machine whose server, an online CA, gives certificates for so
// long: less than five minutes is what no repository grants. profile has more
// lines of the profile.
func shortLived(t *testing.T, life time.Duration, profile string) *grid {
	t.Helper()
	g := newGrid(t)
	s, err := sandbox.Start(t.Context(), sandbox.Options{Dir: g.path("sandbox"), Keys: sandboxKeys(), Mode: sandbox.CA, MaxLifetime: life})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.AddUser(sandbox.User{Name: jane, Passphrase: passphrase, CommonName: "Jane Doe"}); err != nil {
		t.Fatal(err)
	}
	g.server, g.addr, g.trustDir, g.connections, g.stop = s, s.Addr(), s.TrustDir(), s.Connections, s.Close
	g.silence = func() func() {
		s.SetFaults(sandbox.Faults{Silent: sandbox.StageAccept})
		return func() { s.SetFaults(sandbox.Faults{}) }
	}
	g.write(profile)
	g.store(passphrase)
	return g
}

// waitScript is a shell function that waits until a command succeeds, or gives
// up after two minutes.
const waitScript = `wait_for() { n=0; until "$@"; do n=$((n+1)); test $n -lt 2400 || exit 99; sleep 0.05; done; }
`

// TestExecKeepFresh: a command that outlives its proxy has a newer one in the
// same file, thrice, and its own status; what fails is one line, and the command
// goes on.
func TestExecKeepFresh(t *testing.T) {
	g := renewing(t)
	stderr := g.path("stderr")
	script := waitScript + `
changed() { ! cmp -s "$X509_USER_PROXY" before; }
for i in 1 2 3; do cp "$X509_USER_PROXY" before; wait_for changed; done
: > ready
wait_for grep -q "was not refreshed" stderr
exit 42`
	file, err := os.Create(stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := g.command("exec", "--keep-fresh", "--min-lifetime", "1s", "--", "sh", "-c", script)
	cmd.Stderr = file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(3*patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	g.waitFor("three generations", func() bool { _, err := os.Stat(g.path("ready")); return err == nil })
	g.stop()
	_ = cmd.Wait()
	text, err := os.ReadFile(stderr)
	if err != nil {
		t.Fatal(err)
	}
	if status := cmd.ProcessState.ExitCode(); status != 42 {
		t.Errorf("status %d: %s", status, text)
	}
	waited := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "waiting for ") && waited == 0 {
			waited++ // for the first one, on a busy machine
			continue
		}
		if !strings.HasPrefix(line, "note: ") && !strings.HasPrefix(line, `x509-credential-helper: the proxy of profile "lab" was not refreshed and `) {
			t.Errorf("it says %q", line)
		}
	}
	if strings.Contains(string(text), passphrase) {
		t.Error("it says the pass phrase")
	}
}

// TestFailedText: what the command beside us has to do with is what the file is
// now, and not what was once put into it: a logout takes it away.
func TestFailedText(t *testing.T) {
	file := filepath.Join(t.TempDir(), "proxy.pem")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := &handedOut{profile: "lab", proxy: consumer.Proxy{File: file}}
	failure := helper.Errorf(helper.CodeTimeout, "no answer").WithHint("wait")
	say := func(left, again time.Duration, want string) {
		t.Helper()
		if got := failedText(out, failure, left, again); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	say(time.Hour, 0, `the proxy of profile "lab" was not refreshed and lives another 1 h: no answer; wait`)
	say(-time.Hour, 20*time.Second, `the proxy of profile "lab" was not refreshed and has expired; next attempt in 20 s: no answer; wait`)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	say(time.Hour, 20*time.Second, `the proxy of profile "lab" is gone, as after a logout, and there is no new one; next attempt in 20 s: no answer; wait`)
}

// TestKeepFreshEnds: SIGTERM ends it at once and in order, also while a server
// says nothing; a batch system kills what does not.
func TestKeepFreshEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		begun  string // said once the first proxy is there
		status int
	}{
		"keep-fresh": {[]string{"keep-fresh", "--min-lifetime", "1s"}, ": keeping ", 0},
		"exec":       {[]string{"exec", "--keep-fresh", "--min-lifetime", "1s", "--", "sh", "-c", "trap 'exit 9' TERM; echo begun >&2; while :; do sleep 0.05; done"}, "begun", 9},
	} {
		t.Run(name, func(t *testing.T) {
			g := renewing(t)
			c, said := g.startSaying(g.command(tc.args...))
			g.waitFor("the first proxy", func() bool { return strings.Contains(said(), tc.begun) })
			defer g.silence()()
			before := g.connections()
			g.waitFor("a refresh", func() bool { return g.connections() > before })
			if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if r := c.wait(); r.status != tc.status || strings.Contains(said(), "not refreshed") {
				t.Errorf("status %d: %s", r.status, said())
			}
		})
	}
}

// startSaying starts a prepared call. What it has said on standard error so far
// can be asked for while it runs.
func (w *world) startSaying(cmd *exec.Cmd) (c *call, said func() string) {
	w.t.Helper()
	file, err := os.CreateTemp(w.dir, "stderr-")
	if err != nil {
		w.t.Fatal(err)
	}
	defer file.Close()
	c = &call{w: w, cmd: cmd}
	cmd.Stdout, cmd.Stderr = &c.stdout, file
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return c, func() string {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			w.t.Fatal(err)
		}
		return string(text)
	}
}

// TestKeepFreshOut: a file of the user's choice follows, and a timer's call does
// what is due.
func TestKeepFreshOut(t *testing.T) {
	w := newWorld(t, inMemory)
	w.login()
	out := w.path("copy.pem")
	r := w.run("", "keep-fresh", "--once", "--jitter", "1ms", "--out", out, "lab")
	if r.status != 0 || r.stdout != "" || r.stderr != "" {
		t.Fatalf("%+v", r)
	}
	handed := strings.TrimSuffix(w.run("", "path").stdout, "\n")
	want, err := os.ReadFile(handed)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil || string(got) != string(want) {
		t.Errorf("the copy is another proxy: %v", err)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, args := range [][]string{
		{"--out", "relative.pem"}, {"--jitter", "1m"}, {"--profile", "lab", "lab"}, {"lab", "lab"}, {"--jitter", "often", "--once"},
	} {
		if r := w.run("", append([]string{"keep-fresh"}, args...)...); r.status != 2 || r.stderr == "" {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if r := w.run("", "keep-fresh", "--once", "--out", "/proc/x509/copy.pem"); r.status != 7 || !strings.Contains(r.stderr, "cannot be written") {
		t.Errorf("a place that is none: %+v", r)
	}
}

// TestKeepFreshOnce: what is due is done, and what cannot be done is said while
// the proxy lives, and a failure when it does not.
func TestKeepFreshOnce(t *testing.T) {
	g := renewing(t)
	first := strings.TrimSpace(g.run("", "path", "--min-lifetime", "0s").stdout)
	before, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	g.waitFor("a new proxy", func() bool {
		if r := g.run("", "keep-fresh", "--once", "--min-lifetime", "0s"); r.status != 0 {
			t.Fatalf("%+v", r)
		}
		now, err := os.ReadFile(first)
		return err == nil && string(now) != string(before)
	})
	g.stop()
	g.waitFor("a word while it lives", func() bool {
		r := g.run("", "keep-fresh", "--once", "--min-lifetime", "0s")
		if r.status != 0 {
			t.Fatalf("%+v", r)
		}
		return strings.Contains(r.stderr, "was not refreshed and lives another")
	})

	g = shortLived(t, 3*time.Second, "")
	g.waitFor("a proxy that is not over yet", func() bool { return g.run("", "path", "--min-lifetime", "0s").status == 0 })
	g.stop()
	g.waitFor("the end of the proxy", func() bool { return g.run("", "keep-fresh", "--once", "--min-lifetime", "0s").status == 6 })
}

// TestKeepFreshCtrlC: the command has a Ctrl-C once. The terminal gives it to the
// command as well as to us, so we do not; but where the command is in another
// group, as timeout(1) makes one, the terminal gives it to us alone. A SIGINT that
// is sent to us alone looks like the key, and shows which of the two we do. Other
// signals reach the command always.
func TestKeepFreshCtrlC(t *testing.T) {
	w := newWorld(t, inMemory)
	w.login()
	const script = `trap 'echo "<int>"' INT; trap 'echo "<usr>"' USR1; trap 'exit 5' TERM; echo "<ready>"; while :; do :; done`
	for group, argv := range map[string][]string{"ours": {"sh", "-c", script}, "its own": {"setsid", "sh", "-c", script}} {
		c := ptytest.Start(t, w.command(append([]string{"exec", "--keep-fresh", "--"}, argv...)...))
		c.Expect("<ready>")
		c.Type("\x03")
		c.Expect("<int>")
		c.Signal(syscall.SIGINT)
		c.Signal(syscall.SIGUSR1)
		c.Expect("<usr>")
		c.Signal(syscall.SIGTERM)
		if status := c.Wait(); status != 5 {
			t.Errorf("group %s: status %d", group, status)
		}
		if n, want := strings.Count(c.Output(), "<int>"), map[string]int{"ours": 1, "its own": 2}[group]; n != want {
			t.Errorf("group %s: %d SIGINT arrived, not %d", group, n, want)
		}
	}
}
