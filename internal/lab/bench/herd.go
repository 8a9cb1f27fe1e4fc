package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// A herd is many jobs that begin at once and find no credential.
const (
	herdSize  = 1000
	herdRuns  = 3
	herdDelay = time.Second // of the server
	herdSlack = 1500 * time.Millisecond
)

// herds are the stores in which one is measured.
var herds = []struct{ name, store string }{
	{"true", ""}, // what no program can go below
	{"store runtime", "credentials = \"runtime\""},
	{"store keyring, key_ttl 1 s", "credentials = \"keyring\"\nkey_ttl = \"1s\""},
	{"store keyring", "credentials = \"keyring\""},
}

// herd is one line of the report.
type herd struct {
	name  string
	walls []time.Duration // from the first start to the last end
	calls int             // of the server, in all runs
}

// measureHerds runs them against a server that needs a second for an answer.
// That is the sandbox: a real one cannot be told to be slow.
func measureHerds(t *session, binary string) ([]herd, error) {
	keyring := lab.StartKeyring(t)
	dir, err := t.dir()
	if err != nil {
		return nil, err
	}
	server, err := sandbox.Start(context.Background(), sandbox.Options{Dir: filepath.Join(dir, "server")})
	if err != nil {
		return nil, err
	}
	t.Cleanup(server.Close)
	if err := server.AddUser(sandbox.User{Name: "alice", Passphrase: passphrase}); err != nil {
		return nil, err
	}
	w := &world{t: t, dir: dir, env: keyring.Env}
	var all []herd
	for _, h := range herds {
		result := herd{name: h.name}
		argv := []string{"true"}
		if h.store != "" {
			if argv, err = w.herdOf(binary, server, h.store); err != nil {
				return nil, err
			}
		}
		before := server.Connections()
		for range herdRuns {
			wall, err := w.stampede(argv)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", h.name, err)
			}
			result.walls = append(result.walls, wall)
		}
		result.calls = server.Connections() - before
		all = append(all, result)
	}
	return all, nil
}

// herdOf configures a store, and returns what each of a herd runs.
func (w *world) herdOf(binary string, server *sandbox.Sandbox, store string) ([]string, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	config, err := write(w.dir, "herd.toml", fmt.Appendf(nil, `default_profile = "herd"
[profile.herd]
backend  = "myproxy"
server   = %q
username = "alice"
ca_dir   = %q
[store]
runtime_dir = %q
%s
`, server.Addr(), server.TrustDir(), filepath.Join(w.dir, "run"), store))
	if err != nil {
		return nil, err
	}
	w.env = append(slices.DeleteFunc(w.env, func(v string) bool { return strings.HasPrefix(v, "X509_CREDENTIAL_HELPER_CONFIG=") }),
		"X509_CREDENTIAL_HELPER_CONFIG="+config)
	keep := program{name: "store", argv: []string{binary, "store"}, stdin: fmt.Appendf(nil, `{"secret":{"kind":"passphrase","value":%q}}`, passphrase)}
	if _, err := w.time(keep); err != nil {
		return nil, err
	}
	server.SetFaults(sandbox.Faults{Delay: herdDelay, DelayAt: sandbox.StageRequest})
	return []string{binary, "get"}, nil
}

// stampede starts a herd with an empty cache and waits for the last one.
func (w *world) stampede(argv []string) (time.Duration, error) {
	if argv[0] != "true" {
		erase := program{name: "erase", argv: []string{argv[0], "erase"}, stdin: []byte("{}")}
		if _, err := w.time(erase); err != nil {
			return 0, err
		}
	}
	out, err := os.OpenFile(filepath.Join(w.dir, "herd.out"), os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	ended := make([]<-chan error, herdSize)
	begin := time.Now()
	for i := range ended {
		ended[i] = safego.Go(func() error {
			cmd := exec.CommandContext(w.t.ctx, argv[0], argv[1:]...)
			cmd.Env, cmd.Stdout = w.env, out // stdin is /dev/null, which asks for the default
			return cmd.Run()
		})
	}
	var failed error
	for _, end := range ended {
		failed = cmp.Or(<-end, failed)
	}
	wall := time.Since(begin)
	if failed != nil {
		failed = fmt.Errorf("%w: %s", failed, firstRefusal(out))
	}
	return wall, failed
}

// firstRefusal returns the first answer that is an error; others hold keys.
func firstRefusal(out io.ReadSeeker) string {
	_, _ = out.Seek(0, io.SeekStart)
	answers := json.NewDecoder(out)
	for {
		var answer struct{ Error json.RawMessage }
		if answers.Decode(&answer) != nil {
			return "no answer says why"
		}
		if answer.Error != nil {
			return string(answer.Error)
		}
	}
}

func herdTable(all []herd) string {
	if len(all) == 0 {
		return ""
	}
	var b strings.Builder
	limit := herdDelay + herdSlack
	fmt.Fprintf(&b, "\n| %d at once, nothing cached, server needs %v | median s | calls of the server | target |\n|---|---:|---:|---|\n", herdSize, herdDelay)
	for _, h := range all {
		wall := quantile(h.walls, 0.5)
		if h.name == "true" {
			fmt.Fprintf(&b, "| `true`, %d times | %.2f | | |\n", herdSize, wall.Seconds())
			continue
		}
		fmt.Fprintf(&b, "| %s | %.2f | %d in %d runs | ≤ %v: %s |\n", h.name, wall.Seconds(), h.calls, len(h.walls), limit,
			verdict(wall <= limit && h.calls == len(h.walls)))
	}
	return b.String()
}
