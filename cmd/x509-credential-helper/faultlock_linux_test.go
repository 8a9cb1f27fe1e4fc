package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// TestCleaner: something unlinks all locks and records while thirty processes
// hold them and wait for them. Each time at most one more process asks the
// server; nobody gets a wrong answer, and nobody waits for ever.
func TestCleaner(t *testing.T) {
	const n, delay = 30, 150 * time.Millisecond
	for _, tc := range []struct {
		name   string
		sweeps int // 0: all the time
		value  string
		want   helper.Code
	}{
		{"five times", 5, passphrase, ""},
		{"five times, refused", 5, "not the right one", helper.CodeAuthenticationFailed},
		{"all the time", 0, passphrase, ""},
		{"all the time, refused", 0, "not the right one", helper.CodeAuthenticationFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g := sandboxGrid(t, gridOptions{profile: `key = "p256"`})
			g.store(tc.value)
			g.server.SetFaults(sandbox.Faults{Delay: delay, DelayAt: sandbox.StageRequest})
			asked := g.server.Requests(0)
			stop, cleaned, slow := make(chan struct{}), make(chan struct{}), 0
			go func() {
				defer close(cleaned)
				pause := 40 * time.Millisecond
				if tc.sweeps == 0 {
					pause = time.Millisecond
				}
				for i := 0; tc.sweeps == 0 || i < tc.sweeps; i++ {
					select {
					case <-stop:
						return
					case <-time.After(pause):
					}
					begin := time.Now()
					locks, _ := filepath.Glob(g.path("run/lock/*"))
					for _, path := range locks {
						_ = os.Remove(path)
					}
					if time.Since(begin) > delay/3 { // it stood still between two of them, so it was two
						slow++
					}
				}
			}()
			results := g.stampede(n, inCrowd)
			close(stop)
			<-cleaned
			for _, r := range results {
				switch {
				case tc.want == "":
					g.right("beside a cleaner", r)
				case (tc.sweeps == 0 || slow > 0) && g.code(r) == string(helper.CodeRateLimited):
					// It read what another, who has lost the lock, had noted before its answer.
				default:
					g.refusal(r, tc.want)
				}
			}
			sent, most := g.server.Requests(0)-asked, n
			if tc.sweeps > 0 {
				most = 1 + tc.sweeps + slow
			}
			t.Logf("%d requests", sent)
			if sent > most {
				t.Errorf("%d requests, expected %d or less", sent, most)
			}
			g.server.SetFaults(sandbox.Faults{})
			g.store(passphrase)
			g.get(`{"cache":"bypass"}`)
		})
	}
}

// TestTwoHosts: two machines with different keyrings share a home. Each finds
// its own entries and leaves the other's alone, whatever they do at once.
func TestTwoHosts(t *testing.T) {
	t.Parallel()
	a := sandboxGrid(t, gridOptions{profile: `key = "p256"`})
	second := lab.StartKeyring(t)
	config, err := os.ReadFile(a.path("config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(config), a.path("run"), a.path("run2"))
	if err := os.WriteFile(a.path("config2.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w := *a.world
	w.env = slices.DeleteFunc(slices.Clone(a.env), func(kv string) bool {
		return strings.HasPrefix(kv, "XDG_RUNTIME_DIR=") || strings.HasPrefix(kv, "DBUS_") || strings.HasPrefix(kv, "X509_CREDENTIAL_HELPER_CONFIG=")
	})
	w.env = append(w.env, "XDG_RUNTIME_DIR="+second.Runtime, "DBUS_SESSION_BUS_ADDRESS="+second.Address,
		"X509_CREDENTIAL_HELPER_CONFIG="+a.path("config2.toml"))
	other := *a
	other.world = &w
	b := &other
	a.store(passphrase)
	b.refused(`{}`, helper.CodeInteractionRequired) // the pass phrase is not in this keyring
	b.store(passphrase)
	first := a.get(`{}`)
	if r := b.get(`{}`); r.Source != helper.SourceBackend {
		t.Errorf("the second host was answered from the %s of the first", r.Source)
	}
	var group sync.WaitGroup
	for range 4 {
		for _, g := range []*grid{a, b} {
			group.Go(func() {
				for _, request := range []string{`{"cache":"bypass"}`, `{}`} {
					g.right("beside another host", g.run(request, "get"))
				}
			})
		}
	}
	group.Wait()
	kept := a.get(`{"cache":"only"}`)
	if kept.Credential.Fingerprint == first.Credential.Fingerprint {
		t.Error("a bypass changed nothing")
	}
	if r := b.run(`{"what":["all"]}`, "erase"); r.status != 0 {
		t.Errorf("erase: %s", r.stdout)
	}
	b.refused(`{"cache":"only"}`, helper.CodeNotFound)
	if now := a.get(`{"cache":"only"}`); now.Credential.Fingerprint != kept.Credential.Fingerprint {
		t.Error("the other host erased this one's entry")
	}
	a.noTemporaries()
}

// TestQuota: the file system says EDQUOT, at any of the calls by which
// something is made. What could not be written wholly is not used, and not
// left. A write that fails is in TestDiskFaults.
func TestQuota(t *testing.T) {
	lab.Require(t, lab.Strace)
	t.Parallel()
	g := sandboxGrid(t, gridOptions{profile: `key = "p256"`})
	g.store(passphrase)
	const refused, either = string(helper.CodeStorageError), "" // either: warned, or an error with a code
	for _, f := range []struct{ call, when, want string }{
		{"fsync", "1+", warned}, {"fsync", "1", either}, {"fsync", "2", either},
		{"renameat", "1+", refused}, {"renameat", "2", either}, {"renameat", "3", either},
		{"mkdirat", "1+", refused}, {"mkdirat", "3", either}, {"mkdirat", "5", either},
		{"fchmod", "1+", refused}, {"fchmod", "2", either}, {"unlinkat", "1+", either}, {"flock", "1+", refused},
	} {
		g.forget()
		cmd := exec.Command("strace", "-f", "-o", "/dev/null", "-e", "trace="+f.call, "-e",
			"inject="+f.call+":error=EDQUOT:when="+f.when, g.program, "get")
		cmd.Env, cmd.Dir, cmd.Stdin = g.env, g.dir, strings.NewReader("{}")
		r := g.finish(cmd)
		what := fmt.Sprintf("EDQUOT from %s %s", f.call, f.when)
		t.Logf("%s: %q, status %d", what, g.code(r), r.status)
		switch {
		case f.want != either:
			g.outcome(r, f.want)
		case r.status == 0:
			g.right(what, r)
		default:
			g.refusal(r, helper.Code(g.code(r)))
		}
		if f.call == "unlinkat" { // then it could not
			g.ageTemporaries()
			g.right(what, g.run(`{"cache":"bypass","output":"path"}`, "get"))
		}
		g.noTemporaries()
		g.right(what, g.run("{}", "get"))
	}
}
