package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// storeConfig adds lines to the table [store] of the configuration.
func (g *grid) storeConfig(lines string) {
	g.t.Helper()
	f, err := os.OpenFile(g.path("config.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(lines + "\n")
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// tally runs a stampede and counts its answers by where the credential came
// from or what went wrong.
func (g *grid) tally(n int, request string) map[string]int {
	g.t.Helper()
	before, begin := g.connections(), time.Now()
	answers, fingerprints := map[string]int{}, map[string]bool{}
	for _, r := range g.stampede(n, request) {
		if r.status != 0 {
			answers[g.code(r)]++
			continue
		}
		a := decodeGet(g.t, r.stdout)
		answers[a.Source]++
		fingerprints[a.Credential.Fingerprint] = true
	}
	if len(fingerprints) > 1 {
		answers["different credentials"] = len(fingerprints)
	}
	g.t.Logf("%d at once: %v in %v, %d calls", n, answers, time.Since(begin).Round(10*time.Millisecond), g.connections()-before)
	return answers
}

// want compares a tally, and the number of calls since the server started.
func (g *grid) want(calls int, answers, want map[string]int) {
	g.t.Helper()
	if n := g.connections(); n != calls || !maps.Equal(answers, want) {
		g.t.Errorf("got %v and %d calls of the backend, expected %v and %d", answers, n, want, calls)
	}
}

// cold is what a stampede gets that finds nothing in the cache, warm what finds
// everything there.
func cold(n int) map[string]int {
	return map[string]int{helper.SourceBackend: 1, helper.SourceCache: n - 1}
}
func warm(n int) map[string]int { return map[string]int{helper.SourceCache: n} }

// TestThousand: a thousand jobs that start at once are one call of the
// backend, whether it succeeds or fails, and none once there is a credential.
// The server answers when all of them wait. The times are printed, not judged:
// most of them is the start of a thousand processes.
func TestThousand(t *testing.T) {
	g := sandboxGrid(t, gridOptions{})
	g.storeConfig(`credentials = "runtime"`)
	g.store(passphrase)
	n := herd(1000)
	g.env = append(g.env, patientVar+"=3m")
	const request = `{"timeout":180}`
	together := func(rewrite func(byte, [][]byte) (byte, [][]byte)) map[string]int {
		g.server.SetFaults(sandbox.Faults{Rewrite: func(count byte, certificates [][]byte) (byte, [][]byte) {
			begin, most := time.Now(), 0
			for most < n-1 && time.Since(begin) < 100*time.Second { // the sandbox gives up after 120
				most = max(most, g.waiters())
				time.Sleep(20 * time.Millisecond)
			}
			t.Logf("%d wait after %v", most, time.Since(begin).Round(10*time.Millisecond))
			return rewrite(count, certificates)
		}})
		return g.tally(n, request)
	}
	failed := together(func(byte, [][]byte) (byte, [][]byte) { return 0, nil })
	g.want(1, failed, map[string]int{string(helper.CodeInvalidCredential): n})
	got := together(func(count byte, certificates [][]byte) (byte, [][]byte) { return count, certificates })
	g.want(2, got, cold(n)) // later processes try anew
	g.want(2, g.tally(n, request), warm(n))
}

// waiters counts who waits for the lock of the entry.
func (g *grid) waiters() int {
	files, err := filepath.Glob(g.path("run/lock/entry-*.lock"))
	if err != nil || len(files) != 1 {
		return 0
	}
	var st unix.Stat_t
	locks, err := os.ReadFile("/proc/locks")
	if err != nil || unix.Stat(files[0], &st) != nil {
		return 0
	}
	pids := map[string]bool{} // while it changes the file may show one twice, or not at all
	for line := range strings.Lines(string(locks)) {
		if f := strings.Fields(line); len(f) > 6 && f[1] == "->" && f[2] == "FLOCK" && strings.HasSuffix(f[6], fmt.Sprintf(":%d", st.Ino)) {
			pids[f[5]] = true
		}
	}
	return len(pids)
}

// TestCrowdAtTheKeyring: the data key of each process comes from a keyring that
// serves one after the other, on a bus that admits 256 connections.
func TestCrowdAtTheKeyring(t *testing.T) {
	g := sandboxGrid(t, gridOptions{})
	g.store(passphrase)
	g.server.SetFaults(sandbox.Faults{Delay: 2 * time.Second, DelayAt: sandbox.StageRequest})
	n := herd(400)
	g.want(1, g.tally(n, inCrowd), cold(n))
}

// TestCrowdAtASilentKeyring: what one process has waited for in vain the ones
// behind it do not wait for again. One after the other would need a minute, and
// as many connections to the bus as there are processes. A machine that starts
// three processes a second lets them do that, so the time alone is no defect.
func TestCrowdAtASilentKeyring(t *testing.T) {
	g := sandboxGrid(t, gridOptions{})
	g.store(passphrase)
	g.env = append(g.env, hastyVar+"=1")
	g.keyring.Freeze()
	defer g.keyring.Thaw()
	before := g.busConnections()
	n, begin := herd(150), time.Now()
	answers := g.tally(n, inCrowd)
	took, asked := time.Since(begin), g.busConnections()-before-1
	g.want(0, answers, map[string]int{string(helper.CodeKeyringUnavailable): n})
	t.Logf("%d asked the keyring", asked)
	if took > 45*time.Second && asked > n/2 {
		t.Errorf("took %v, and %d asked the keyring", took, asked)
	}
}

// busConnections counts the connections that the bus has had, with one for this.
func (g *grid) busConnections() int {
	g.t.Helper()
	name := g.keyring.Connect().Names()[0]
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '.')+1:])
	if err != nil {
		g.t.Fatalf("a connection is called %s", name)
	}
	return n
}

// TestWaitingEnds: whoever waits for another process waits as long as its
// request allows, and is told that somebody else is at work.
func TestWaitingEnds(t *testing.T) {
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		t.Parallel()
		g.store(passphrase)
		speak := g.silence()
		defer speak()
		leader := g.leader(1)
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				if e := g.outOfTime(helper.CodeBusy); !e.Retryable {
					t.Error("trying again is of use")
				}
			})
		}
		group.Wait()
		leader.kill()
		if n := g.connections(); n != 1 {
			t.Errorf("%d calls, expected 1", n)
		}
	})
}

// leader starts a process that asks the backend, and returns when it does.
func (g *grid) leader(calls int) *leader {
	g.t.Helper()
	cmd := g.command("get")
	cmd.Stdin = strings.NewReader(inCrowd)
	l := &leader{call: g.start(cmd), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.result = l.wait()
	}()
	g.waitFor("the leader", func() bool { return g.connections() == calls })
	return l
}

type leader struct {
	*call
	done   chan struct{}
	result result // once done is closed
}

// kill ends it with -9.
func (l *leader) kill() {
	_ = l.cmd.Process.Kill()
	<-l.done
}

// signal signals it, unless it has ended.
func (l *leader) signal(s os.Signal) { _ = l.cmd.Process.Signal(s) }

// waits says whether somebody waited for the lock of the entry while f ran.
func (g *grid) waits(f func()) bool {
	done := make(chan struct{})
	var group sync.WaitGroup
	waited := false
	group.Go(func() {
		for {
			waited = waited || g.waiters() > 0
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	f()
	close(done)
	group.Wait()
	return waited
}

// TestLeaderOfManyKilled: a hundred wait for one that is killed with -9. One of
// them takes over, and the others have its credential.
func TestLeaderOfManyKilled(t *testing.T) {
	g := sandboxGrid(t, gridOptions{})
	g.store(passphrase)
	speak := g.silence()
	leader := g.leader(1)
	var answers map[string]int
	var group sync.WaitGroup
	n := herd(100)
	group.Go(func() { answers = g.tally(n, inCrowd) })
	g.waitFor("the others", func() bool { return g.waiters() == n })
	speak()
	leader.kill()
	group.Wait()
	g.noTemporaries()
	g.want(2, answers, cold(n))
}

// cache opens the user's cache of plain files in this process.
func (g *grid) cache() *cache.Cache {
	return cache.New(cache.Options{Credentials: cache.Runtime, Passphrases: cache.None,
		RuntimeDir: func() (string, error) { return g.path("run"), nil }})
}

// age makes the credential in the cache one that is due to be renewed.
func (g *grid) age() {
	g.t.Helper()
	c, ctx := g.cache(), context.Background()
	list, err := c.List(ctx)
	if err != nil || len(list) != 1 {
		g.t.Fatalf("%d entries, %v", len(list), err)
	}
	entry, err := c.Get(ctx, list[0].Binding)
	if err == nil {
		entry.RefreshAfter = time.Now().Add(-time.Minute)
		_, err = c.Put(ctx, entry)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// TestRenewedAhead: of many who meet a credential that is due one fetches a new
// one. The others have the old one, which is good for hours, and so have those
// who come later until there is a new one.
func TestRenewedAhead(t *testing.T) {
	onBoth(t, gridOptions{profile: `key = "p256"`}, func(t *testing.T, g *grid) {
		g.storeConfig(`credentials = "runtime"`)
		g.store(passphrase)
		old := g.get(`{}`)
		fresh, late, calls := 0, 1, 0
		for try := 0; late > 0 && try < 5; try++ {
			// The one that fetches has five seconds, which on a busy machine may not
			// be enough; the others hear of it.
			_ = os.Remove(g.one(g.path("run/lock/entry-*.lock.rec")))
			g.age()
			fresh, late, calls = 0, 0, g.connections()
			for _, r := range g.stampede(herd(50), inCrowd) {
				if r.status != 0 {
					t.Fatalf("status %d: %s", r.status, r.stdout)
				}
				switch a := decodeGet(t, r.stdout); {
				case a.Source == helper.SourceBackend:
					fresh++
				case slices.ContainsFunc(a.Warnings, func(w helper.Warning) bool { return w.Code == "renewal_failed" }):
					late++
				}
			}
		}
		if n := g.connections() - calls; fresh != 1 || n != 1 || late != 0 {
			t.Errorf("%d processes fetched, %d calls, %d were told that it failed, expected 1, 1 and 0", fresh, n, late)
		}
		if a := g.get(`{}`); a.Source != helper.SourceCache || a.Credential.Fingerprint == old.Credential.Fingerprint {
			t.Errorf("afterwards there is no new one: %s", a.Source)
		}
	})
}

// TestRenewalHangs: while one process waits for a newer credential from a
// server that says nothing, the others have the old one at once; it has it too
// after five seconds, and then nobody tries for a while.
func TestRenewalHangs(t *testing.T) {
	t.Parallel()
	g := sandboxGrid(t, gridOptions{})
	g.storeConfig(`credentials = "runtime"`)
	g.store(passphrase)
	old := g.get(`{}`).Credential.Fingerprint
	g.age()
	speak := g.silence()
	ahead := g.leader(2)
	ahead.signal(syscall.SIGSTOP) // so that its five seconds do not end before they are through
	waited := g.waits(func() {
		for _, r := range g.stampede(5, inCrowd) {
			if a := decodeGet(t, r.stdout); r.status != 0 || a.Credential.Fingerprint != old {
				t.Errorf("status %d: %.300s", r.status, r.stdout)
			}
		}
	})
	if waited {
		t.Error("they waited for the one that renews")
	}
	ahead.signal(syscall.SIGCONT)
	<-ahead.done
	if a := decodeGet(t, ahead.result.stdout); a.Credential.Fingerprint != old || a.Source != helper.SourceCache {
		t.Errorf("the one that renews has %s from %s", a.Credential.Fingerprint, a.Source)
	}
	speak()
	if a := g.get(`{}`); a.Credential.Fingerprint != old {
		t.Error("the next one has another credential")
	}
	if n := g.connections(); n != 2 {
		t.Errorf("%d calls, expected 2", n)
	}
}
