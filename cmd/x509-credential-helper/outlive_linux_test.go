package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// seedLife is that of a seed which can renew, and is not long enough to be taken
// for the proxy itself.
const seedLife = 10 * time.Minute

// bigContent is that of a file that takes long to read.
var bigContent = strings.Repeat("0123456789abcdef", 1<<20)

// outlive waits in a script until the proxy that it began with has expired;
// fresh, until the one in its file has not.
const outlive = `cp "$X509_USER_PROXY" first; : > started
expired() { n=0; while "$0" show --exists --file first; do n=$((n+1)); test $n -lt 600 || exit 99; sleep 0.5; done; : > expired; }
fresh() { n=0; until "$0" show --exists --file "$X509_USER_PROXY"; do n=$((n+1)); test $n -lt 600 || exit 97; sleep 0.1; done; }
`

// outlived runs a script below exec for longer than its first proxy lives, which
// are twenty seconds. A machine that needs half of them for the beginning may
// have renewed the proxy too early: there it is done again with more.
func outlived(t *testing.T, script string, options ...string) (*toolsGrid, result) {
	t.Helper()
	for life := 20 * time.Second; life < seedLife/2; life *= 3 {
		g, r, took := outlivedBy(t, life, script, options)
		if took < life/2 {
			return g, r
		}
		t.Logf("too slow for a first proxy of %v: its beginning took %v, %+v", life, took, r)
	}
	t.Fatal("this machine is too slow")
	return nil, result{}
}

// outlivedBy also says how long it took until the script had started and what is
// stored on the server lived long.
func outlivedBy(t *testing.T, life time.Duration, script string, options []string) (*toolsGrid, result, time.Duration) {
	t.Helper()
	g := newToolsGrid(t)
	user := gsi.Credential(*g.mp.CA.User("Jane Doe"))
	g.seed("seed", &user, seedLife)
	s := g.storage("lab", "auth = \"renewal\"\ncredential_name = \"batch\"\nseed = \""+g.path("seed")+"\"", lab.XRootDOptions{})
	if err := os.WriteFile(filepath.Join(s.Data, "big"), []byte(bigContent), 0o644); err != nil {
		t.Fatal(err)
	}
	g.configure()
	begin := time.Now()
	soon := gsi.Credential(*g.mp.CA.UserUntil("Jane Doe", begin.Add(life)))
	g.deposit("batch", &soon)
	args := append(append([]string{"exec", "--min-lifetime", "1s", "--url", s.URL}, options...), "--", "sh", "-c", outlive+script, g.program, s.URL)
	cmd := g.command(args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c := g.start(cmd)
	g.waitFor("the script, or the end of its proxy", func() bool {
		_, err := os.Stat(g.path("started"))
		return err == nil || time.Since(begin) > life
	})
	g.deposit("batch", &user)
	took := time.Since(begin)
	if took >= life/2 {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return g, c.wait(), took
	}
	r := c.within(4 * patience)
	if _, err := os.Stat(g.path("expired")); err != nil {
		t.Fatalf("the first proxy has not expired: %+v", r)
	}
	return g, r, took
}

// TestTransferOutlivesProxy: a transfer that takes longer than the proxy lives
// is not cut off, and whoever connects after it has the new proxy in the file
// that he was told; the first one would not have let him in.
func TestTransferOutlivesProxy(t *testing.T) {
	t.Parallel()
	// What nobody reads does not arrive: so the transfer takes as long as we like.
	g, r := outlived(t, `xrdcp --silent "$1//data/big" - | { expired; cat > big; } || exit
fresh
xrdcp --nopbar "$1//data/file" second || exit
n=0 # the server's clock may be a second behind ours
while X509_USER_PROXY=$PWD/first xrdcp --nopbar -f "$1//data/file" third; do n=$((n+1)); test $n -lt 30 || exit 98; sleep 0.2; done
exit 42`, "--keep-fresh")
	if r.status != 42 || strings.Contains(r.stderr, "not refreshed") {
		t.Fatalf("%+v", r)
	}
	if got, err := os.ReadFile(g.path("big")); err != nil || string(got) != bigContent {
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
			// Idle connections end after a second.
			_, r := outlived(t, `export XRD_TIMEOUTRESOLUTION=1 XRD_DATASERVERTTL=1 XRD_LOADBALANCERTTL=1 XRD_CONNECTIONRETRY=1
{ echo stat /data/file; expired; sleep 4; echo stat /data/file; echo exit; } | xrdfs "$1" 2>&1`, tc.options...)
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
	g := renewing(t)
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
