package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// TestTenThousandEntries: a user with ten thousand credentials waits no longer
// for one of them than a user with one, because an entry is found by its name:
// the same files are asked for. The time is printed, not judged. What one write
// tidies up is bounded, and list reads them all.
func TestTenThousandEntries(t *testing.T) {
	lab.Require(t, lab.Strace)
	g := sandboxGrid(t, gridOptions{})
	g.store(passphrase)
	got := g.get(`{}`)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", g.keyring.Address)
	entries, n := filepath.Dir(g.entry()), herd(10_000)
	full := g.fill(n)
	few := g.traceGet(got)
	swap(t, entries, full)
	lot := g.traceGet(got)
	swap(t, entries, full)
	if few == 0 || lot*10 > few*12 {
		t.Errorf("a look-up makes %d calls for files among %d entries, %d where it is alone", lot, n, few)
	}
	t.Logf("%d and %d calls for files", few, lot)
	g.compareGet(got, entries, full)

	swap(t, entries, full)
	begin := time.Now()
	r := g.run(`{}`, "list")
	var list helper.ListAnswer
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || r.status != 0 || len(list.Entries) != n+1 {
		t.Errorf("list: status %d, %d entries, %v", r.status, len(list.Entries), err)
	}
	t.Logf("list takes %v", time.Since(begin).Round(time.Millisecond))
	begin = time.Now()
	g.get(`{"cache":"bypass"}`)
	t.Logf("a new one takes %v", time.Since(begin).Round(time.Millisecond))
}

// traceGet counts the calls of a cached look-up that are about files.
func (g *grid) traceGet(want *helper.GetAnswer) int {
	g.t.Helper()
	file := g.path("strace")
	cmd := exec.Command("strace", "-f", "-o", file, "-e", "trace=%file,getdents64,fstat,pread64", g.program, "get")
	cmd.Env, cmd.Dir, cmd.Stdin = g.env, g.dir, strings.NewReader(`{}`)
	r := g.finish(cmd)
	if a := decodeGet(g.t, r.stdout); a.Source != helper.SourceCache || a.Credential.Fingerprint != want.Credential.Fingerprint {
		g.t.Fatalf("%s from %s", a.Credential.Fingerprint, a.Source)
	}
	trace, err := os.ReadFile(file)
	if err != nil {
		g.t.Fatal(err)
	}
	return strings.Count(string(trace), "(")
}

// compareGet prints how long a cached credential takes, alone and among many.
func (g *grid) compareGet(want *helper.GetAnswer, entries, full string) {
	g.t.Helper()
	var few, lot []time.Duration
	for range herd(40) { // a busy machine is busy for both
		few = append(few, g.timeGet(want))
		swap(g.t, entries, full)
		lot = append(lot, g.timeGet(want))
		swap(g.t, entries, full)
	}
	one, many := median(few), median(lot)
	g.t.Logf("a cached credential takes %v of one, %v of many entries: %.2f times", one, many, float64(many)/float64(one))
}

// entry is the file of the only entry.
func (g *grid) entry() string {
	g.t.Helper()
	files, err := filepath.Glob(filepath.Join(g.keyring.Home, ".cache", name, "v1", "*", "*.xche"))
	if err != nil || len(files) != 1 {
		g.t.Fatalf("%v, %v", files, err)
	}
	return files[0]
}

// timeGet is how long a cached credential takes.
func (g *grid) timeGet(want *helper.GetAnswer) time.Duration {
	g.t.Helper()
	begin := time.Now()
	a := g.get(`{}`)
	took := time.Since(begin)
	if a.Source != helper.SourceCache || a.Credential.Fingerprint != want.Credential.Fingerprint {
		g.t.Fatalf("%s from %s", a.Credential.Fingerprint, a.Source)
	}
	return took
}

func median(of []time.Duration) time.Duration {
	slices.Sort(of)
	return of[len(of)/2].Round(10 * time.Microsecond)
}

// swap exchanges two directories of entries.
func swap(t testing.TB, a, b string) {
	t.Helper()
	for _, step := range [][2]string{{a, a + ".away"}, {b, a}, {a + ".away", b}} {
		if err := os.Rename(step[0], step[1]); err != nil {
			t.Fatal(err)
		}
	}
}

// fill makes a directory like that of the entries, with n more. Each is put
// into a cache of its own, so that no write tidies up after the others.
func (g *grid) fill(n int) string {
	g.t.Helper()
	ctx := context.Background()
	fatal := func(err error) {
		if err != nil {
			g.t.Helper()
			g.t.Fatal(err)
		}
	}
	const account = "data-key:v1"
	memory := cache.NewMemory()
	key, err := cache.NewKeyring(cache.KeyringOptions{UID: os.Getuid(), Deadline: patience}).Get(ctx, account)
	fatal(err)
	fatal(memory.Set(ctx, account, key))
	staging, err := os.MkdirTemp("/dev/shm", "x509ch-many-") // fsync costs nothing there
	fatal(err)
	g.t.Cleanup(func() { os.RemoveAll(staging) })
	own := g.entry()
	kid := filepath.Base(filepath.Dir(own))
	there := cache.Options{Credentials: cache.Keyring, Passphrases: cache.Keyring, Keys: memory,
		RuntimeDir: func() (string, error) { return filepath.Join(staging, "run"), nil },
		CacheDir:   func() (string, error) { return filepath.Join(g.keyring.Home, ".cache", name), nil }}
	list, err := cache.New(there).List(ctx)
	fatal(err)
	entry, err := cache.New(there).Get(ctx, list[0].Binding)
	fatal(err)
	there.CacheDir = func() (string, error) { return filepath.Join(staging, "cache"), nil }
	c := cache.New(there)
	full := filepath.Join(filepath.Dir(filepath.Dir(own)), "full")
	fatal(os.Mkdir(full, 0o700))
	data, err := os.ReadFile(own)
	fatal(err)
	fatal(os.WriteFile(filepath.Join(full, filepath.Base(own)), data, 0o600))
	made := filepath.Join(staging, "cache", "v1", kid)
	for i := range n {
		entry.Binding.Profile = fmt.Sprintf("other-%d", i)
		_, err := c.Put(ctx, entry)
		fatal(err)
		names, err := os.ReadDir(made)
		if err != nil || len(names) != 1 {
			g.t.Fatalf("%d entries, %v", len(names), err)
		}
		path := filepath.Join(made, names[0].Name())
		data, err := os.ReadFile(path)
		fatal(err)
		fatal(os.WriteFile(filepath.Join(full, names[0].Name()), data, 0o600))
		fatal(os.Remove(path))
	}
	return full
}
