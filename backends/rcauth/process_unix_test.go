//go:build unix

package rcauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// fileKeys is a keyring that several processes share.
type fileKeys struct {
	dir string
	// dieAt is the write of a session at which the process kills itself, 0 for
	// never.
	dieAt, sets int
}

func (k *fileKeys) Name() string { return "keyring" }

func (k *fileKeys) file(account string) string {
	return filepath.Join(k.dir, url.QueryEscape(account))
}

func (k *fileKeys) Get(_ context.Context, account string) ([]byte, error) {
	data, err := os.ReadFile(k.file(account))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &cache.Error{Kind: cache.ErrNotFound, Text: "no " + account}
	}
	return data, err
}

func (k *fileKeys) Set(_ context.Context, account string, value []byte) error {
	if strings.HasPrefix(account, "session:") {
		if k.sets++; k.sets == k.dieAt {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	temp := k.file(account) + fmt.Sprintf(".%d", os.Getpid())
	if err := os.WriteFile(temp, value, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, k.file(account))
}

func (k *fileKeys) Delete(_ context.Context, account string) error {
	if err := os.Remove(k.file(account)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (k *fileKeys) DeleteAll(context.Context) error { return os.RemoveAll(k.dir) }

// child is what a process of TestChild has to do.
type child struct {
	Dir, Config, Request string
	DieAt                int
}

const childVariable = "X509CH_TEST_RCAUTH_CHILD"

// TestChild is no test: other tests start it as a process of its own.
func TestChild(t *testing.T) {
	var c child
	if err := json.Unmarshal([]byte(os.Getenv(childVariable)), &c); err != nil {
		t.Skip("it is started by other tests")
	}
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	backend := New(Options{Getenv: func(string) string { return "" }})
	backends := map[string]helper.Backend{Name: backend}
	g := &grid{dir: c.Dir, backend: backend, now: time.Now()}
	h := g.bareHelper(helper.LoadConfig(helper.ConfigPaths{User: c.Config}, backends, ""), &fileKeys{dir: filepath.Join(c.Dir, "keys"), dieAt: c.DieAt})
	h.Clock = time.Now
	status := h.Serve(ctx, "get", strings.NewReader(c.Request), os.Stdout)
	os.Exit(status)
}

// processes is a grid whose secrets lie in files, with the real clock.
func processes(t *testing.T) *grid {
	t.Helper()
	g := newGrid(t, "")
	dir := filepath.Join(g.dir, "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	g.files = &fileKeys{dir: dir}
	g.Helper = g.newHelper(t, g.files)
	g.login(t)
	return g
}

func (g *grid) child(t *testing.T, request string, dieAt int) *exec.Cmd {
	t.Helper()
	order, err := json.Marshal(child{Dir: g.dir, Config: filepath.Join(g.dir, "config.toml"), Request: request, DieAt: dieAt})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childVariable+"="+string(order))
	cmd.Stdout, cmd.Stderr = &bytes.Buffer{}, os.Stderr
	return cmd
}

// TestHundredProcesses: a hundred processes with two different wishes at the same
// moment are two refreshes, one after the other; if two overlapped, the portal
// would refuse one, and the session would be lost.
func TestHundredProcesses(t *testing.T) {
	g := processes(t)
	if _, err := g.Erase(t.Context(), &helper.EraseRequest{What: []string{"credential"}}); err != nil {
		t.Fatal(err)
	}
	before := g.refreshes()
	var all []*exec.Cmd
	for i := range 100 {
		cmd := g.child(t, fmt.Sprintf(`{"limited":%t,"timeout":600}`, i%2 == 0), 0)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, cmd.Stdout)
		}
	}
	if n := g.refreshes() - before; n != 2 {
		t.Errorf("%d refreshes, want 2", n)
	}
	g.get(t)
}

// TestKilled: kill -9 between the portal's answer and its storage costs the
// session, and the user is told so, with the time. Before the question and after
// the storage it costs nothing.
func TestKilled(t *testing.T) {
	for dieAt, lost := range map[int]bool{1: false, 2: true} {
		g := processes(t)
		cmd := g.child(t, `{"cache":"bypass","timeout":600}`, dieAt)
		if err := cmd.Run(); err == nil {
			t.Fatalf("it was not killed: %s", cmd.Stdout)
		}
		if !lost {
			g.get(t)
			continue
		}
		e := g.refused(t, helper.CodeInteractionRequired)
		if !strings.Contains(e.Message, "cut off before its answer was kept, by kill -9") || e.Action == nil {
			t.Errorf("%s (%s)", e.Message, e.Hint)
		}
		g.login(t)
		g.get(t)
	}
}

// holding makes the portal's next answer to a refresh wait.
func holding(g *grid) (arrived <-chan struct{}, release func()) {
	came, free := make(chan struct{}), make(chan struct{})
	g.portal.Next(sandbox.PortalFaults{Endpoint: "token", Answer: func(*sandbox.PortalAnswer) { close(came); <-free }})
	return came, sync.OnceFunc(func() { close(free) })
}

// TestTerminated: a process that is told to end while the portal answers a
// refresh ends after it has kept the new token.
func TestTerminated(t *testing.T) {
	g := processes(t)
	arrived, release := holding(g)
	defer release()
	cmd := g.child(t, `{"cache":"bypass","timeout":600}`, 0)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := safego.Go(cmd.Wait)
	<-arrived
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
		t.Fatalf("it ended with the answer on its way: %s", cmd.Stdout)
	case <-time.After(2 * time.Second): // without holding it off it ends after one
	}
	release()
	<-ended
	if out := cmd.Stdout.(*bytes.Buffer).String(); !strings.Contains(out, `"cancelled"`) {
		t.Errorf("it said %s", out)
	}
	g.get(t)
}

// TestTimeoutDuringRefresh: the caller's time is up while the portal answers; the
// new token is kept before the caller hears of that.
func TestTimeoutDuringRefresh(t *testing.T) {
	g := newGrid(t, "")
	g.login(t)
	before := g.session(t)
	arrived, release := holding(g)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	done := safego.Go(func() error { _, err := g.Get(ctx, bypass()); return err })
	<-arrived
	cancel()
	release()
	if err := <-done; helper.AsError(err).Code != helper.CodeCancelled {
		t.Errorf("%v", err)
	}
	if after := g.session(t); after.RefreshToken == before.RefreshToken || !after.Began.IsZero() {
		t.Errorf("%+v", after)
	}
	g.get(t)
}
