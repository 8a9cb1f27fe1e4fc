package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// stampede starts n processes at once and returns what each said.
func (g *grid) stampede(n int, request string) []result {
	g.t.Helper()
	results := make([]result, n)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() { results[i] = g.run(request, "get") })
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
		fingerprints := map[string]bool{}
		for _, r := range g.stampede(herd(200), `{"timeout":60}`) {
			if r.status != 0 {
				t.Fatalf("status %d: %s%s", r.status, r.stdout, r.stderr)
			}
			fingerprints[decodeGet(t, r.stdout).Credential.Fingerprint] = true
		}
		if n := g.connections(); n != 1 || len(fingerprints) != 1 {
			t.Errorf("%d connections, %d different credentials, expected 1 and 1", n, len(fingerprints))
		}
	})
}

// TestWrongPassphraseOnce: a refused pass phrase is sent once by a hundred
// callers at once and by more over the next seconds, until it changes.
func TestWrongPassphraseOnce(t *testing.T) {
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		g.store("not the right one")
		check := func(rs []result) {
			t.Helper()
			for _, r := range rs {
				var a struct{ Error helper.Error }
				if err := json.Unmarshal([]byte(r.stdout), &a); err != nil || a.Error.Code != helper.CodeAuthenticationFailed {
					t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
				}
			}
		}
		check(g.stampede(herd(100), `{"timeout":60}`))
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			check(g.stampede(10, `{"timeout":60,"cache":"bypass"}`))
		}
		if n := g.connections(); n != 1 {
			t.Fatalf("%d attempts, expected 1", n)
		}
		g.store(passphrase)
		g.get(`{}`)
		if n := g.connections(); n != 2 {
			t.Errorf("%d attempts, expected 2", n)
		}
	})
}

// TestUnheard: a server that takes the pass phrase and says nothing may have
// refused it; it is not asked for ever.
func TestUnheard(t *testing.T) {
	g := sandboxGrid(t, gridOptions{})
	g.store(passphrase)
	g.server.SetFaults(sandbox.Faults{Silent: sandbox.StageRequest})
	g.refused(`{"timeout":1}`, helper.CodeTimeout)
	g.refused(`{"timeout":1}`, helper.CodeTimeout)
	g.refused(`{"timeout":1}`, helper.CodeRateLimited)
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
		for g.connections() == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		waiter := make(chan result, 1)
		go func() { waiter <- g.run(`{"timeout":60}`, "get") }()
		time.Sleep(100 * time.Millisecond)
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
		if n := g.connections(); n < 1 || n > 3 {
			t.Errorf("%d connections", n)
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
