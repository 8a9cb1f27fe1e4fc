package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// seedLife is that of a seed which can renew, and is not long enough to be taken
// for the proxy itself.
const seedLife = 10 * time.Minute

// outliving is a grid with a storage element whose profile has a proxy that
// ends soon. What is stored on the server lives long once renewed was called.
func outliving(t *testing.T) (g *toolsGrid, s *storage, renewed func()) {
	t.Helper()
	g = newToolsGrid(t)
	user := gsi.Credential(*g.mp.CA.User("Jane Doe"))
	g.seed("seed", &user, seedLife)
	s = g.storage("lab", "auth = \"renewal\"\ncredential_name = \"batch\"\nseed = \""+g.path("seed")+"\"", lab.XRootDOptions{})
	g.configure()
	soon := gsi.Credential(*g.mp.CA.UserUntil("Jane Doe", time.Now().Add(20*time.Second)))
	g.deposit("batch", &soon)
	return g, s, func() { g.deposit("batch", &user) }
}

// outlive waits in a script until the proxy that it began with has expired.
const outlive = `cp "$X509_USER_PROXY" first; : > started
expired() { n=0; while "$0" show --exists --file first; do n=$((n+1)); test $n -lt 120 || exit 99; sleep 0.5; done; : > expired; }
`

// script runs a script below exec and says what became of it. Once it has
// started, what is on the server lives long.
func (g *toolsGrid) script(renewed func(), script, url string, options ...string) result {
	g.t.Helper()
	args := append(append([]string{"exec", "--min-lifetime", "1s", "--url", url}, options...), "--", "sh", "-c", outlive+script, g.program, url)
	c := g.start(g.command(args...))
	g.waitFor("the script", func() bool { _, err := os.Stat(g.path("started")); return err == nil })
	renewed()
	r := c.within(4 * patience)
	if _, err := os.Stat(g.path("expired")); err != nil {
		g.t.Fatalf("the first proxy has not expired: %+v", r)
	}
	return r
}

// TestTransferOutlivesProxy: a transfer that takes longer than the proxy lives
// is not cut off, and whoever connects after it has the new proxy in the file
// that he was told; the first one would not have let him in.
func TestTransferOutlivesProxy(t *testing.T) {
	t.Parallel()
	g, s, renewed := outliving(t)
	big := strings.Repeat("0123456789abcdef", 1<<20)
	if err := os.WriteFile(filepath.Join(s.Data, "big"), []byte(big), 0o644); err != nil {
		t.Fatal(err)
	}
	// What nobody reads does not arrive: so the transfer takes as long as we like.
	r := g.script(renewed, `xrdcp --silent "$1//data/big" - | { expired; cat > big; } || exit
xrdcp --nopbar "$1//data/file" second || exit
n=0 # the server's clock may be a second behind ours
while X509_USER_PROXY=$PWD/first xrdcp --nopbar -f "$1//data/file" third; do n=$((n+1)); test $n -lt 30 || exit 98; sleep 0.2; done
exit 42`, s.URL, "--keep-fresh")
	if r.status != 42 || strings.Contains(r.stderr, "not refreshed") {
		t.Fatalf("%+v", r)
	}
	if got, err := os.ReadFile(g.path("big")); err != nil || string(got) != big {
		t.Errorf("%d bytes arrived: %v", len(got), err)
	}
	if got, err := os.ReadFile(g.path("second")); err != nil || string(got) != content {
		t.Errorf("the second one: %q, %v", got, err)
	}
}

// TestSecondConnection: a client that runs on and connects again after its proxy
// has expired reads the file again, and is let in because the file was replaced
// where it is. Without --keep-fresh the same client is not let in.
func TestSecondConnection(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		options []string
		want    int // answers
	}{"kept fresh": {[]string{"--keep-fresh"}, 2}, "not": {nil, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, s, renewed := outliving(t)
			// Idle connections end after a second.
			r := g.script(renewed, `export XRD_TIMEOUTRESOLUTION=1 XRD_DATASERVERTTL=1 XRD_LOADBALANCERTTL=1 XRD_CONNECTIONRETRY=1
{ echo stat /data/file; expired; sleep 4; echo stat /data/file; echo exit; } | xrdfs "$1" 2>&1`, s.URL, tc.options...)
			if got := strings.Count(r.stdout, fmt.Sprintf("Size:   %d", len(content))); got != tc.want {
				t.Errorf("%d answers, expected %d: %+v", got, tc.want, r)
			}
		})
	}
}

// TestNothingTorn: a thousand readers, of which each opens the file again and
// again while it is refreshed, see whole proxies only.
func TestNothingTorn(t *testing.T) {
	t.Parallel()
	const readers, generations = 1000, 3
	g := shortLived(t)
	r := g.run("", "path", "--min-lifetime", "1s")
	if r.status != 0 {
		t.Fatalf("%+v", r)
	}
	file := strings.TrimSpace(r.stdout)
	c := g.start(g.command("keep-fresh", "--min-lifetime", "1s"))
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	var mu sync.Mutex
	seen := map[[32]byte]bool{}
	enough := make(chan struct{})
	read := func() error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		mu.Lock()
		defer mu.Unlock()
		if seen[sum] {
			return nil
		}
		if _, err := gsi.ParseCredential(data); err != nil { // fails unless key and certificate fit
			return fmt.Errorf("after %d proxies, %d bytes: %w", len(seen), len(data), err)
		}
		if seen[sum] = true; len(seen) == generations+1 {
			close(enough)
		}
		return nil
	}
	var all []<-chan error
	for range readers {
		all = append(all, safego.Go(func() error {
			for {
				if err := read(); err != nil {
					return err
				}
				select {
				case <-enough:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(100 * time.Millisecond):
				}
			}
		}))
	}
	for i, done := range all {
		if err := <-done; err != nil {
			t.Fatalf("reader %d: %v", i, err)
		}
	}
	_ = c.cmd.Process.Signal(os.Interrupt)
	c.wait()
}
