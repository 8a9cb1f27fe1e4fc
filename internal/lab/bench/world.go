package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// The names under which the programs appear in the report.
const (
	nothing      = "true (start of a process)"
	emptyGo      = "empty Go program"
	warmGet      = "get, cached"
	kernelGet    = "get, cached, key in the kernel's keyring"
	crowdedGet   = "get, cached, one of 10,000 entries"
	coldGet      = "get, fetched (RSA-2048)"
	capabilities = "capabilities"
	dockerGet    = "docker-credential-secretservice get"
	secretLookup = "secret-tool lookup"
	vomsInfo     = "voms-proxy-info -timeleft"
	showFile     = "show FILE"
	gridInfo     = "grid-proxy-info -file FILE"
	vomsInfoAll  = "voms-proxy-info -all -file FILE"
	myproxyLogon = "myproxy-logon (C, RSA-2048)"
)

const passphrase = "correct horse battery staple"

// program is one line of the report.
type program struct {
	name  string
	argv  []string
	stdin []byte
	check func(stdout []byte) error // nil: success is enough
	env   []string                  // on top of the world's
	pair  bool                      // true(1) alone runs just before, see alone

	do func(context.Context) error // in place of argv: no program at all
}

// world is one user's session: a keyring, a MyProxy server with that user's
// credential, a configuration, and the programs to run in it.
type world struct {
	t        *session
	dir      string
	env      []string
	config   string // of our program
	programs []program
}

func newWorld(t *session, binary string) (*world, error) {
	keyring := lab.StartKeyring(t)
	server := lab.StartMyProxy(t, lab.MyProxyOptions{})
	alice := server.CA.User("Alice")
	server.Store("alice", passphrase, alice)
	dir, err := t.dir()
	if err != nil {
		return nil, err
	}
	w := &world{t: t, dir: dir, env: append(keyring.Env,
		"X509_CERT_DIR="+server.TrustDir, "X509_VOMS_DIR="+server.CA.VOMSDir("labvo", "localhost"))}
	proxy, err := server.Logon("alice", passphrase)
	if err != nil {
		return nil, err
	}
	empty, err := buildEmpty(dir)
	if err != nil {
		return nil, err
	}
	w.programs = append(w.programs, program{name: nothing, argv: []string{"true"}}, program{name: emptyGo, argv: []string{empty}})
	if binary != "" {
		if err := w.addOurs(binary, server, keyring.Home); err != nil {
			return nil, err
		}
		if err := w.addVariants(binary, keyring); err != nil {
			return nil, err
		}
		if err := w.addExec(binary); err != nil {
			return nil, err
		}
		if err := w.addPortal(binary, keyring); err != nil {
			return nil, err
		}
	}
	if err := w.addPeers(server, proxy); err != nil {
		return nil, err
	}
	if err := w.addCommands(binary, server, alice); err != nil {
		return nil, err
	}
	return w, w.addShow(binary, lab.FakeVOMS(t, server.CA, alice, lab.FakeVOMSOptions{}))
}

// addShow: what people ask of a file, here of a proxy of a proxy with VOMS
// attributes.
func (w *world) addShow(binary string, first []byte) error {
	voms, err := write(w.dir, "voms.pem", first)
	if err != nil {
		return err
	}
	file := filepath.Join(w.dir, "second.pem")
	_, err = w.time(program{name: "grid-proxy-init",
		argv: []string{"grid-proxy-init", "-q", "-bits", "2048", "-cert", voms, "-key", voms, "-out", file}})
	if err != nil {
		return err
	}
	if binary != "" {
		if binary, err = filepath.Abs(binary); err != nil {
			return err
		}
		w.programs = append(w.programs, program{name: showFile, argv: []string{binary, "show", file}, check: contains("/labvo")})
	}
	w.programs = append(w.programs,
		program{name: gridInfo, argv: []string{"grid-proxy-info", "-file", file}, check: contains("CN=Alice")},
		program{name: vomsInfoAll, argv: []string{"voms-proxy-info", "-all", "-file", file}, check: contains("/labvo/Role=NULL")})
	return nil
}

// buildEmpty makes the smallest Go program: what no Go program can go below on
// this machine.
func buildEmpty(dir string) (string, error) {
	source := filepath.Join(dir, "empty.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "empty")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return file, nil
}

func (w *world) addOurs(binary string, server *lab.MyProxy, home string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	w.config = fmt.Sprintf(`default_profile = "bench"

[profile.bench]
backend  = "myproxy"
server   = %q
username = "alice"
ca_dir   = %q
match    = ["davs://*.bench.example.org"]
`, server.Direct, server.TrustDir)
	folder := filepath.Join(home, ".config", "x509-credential-helper")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if _, err := write(folder, "config.toml", []byte(w.config)); err != nil {
		return err
	}
	store := fmt.Sprintf(`{"profile":"bench","secret":{"kind":"passphrase","value":%q}}`, passphrase)
	ours := []program{
		{name: "store", argv: []string{binary, "store"}, stdin: []byte(store)},
		{name: "first get", argv: []string{binary, "get"}, stdin: []byte("{}\n"), check: wantSource("backend")},
		{name: warmGet, argv: []string{binary, "get"}, stdin: []byte("{}\n"), check: wantSource("cache")},
		{name: coldGet, argv: []string{binary, "get"}, stdin: []byte(`{"cache":"bypass"}` + "\n"), check: wantSource("backend")},
		{name: capabilities, argv: []string{binary, "capabilities"}},
	}
	for _, p := range ours[:2] {
		if _, err := w.time(p); err != nil {
			return err
		}
	}
	w.programs = append(w.programs, ours[2:]...)
	return nil
}

// wantSource makes sure that what is measured is what the report says.
func wantSource(want string) func([]byte) error {
	return func(stdout []byte) error {
		var answer struct {
			Source     string
			Credential struct{ PEM string }
		}
		if err := json.Unmarshal(stdout, &answer); err != nil {
			return err
		}
		if answer.Source != want || answer.Credential.PEM == "" {
			return fmt.Errorf("the source is %q, not %q", answer.Source, want)
		}
		return nil
	}
}

// contains makes sure that a program says what was asked of it.
func contains(part string) func([]byte) error {
	return func(stdout []byte) error {
		if !bytes.Contains(stdout, []byte(part)) {
			return errors.New("the answer is not the one expected")
		}
		return nil
	}
}

func (w *world) addPeers(server *lab.MyProxy, proxy []byte) error {
	host, port, err := net.SplitHostPort(server.Direct)
	if err != nil {
		return err
	}
	file, err := write(w.dir, "proxy.pem", proxy)
	if err != nil {
		return err
	}
	docker, err := json.Marshal(map[string]string{"ServerURL": "https://example.org", "Username": "alice", "Secret": string(proxy)})
	if err != nil {
		return err
	}
	prepare := []program{
		{name: "docker store", argv: []string{"docker-credential-secretservice", "store"}, stdin: docker},
		{name: "secret-tool store", argv: []string{"secret-tool", "store", "--label=bench", "service", "bench"}, stdin: proxy},
	}
	for _, p := range prepare {
		if _, err := w.time(p); err != nil {
			return err
		}
	}
	w.programs = append(w.programs,
		program{name: dockerGet, argv: []string{"docker-credential-secretservice", "get"}, stdin: []byte("https://example.org"), check: contains("BEGIN CERTIFICATE")},
		program{name: secretLookup, argv: []string{"secret-tool", "lookup", "service", "bench"}, check: contains("BEGIN CERTIFICATE")},
		program{name: vomsInfo, argv: []string{"voms-proxy-info", "-file", file, "-timeleft"}},
		program{name: myproxyLogon, argv: []string{"myproxy-logon", "-s", host, "-p", port, "-l", "alice", "-S", "-q",
			"-o", filepath.Join(w.dir, "logon.pem")}, stdin: []byte(passphrase + "\n")})
	return nil
}

// measure runs every program once per round, in a new order each round, after
// one round that does not count.
func (w *world) measure(rounds int, log io.Writer) (map[string][]time.Duration, error) {
	results := map[string][]time.Duration{}
	for round := range rounds + 1 {
		for _, i := range rand.Perm(len(w.programs)) {
			run := []program{w.programs[i]}
			if run[0].pair {
				run = []program{{name: alone(run[0].name), argv: []string{"true"}}, run[0]}
			}
			for _, p := range run {
				took, err := w.time(p)
				if err != nil {
					return nil, err
				}
				if round > 0 {
					results[p.name] = append(results[p.name], took)
				}
			}
		}
		progress(log, round, rounds)
	}
	return results, nil
}

// time runs a program once. Its stdin and stdout are files: a pipe would put
// our own scheduling into the measurement.
func (w *world) time(p program) (time.Duration, error) {
	if p.do != nil {
		begin := time.Now()
		err := p.do(w.t.ctx)
		return time.Since(begin), err
	}
	in, err := write(w.dir, "stdin", p.stdin)
	if err != nil {
		return 0, err
	}
	stdin, err := os.Open(in)
	if err != nil {
		return 0, err
	}
	defer stdin.Close()
	stdout, err := os.Create(filepath.Join(w.dir, "stdout"))
	if err != nil {
		return 0, err
	}
	defer stdout.Close()
	stderr, err := os.Create(filepath.Join(w.dir, "stderr"))
	if err != nil {
		return 0, err
	}
	defer stderr.Close()
	cmd := exec.CommandContext(w.t.ctx, p.argv[0], p.argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = slices.Concat(w.env, p.env), stdin, stdout, stderr
	begin := time.Now()
	err = cmd.Run()
	took := time.Since(begin)
	return took, w.judge(p, err)
}

// judge fails a run that did not do its work: quick failures are not fast. Its
// output may hold a key, so only stderr is shown.
func (w *world) judge(p program, err error) error {
	if err == nil && p.check != nil {
		var out []byte
		if out, err = os.ReadFile(filepath.Join(w.dir, "stdout")); err == nil {
			err = p.check(out)
		}
	}
	if err != nil {
		text, _ := os.ReadFile(filepath.Join(w.dir, "stderr"))
		return fmt.Errorf("%s: %w\n%s", p.name, err, text)
	}
	return nil
}
