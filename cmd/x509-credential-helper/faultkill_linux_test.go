package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// TestKilledAtEveryStep: kill -9 before each system call by which a command
// changes anything. The outcome is the same for every step: the store opens
// again, the next get is right, a pass phrase that was kept before is kept
// still, and an hour later no temporary file is left. Every fifth step is
// tried; with X509CH_STEPS=every all, which takes minutes.
func TestKilledAtEveryStep(t *testing.T) {
	store := fmt.Sprintf(`{"secret":{"kind":"passphrase","value":%q}}`, passphrase)
	for _, tc := range []struct {
		name, stdin string
		args        []string
		warm        bool // begins with an entry, else with not even a data key
		loses       bool // may end with no pass phrase
		least       int  // steps that there are
	}{
		{name: "get", stdin: `{"output":"path"}`, args: []string{"get"}, least: 25},
		{name: "store", stdin: store, args: []string{"store"}, least: 8},
		{name: "login", stdin: passphrase + "\n", args: []string{"login", "--passphrase-stdin"}, least: 25},
		{name: "erase", stdin: `{"what":["all"]}`, args: []string{"erase"}, warm: true, loses: true, least: 8},
		{name: "erase everything", args: []string{"erase", "--all"}, warm: true, loses: true, least: 8},
		{name: "rotate-keys", args: []string{"rotate-keys"}, warm: true, least: 10},
		{name: "rejected", args: []string{"erase"}, warm: true, least: 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g := sandboxGrid(t, gridOptions{profile: `key = "p256"`})
			g.store(passphrase)
			steps, stride := 0, 5
			switch {
			case os.Getenv("X509CH_STEPS") == "every":
				stride = 1
			case testing.Short():
				stride = 15
			}
			for n := 1; ; n += stride {
				stdin := tc.stdin
				g.forget()
				if tc.warm {
					g.store(passphrase)
					a := g.get(`{"output":"path"}`)
					if tc.name == "rejected" {
						stdin = fmt.Sprintf(`{"what":["credential"],"reason":"rejected","fingerprint":%q}`, a.Credential.Fingerprint)
					}
				}
				cmd := g.command(tc.args...)
				cmd.Stdin = strings.NewReader(stdin)
				r := lab.Kill(t, cmd, n)
				if r.Call == "" {
					if r.Status != 0 {
						t.Errorf("undisturbed: %+v", r)
					}
					break
				}
				steps++
				g.sound(fmt.Sprintf("killed at step %d, %s", n, r.Call), tc.loses)
			}
			if steps*stride < tc.least {
				t.Errorf("%d steps, expected %d or more", steps*stride, tc.least)
			}
			t.Logf("%d steps", steps)
		})
	}
}

// TestRefusalKilled: a get with a wrong pass phrase is killed at any step. The
// server sees it a second time at most, and from then on it waits.
func TestRefusalKilled(t *testing.T) {
	t.Parallel()
	g := sandboxGrid(t, gridOptions{profile: `key = "p256"`})
	g.store("not the right one")
	stride := 7
	if testing.Short() {
		stride = 20
	}
	for n := 1; ; n += stride {
		g.forget()
		asked := g.server.Requests(0)
		cmd := g.command("get")
		cmd.Stdin = strings.NewReader("{}")
		r := lab.Kill(t, cmd, n)
		g.refused("{}", helper.CodeAuthenticationFailed)
		sent := g.server.Requests(0) - asked
		g.refused("{}", helper.CodeAuthenticationFailed)
		again := g.server.Requests(0) - asked - sent
		if r.Call == "" {
			if sent != 1 || again != 0 {
				t.Errorf("undisturbed: sent %d times, then %d", sent, again)
			}
			return
		}
		if sent > 2 || again != 0 {
			t.Errorf("killed at step %d, %s: sent %d times, then %d", n, r.Call, sent, again)
		}
	}
}

// forget takes the machine back to where nothing but the pass phrase was kept:
// no entry, no data key, no lock.
func (g *grid) forget() {
	g.t.Helper()
	cmd := exec.Command("secret-tool", "clear", "service", name, "username", "data-key:v1")
	cmd.Env = g.env
	if out, err := cmd.CombinedOutput(); err != nil && len(out) > 0 {
		g.t.Fatalf("secret-tool: %v: %s", err, out)
	}
	if err := errors.Join(os.RemoveAll(g.cacheDir()), os.RemoveAll(g.path("run"))); err != nil {
		g.t.Fatal(err)
	}
}

func (g *grid) cacheDir() string { return filepath.Join(g.keyring.Home, ".cache", name) }

// sound checks that after a fault everything works again.
func (g *grid) sound(what string, loses bool) {
	g.t.Helper()
	g.ageTemporaries()
	r := g.run("{}", "list")
	if g.code(r) != "" {
		g.t.Errorf("%s: the store does not open: %s", what, r.stdout)
	}
	r = g.run(`{"cache":"bypass","output":"path"}`, "get")
	if loses && g.code(r) == string(helper.CodeInteractionRequired) {
		return
	}
	g.right(what, r)
	if _, err := os.Stat(g.identityDir()); err == nil { // which only login writes
		if r := g.run(passphrase+"\n", "login", "--passphrase-stdin"); r.status != 0 {
			g.t.Errorf("%s: then login fails: %s", what, r.stderr)
		}
	}
	g.noTemporaries()
	if err := os.RemoveAll(g.identityDir()); err != nil {
		g.t.Error(err)
	}
}

func (g *grid) identityDir() string {
	return filepath.Join(g.keyring.Home, ".local/state", name, "identity")
}

// right checks that an answer is a whole credential that is valid now.
func (g *grid) right(what string, r result) *helper.GetAnswer {
	g.t.Helper()
	if r.status != 0 {
		g.t.Errorf("%s: then get fails: %s%s", what, r.stdout, r.stderr)
		return &helper.GetAnswer{}
	}
	a := &helper.GetAnswer{}
	if err := json.Unmarshal([]byte(r.stdout), a); err != nil {
		g.t.Fatal(err)
	}
	pem := []byte(a.Credential.PEM)
	if a.Credential.Path != "" {
		var err error
		if pem, err = os.ReadFile(a.Credential.Path); err != nil {
			g.t.Fatal(err)
		}
	}
	if c, err := gsi.ParseCredential(pem); err != nil || !c.Chain[0].NotAfter.After(time.Now()) {
		g.t.Errorf("%s: then get answers a bad credential: %v", what, err)
	}
	return a
}

// ageTemporaries makes temporary files two hours old.
func (g *grid) ageTemporaries() {
	g.t.Helper()
	long := time.Now().Add(-2 * time.Hour)
	for _, root := range []string{g.keyring.Home, g.path("run")} {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(d.Name(), ".tmp-") {
				_ = os.Chtimes(path, long, long)
			}
			return nil
		})
	}
}
