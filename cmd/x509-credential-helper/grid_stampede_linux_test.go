package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// crowdPatience bounds a stampede: a thousand processes are many seconds of
// work for two processors, which may have other work.
const crowdPatience = 4 * time.Minute

// stampede starts n processes at once and returns what each said. The request
// comes from a file: a pipe needs somebody here who writes in time.
func (g *grid) stampede(n int, request string) []result {
	g.t.Helper()
	file := g.path("request.json")
	if err := os.WriteFile(file, []byte(request), 0o600); err != nil {
		g.t.Fatal(err)
	}
	results := make([]result, n)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() {
			stdin, err := os.Open(file)
			if err != nil {
				g.t.Error(err)
				return
			}
			defer stdin.Close()
			cmd := g.command("get")
			cmd.Stdin = stdin
			results[i] = g.start(cmd).within(crowdPatience)
		})
	}
	group.Wait()
	return results
}

// herd is how many processes a stampede has. The race detector makes each ten
// times as heavy and finds nothing between processes: -short is for it.
func herd(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// TestColdStampede: two hundred processes that need a proxy make one
// connection and get two hundred good answers.
func TestColdStampede(t *testing.T) {
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		g.store(passphrase)
		n := herd(200)
		g.want(1, g.tally(n, `{"timeout":60}`), cold(n))
	})
}

// TestWrongPassphraseOnce: a refused pass phrase is sent once by five hundred
// callers at once and by more over the next seconds, until it changes.
func TestWrongPassphraseOnce(t *testing.T) {
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		g.storeConfig(`credentials = "runtime"`)
		g.store("not the right one")
		n := herd(500)
		if g.server != nil {
			n = herd(100)
		}
		g.want(1, g.tally(n, `{"timeout":60}`), refusedAll(n))
		for range 10 {
			g.want(1, g.tally(10, `{"timeout":60,"cache":"bypass"}`), refusedAll(10))
		}
		g.store(passphrase)
		g.get(`{}`)
		g.want(2, nil, nil)
	})
}

func refusedAll(n int) map[string]int {
	return map[string]int{string(helper.CodeAuthenticationFailed): n}
}

// TestUnheard: a server that takes the pass phrase and says nothing may have
// refused it; it is not asked for ever.
func TestUnheard(t *testing.T) {
	t.Parallel()
	g := sandboxGrid(t, gridOptions{})
	g.store(passphrase)
	g.server.SetFaults(sandbox.Faults{Silent: sandbox.StageRequest})
	g.refused(`{"timeout":3}`, helper.CodeTimeout)
	g.refused(`{"timeout":3}`, helper.CodeTimeout)
	g.refused(`{"timeout":30}`, helper.CodeRateLimited)
	if n := g.connections(); n != 2 {
		t.Errorf("%d attempts, expected 2", n)
	}
	g.server.SetFaults(sandbox.Faults{})
	g.store(passphrase) // somebody means it
	g.get(`{}`)
}

// TestLeaderKilled: the process that fetches is killed with -9; the next one
// takes over, and nothing half-written is left.
func TestLeaderKilled(t *testing.T) {
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		g.store(passphrase)
		speak := g.silence()
		cmd := g.command("get")
		cmd.Stdin = strings.NewReader(`{}`)
		leader := g.start(cmd)
		g.waitFor("the leader", func() bool { return g.connections() == 1 })
		waiter := make(chan result, 1)
		go func() { waiter <- g.run(`{"timeout":60}`, "get") }()
		g.waitFor("the other", func() bool { return g.waiters() == 1 })
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if r := leader.wait(); r.stdout != "" {
			t.Errorf("a killed process answered %s", r.stdout)
		}
		speak()
		if r := <-waiter; r.status != 0 {
			t.Errorf("status %d: %s", r.status, r.stdout)
		}
		if n := g.connections(); n != 2 {
			t.Errorf("%d connections, expected 2", n)
		}
		g.noTemporaries()
	})
}

// noTemporaries looks for files that a write left behind.
func (g *grid) noTemporaries() {
	g.t.Helper()
	for _, root := range []string{g.keyring.Home, g.path("run")} {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && strings.Contains(d.Name(), "tmp") {
				g.t.Errorf("left behind: %s", path)
			}
			return nil
		})
		if err != nil {
			g.t.Error(err)
		}
	}
}
