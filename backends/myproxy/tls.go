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
func (c *Client) connect(ctx context.Context, host string, trust *trustFuture) (*session, error) {
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
	s := &session{ctx: ctx, server: host, timeout: orDefault(c.IOTimeout, defaultIOTimeout)}
	s.raw = &watchedConn{Conn: conn}
	s.release = context.AfterFunc(ctx, func() { _ = conn.Close() })
	s.tls = tls.Client(s.raw, c.tlsConfig(dialCtx, host, trust))
	s.in = bufio.NewReaderSize(s.tls, readBuffer)
	if err := s.tls.HandshakeContext(dialCtx); err != nil {
		err = s.handshakeError(dialCtx, err)
		s.close()
		return nil, err
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
func (c *Client) tlsConfig(ctx context.Context, addr string, trust *trustFuture) *tls.Config {
	host, _, _ := net.SplitHostPort(addr)
	host = strings.TrimSuffix(host, ".") // no certificate has the root's dot
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         host,
		InsecureSkipVerify: true, // VerifyConnection does it
		// Without this Go sends short records first, and a server that reads
		// one of them alone takes it for the whole message (measured: a STORE
		// of 6.5 kB failed 5 times of 5).
		DynamicRecordSizingDisabled: true,
		// The server's list of acceptable CAs is empty or of no use.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c.Identity == nil {
				return new(tls.Certificate), nil
			}
			return c.Identity, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			dir, err := trust.wait(ctx)
			if err == nil {
				err = dir.VerifyServer(state.PeerCertificates, host, c.ServerDN, c.now(), c.TrustOptions)
			}
			if err != nil {
				return &TrustError{Server: addr, Err: err}
			}
			return nil
		},
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
