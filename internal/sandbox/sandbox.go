package sandbox

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// Sandbox is a running server and its world.
type Sandbox struct {
	opts     Options
	policies *Policies
	keys     *Keys
	ca       *authority
	vomsCert *x509.Certificate
	vomsKey  crypto.Signer
	trustDir string
	listener net.Listener

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	connections, logons, refused atomic.Int64
	serial                       atomic.Int64 // of the online CA

	mu       sync.Mutex
	closed   bool
	open     map[net.Conn]bool
	accounts map[string]*account
	store    map[string]*credential // the repository, by storageName
	requests map[int]int
	faults   Faults
	next     []Faults
	trust    Trust
	roots    []rootFile
	host     Host
	hostCert *x509.Certificate
	hostTLS  tls.Certificate
}

// Start starts a sandbox. It runs until Close or until ctx ends.
func Start(ctx context.Context, o Options) (*Sandbox, error) {
	s, err := newSandbox(o)
	if err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if err := s.prepare(); err != nil {
		s.cancel()
		return nil, fmt.Errorf("start the sandbox: %w", err)
	}
	var lc net.ListenConfig
	if s.listener, err = lc.Listen(ctx, "tcp", s.opts.Listen); err != nil {
		s.cancel()
		return nil, fmt.Errorf("start the sandbox: %w", err)
	}
	s.spawn(s.accept)
	s.spawn(func() error {
		<-s.ctx.Done()
		s.shut()
		return nil
	})
	return s, nil
}

// prepare makes the directory, the CA, the host certificate and the trust
// directory.
func (s *Sandbox) prepare() error {
	if err := claim(s.opts.Dir); err != nil {
		return err
	}
	for _, name := range []string{keyCA, keyHost, keyUser} {
		s.keys.start(name)
	}
	key, err := s.keys.get(s.ctx, keyCA)
	if err != nil {
		return err
	}
	if s.ca, err = newAuthority("Sandbox CA", key, s.now()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeHost(s.opts.Host); err != nil {
		return err
	}
	if err := s.writeTrust(); err != nil {
		return err
	}
	if len(s.opts.VOs) == 0 {
		return nil
	}
	return s.vomsAuthority()
}

// marker is the file that makes a directory a sandbox's.
const marker = ".x509-sandbox"

// claim makes the directory ours, or refuses one that is somebody's: whatever
// lies in its trust directory will be removed.
func claim(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	ours := slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == marker && e.Type().IsRegular() })
	if len(entries) > 0 && !ours {
		return fmt.Errorf("%s is not empty and was not made by a sandbox: name another directory", dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, marker), []byte("Everything in this directory is a sandbox's and will be rewritten.\n"))
}

// Addr is the server's address, "127.0.0.1:PORT". Its certificate is also for
// the name localhost.
func (s *Sandbox) Addr() string { return s.listener.Addr().String() }

// TrustDir is the directory that trusts the sandbox's CA, in the form of
// X509_CERT_DIR.
func (s *Sandbox) TrustDir() string { return s.trustDir }

// VOMSDir is the directory that trusts the sandbox's VOMS server, in the form
// of X509_VOMS_DIR.
func (s *Sandbox) VOMSDir() string { return filepath.Join(s.opts.Dir, "vomsdir") }

// CACertificate is the root of everything here.
func (s *Sandbox) CACertificate() *x509.Certificate { return s.ca.cert }

// Connections is how many TCP connections were accepted.
func (s *Sandbox) Connections() int { return int(s.connections.Load()) }

// Logons is how many GETs came to their good end.
func (s *Sandbox) Logons() int { return int(s.logons.Load()) }

// Refused is how many pass phrases were wrong.
func (s *Sandbox) Refused() int { return int(s.refused.Load()) }

// Requests is how many requests of a command (0 is GET) could be parsed.
func (s *Sandbox) Requests(command int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[command]
}

func (s *Sandbox) count(command int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[command]++
}

func (s *Sandbox) now() time.Time { return s.opts.Clock() }

func (s *Sandbox) trustRoots() []rootFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roots
}

// spawn runs a part of the server in a goroutine that Close waits for.
func (s *Sandbox) spawn(f func() error) {
	s.tasks.Add(1)
	safego.Go(func() error {
		defer s.tasks.Done()
		return f()
	})
}

func (s *Sandbox) accept() error {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			time.Sleep(5 * time.Millisecond) // too many open files: that passes
			continue
		}
		s.connections.Add(1)
		if !s.enter(conn) {
			_ = conn.Close()
			return nil
		}
		faults := s.takeFaults() // here, for the order of the connections to hold
		s.spawn(func() error {
			defer s.leave(conn)
			c := &conversation{s: s, raw: conn, faults: faults, peer: peer{name: anonymous}}
			c.tls = tls.Server(conn, s.tlsConfig(c))
			return c.run()
		})
	}
}

// enter remembers a connection for Close; false if that was called.
func (s *Sandbox) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.open[conn] = true
	if tcp, ok := conn.(*net.TCPConn); ok {
		// The real server leaves Nagle's algorithm on: a client that does not
		// read the lone 00 before it sends waits 40 ms for the first response.
		_ = tcp.SetNoDelay(false)
	}
	return true
}

func (s *Sandbox) leave(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}

// shut ends listening and every conversation.
func (s *Sandbox) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	_ = s.listener.Close()
	for conn := range s.open {
		_ = conn.Close()
	}
}

// Close stops the server and waits for its goroutines. A second call does
// nothing.
func (s *Sandbox) Close() {
	s.cancel()
	s.tasks.Wait()
}
