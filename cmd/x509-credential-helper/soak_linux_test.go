package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// soakVar is how many processes TestKilledAtAnyMoment kills, however long that
// takes. Without it they are a thousand, or as many as two minutes are enough for.
const soakVar = "X509CH_SOAK"

// TestKilledAtAnyMoment: several processes get, store and erase all the time
// and are killed with -9 at random moments. The store opens after each of them
// and never serves half a credential; a pass phrase is the last one that was
// stored or one that was being stored when its process was killed; in the end
// no lock is held and nothing is left of writers.
func TestKilledAtAnyMoment(t *testing.T) {
	kills, limit := herd(500), time.Minute
	if n, err := strconv.Atoi(os.Getenv(soakVar)); err == nil {
		kills, limit = n/2, time.Hour
	}
	for _, store := range []cache.Store{cache.Runtime, cache.Keyring} {
		t.Run(string(store), func(t *testing.T) {
			g := sandboxGrid(t, gridOptions{})
			t.Setenv("DBUS_SESSION_BUS_ADDRESS", g.keyring.Address)
			s := newSoak(g, store)
			if err := errors.Join(s.run(kills, time.Now().Add(limit)), s.tidy()); err != nil {
				t.Error(err)
			}
		})
	}
}

// soak is one grid on which processes are killed.
type soak struct {
	*grid
	store cache.Store
	until time.Time

	mu     sync.Mutex
	left   int // kills to come
	done   map[string]int
	took   map[string]time.Duration // what an undisturbed process needs
	failed error
}

// other is a profile whose pass phrase is only stored, a new one each time.
const other = `[profile.other]
backend = "myproxy"
server = "other.example.org"
username = "jane"
`

func newSoak(g *grid, store cache.Store) *soak {
	s := &soak{grid: g, store: store, done: map[string]int{}, took: map[string]time.Duration{}}
	g.write("key = \"p256\"")
	g.storeConfig(fmt.Sprintf("credentials = %q", store))
	text, err := os.ReadFile(g.path("config.toml"))
	if err == nil {
		err = os.WriteFile(g.path("config.toml"), append(text, other...), 0o600)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

// run lets five workers start and kill processes until there were enough.
func (s *soak) run(kills int, end time.Time) error {
	s.left, s.until = kills, end
	storePassphrase := secretRequest("lab", passphrase)
	if r := s.grid.run(storePassphrase, "store"); r.status != 0 {
		return fmt.Errorf("store: %s", r.stdout)
	}
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			s.work("get", func() string { return pick(`{}`, `{"cache":"bypass"}`, `{"output":"path"}`) }, s.checkGet)
		})
	}
	group.Go(func() { s.work("erase", func() string { return `{}` }, nil) })
	// A pass phrase that was sent by processes that died is not sent again
	// until somebody stores it.
	group.Go(func() { s.work("store", func() string { return storePassphrase }, nil) })
	group.Go(s.storeOther)
	group.Wait()
	s.t.Logf("%s: %d of %d processes killed, %v", s.store, kills-s.left, kills, s.done)
	if s.failed == nil && (s.done["get"] == 0 || s.done["store"] == 0 || s.done["erase"] == 0) {
		return fmt.Errorf("not every verb came to its end: %v", s.done)
	}
	return s.failed
}

func pick(of ...string) string { return of[rand.IntN(len(of))] }

func secretRequest(profile, value string) string {
	text, _ := json.Marshal(map[string]any{"profile": profile, "secret": map[string]string{"kind": "passphrase", "value": value}})
	return string(text)
}

// work calls a verb again and again. Five of six processes are killed, at
// some moment of the time that one needs.
func (s *soak) work(verb string, request func() string, check func(result) error) {
	for s.more() {
		r, killed := s.one(verb, request(), rand.IntN(6) != 0)
		var err error
		switch {
		case killed:
			err = s.look(false)
		case r.status == 0 && check != nil:
			err = check(r)
		case r.status != 0:
			err = s.excuse(r)
		}
		s.note(err)
	}
}

func (s *soak) more() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left > 0 && s.failed == nil && time.Now().Before(s.until)
}

func (s *soak) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.failed == nil {
		s.failed = err
	}
}

// one runs one process and says whether it was killed.
func (s *soak) one(verb, request string, kill bool) (result, bool) {
	s.mu.Lock()
	kill = kill && s.took[verb] > 0 // a first one shows how long it needs
	s.mu.Unlock()
	cmd := s.command(verb)
	cmd.Stdin = strings.NewReader(request)
	begin := time.Now()
	c := s.start(cmd)
	if kill {
		s.mu.Lock()
		most := max(s.took[verb]*3/2, 20*time.Millisecond)
		s.mu.Unlock()
		timer := time.AfterFunc(rand.N(most), func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	r := c.wait()
	killed := kill && r.status == -1 // one that hangs has its time run out, and no answer
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case killed:
		s.left--
		s.done[verb+" killed"]++
	case !kill:
		s.took[verb] = time.Since(begin)
		s.done[verb]++
	}
	return r, killed
}

// checkGet looks at an answer, or at the file that it names.
func (s *soak) checkGet(r result) error {
	a := decodeGet(s.t, r.stdout)
	pem := []byte(a.Credential.PEM)
	if a.Credential.Path != "" {
		var err error
		if pem, err = os.ReadFile(a.Credential.Path); errors.Is(err, fs.ErrNotExist) {
			return nil // erased since
		} else if err != nil {
			return err
		}
	}
	return whole(pem)
}

// whole makes sure that a credential has a chain of Jane's and the key of its
// first certificate.
func whole(pem []byte) error {
	pair, err := tls.X509KeyPair(pem, pem)
	if err != nil {
		return fmt.Errorf("half a credential of %d bytes: %w", len(pem), err)
	}
	if len(pair.Certificate) != 2 {
		return fmt.Errorf("a chain of %d certificates", len(pair.Certificate))
	}
	leaf, issuer := pair.Leaf, pair.Certificate[1]
	user, err := x509.ParseCertificate(issuer)
	switch {
	case err != nil:
		return err
	case string(leaf.RawIssuer) != string(user.RawSubject) || !strings.HasPrefix(user.Subject.CommonName, "Jane Doe"):
		return fmt.Errorf("a credential of %s", user.Subject)
	}
	return nil
}

// excuse accepts what a process may say when those beside it are killed: the
// pass phrase was sent more than once and nobody heard the answer.
func (s *soak) excuse(r result) error {
	code := s.code(r)
	s.mu.Lock()
	s.done[code]++
	s.mu.Unlock()
	switch helper.Code(code) {
	case helper.CodeRateLimited:
		return nil
	}
	return fmt.Errorf("%s", r.stdout)
}

func (s *soak) open() *cache.Cache {
	return cache.New(cache.Options{Credentials: s.store, Passphrases: cache.Keyring,
		CacheDir:   func() (string, error) { return filepath.Join(s.keyring.Home, ".cache", name), nil },
		RuntimeDir: func() (string, error) { return s.path("run"), nil },
		Keys:       cache.NewKeyring(cache.KeyringOptions{UID: os.Getuid(), Deadline: patience}),
	})
}

// look opens the store as a new process does, and reads everything in it. When
// nobody else is at work each file is exactly one entry.
func (s *soak) look(exact bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := s.open()
	list, err := c.List(ctx)
	if err != nil {
		return fmt.Errorf("the store does not open: %w", err)
	}
	if n := len(s.files("")); exact && n != len(list) {
		return fmt.Errorf("%d entries in %d files", len(list), n)
	}
	for _, e := range list {
		e, err := c.Get(ctx, e.Binding)
		if errors.Is(err, cache.ErrNotFound) {
			continue // erased since
		}
		if err == nil {
			err = whole(e.PEM)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// storeOther stores pass phrases of another profile, numbered. What the keyring
// has is the last one that was stored, or a later one that was begun.
func (s *soak) storeOther() {
	stored := -1
	for i := 0; s.more(); i++ {
		r, killed := s.one("store", secretRequest("other", fmt.Sprintf("%s %d", passphrase, i)), rand.IntN(6) != 0)
		var err error
		switch {
		case !killed && r.status == 0:
			stored = i
		case !killed:
			err = s.excuse(r)
		}
		s.note(errors.Join(err, s.lookOther(stored, i)))
	}
}

func (s *soak) lookOther(stored, begun int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := s.open().Secret(ctx, "pass:v1:myproxy:other.example.org%3A7512:jane")
	if errors.Is(err, cache.ErrNotFound) && stored < 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%d were stored: %w", stored, err)
	}
	number, ok := strings.CutPrefix(string(got), passphrase+" ")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < stored || n > begun {
		return fmt.Errorf("number %d was stored and %d begun, but the keyring has %q", stored, begun, number)
	}
	return nil
}

// tidy makes sure that nothing remains of those who were killed: no lock, no
// damaged entry, and no temporary file when an hour has passed.
func (s *soak) tidy() error {
	locks, err := filepath.Glob(s.path("run/lock/*"))
	for _, path := range locks {
		f, failed := os.Open(path)
		if failed == nil {
			failed = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			f.Close()
		}
		err = errors.Join(err, failed)
	}
	if r := s.grid.run(secretRequest("lab", passphrase), "store"); r.status != 0 {
		err = errors.Join(err, fmt.Errorf("store: %s", r.stdout))
	}
	temps, past := s.files("tmp"), time.Now().Add(-2*time.Hour)
	for _, path := range temps {
		err = errors.Join(err, os.Chtimes(path, past, past))
	}
	s.grid.run(`{}`, "erase")
	for _, request := range []string{`{"cache":"bypass"}`, `{"cache":"bypass","output":"path"}`} {
		r := s.grid.run(request, "get")
		if r.status != 0 {
			err = errors.Join(err, s.excuse(r))
			continue
		}
		err = errors.Join(err, s.checkGet(r))
	}
	s.t.Logf("%s: %d temporary files were left and swept, %v", s.store, len(temps), s.done)
	s.noTemporaries()
	return errors.Join(err, s.look(true))
}

// files lists entries, or with "tmp" what writers have left.
func (s *soak) files(part string) (paths []string) {
	for _, root := range []string{s.keyring.Home, s.path("run")} {
		_ = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			ext := filepath.Ext(path)
			if part == "" && (ext == ".cred" || ext == ".xche") || part != "" && strings.Contains(filepath.Base(path), part) {
				paths = append(paths, path)
			}
			return err
		})
	}
	return paths
}
