package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// canaries are the secrets of a run in every form in which they could show.
type canaries struct {
	g          *grid
	store      cache.Store
	passphrase []string
	dataKey    []string
	keys       []string // private keys of proxies
	looked     int      // bytes
}

// forms are a secret as it is, in base64 at each of the three offsets, and as
// strace and JSON write it.
func forms(secret []byte) []string {
	list := []string{string(secret)}
	for skip := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, skip), secret...))
		list = append(list, text[4:len(text)-3])
	}
	list = append(list, fmt.Sprintf("%x", secret), strings.Trim(fmt.Sprint(secret), "[]"))
	return list
}

func newCanaries(g *grid, store cache.Store) *canaries {
	return &canaries{g: g, store: store, passphrase: forms([]byte(canary))}
}

// readDataKey asks the keyring, and the kernel's, as another program of the
// user could.
func (c *canaries) readDataKey() {
	c.g.t.Helper()
	c.dataKey = append(c.keyringsKey(), c.kernelsKey()...)
}

func (c *canaries) keyringsKey() []string {
	c.g.t.Helper()
	cmd := exec.Command("secret-tool", "lookup", "service", name, "username", "data-key:v1")
	cmd.Env = c.g.env
	out, err := cmd.Output()
	var item struct{ Key []byte }
	if err != nil || json.Unmarshal(out, &item) != nil || len(item.Key) != 32 {
		c.g.t.Fatalf("the data key: %v, %d bytes", err, len(out))
	}
	return forms(item.Key)
}

// kernelsKey is the key of the store "kernel", where that is in use.
func (c *canaries) kernelsKey() []string {
	c.g.t.Helper()
	var service string
	for _, kv := range c.g.env {
		if value, ok := strings.CutPrefix(kv, kernelVar+"="); ok {
			service = value
		}
	}
	value, err := cache.NewKernelKeyring(cache.KernelOptions{Service: service}).Get(c.g.t.Context(), "data-key:v1")
	if errors.Is(err, cache.ErrNotFound) && c.store != cache.Kernel {
		return nil
	}
	var item struct{ Key []byte }
	if err != nil || json.Unmarshal(value, &item) != nil || len(item.Key) != 32 {
		c.g.t.Fatalf("the kernel's data key: %v, %d bytes", err, len(value))
	}
	return forms(item.Key)
}

// plain says whether a private key may stand there: in the files for tools, and
// in entries of the store "file", which is what that means.
func (c *canaries) plain(path string) bool {
	run := c.g.path("run")
	return strings.Contains(path, filepath.Join(run, "proxy")+"/") ||
		c.store == cache.File && strings.Contains(path, filepath.Join(run, "entry")+"/")
}

// addKey notes the private key of an answer.
func (c *canaries) addKey(data []byte) {
	c.g.t.Helper()
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			text := base64.StdEncoding.EncodeToString(block.Bytes)
			c.keys = append(c.keys, text[64:120], string(block.Bytes[60:100]))
			return
		}
	}
	c.g.t.Fatal("no private key")
}

// look fails the test if a text shows a secret that may not be there.
func (c *canaries) look(where, text string, secrets ...[]string) {
	c.g.t.Helper()
	c.looked += len(text)
	for _, list := range secrets {
		for _, form := range list {
			if i := strings.Index(text, form); i >= 0 {
				c.g.t.Errorf("a secret shows in %.200s: %.200q", where, text[max(0, i-100):i+len(form)])
			}
		}
	}
}

func (c *canaries) all() [][]string { return [][]string{c.passphrase, c.dataKey, c.keys} }

// run runs the program and looks at what it says.
func (c *canaries) run(stdin string, args ...string) result {
	c.g.t.Helper()
	r := c.g.run(stdin, args...)
	what := strings.Join(args, " ")
	c.look("standard error of "+what, r.stderr, c.all()...)
	if a := (helper.GetAnswer{}); json.Unmarshal([]byte(r.stdout), &a) == nil && len(a.Credential.PEM) > 0 {
		c.addKey([]byte(a.Credential.PEM))
		c.look("standard output of "+what, r.stdout, c.passphrase, c.dataKey)
	} else {
		c.look("standard output of "+what, r.stdout, c.all()...)
	}
	return r
}

// traced runs the program under strace and looks at every byte that it gives
// away. The pass phrase and the data key may go to the bus and nowhere else;
// to the server they go inside TLS. The private key may go to standard output
// and into the file for tools.
func (c *canaries) traced(stdin string, args ...string) {
	c.g.t.Helper()
	file := c.g.path("strace")
	cmd := exec.Command("strace", append([]string{"-f", "-yy", "-s", "100000", "-o", file,
		"-e", "trace=write,writev,pwrite64,sendto,sendmsg,sendmmsg,execve,prctl,add_key,memfd_create", c.g.program}, args...)...)
	cmd.Env, cmd.Dir, cmd.Stdin = c.g.env, c.g.dir, strings.NewReader(stdin)
	r := c.g.finish(cmd)
	if r.status != 0 {
		c.g.t.Fatalf("strace %v: status %d: %s%s", args, r.status, r.stdout, r.stderr)
	}
	if a := (helper.GetAnswer{}); json.Unmarshal([]byte(r.stdout), &a) == nil && len(a.Credential.PEM) > 0 {
		c.addKey([]byte(a.Credential.PEM))
	}
	if args[0] != "store" { // which needs none
		c.readDataKey()
	}
	trace, err := os.ReadFile(file)
	if err != nil || os.Remove(file) != nil {
		c.g.t.Fatal(err)
	}
	if !bytes.Contains(trace, []byte("PR_SET_DUMPABLE")) {
		c.g.t.Errorf("strace saw nothing: %d bytes", len(trace))
	}
	bus, seen := 0, false
	for line := range strings.Lines(string(trace)) {
		switch {
		case strings.Contains(line, "<UNIX"): // no other local socket is there than the bus
			bus++
			seen = seen || strings.Contains(line, passphrase)
			c.look("strace of "+args[0], line, c.keys)
		case strings.Contains(line, "add_key("): // the data key of the kernel's store
			c.look("strace of "+args[0], line, c.passphrase, c.keys)
		case strings.Contains(line, "write(1<"), c.plain(line):
			c.look("strace of "+args[0], line, c.passphrase, c.dataKey)
		default:
			c.look("strace of "+args[0], line, c.all()...)
		}
	}
	if bus == 0 || args[0] == "store" && !seen { // else nothing would be found elsewhere either
		c.g.t.Errorf("%d messages to the bus, the pass phrase among them: %v", bus, seen)
	}
}

// files looks through everything that may have been written.
func (c *canaries) files() {
	c.g.t.Helper()
	shm := fmt.Sprintf("/dev/shm/%s-%d", name, os.Getuid())
	for _, root := range []string{c.g.dir, c.g.keyring.Home, c.g.keyring.Runtime, shm} {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			if c.plain(path) {
				c.look(path, string(data), c.passphrase, c.dataKey)
			} else {
				c.look(path, string(data), c.all()...)
			}
			return nil
		})
	}
}

// process looks at what /proc tells others of a process. environ is root's
// alone, because we are not dumpable.
func (c *canaries) process(pid int) {
	c.g.t.Helper()
	for _, file := range []string{"cmdline", "environ", "status", "comm"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if err == nil {
			c.look(fmt.Sprintf("/proc/PID/%s", file), string(data), c.all()...)
		}
	}
}

// TestCanaries: every command, the failing ones too, against the real server
// and the sandbox and with every store: no secret is printed, written, sent or
// shown by /proc but where it belongs.
func TestCanaries(t *testing.T) {
	lab.Require(t, lab.Strace)
	if os.Geteuid() != 0 {
		t.Skip("only root sees what a process writes that is not dumpable")
	}
	onBoth(t, gridOptions{profile: `key = "p256"`}, func(t *testing.T, g *grid) {
		t.Parallel()
		c := newCanaries(g, cache.Auto)
		c.tour("X509CH_DEBUG=1", "X509CH_DEBUG=0", panicVar+"=1")
		c.crash()
		c.end()
	})
	for _, store := range []cache.Store{cache.Kernel, cache.File, cache.Keyring} {
		t.Run(string(store), func(t *testing.T) {
			t.Parallel()
			g := sandboxGrid(t, gridOptions{profile: `key = "p256"`})
			g.storeConfig(fmt.Sprintf("credentials = %q\nkey_ttl = \"1m\"", store)) // so the copy of the key is looked for, too
			c := newCanaries(g, store)
			c.tour("X509CH_DEBUG=1")
			c.end()
		})
	}
}

// tour shows the secrets to every command, in each of these environments.
func (c *canaries) tour(environments ...string) {
	c.g.t.Helper()
	g, store := c.g, fmt.Sprintf(`{"secret":{"kind":"passphrase","value":%q}}`, passphrase)
	if err := os.Mkdir(g.path("tmp"), 0o700); err != nil {
		g.t.Fatal(err)
	}
	g.env = append(g.env, "TMPDIR="+g.path("tmp"))
	c.traced(store, "store")
	c.traced(`{}`, "get")
	c.traced(`{"cache":"bypass","output":"path"}`, "get")
	c.addKey(must(os.ReadFile(g.one(g.path("run/proxy/*.pem")))))
	c.traced(passphrase+"\n", "login", "--passphrase-stdin")
	c.files()
	for _, env := range environments {
		kept := g.env
		g.env = append(g.env[:len(g.env):len(g.env)], env, "GOTRACEBACK=all")
		c.everything(store)
		g.env = kept
	}
	c.files()
}

// crash makes a process print all its stacks while it holds the secrets.
func (c *canaries) crash() {
	c.g.t.Helper()
	g := c.g
	speak := g.silence()
	cmd := g.command("get")
	cmd.Stdin = strings.NewReader(`{"cache":"bypass","timeout":200}`)
	before := g.connections()
	call := g.start(cmd)
	g.waitFor("the connection", func() bool { return g.connections() > before })
	c.process(cmd.Process.Pid)
	if err := cmd.Process.Signal(syscall.SIGABRT); err != nil {
		g.t.Fatal(err)
	}
	r := call.wait()
	speak()
	c.look("a crash", r.stdout+r.stderr, c.all()...)
	if cmd.ProcessState.Sys().(syscall.WaitStatus).CoreDump() {
		g.t.Error("a core was dumped")
	}
}

func (c *canaries) end() {
	c.g.t.Helper()
	c.run("", "logout")
	c.files()
	if c.looked < 100_000 {
		c.g.t.Errorf("only %d bytes were looked at", c.looked)
	}
}

// everything runs each command well and badly.
func (c *canaries) everything(store string) {
	c.g.t.Helper()
	c.run(store, "store")
	c.run(store[:len(store)-1], "store")
	c.run(strings.Replace(store, "}}", `,"x":1}}`, 1), "store")
	c.run(strings.Replace(store, `"passphrase"`, `"passphrse"`, 1), "store")
	c.run(store, "get")
	c.run(store+store, "list")
	c.run(passphrase+"\x01\n", "login", "--passphrase-stdin")
	c.run("wrong "+passphrase+"\n", "login", "--passphrase-stdin")
	c.run(passphrase+"\n", "login")
	c.run(passphrase+"\n", "login", "no-such-profile", "--passphrase-stdin")
	c.run(`{}`, "get")
	c.run(`{"output":"path"}`, "get")
	c.run(`{"min_lifetime":999999}`, "get")
	c.run(`{}`, "list")
	c.run(`{"what":["credential"]}`, "erase")
	c.run(`{}`, "get")
	c.run("", "capabilities")
	for _, args := range []string{"status", "status --json", "show", "show --json", "trust list", "trust check", "version", "help",
		"exec -- sh -c env;cat${IFS}/proc/$$/cmdline", "exec -- false", "gett", "show /nonexistent"} {
		c.run("", strings.Fields(args)...)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestNoCore: a process that holds secrets cannot be read by its own user, and
// dies without a core, whatever limit it was started with.
func TestNoCore(t *testing.T) {
	needRoot(t)
	t.Parallel()
	w := newWorld(t, inMemory)
	uid := strangeUID(1)
	command := w.strangeCommand(uid, []string{"XDG_RUNTIME_DIR=/nonexistent"}, "022")
	cmd := command("get")
	held := w.startReading(cmd)
	_ = cmd.Process.Signal(syscall.SIGSTOP) // it does not wait for its request for ever
	for _, file := range []string{"mem", "environ", "maps", "fd"} {
		path := fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, file)
		look := exec.Command("setpriv", "--reuid", fmt.Sprint(uid), "--regid", "54320", "--clear-groups", "ls", path+"/")
		if file != "fd" {
			look.Args = append(look.Args[:len(look.Args)-2], "dd", "if="+path, "count=1")
		}
		if out, err := look.CombinedOutput(); err == nil || !strings.Contains(string(out), "denied") {
			t.Errorf("the same user can read %s: %v, %.100s", file, err, out)
		}
	}
	_ = cmd.Process.Signal(syscall.SIGCONT)
	held.request("}")
	held.wait()
	for _, signal := range []syscall.Signal{syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGQUIT, syscall.SIGILL} {
		cmd := exec.Command("/bin/sh", "-c", `ulimit -Sc unlimited 2>/dev/null; exec "$0" get`, w.program)
		cmd.Env, cmd.Dir = append(w.env, "GOTRACEBACK=crash"), w.dir
		c := w.startReading(cmd)
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		r := c.wait()
		ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if ws.CoreDump() || r.status == 0 {
			t.Errorf("%v: core %v, status %d", signal, ws.CoreDump(), r.status)
		}
	}
}
