package myproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// Every step has its deadline, and a server that sends a byte now and then gets
// no more of it.
func TestDeadlines(t *testing.T) {
	w := newWorld(t)
	drip := func(c io.Writer, s string) {
		for i := range len(s) {
			if _, err := c.Write([]byte{s[i]}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	endless := strings.TrimSuffix(okResponse, "\x00") + strings.Repeat("X=y\n", 1000)
	for name, talk := range map[string]handler{
		"silent after the handshake": func(_ *fake, _ *tls.Conn, raw net.Conn) { _, _ = io.Copy(io.Discard, raw) },
		"silent after the request":   waits,
		"drips a response":           func(f *fake, c *tls.Conn, _ net.Conn) { f.request(c); drip(c, endless) },
		"drips certificates": func(f *fake, c *tls.Conn, _ net.Conn) {
			f.request(c)
			_, _ = io.WriteString(c, okResponse)
			_, _ = c.Read(make([]byte, 64<<10))
			drip(c, "\x01\x30\x82\x10\x00"+strings.Repeat("x", 1000))
		},
		"silent instead of certificates": func(f *fake, c *tls.Conn, _ net.Conn) {
			f.request(c)
			_, _ = io.WriteString(c, okResponse)
			_, _ = io.Copy(io.Discard, c)
		},
		"does not say that it is done": func(f *fake, c *tls.Conn, _ net.Conn) {
			f.request(c)
			_, _ = io.WriteString(c, okResponse)
			buf := make([]byte, 64<<10)
			n, _ := c.Read(buf)
			_, _ = c.Write(append([]byte{1}, f.w.issue(buf[:n])...))
			_, _ = io.Copy(io.Discard, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := w.client(w.serve(nil, talk).addr)
			c.IOTimeout = 300 * time.Millisecond
			req, _ := logon(t)
			_, err := c.Logon(t.Context(), req) // one that waits for more hears the server close
			var e *TimeoutError
			if !errors.As(err, &e) || !e.Timeout() || e.Doing == "" {
				t.Errorf("got %v, want a TimeoutError that says at what", err)
			}
		})
	}
}

// stalledConn is a connection whose buffers are full from the fourth write on
// (hello, end of the handshake, '0', request): only the deadline ends a write.
type stalledConn struct {
	net.Conn
	writes   int
	deadline time.Time
}

func (s *stalledConn) SetWriteDeadline(at time.Time) error {
	s.deadline = at // not for the writes before, however slow the machine
	return nil
}

func (s *stalledConn) Write(p []byte) (int, error) {
	if s.writes++; s.writes < 4 {
		return s.Conn.Write(p)
	}
	if s.deadline.IsZero() {
		return 0, errors.New("this write would never end")
	}
	time.Sleep(time.Until(s.deadline))
	return 0, os.ErrDeadlineExceeded
}

func TestWriteDeadline(t *testing.T) {
	w := newWorld(t)
	f := w.serve(&tls.Config{Certificates: []tls.Certificate{w.host(nil)}, MinVersion: tls.VersionTLS13}, waits)
	c := w.client(f.addr)
	c.IOTimeout = 300 * time.Millisecond
	c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &stalledConn{Conn: conn}, err
	}
	req, _ := logon(t)
	_, err := c.Logon(t.Context(), req)
	var e *TimeoutError
	if !errors.As(err, &e) || e.Doing != "sending the request" {
		t.Errorf("got %v, want a TimeoutError of sending the request", err)
	}
}

// The end of the context closes the connection at once and leaves nothing
// running.
func TestCancel(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		name string
		addr func(reached chan<- struct{}) string
		csr  func(context.Context) ([]byte, error)
	}{
		{name: "before TLS", addr: func(reached chan<- struct{}) string {
			return w.serveTCP(func(c net.Conn) { close(reached); _, _ = io.Copy(io.Discard, c) }).addr
		}},
		{name: "after the request", addr: func(reached chan<- struct{}) string {
			return w.serve(nil, func(f *fake, c *tls.Conn, raw net.Conn) {
				f.request(c)
				close(reached)
				_, _ = io.Copy(io.Discard, raw)
			}).addr
		}},
		{name: "while the key is made", addr: func(reached chan<- struct{}) string {
			return w.serve(nil, func(f *fake, c *tls.Conn, raw net.Conn) {
				f.request(c)
				_, _ = io.WriteString(c, okResponse)
				close(reached)
				_, _ = io.Copy(io.Discard, raw)
			}).addr
		}, csr: func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reached := make(chan struct{})
			addr := tc.addr(reached)
			before := runtime.NumGoroutine()
			ctx, cancel := context.WithCancel(t.Context())
			req, _ := logon(t)
			if tc.csr != nil {
				req.CSR = tc.csr
			}
			done := make(chan error, 1)
			go func() { _, err := w.client(addr, closedPort(t)).Logon(ctx, req); done <- err }()
			<-reached
			cancel()
			select {
			case err := <-done:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want one that wraps context.Canceled", err)
				}
			case <-time.After(patience / 2): // the server's end comes later
				t.Fatal("Logon goes on")
			}
			noGoroutines(t, before) // the server's end too: the connection is closed
		})
	}
}

func TestDeadlineOfContext(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	req, _ := logon(t)
	_, err := w.client(w.serve(nil, waits).addr).Logon(ctx, req)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A directory of trust anchors that cannot be opened does not stop us from
// giving up.
func TestTrustHangs(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	defer close(release)
	c := w.client(w.serve(nil, grants).addr)
	c.Trust = func() (*gsi.TrustDir, error) { <-release; return nil, errors.New("too late") }
	c.DialTimeout = 300 * time.Millisecond
	req, _ := logon(t)
	_, err := c.Logon(t.Context(), req)
	var e *TimeoutError
	if !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
}
