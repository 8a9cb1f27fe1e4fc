package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// What a get with a fault has to come to.
const (
	right  = "right"  // the right credential and not a word more
	warned = "warned" // the right credential, and a warning that it is not kept, or where instead
)

// TestDiskFaults: a file system that takes nothing more. What cannot be kept is
// a warning, because the credential is good all the same. Only where the notes
// of attempts cannot be written nothing is sent at all: nobody could tell the
// next process that a server has refused the pass phrase.
func TestDiskFaults(t *testing.T) {
	needRoot(t)
	t.Parallel()
	fullBut := func(dir string, pages int) string {
		return fmt.Sprintf("mkdir -p -m 700 %[1]s && mount -t tmpfs -o size=64k,mode=700 none %[1]s && dd if=/dev/zero of=%[1]s/full bs=4k count=%[2]d 2>/dev/null", dir, 16-pages)
	}
	full := func(dir string) string { return fullBut(dir, 0) }
	g := sandboxGrid(t, gridOptions{profile: `key = "p256"`})
	g.store(passphrase)
	cache, run, home := g.cacheDir(), g.path("run"), g.keyring.Home
	for _, tc := range []struct {
		name, mount, request string
		warm                 bool // there is an entry already
		want                 string
		sent                 int // pass phrases that are sent
	}{
		{"cache full", full(cache), `{}`, false, warned, 1},
		{"no more names in the cache", "mkdir -p -m 700 " + cache + " && mount -t tmpfs -o nr_inodes=1,mode=700 none " + cache, `{}`, false, warned, 1},
		{"cache read-only", "mkdir -p -m 700 " + cache + " && mount -t tmpfs -o ro,mode=700 none " + cache, `{}`, false, warned, 1},
		{"cache full but for one entry", fullBut(cache, 1), `{}`, false, right, 1},
		{"home read-only", "mount --bind " + home + " " + home + " && mount -o remount,ro,bind " + home, `{}`, false, warned, 1},
		{"home read-only, warm", "mount --bind " + home + " " + home + " && mount -o remount,ro,bind " + home, `{}`, true, right, 0},
		{"cache full, tool file", full(cache), `{"output":"path"}`, false, warned, 1},
		{"runtime directory full", full(run), `{}`, false, string(helper.CodeStorageError), 0},
		{"runtime directory full but for one record", fullBut(run, 1), `{"output":"path"}`, false, string(helper.CodeStorageError), 1},
		{"runtime directory full but for two records", fullBut(run, 2), `{}`, false, right, 1},
		{"runtime directory full, warm", full(run), `{}`, true, right, 0},
		{"runtime directory full, tool file", full(run), `{"output":"path"}`, true, string(helper.CodeStorageError), 0},
		{"no more names in the runtime directory", "mount -t tmpfs -o nr_inodes=1,mode=700 none " + run, `{}`, false, string(helper.CodeStorageError), 0},
		{"runtime directory read-only", "mount -t tmpfs -o ro,mode=700 none " + run, `{}`, false, string(helper.CodeStorageError), 0},
		{"runtime directory read-only, warm", "mount -t tmpfs -o ro,mode=700 none " + run, `{}`, true, right, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := g.at(t)
			g.forget()
			if err := os.MkdirAll(run, 0o700); err != nil {
				t.Fatal(err)
			}
			if tc.warm {
				g.get(`{}`)
			}
			before := g.server.Requests(0)
			r, left := g.mounted(tc.mount, tc.request, "get")
			g.outcome(r, tc.want)
			if n := g.server.Requests(0) - before; n != tc.sent {
				t.Errorf("sent %d times, expected %d", n, tc.sent)
			}
			if strings.Contains(left, ".tmp-") {
				t.Errorf("left behind: %s", left)
			}
			if r := g.run(`{}`, "get"); r.status != 0 { // the disk is well again
				t.Errorf("afterwards: %s", r.stdout)
			}
		})
	}
}

// TestDiskFaultsKeep: commands that keep or forget something, on a file system
// that takes nothing more. Success is the truth, and so is failure: what was to
// be erased is gone or there was an error, and a pass phrase that was kept stays.
func TestDiskFaultsKeep(t *testing.T) {
	needRoot(t)
	t.Parallel()
	g := sandboxGrid(t, gridOptions{profile: `key = "p256"`})
	cache, run, home := g.cacheDir(), g.path("run"), g.keyring.Home
	store := fmt.Sprintf(`{"secret":{"kind":"passphrase","value":%q}}`, passphrase)
	for what, mount := range map[string]string{
		"runtime directory full":      "mount -t tmpfs -o size=4k,mode=700 none " + run + " && dd if=/dev/zero of=" + run + "/full bs=4k count=1 2>/dev/null",
		"runtime directory read-only": "mount -t tmpfs -o ro,mode=700 none " + run,
		"home read-only":              "mount --bind " + home + " " + home + " && mount -o remount,ro,bind " + home,
		"cache full":                  "mount -t tmpfs -o size=4k,mode=700 none " + cache + " && dd if=/dev/zero of=" + cache + "/full bs=4k count=1 2>/dev/null",
	} {
		for _, tc := range []struct{ args, stdin string }{
			{"store", store}, {"login --passphrase-stdin", passphrase + "\n"}, {"erase", `{"what":["credential"]}`},
			{"rotate-keys", ""}, {"erase --all", ""},
		} {
			what := what + ", " + tc.args
			g.store(passphrase)
			g.get(`{}`)
			r, left := g.mounted(mount, tc.stdin, strings.Fields(tc.args)...)
			t.Logf("%s: status %d %.300s%.300s", what, r.status, r.stdout, r.stderr)
			if strings.Contains(left, ".tmp-") {
				t.Errorf("%s: left behind: %s", what, left)
			}
			if r.status != 0 && r.status != helper.CodeStorageError.ExitStatus() || r.stdout+r.stderr == "" {
				t.Errorf("%s: %+v", what, r)
			}
			after := g.run(`{"cache":"only"}`, "get")
			switch {
			case strings.HasPrefix(tc.args, "erase") && r.status == 0 && !strings.HasPrefix(mount, "mount -t tmpfs -o size=4k,mode=700 none "+cache):
				if after.status == 0 {
					t.Errorf("%s: said to be erased, and there still", what)
				}
			case tc.args == "erase --all": // part of it may be gone
			default:
				g.right(what, g.run(`{"cache":"bypass"}`, "get"))
			}
		}
	}
}

// needRoot skips a test that mounts or becomes another user. X509CH_LAB=require
// or not: whoever has the packages is not root for that.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount and become another user")
	}
}

// at is the grid for a subtest.
func (g *grid) at(t *testing.T) *grid {
	w := *g.world
	w.t = t
	other := *g
	other.world = &w
	return &other
}

// mounted runs the program in a mount namespace of its own after a script, and
// returns what it said and what lies below cache and runtime directory then.
func (g *grid) mounted(script, stdin string, args ...string) (result, string) {
	g.t.Helper()
	list := g.path("left")
	cmd := exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c",
		script + ` || exit 99; "$@"; status=$?; find "` + g.cacheDir() + `" "` + g.path("run") + `" >"` + list + `" 2>/dev/null; exit $status`,
		"sh", g.program}, args...)...)
	cmd.Env, cmd.Dir, cmd.Stdin = g.env, g.dir, strings.NewReader(stdin)
	r := g.finish(cmd)
	if r.status == 99 {
		g.t.Fatalf("cannot mount: %s", r.stderr)
	}
	left, err := os.ReadFile(list)
	if err != nil || !strings.Contains(string(left), g.path("run")) {
		g.t.Fatalf("what was left: %q, %v", left, err)
	}
	return r, string(left)
}

// outcome checks what became of a get with a fault.
func (g *grid) outcome(r result, want string) {
	g.t.Helper()
	if want != right && want != warned {
		g.refusal(r, helper.Code(want))
		return
	}
	a := g.right("with the fault", r)
	told := false
	for _, w := range a.Warnings {
		told = told || w.Code == "not_stored" || w.Code == "stored_elsewhere"
		g.t.Logf("%s: %s", w.Code, w.Message)
	}
	if told != (want == warned) {
		g.t.Errorf("expected it %s: %+v", want, a.Warnings)
	}
	if want == warned && a.StoredIn == string("keyring") {
		g.t.Errorf("stored in the %s", a.StoredIn)
	}
}
