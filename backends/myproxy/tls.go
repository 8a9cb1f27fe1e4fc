package myproxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// connect opens a TLS connection to host and verifies who is there. A
// *HostError says that not a single byte came back.
func (c *Client) connect(ctx context.Context, host string, x *exchange) (*session, error) {
	const doing = "connecting"
	dialCtx, cancel := context.WithTimeout(ctx, orDefault(c.DialTimeout, defaultDialTimeout))
	defer cancel()
	conn, err := c.dial(dialCtx, host)
	if err != nil {
		if cause := ctx.Err(); cause != nil {
			return nil, interrupted(host, doing, cause)
		}
		return nil, &HostError{Host: host, Err: err}
	}
	s := &session{ctx: ctx, server: host, timeout: orDefault(c.IOTimeout, defaultIOTimeout), wantRoots: x.request.trustRoots, withPassphrase: len(x.request.passphrase) > 0}
	s.raw = &watchedConn{Conn: conn}
	s.release = context.AfterFunc(ctx, func() { _ = conn.Close() })
	over := tls.Client(s.raw, c.tlsConfig(dialCtx, host, x))
	s.conn, s.in = over, bufio.NewReaderSize(over, readBuffer)
	if err := over.HandshakeContext(dialCtx); err != nil {
		err = s.handshakeError(dialCtx, err)
		s.close()
		return nil, err
	}
	state := over.ConnectionState()
	s.peer, s.null = state.PeerCertificates, nullWait
	switch {
	case state.Version != tls.VersionTLS13:
		s.null = 0
	case x.identity != nil && x.anonymousRetry:
		s.null = identityWait
	}
	return s, nil
}

func (c *Client) dial(ctx context.Context, addr string) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, "tcp", addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// tlsConfig is what MyProxy needs. The identity of the server is checked by the
// rules of the grid, which crypto/tls does not know: names in the CN, signing
// policies, servers that run on a proxy.
func (c *Client) tlsConfig(ctx context.Context, addr string, x *exchange) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         hostName(addr),
		InsecureSkipVerify: true, // VerifyConnection does it
		// Without this Go sends short records first, and a server that reads
		// one of them alone takes it for the whole message (measured: a STORE
		// of 6.5 kB failed 5 times of 5).
		DynamicRecordSizingDisabled: true,
		// The server's list of acceptable CAs is empty or of no use.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if x.identity == nil {
				return new(tls.Certificate), nil
			}
			return x.identity, nil
		},
		// It runs before the client's certificate goes out, with TLS 1.2 and
		// 1.3 alike.
		VerifyConnection: func(state tls.ConnectionState) error {
			err := x.verify(ctx, addr, state)
			if err == nil && c.VerifyServer != nil {
				err = c.VerifyServer(state)
			}
			if err != nil {
				return &TrustError{Server: addr, Err: err}
			}
			return nil
		},
	}
}

// hostName is the host of host:port as certificates have it: without the
// root's dot.
func hostName(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	return strings.TrimSuffix(host, ".")
}

// verifier judges the server at addr (host:port) during the handshake.
type verifier func(ctx context.Context, addr string, state tls.ConnectionState) error

// verifier is the one by the rules of the grid.
func (c *Client) verifier(trust *trustFuture) verifier {
	return func(ctx context.Context, addr string, state tls.ConnectionState) error {
		dir, err := trust.wait(ctx)
		if err != nil {
			return err
		}
		return dir.VerifyServer(state.PeerCertificates, hostName(addr), c.ServerDN, c.now(), c.TrustOptions)
	}
}

func (c *Client) now() time.Time {
	if c.Clock != nil {
		return c.Clock()
	}
	return time.Now()
}

// handshakeError says what went wrong before the server was verified.
func (s *session) handshakeError(dialCtx context.Context, err error) error {
	const doing = "TLS handshake"
	var trust *TrustError
	switch {
	case s.ctx.Err() != nil:
		return interrupted(s.server, doing, s.ctx.Err())
	case !s.raw.answered():
		return &HostError{Host: s.server, Err: fmt.Errorf("it accepted the connection and said nothing: %w", err)}
	case dialCtx.Err() != nil:
		return &TimeoutError{Server: s.server, Doing: doing, Err: dialCtx.Err()}
	case errors.As(err, &trust):
		return err
	case tooOld(err):
		return &ProtocolError{Server: s.server, Reason: "offers nothing newer than TLS 1.1, and less than TLS 1.2 is not safe: its administrator has to update it", Err: err}
	case strings.HasPrefix(err.Error(), "tls: failed to parse certificate"):
		// E.g. a negative serial number, which crypto/x509 refuses before any
		// callback of ours runs.
		return &TrustError{Server: s.server, Err: err}
	}
	return s.ioError(doing, err)
}

// trustFuture is a trust directory that is being opened.
type trustFuture struct {
	opening <-chan error
	dir     *gsi.TrustDir
	err     error
	done    bool
}

func openTrust(open func() (*gsi.TrustDir, error)) *trustFuture {
	f := new(trustFuture)
	f.opening = safego.Go(func() error {
		if open == nil {
			return &gsi.TrustError{Reason: gsi.TrustNoDirectory, Detail: "no directory of trust anchors was given"}
		}
		dir, err := open()
		f.dir = dir
		return err
	})
	return f
}

// wait is for one goroutine at a time.
func (f *trustFuture) wait(ctx context.Context) (*gsi.TrustDir, error) {
	if !f.done {
		select {
		case f.err = <-f.opening:
			f.done = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return f.dir, f.err
}

// watchedConn remembers whether anything came, and the last of it.
type watchedConn struct {
	net.Conn
	tail []byte
}

// maxTail is enough for a refusal in clear text.
const maxTail = 4096

func (w *watchedConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.tail = append(w.tail, p[:n]...)
	if extra := len(w.tail) - maxTail; extra > 0 {
		w.tail = append(w.tail[:0], w.tail[extra:]...)
	}
	return n, err
}

func (w *watchedConn) answered() bool { return len(w.tail) > 0 }

// replay returns what came from the last occurrence of begin, and what is
// still to come, up to a bound.
func (w *watchedConn) replay(begin string) io.Reader {
	at := max(0, bytes.LastIndex(w.tail, []byte(begin)))
	return io.LimitReader(io.MultiReader(bytes.NewReader(bytes.Clone(w.tail[at:])), w.Conn), maxTail)
}

// interrupted says that the caller's context ended.
func interrupted(server, doing string, cause error) error {
	return fmt.Errorf("gave up on %s (%s): %w", server, doing, cause)
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}
