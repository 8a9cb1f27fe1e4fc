package myproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// recorder keeps what a client sends, as it is on the wire.
type recorder struct {
	net.Conn
	mu   *sync.Mutex
	sent *[]byte
}

func (r recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	*r.sent = append(*r.sent, p[:n]...)
	r.mu.Unlock()
	return n, err
}

// records counts the TLS records in what was sent, and the bytes behind the
// first.
func records(sent []byte) (n, behind int) {
	for at := 0; at+5 <= len(sent); n++ {
		size := 5 + int(sent[at+3])<<8 + int(sent[at+4])
		if n > 0 {
			behind += size
		}
		at += size
	}
	return n, behind
}

// VerifyServer is asked after the built-in verification and before anything but
// the hello was sent; what it refuses gets an alert and nothing else.
func TestVerifyServer(t *testing.T) {
	w := newWorld(t)
	refusal := errors.New("not this one")
	elsewhere := w.host(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere.example.org"}, nil })
	good := w.host(nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, tc := range []struct {
			name   string
			cert   tls.Certificate
			verify func(tls.ConnectionState) error
			calls  int
			ok     bool
		}{
			{"accepts", good, func(tls.ConnectionState) error { return nil }, 1, true},
			{"refuses", good, func(tls.ConnectionState) error { return refusal }, 1, false},
			{"cannot replace the built-in verification", elsewhere, func(tls.ConnectionState) error { return nil }, 0, false},
		} {
			t.Run(tls.VersionName(version)+"/"+tc.name, func(t *testing.T) {
				var mu sync.Mutex
				var sent []byte
				config := &tls.Config{Certificates: []tls.Certificate{tc.cert}, MinVersion: version, MaxVersion: version, ClientAuth: tls.RequestClientCert}
				heard := make(chan []byte, 1)
				f := w.serveTCP(func(raw net.Conn) {
					over := tls.Server(recorder{raw, &mu, &sent}, config)
					if over.Handshake() == nil && tc.ok {
						grants(&fake{w: w}, over, raw)
						return
					}
					text, _ := io.ReadAll(over) // nothing, after a handshake that failed
					heard <- text
				})
				c := w.client(f.addr)
				c.Identity = identityOf(w.user("Alice"))
				calls, before := 0, 0
				c.VerifyServer = func(state tls.ConnectionState) error {
					calls++
					if state.Version != version || len(state.PeerCertificates) == 0 {
						t.Errorf("asked about %+v", state)
					}
					mu.Lock()
					before, _ = records(sent)
					mu.Unlock()
					return tc.verify(state)
				}
				req, _ := logon(t)
				req.Sending = func(context.Context) error {
					if !tc.ok {
						t.Error("the request was about to be sent")
					}
					return nil
				}
				_, err := c.Logon(t.Context(), req)
				if calls != tc.calls || calls > 0 && before != 1 {
					t.Errorf("it was called %d times, after %d records", calls, before)
				}
				if tc.ok {
					must(t, err)
					return
				}
				var trust *TrustError
				if !errors.As(err, &trust) || tc.calls > 0 && !errors.Is(err, refusal) {
					t.Errorf("got %v", err)
				}
				if text := <-heard; len(text) > 0 {
					t.Errorf("the server was told %q", text)
				}
				// A change of ciphers and an alert, encrypted with TLS 1.3; no
				// certificate, no '0', no request.
				mu.Lock()
				defer mu.Unlock()
				if _, behind := records(sent); behind > 64 {
					t.Errorf("%d bytes were sent after the hello", behind)
				}
			})
		}
	}
}
