package helper

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSingleFlight: whoever asks while one asks the backend gets what that one
// got, or its failure.
func TestSingleFlight(t *testing.T) {
	for _, fail := range []bool{false, true} {
		w := newWorld(t, "")
		w.storePass(t, "right")
		release := make(chan struct{})
		w.issuer.during = func(context.Context) { <-release }
		if fail {
			w.issuer.err = Errorf(CodeBackendUnavailable, "nobody there")
		}
		var group sync.WaitGroup
		group.Go(func() { w.awaitWaiters(t, 49); close(release) })
		for i := range 50 {
			group.Go(func() {
				r := DefaultGetRequest()
				if i%2 == 0 {
					r.Cache = CacheBypass
				}
				if _, err := w.Get(t.Context(), r); (err != nil) != fail {
					t.Errorf("fail %v: got %v", fail, err)
				}
			})
		}
		group.Wait()
		// One or two who wait may ask anew, not everybody.
		if n := w.issuer.count(); n > 3 {
			t.Errorf("fail %v: %d calls for 50 callers", fail, n)
		}
	}
}

// awaitWaiters returns when so many wait for a lock of the cache, or after some
// time where nobody can tell.
func (w *world) awaitWaiters(t *testing.T, n int) {
	t.Helper()
	if _, err := os.Stat("/proc/locks"); err != nil {
		time.Sleep(time.Second)
		return
	}
	for end := time.Now().Add(2 * time.Minute); w.waiters() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%d wait, not %d", w.waiters(), n)
			return
		}
	}
}

// waiters counts those who wait for a lock of the cache.
func (w *world) waiters() (n int) {
	files, _ := filepath.Glob(filepath.Join(w.dir, "run", "*", "*"))
	locks, _ := os.ReadFile("/proc/locks")
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		inode := fmt.Sprintf(":%v ", reflect.Indirect(reflect.ValueOf(info.Sys())).FieldByName("Ino"))
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, "-> ") && strings.Contains(line, inode) {
				n++
			}
		}
	}
	return n
}

func TestBusy(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	started, release := make(chan struct{}), make(chan struct{})
	w.issuer.during = func(context.Context) { close(started); <-release }
	done := make(chan error, 1)
	go func() { _, err := w.Get(t.Context(), DefaultGetRequest()); done <- err }()
	<-started
	e := w.refused(t, `{"timeout":1}`, CodeBusy)
	if !e.Retryable {
		t.Error("busy is worth another try")
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestNotShared: what a leader's own deadline caused is no failure of who waits
// for it, and somebody at a login is there to try.
func TestNotShared(t *testing.T) {
	waiters := map[string]func(h *Helper) error{
		"deadline": func(h *Helper) error { _, err := h.Get(t.Context(), DefaultGetRequest()); return err },
		"login": func(h *Helper) error {
			_, err := h.Login(t.Context(), LoginRequest{Passphrase: []byte("right")})
			return err
		},
	}
	for name, wait := range waiters {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			w.storePass(t, "right")
			second := *w.Helper // another process
			second.Backends = map[string]Backend{"test": &issuer{eec: w.issuer.eec, clock: w.Clock, grant: 12 * time.Hour, pass: "right"}}
			leads, begun := make(chan error, 1), make(chan struct{})
			request := DefaultGetRequest()
			if name == "deadline" {
				request.Timeout = time.Second
				w.issuer.during = func(ctx context.Context) { close(begun); <-ctx.Done() }
			} else {
				w.issuer.during = func(context.Context) { close(begun); time.Sleep(300 * time.Millisecond) }
			}
			w.issuer.err = Errorf(CodeBackendUnavailable, "nobody there")
			for led := false; !led; {
				go func() { _, err := w.Get(t.Context(), request); leads <- err }()
				select {
				case <-begun:
					led = true
				case <-leads: // its time was over before, on a slow machine
				}
			}
			if err := wait(&second); err != nil {
				t.Errorf("who waited: %v", err)
			}
			if err := <-leads; err == nil {
				t.Error("the leader succeeded")
			}
		})
	}
}

// TestRefreshAhead: past its refresh time a credential is renewed while it is
// still good; where that fails the good one is served, and not every caller
// tries again.
func TestRefreshAhead(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	first := w.must(t, `{}`)
	share := first.Credential.RefreshAfter.Sub(w.now).Seconds() / (12 * 3600)
	if share < 0.5 || share > 0.75 {
		t.Errorf("refresh at %.2f of its life", share)
	}
	w.now = first.Credential.RefreshAfter.Add(time.Second)
	w.issuer.err = Errorf(CodeBackendUnavailable, "nobody there")
	w.issuer.during = func(ctx context.Context) {
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > 5*time.Second {
			t.Errorf("it may take until %v", end)
		}
	}
	for range 3 {
		if a := w.must(t, `{}`); a.Source != SourceCache {
			t.Error("not served from the cache")
		}
	}
	if n := w.issuer.count(); n != 2 {
		t.Errorf("%d calls, want one and one failed refresh", n)
	}
	w.issuer.err = nil
	if a := w.must(t, `{"cache":"only"}`); a.Credential.Fingerprint != first.Credential.Fingerprint {
		t.Error("cache:only asked the backend")
	}
}

func TestRefreshAheadRenews(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	first := w.must(t, `{}`)
	w.now = first.Credential.RefreshAfter.Add(time.Second)
	if a := w.must(t, `{}`); a.Source != SourceBackend || a.Credential.Fingerprint == first.Credential.Fingerprint {
		t.Errorf("not renewed: %s", a.Source)
	}
	if a := w.must(t, `{}`); a.Source != SourceCache {
		t.Error("renewed twice")
	}
}

// TestRefreshAheadIsQuiet: nobody is asked for a pass word of the keyring
// because of a credential that is still good.
func TestRefreshAheadIsQuiet(t *testing.T) {
	w := newWorld(t, "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\n[store]\ncredentials = \"runtime\"\n")
	keys := &promptCount{KeyStore: w.keys}
	w.useKeys(keys)
	w.storePass(t, "right")
	w.terminal.foreground = true
	first := w.must(t, `{"interactive":"auto"}`)
	if keys.n == 0 {
		t.Fatal("a fetch that somebody waits for may ask")
	}
	keys.n = 0
	w.now = first.Credential.RefreshAfter.Add(time.Second)
	if a := w.must(t, `{"interactive":"auto"}`); a.Source != SourceBackend || keys.n > 0 {
		t.Errorf("from the %s, asked %d times", a.Source, keys.n)
	}
}
