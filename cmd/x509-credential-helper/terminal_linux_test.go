package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term/ptytest"
)

const (
	question = `pass phrase of "jane"`
	askGet   = `{"interactive":"auto"}`
)

// TestTerminalInput: nobody types JSON, so a terminal as standard input must
// not make a verb wait for some.
func TestTerminalInput(t *testing.T) {
	w := newWorld(t, inMemory)
	for verb, want := range map[string]string{
		"get": "invalid_request", "store": "invalid_request", "erase": "invalid_request", "list": "", "capabilities": "",
	} {
		var stdout bytes.Buffer
		cmd := w.command(verb)
		cmd.Stdout = &stdout
		c := ptytest.Start(t, cmd)
		status := c.Wait()
		check(t, w, verb, result{stdout: stdout.String(), status: status}, want)
	}
}

// TestUnknownVerbOnTerminal: people are not shown JSON.
func TestUnknownVerbOnTerminal(t *testing.T) {
	w := newWorld(t, inMemory)
	c := ptytest.Start(t, w.command("gett"))
	if status := c.Wait(); status != 2 {
		t.Errorf("status %d", status)
	}
	c.Expect(`did you mean "get"?`)
	if strings.Contains(c.Output(), "{") {
		t.Errorf("it shows %s", c.Output())
	}
	c = ptytest.Start(t, w.command())
	c.Expect("First steps:")
	if status := c.Wait(); status != 2 {
		t.Errorf("no argument: status %d", status)
	}
}

// TestLoginOnTerminal: a mistyped pass phrase is asked for again, is never
// shown, and the terminal is left as it was.
func TestLoginOnTerminal(t *testing.T) {
	w := newWorld(t, inMemory)
	c := ptytest.Start(t, w.command("login"))
	c.Expect(question)
	c.Type("wrong " + passphrase + "\n")
	c.Expect("try again")
	c.Expect(question)
	c.Type(passphrase + "\n")
	c.Expect("a proxy of /C=XX/O=Sandbox/OU=People/CN=Jane Doe for 12 h")
	if status := c.Wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	if !c.Echo() {
		t.Error("the terminal was left without echo")
	}
	if strings.Contains(c.Output(), passphrase) {
		t.Errorf("the pass phrase shows:\n%s", c.Output())
	}
	if got, want := w.server.Refused(), 1; got != want {
		t.Errorf("the server refused %d times, expected %d", got, want)
	}
}

// TestLoginGivesUp: after three mistakes it is not asked again.
func TestLoginGivesUp(t *testing.T) {
	w := newWorld(t, inMemory)
	c := ptytest.Start(t, w.command("login"))
	for range attempts {
		c.Expect(question)
		c.Type("wrong\n")
	}
	if status := c.Wait(); status != 5 {
		t.Errorf("status %d", status)
	}
	if strings.Contains(c.Output(), "run: x509-credential-helper login") {
		t.Errorf("login advises login:\n%s", c.Output())
	}
	if n := w.server.Refused(); n != attempts {
		t.Errorf("the server was asked %d times", n)
	}
}

// TestCtrlC: the terminal itself sends the signal while a pass phrase is asked
// for.
func TestCtrlC(t *testing.T) {
	w := newWorld(t, inMemory)
	for _, args := range [][]string{{"login"}, {"exec", "--", "true"}} {
		c := ptytest.Start(t, w.command(args...))
		c.Expect(question)
		c.Type("half a pass\x03")
		if status := c.Wait(); status != 130 {
			t.Errorf("%s: status %d", args, status)
		}
		if !c.Echo() {
			t.Errorf("%s: the terminal was left without echo", args)
		}
	}
}

// TestGetAsks: with interactive "auto" and a terminal, get asks there, and its
// standard output is still one object.
func TestGetAsks(t *testing.T) {
	w := newWorld(t, inMemory)
	r, c := w.getOnTerminal(askGet, nil)
	check(t, w, "get", r, "")
	if strings.Contains(c.Output(), "{") || !strings.Contains(c.Output(), question) {
		t.Errorf("the terminal shows:\n%s", c.Output())
	}
}

// TestGetCancelled: signals in the middle of a fetch end in one object.
func TestGetCancelled(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		w := newWorld(t, inMemory)
		w.server.SetFaults(sandbox.Faults{Silent: sandbox.StageCSR})
		r, _ := w.getOnTerminal(askGet, func(c *ptytest.Console) {
			w.waitFor("the request", func() bool { return w.server.Requests(0) == 1 })
			c.Signal(s)
		})
		check(t, w, s.String(), r, "cancelled")
	}
}

// TestReadCancelled: so does a signal while the caller has not finished its
// request.
func TestReadCancelled(t *testing.T) {
	w := newWorld(t, inMemory)
	c := w.startReading(w.command("get"))
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	check(t, w, "get", c.wait(), "cancelled")
}

// getOnTerminal calls get with a terminal, but neither standard input nor
// output on it, and types the pass phrase.
func (w *world) getOnTerminal(request string, then func(*ptytest.Console)) (result, *ptytest.Console) {
	w.t.Helper()
	var stdout bytes.Buffer
	cmd := w.command("get")
	cmd.Stdin, cmd.Stdout = strings.NewReader(request), &stdout
	c := ptytest.Start(w.t, cmd)
	c.Expect(question)
	c.Type(passphrase + "\n")
	if then != nil {
		then(c)
	}
	status := c.Wait()
	return result{stdout: stdout.String(), status: status}, c
}

// TestLoginCancelled: the same for a command for people.
func TestLoginCancelled(t *testing.T) {
	w := newWorld(t, inMemory)
	w.server.SetFaults(sandbox.Faults{Silent: sandbox.StageRequest})
	cmd := w.command("login", "--passphrase-stdin")
	cmd.Stdin = strings.NewReader(passphrase + "\n")
	c := w.start(cmd)
	w.waitFor("the request", func() bool { return w.server.Requests(0) == 1 })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	r := c.wait()
	if r.status != helper.CodeCancelled.ExitStatus() || r.stdout != "" || !strings.Contains(r.stderr, "cancelled") {
		t.Errorf("%+v", r)
	}
}

// TestSandbox: what the sandbox says to type works, Ctrl-C is its good end, and
// nothing of it is left.
func TestSandbox(t *testing.T) {
	w := newWorld(t, inMemory)
	w.env = append(w.env, "TMPDIR="+w.dir)
	c := ptytest.Start(t, w.command("sandbox"))
	c.Expect("no keyring")
	c.Expect("login sandbox")
	c.Expect("rcauth userinfo portal") // the last line
	_, rest, _ := strings.Cut(c.Output(), "export X509_CREDENTIAL_HELPER_CONFIG=")
	config, _, _ := strings.Cut(rest, "\r\n")
	w.env = append(w.env, "X509_CREDENTIAL_HELPER_CONFIG="+config) // the last one counts
	if r := w.run(sandboxPassphrase+"\n", "login", "sandbox", "--passphrase-stdin"); r.status != 0 {
		t.Errorf("login: %+v", r)
	}
	check(t, w, "get", w.run("{}", "get"), "")
	if r := w.run("", "status"); !strings.Contains(r.stdout, "sandbox *") {
		t.Errorf("status: %+v", r)
	}
	w.sandboxLogin(filepath.Join(filepath.Dir(config), "certificates"))
	c.Type("\x03")
	c.Expect("The sandbox has ended.")
	if status := c.Wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	if _, err := os.Stat(filepath.Dir(config)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
	if left, err := os.ReadDir(w.path(".local/state/x509-credential-helper/identity")); err != nil || len(left) > 0 {
		t.Errorf("remembered identities: %v, %v", left, err)
	}
}

// sandboxLogin logs in at the sandbox's portal as the guide says, with a browser
// elsewhere.
func (w *world) sandboxLogin(trust string) {
	w.t.Helper()
	roots := x509.NewCertPool()
	files, _ := filepath.Glob(filepath.Join(trust, "*.0"))
	for _, file := range files {
		if ca, err := os.ReadFile(file); err != nil || !roots.AppendCertsFromPEM(ca) {
			w.t.Fatal(file, err)
		}
	}
	c := ptytest.Start(w.t, w.command("login", "--no-browser", sandboxPortal))
	c.Expect("lient secret of ")
	c.Type(sandboxClient().Secret + "\n")
	c.Expect("Address: ")
	end, err := sandbox.NewBrowser(roots, nil).Authorize(w.t.Context(), shown(c))
	if err != nil {
		w.t.Fatal(err)
	}
	c.Type(end + "\n")
	c.Expect("CN=Jane Doe")
	if status := c.Wait(); status != 0 {
		w.t.Errorf("login: status %d, %s", status, c.Output())
	}
}

// TestSandboxDir: a directory that somebody else chose is never removed.
func TestSandboxDir(t *testing.T) {
	w := newWorld(t, inMemory)
	dir := w.path("mine")
	c := ptytest.Start(t, w.command("sandbox", "--dir", dir))
	c.Expect("proxy.pem")
	c.Signal(syscall.SIGTERM)
	if status := c.Wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	if _, err := os.Stat(filepath.Join(dir, "config.toml")); err != nil {
		t.Error(err)
	}
}
