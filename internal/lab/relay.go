package lab

import (
	"errors"
	"io"
	"net"
	"sync"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// relay stands before a server and counts its connections. Bytes pass
// unmodified, and so does the end of a stream.
type relay struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	count  int
	closed bool
	conns  map[net.Conn]bool
}

func startRelay(t TB, target string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("relay: %v", err)
	}
	return serveRelay(listener, target)
}

func serveRelay(listener net.Listener, target string) *relay {
	r := &relay{listener: listener, target: target, conns: map[net.Conn]bool{}}
	safego.Go(r.serve)
	return r
}

func (r *relay) serve() error {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.count++
		r.mu.Unlock()
		safego.Go(func() error { return r.pass(client) })
	}
}

func (r *relay) pass(client net.Conn) error {
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return errors.Join(err, client.Close())
	}
	if !r.hold(client, server) {
		return errors.Join(client.Close(), server.Close())
	}
	defer r.release(client, server)
	up := safego.Go(func() error { return pump(server, client) })
	err = pump(client, server)
	return errors.Join(err, <-up)
}

// pump copies one direction and then closes it, as the sender did.
func pump(to, from net.Conn) error {
	if _, err := io.Copy(to, from); err != nil {
		// A reset: the other direction is dead as well.
		return errors.Join(err, to.Close(), from.Close())
	}
	return to.(*net.TCPConn).CloseWrite()
}

func (r *relay) hold(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = true
	}
	return !r.closed
}

func (r *relay) release(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(r.conns, c)
	}
}

func (r *relay) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// close refuses new connections and cuts the old ones.
func (r *relay) close() {
	r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for c := range r.conns {
		c.Close()
	}
}

// port is the number alone: the host is written localhost, as in host
// certificates.
func (r *relay) port() string {
	_, port, _ := net.SplitHostPort(r.listener.Addr().String())
	return port
}
