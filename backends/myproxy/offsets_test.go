package myproxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// brokenConn is a connection on which everything comes that ever will, and then
// the end. It takes what is written.
type brokenConn struct {
	net.Conn
	in io.Reader
}

func (b *brokenConn) Read(p []byte) (int, error)       { return b.in.Read(p) }
func (b *brokenConn) Write(p []byte) (int, error)      { return len(p), nil }
func (b *brokenConn) Close() error                     { return nil }
func (b *brokenConn) SetReadDeadline(time.Time) error  { return nil }
func (b *brokenConn) SetWriteDeadline(time.Time) error { return nil }

// overBytes opens sessions without TLS: a handshake for each byte offset of each
// conversation would take hours. A close without close_notify at a record's
// boundary is what Go reports as io.EOF.
func (r *recording) overBytes(data []byte) func(context.Context, string, *exchange) (*session, error) {
	return func(ctx context.Context, addr string, x *exchange) (*session, error) {
		conn := &brokenConn{in: bytes.NewReader(data)}
		s := &session{
			ctx: ctx, server: addr, raw: &watchedConn{Conn: conn}, conn: conn, in: bufio.NewReaderSize(conn, readBuffer),
			timeout: time.Second, release: func() bool { return true },
			peer: []*x509.Certificate{{}}, wantRoots: x.request.trustRoots,
		}
		if r.TLS == "1.3" {
			s.null = nullWait
		}
		return s, nil
	}
}

// isTyped says whether err is one of those that the package promises for a
// server's faults.
func isTyped(err error) bool {
	for _, as := range []any{
		new(*ServerError), new(*CertificateError), new(*ProtocolError), new(*LostError), new(*TimeoutError), new(*AlertError), new(*TrustError), new(*HostError),
	} {
		if errors.As(err, as) {
			return true
		}
	}
	return false
}

// A server may go at any moment: every recorded conversation, cut at every byte
// that the server sent, ends with a typed error, and only the whole one as it
// was recorded.
func TestEveryOffset(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 13
	}
	for _, r := range recordings(t, "*.json") {
		if !r.insideTLS() || strings.HasPrefix(r.End, "no further bytes") {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			data := []byte(r.said(t))
			c := r.client(t, "localhost:1")
			c.Trust = func() (*gsi.TrustDir, error) { return nil, errors.New("nobody asks") }
			r.signsQuickly(t, c)
			for n := 0; n < len(data); n += step {
				if err := r.again(t, c, data[:n]); !isTyped(err) {
					t.Fatalf("cut after %d of %d bytes: got %v", n, len(data), err)
				}
			}
			r.checkEnd(t, r.again(t, c, data))
		})
	}
}

// signsQuickly gives the client keys that take no time: RSA signatures were two
// thirds of this test, and nobody looks at what it sends.
func (r *recording) signsQuickly(t *testing.T, c *Client) {
	t.Helper()
	if r.Renewal != "" {
		r.request(t) // parses it
		r.renew.Key = &remembering{Signer: r.renew.Key, made: map[string][]byte{}}
	}
	if c.Identity == nil {
		return
	}
	chain, err := parseChain(c.Identity)
	must(t, err)
	user, key := chain[len(chain)-1], newKey(t)
	user.SignatureAlgorithm = x509.ECDSAWithSHA256
	der, err := x509.CreateCertificate(rand.Reader, user, &x509.Certificate{Subject: user.Issuer}, key.Public(), key)
	must(t, err)
	c.Identity = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// remembering signs the same thing once. With PKCS #1 v1.5 that is the same
// signature.
type remembering struct {
	crypto.Signer
	made map[string][]byte
}

func (m *remembering) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if done, ok := m.made[string(digest)]; ok {
		return done, nil
	}
	signature, err := m.Signer.Sign(random, digest, opts)
	m.made[string(digest)] = signature
	return signature, err
}

// again holds the conversation with a server that says data and goes.
func (r *recording) again(t *testing.T, c *Client, data []byte) error {
	c.open = r.overBytes(data)
	var refused *RequestError
	if _, canonical := r.asked(); canonical {
		if err := r.call(t, c); !errors.As(err, &refused) {
			return err
		}
	}
	return r.raw(t, c)
}
