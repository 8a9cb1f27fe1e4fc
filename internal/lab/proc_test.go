package lab

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recorder stands in for a test that fails.
type recorder struct {
	testing.TB
	failures []string
	logs     []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Logf(format string, args ...any) {
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

func (r *recorder) finish() {
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
}

// TestLeakCheck: a daemon that has forked away is found, reported and killed.
func TestLeakCheck(t *testing.T) {
	requireLinux(t)
	r := &recorder{TB: t}
	id := leakCheck(r, 2*time.Second)
	cmd := exec.Command("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & exit 0")
	cmd.Env = []string{id, "PATH=" + os.Getenv("PATH")}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	r.finish()
	if len(r.failures) != 1 || !strings.Contains(r.failures[0], "sleep 1000") {
		t.Errorf("reported: %q", r.failures)
	}
	if left := marked(id); len(left) != 0 && !left[0].gone(killTimeout) {
		t.Errorf("still there: %v", left)
	}
}

// TestLeakCheckPasses: a test that leaves nothing is not accused.
func TestLeakCheckPasses(t *testing.T) {
	r := &recorder{TB: t}
	LeakCheck(r)
	r.finish()
	if len(r.failures) != 0 {
		t.Errorf("reported: %q", r.failures)
	}
}

// TestKilledTest: when a test binary is killed, nobody cleans up after it;
// its servers end all the same. The test runs itself as that binary.
func TestKilledTest(t *testing.T) {
	requireLinux(t)
	if dir := os.Getenv("X509CH_LAB_VICTIM"); dir != "" { // it will not clean up
		s := start(t, "sleep", dir, os.Environ(), nil, nil, "sleep", "1000")
		fmt.Printf("pid %d\n", s.pid)
		time.Sleep(time.Minute)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledTest$", "-test.v")
	cmd.Env = append(os.Environ(), "X509CH_LAB_VICTIM="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			pid, _ = strconv.Atoi(text)
		}
	}
	if pid == 0 || !alive(pid) {
		t.Fatalf("no server: %d", pid)
	}
	server := otherProcess(pid)
	cmd.Process.Kill()
	cmd.Wait()
	if !server.gone(killTimeout) {
		t.Error("the server outlived its test")
		server.signal(sigKill)
	}
}

// TestAnotherProcess: a number that was given to another process since is
// nobody's of ours: it is not waited for, and the guard does not end it.
func TestAnotherProcess(t *testing.T) {
	requireLinux(t)
	other := start(t, "sleep", t.TempDir(), os.Environ(), nil, nil, "sleep", "1000")
	defer other.end()
	before := other.process
	before.born = "1"
	if before.running() || !before.gone(0) {
		t.Error("another process is taken for ours")
	}
	s := &server{process: before, t: t, name: "before"}
	s.watch()
	s.pipe.Close()
	_ = s.guard.Wait()
	if other.gone(100 * time.Millisecond) { // to die takes a moment
		t.Error("the guard ended another process")
	}
}

// TestEndedByItself: what a server said before it crashed is shown, for the
// failure that it causes does not tell.
func TestEndedByItself(t *testing.T) {
	requireLinux(t)
	env := append(os.Environ(), LeakCheck(t))
	for script, want := range map[string]bool{
		"echo last words; kill -ABRT $$": true,
		"echo done":                      false,
		"exec sleep 1000":                false,
	} {
		r := &recorder{TB: t}
		s := start(r, "server", t.TempDir(), env, nil, nil, "sh", "-c", script)
		if !strings.Contains(script, "sleep") && !s.gone(startTimeout) {
			t.Fatalf("%s goes on", script)
		}
		s.end()
		if got := strings.Contains(strings.Join(r.logs, ""), "last words"); got != want || len(r.failures) > 0 {
			t.Errorf("%s: logged %q, failed %q", script, r.logs, r.failures)
		}
	}
}

// TestCheckClosed: an open port is an accusation.
func TestCheckClosed(t *testing.T) {
	relay := startRelay(t, "127.0.0.1:1")
	r := &recorder{TB: t}
	closedWithin(r, 2*time.Second, "localhost:"+relay.port())
	relay.close()
	closedWithin(r, 2*time.Second, "localhost:"+relay.port())
	if len(r.failures) != 1 {
		t.Errorf("reported: %q", r.failures)
	}
}

func requireLinux(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip("needs /proc")
	}
}
