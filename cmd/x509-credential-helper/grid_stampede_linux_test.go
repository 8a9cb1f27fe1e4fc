package main

import (
	"encoding/json"
	"maps"
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

// inCrowd is the request of one of many, who waits for as long as it may take.
const inCrowd = `{"timeout":200}`

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
		g.want(1, g.tally(n, inCrowd), cold(n))
	})
}

// TestWrongPassphraseOnce: a refused pass phrase is sent once by five hundred
// callers at once and by more over the next seconds, until it changes.
func TestWrongPassphraseOnce(t *testing.T) {
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		g.storeConfig(`credentials = "runtime"`)
		g.store("not the right one")
		n, begin := herd(500), time.Now()
		if g.server != nil {
			n = herd(100)
		}
		refused := func(n int, request string) {
			t.Helper()
			got := g.tally(n, request)
			most := sendings(time.Since(begin))
			if calls := g.connections(); calls < 1 || calls > most || !maps.Equal(got, refusedAll(n)) {
				t.Errorf("got %v and %d calls of the backend, expected %v and %d", got, calls, refusedAll(n), most)
			}
		}
		refused(n, inCrowd)
		for range 10 {
			refused(10, `{"timeout":200,"cache":"bypass"}`)
		}
		g.store(passphrase)
		calls := g.connections()
		g.get(`{}`)
		g.want(calls+1, nil, nil)
	})
}

// sendings is how often a refused pass phrase may be sent in some time: on a slow
// machine the minute is over before everybody was here.
func sendings(within time.Duration) int {
	n := 1
	for wait := time.Minute; within > wait; wait *= 2 {
		within -= wait
		n++
	}
	return n
}

func refusedAll(n int) map[string]int {
	return map[string]int{string(helper.CodeAuthenticationFailed): n}
}

// TestRefusedAgain: what the real server has refused is sent again after a
// minute, then two, up to an hour. Time passes by moving the note of the
// refusal into the past: nothing else of it is known to a new process. Only some
// seconds of it pass in earnest, and never a whole margin.
func TestRefusedAgain(t *testing.T) {
	const margin = 55 * time.Second
	g := realGrid(t, gridOptions{})
	g.store("not the right one")
	for i, wait := range []int64{1, 2, 4, 8, 16, 32, 60, 60} {
		g.refused(`{}`, helper.CodeAuthenticationFailed)
		e := g.refused(`{"cache":"bypass"}`, helper.CodeAuthenticationFailed)
		if e.RetryAfter > wait*60 || e.RetryAfter < wait*60-int64(margin/time.Second) {
			t.Errorf("refused %d times: again after %d s, expected %d min", i+1, e.RetryAfter, wait)
		}
		if n := g.connections(); n != i+1 {
			t.Fatalf("%d attempts, expected %d", n, i+1)
		}
		g.moveRefusal(time.Duration(wait)*time.Minute - margin)
		g.refused(`{}`, helper.CodeAuthenticationFailed)
		if n := g.connections(); n != i+1 {
			t.Fatalf("a moment early: %d attempts, expected %d", n, i+1)
		}
		g.moveRefusal(margin)
	}
}

// moveRefusal moves the note of a refusal into the past.
func (g *grid) moveRefusal(by time.Duration) {
	g.t.Helper()
	files, err := filepath.Glob(g.path("run/lock/secret-*.lock.rec"))
	if err != nil || len(files) != 1 {
		g.t.Fatalf("%v, %v", files, err)
	}
	var note map[string]any
	data, err := os.ReadFile(files[0])
	if err == nil {
		err = json.Unmarshal(data, &note)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	at := note["at"].(map[string]any)
	at["since"] = int64(at["since"].(float64)) - int64(by)
	if data, err = json.Marshal(note); err == nil {
		err = os.WriteFile(files[0], data, 0o600)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// TestUnheard: a server that takes the pass phrase and says nothing may have
// refused it; it is not asked for ever.
func TestUnheard(t *testing.T) {
	t.Parallel()
	g := sandboxGrid(t, gridOptions{})
	g.store(passphrase)
	g.server.SetFaults(sandbox.Faults{Silent: sandbox.StageRequest})
	said := ""
	for i := 0; said != string(helper.CodeRateLimited); i++ {
		// One whose three seconds were over before the pass phrase went out, on a
		// busy machine, does not count.
		r := g.run([]string{`{"timeout":3}`, `{"timeout":3}`, `{"timeout":30}`}[min(i, 2)], "get")
		said = g.code(r)
		sent := g.server.Requests(0)
		switch {
		case said == string(helper.CodeRateLimited) && i < 2, said == string(helper.CodeTimeout) && (i > 5 || sent > 2):
			t.Fatalf("call %d, %d attempts: %s", i+1, sent, r.stdout)
		case said == string(helper.CodeKeyringUnavailable) && i < 5, said == string(helper.CodeTimeout):
		default:
			g.refusal(r, helper.CodeRateLimited)
		}
	}
	if n := g.server.Requests(0); n < 1 || n > 2 {
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
		cmd.Stdin = strings.NewReader(inCrowd)
		leader := g.start(cmd)
		g.waitFor("the leader", func() bool { return g.connections() == 1 })
		waiter := make(chan result, 1)
		go func() { waiter <- g.run(inCrowd, "get") }()
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
