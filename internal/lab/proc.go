package lab

import (
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// How long a server may take to start and to end. Measured: myproxy-server
// 25 ms, xrootd 350 ms, gnome-keyring 100 ms; a busy machine needs much more, and
// may stand still for a while.
const (
	startTimeout = 2 * time.Minute
	endTimeout   = 5 * time.Second  // then it is killed
	killTimeout  = time.Minute      // for who cannot but end
	leakGrace    = 30 * time.Second // for those who are about to end
)

// marker is the variable by which a process of the lab is known, even when it
// has forked, left its process group and lost its parent.
const marker = "X509CH_LAB_ID="

// server is one process that runs until the test ends.
type server struct {
	process
	t     TB
	name  string
	done  <-chan error // nil: not our child
	guard *exec.Cmd
	pipe  io.Closer // the guard's stdin
	log   string
	ended bool // by the test, which did not let it live to its end
}

// start runs a program as a child of the test. Its output goes to a file in
// dir, shown when something fails.
func start(t TB, name, dir string, env []string, stdin io.Reader, files []*os.File, argv ...string) *server {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.ExtraFiles = env, stdin, files
	return startCommand(t, name, dir, cmd)
}

// startCommand is start for a command that is more than its words.
func startCommand(t TB, name, dir string, cmd *exec.Cmd) *server {
	t.Helper()
	s := &server{t: t, name: name, log: filepath.Join(dir, name+".log")}
	out, err := os.Create(s.log)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	s.process = childProcess(cmd.Process) // before it can be reaped
	s.done = safego.Go(cmd.Wait)
	s.watch()
	return s
}

// watch starts a guard that ends the server when the test binary is gone
// without having done so: a test that runs out of time runs no clean-up. The
// server may have ended long before, and another have its number.
func (s *server) watch() {
	s.t.Helper()
	s.guard = exec.Command("sh", "-c", `read _; [ "$(sed 's/.*) //' "/proc/$0/stat" | cut -d' ' -f20)" = "$1" ] && kill "$0"`,
		strconv.Itoa(s.pid), s.born)
	pipe, err := s.guard.StdinPipe()
	if err == nil {
		err = s.guard.Start()
	}
	if err != nil {
		s.t.Fatalf("guard of %s: %v", s.name, err)
	}
	s.pipe = pipe
}

// waitFor polls until ready says so; it fails the test when the server ends
// first or takes too long.
func (s *server) waitFor(what string, ready func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(startTimeout); !ready(); time.Sleep(2 * time.Millisecond) {
		if !s.running() || time.Now().After(deadline) {
			out, _ := os.ReadFile(s.log)
			s.t.Fatalf("%s: no %s; its output:\n%s", s.name, what, tail(out))
		}
	}
}

// end ends the server and returns when it is gone. One that had ended by
// itself is shown with what it said.
func (s *server) end() {
	s.t.Helper()
	s.guard.Process.Kill()
	s.guard.Wait()
	s.pipe.Close()
	early := !s.ended && !s.running()
	s.signal(sigTerm)
	s.signal(sigCont) // a frozen one would not hear it
	if !s.gone(endTimeout) {
		s.signal(sigKill)
		if !s.gone(killTimeout) {
			s.t.Errorf("%s (process %d) cannot be ended", s.name, s.pid)
		}
	}
	err := errors.New("it was not our child")
	if s.done != nil {
		err = <-s.done
	}
	if early && err != nil {
		out, _ := os.ReadFile(s.log)
		s.t.Logf("%s had ended by itself: %v; its output:\n%s", s.name, err, tail(out))
	}
}

// kill ends the server at once, as a defect of it would.
func (s *server) kill() {
	s.ended = true
	s.signal(sigKill)
	s.gone(killTimeout)
}

// LeakCheck returns an environment variable for whatever processes a test
// starts. When the test ends, whoever still runs with it, children and daemons
// too, is killed and fails the test.
func LeakCheck(t TB) string {
	t.Helper()
	return leakCheck(t, leakGrace)
}

func leakCheck(t TB, grace time.Duration) string {
	t.Helper()
	id := marker + rand.Text()
	t.Cleanup(func() {
		left := marked(id)
		for deadline := time.Now().Add(grace); len(left) > 0 && time.Now().Before(deadline); left = marked(id) {
			time.Sleep(5 * time.Millisecond)
		}
		for _, p := range left {
			t.Errorf("left running: process %d, %s", p.pid, commandLine(p.pid))
			p.signal(sigKill)
		}
	})
	return id
}

// run runs a program to its end and fails the test if that is not 0.
func run(t TB, env []string, stdin string, argv ...string) {
	t.Helper()
	if out, err := command(env, stdin, argv...); err != nil {
		t.Fatalf("%s: %v\n%s", argv[0], err, out)
	}
}

// command runs a program to its end and returns the last of its output. A
// daemon that it leaves behind may keep the output open: that goes to a file.
func command(env []string, stdin string, argv ...string) (string, error) {
	out, err := os.CreateTemp("", "x509ch-out-")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, strings.NewReader(stdin), out, out
	err = cmd.Run()
	text, _ := os.ReadFile(out.Name())
	return string(tail(text)), err
}

// tempDir makes a private directory with a short path: sockets in it must not
// be longer than 107 bytes, and t.TempDir() puts the test's name into it.
func tempDir(t TB, what string) string { return tempDirIn(t, "", what) }

func tempDirIn(t TB, parent, what string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "x509ch-"+what+"-")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		err := os.RemoveAll(dir)
		for end := time.Now().Add(killTimeout); err != nil && time.Now().Before(end); err = os.RemoveAll(dir) {
			time.Sleep(50 * time.Millisecond) // the last of a browser's processes still writes
		}
		if err != nil {
			t.Errorf("%v", err)
		}
	})
	return dir
}

func tail(out []byte) []byte { return out[max(0, len(out)-4000):] }
