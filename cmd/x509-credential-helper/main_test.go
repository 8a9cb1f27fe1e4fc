package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// panicVar makes the program panic before it does anything. Only the test
// binary, when it runs as the program, looks at it.
const panicVar = "X509CH_TEST_PANIC"

// hastyVar gives the keyring the three seconds that it has in earnest, or the
// time that it names, instead of the patience that tests need on a busy machine.
const hastyVar = "X509CH_TEST_HASTY"

// patientVar gives servers the time that it names for a connection and for each
// message. Without it they have our patience: the ten seconds for a connection
// that they have in earnest are not enough on a busy machine.
const patientVar = "X509CH_TEST_PATIENT"

// kernelVar names our keys in the kernel's keyring, which all worlds of a user
// share.
const kernelVar = "X509CH_TEST_KERNEL"

// waits is what a variable says of how long somebody is waited for: nothing is our
// patience, a word that is no time the program's own limit.
func waits(variable string) time.Duration {
	text := os.Getenv(variable)
	if text == "" {
		return patience
	}
	limit, _ := time.ParseDuration(text)
	return limit
}

func TestMain(m *testing.M) {
	program := func() {
		p := newProcess()
		p.keyringDeadline, p.serverDeadline = waits(hastyVar), waits(patientVar)
		p.kernelService = cmp.Or(os.Getenv(kernelVar), "x509-credential-helper-test")
		if os.Getenv(panicVar) != "" {
			p.before = func() { var nothing *process; nothing.args = nil }
		}
		os.Exit(p.run())
	}
	// Not among testscript's programs: its directory is on everybody's PATH, and
	// the lab wants the real ones.
	if called, _ := calledAs(os.Args[:1]); called != nil || shimOf(os.Args, os.Environ()) != "" {
		program()
	}
	if filepath.Base(os.Args[0]) != name {
		hearSignals()
		_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.NumCPU())) // the parallel ones mostly wait
	}
	testscript.Main(m, map[string]func(){name: program})
}

// hearSignals makes us ignore no signal: the tests of a shell's background job
// ignore Ctrl-C, and so would every program that they start.
func hearSignals() {
	for _, s := range endSignals {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// raceExit keeps a program with the race detector from sleeping for a second
// before it ends.
const raceExit = "GORACE=atexit_sleep_ms=10"

// patience bounds everything that a test waits for. Only what hangs needs all of
// it: a machine may have other work, and stand still for a while.
const patience = 2 * time.Minute

// jane is the user of every sandbox here. Her pass phrase is looked for in
// everything that is printed or written: see TestKeepOut. It is another one in
// each run, so that what an earlier one left is not taken for this one's, and
// nothing can know it beforehand.
const jane = "jane"

var (
	canary     = rand.Text()[:16]
	passphrase = "canary " + canary + " pass phrase"
)

// sandboxKeys are shared by all sandboxes: making them is most of their cost.
var sandboxKeys = sync.OnceValue(sandbox.NewKeys)

// world is a user's machine: a home, a configuration and a MyProxy server.
type world struct {
	t       testing.TB
	dir     string
	env     []string
	server  *sandbox.Sandbox
	program string
}

// The table [store] of a world.
const (
	inMemory  = "credentials = \"runtime\"\npassphrases = \"none\"\n"
	inKeyring = "credentials = \"keyring\"\npassphrases = \"keyring\"\n"
	wherever  = "" // the defaults: credentials where it is possible, pass phrases in a keyring
)

// newWorld makes a world with a running server and one profile, "lab". env is
// added to its environment, which has nothing of ours.
func newWorld(t testing.TB, store string, env ...string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	if err := os.Chmod(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.program, err = exec.LookPath(name); err != nil {
		t.Fatal(err)
	}
	w.env = append([]string{
		raceExit,
		"HOME=" + w.dir, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8",
		"X509_CREDENTIAL_HELPER_CONFIG=" + w.path("config.toml"), kernelVar + "=" + kernelName(t),
	}, env...)
	w.server = startSandbox(t, w.path("sandbox"))
	w.configure(store)
	return w
}

// kernelName is a name for the keys of one world, which are gone at its end.
func kernelName(t testing.TB) string {
	service := "x509-credential-helper-test-" + rand.Text()
	t.Cleanup(func() {
		keys := cache.NewKernelKeyring(cache.KernelOptions{Service: service})
		if keys == nil {
			return
		}
		if err := keys.DeleteAll(context.Background()); err != nil && !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("keys of a test stay in the kernel: %v", err)
		}
	})
	return service
}

func startSandbox(t testing.TB, dir string) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.Start(t.Context(), sandbox.Options{
		Dir: dir, Keys: sandboxKeys(), VOs: map[string][]string{"testvo": {"/testvo", "/testvo/Role=pilot"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.AddUser(sandbox.User{Name: jane, Passphrase: passphrase, CommonName: "Jane Doe"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// configure writes the configuration with this table [store].
func (w *world) configure(store string) {
	w.t.Helper()
	text := w.server.Config("lab", jane) + "\n[store]\nruntime_dir = \"" + w.path("run") + "\"\n" + store
	if err := os.WriteFile(w.path("config.toml"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) path(elem string) string { return filepath.Join(w.dir, elem) }

// result is what became of one call.
type result struct {
	stdout, stderr string
	status         int
}

// command prepares a call of the program.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.program, args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	return cmd
}

// run calls the program with that standard input.
func (w *world) run(stdin string, args ...string) result {
	w.t.Helper()
	cmd := w.command(args...)
	cmd.Stdin = strings.NewReader(stdin)
	return w.finish(cmd)
}

// finish starts a prepared call and waits for its end.
func (w *world) finish(cmd *exec.Cmd) result {
	w.t.Helper()
	return w.start(cmd).wait()
}

// call is a program that runs.
type call struct {
	w              *world
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

func (w *world) start(cmd *exec.Cmd) *call {
	w.t.Helper()
	c := &call{w: w, cmd: cmd}
	cmd.Stdout, cmd.Stderr = &c.stdout, &c.stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (c *call) wait() result {
	c.w.t.Helper()
	return c.within(patience)
}

func (c *call) within(limit time.Duration) result {
	c.w.t.Helper()
	timer := time.AfterFunc(limit, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.w.t.Fatal(err)
	}
	return result{c.stdout.String(), c.stderr.String(), c.cmd.ProcessState.ExitCode()}
}

// login logs in, as most tests want it.
func (w *world) login() {
	w.t.Helper()
	if r := w.run(passphrase+"\n", "login", "--passphrase-stdin"); r.status != 0 {
		w.t.Fatalf("login: status %d, %s", r.status, r.stderr)
	}
}

// answer is what tests look at in an answer of the protocol.
type answer struct {
	Version int
	Source  string
	Error   *struct{ Code, Message, Hint string }
}

// oneObject checks that standard output is exactly one JSON object and a
// newline, and returns it.
func oneObject(stdout string) (answer, error) {
	var a answer
	dec := json.NewDecoder(strings.NewReader(stdout))
	if err := dec.Decode(&a); err != nil {
		return a, err
	}
	rest, err := io.ReadAll(dec.Buffered())
	switch {
	case err != nil:
		return a, err
	case string(rest) != "\n":
		return a, errors.New("after the object stands " + string(rest))
	case stdout[0] != '{':
		return a, errors.New("something stands before the object")
	case a.Version != 1:
		return a, errors.New("the answer has no version")
	}
	return a, nil
}

// code is the error code of an answer, or "" for a result.
func (w *world) code(r result) string {
	w.t.Helper()
	a, err := oneObject(r.stdout)
	if err != nil {
		w.t.Fatalf("standard output is not one JSON object: %v\nstdout: %.300q\nstderr: %.300q", err, r.stdout, r.stderr)
	}
	if a.Error == nil {
		return ""
	}
	return a.Error.Code
}

func (w *world) waitFor(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited in vain for %s", what)
		}
	}
}
