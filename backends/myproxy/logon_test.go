package myproxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func noDial(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		t.Error("a connection was made")
		return nil, errors.New("not here")
	}
}

func TestLogon(t *testing.T) {
	w := newWorld(t)
	f := w.serve(nil, grants)
	req, key := logon(t)
	got, err := w.client(f.addr).Logon(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Chain) != 1 || got.Server != f.addr || len(got.Unanswered) != 0 {
		t.Errorf("got %+v", got)
	}
	if !got.Chain[0].PublicKey.(*ecdsa.PublicKey).Equal(key.Public()) {
		t.Error("the certificate is for another key")
	}
}

// TLS 1.2 is the least; a server that has only less is told from one that does
// not answer.
func TestTLSVersions(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		min, max uint16
		ok       bool
	}{
		{tls.VersionTLS13, tls.VersionTLS13, true},
		{tls.VersionTLS12, tls.VersionTLS12, true},
		{tls.VersionTLS12, tls.VersionTLS13, true},
		{tls.VersionTLS10, tls.VersionTLS12, true},
		{tls.VersionTLS10, tls.VersionTLS11, false},
	} {
		t.Run(tls.VersionName(tc.min)+" to "+tls.VersionName(tc.max), func(t *testing.T) {
			f := w.serve(&tls.Config{Certificates: []tls.Certificate{w.host(nil)}, MinVersion: tc.min, MaxVersion: tc.max}, grants)
			other := w.serve(nil, grants)
			req, _ := logon(t)
			_, err := w.client(f.addr, other.addr).Logon(t.Context(), req)
			var protocol *ProtocolError
			switch {
			case tc.ok && err != nil:
				t.Error(err)
			case !tc.ok && (!errors.As(err, &protocol) || !strings.Contains(err.Error(), "TLS 1.2")):
				t.Errorf("got %v, want a sentence about TLS 1.2", err)
			}
			if n, _ := other.counts(); n != 0 {
				t.Error("the next server was tried although the first had answered")
			}
		})
	}
}

// The second server gets the pass phrase only where not a byte came from the
// first.
func TestFailOver(t *testing.T) {
	w := newWorld(t)
	foreign := newWorld(t)
	elsewhere := w.host(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere.example.org"}, nil })
	hang := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for _, tc := range []struct {
		name   string
		first  func() string
		second bool // is asked
	}{
		{"connection refused", func() string { return closedPort(t) }, true},
		{"unknown host", func() string { return "no-such-host.invalid:7512" }, true},
		{"accepts and closes", func() string { return w.serveTCP(func(net.Conn) {}).addr }, true},
		{"accepts and says nothing", func() string { return w.serveTCP(hang).addr }, true},
		{"accepts, reads the hello and closes", func() string {
			return w.serveTCP(func(c net.Conn) { _, _ = c.Read(make([]byte, 100)) }).addr
		}, true},
		{"answers, but not TLS", func() string {
			return w.serveTCP(func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example.org ESMTP\r\n") }).addr
		}, false},
		{"one byte of TLS, then silence", func() string {
			return w.serveTCP(func(c net.Conn) { _, _ = c.Write([]byte{22}); hang(c) }).addr
		}, false},
		{"untrusted CA", func() string { return foreign.serve(nil, grants).addr }, false},
		{"wrong host name", func() string { return w.serve(&tls.Config{Certificates: []tls.Certificate{elsewhere}}, grants).addr }, false},
		{"closes after the handshake", func() string { return w.serve(nil, func(*fake, *tls.Conn, net.Conn) {}).addr }, false},
		{"refuses the pass phrase", func() string { return w.serve(nil, says(badPass)).addr }, false},
		{"closes after the request", func() string { return w.serve(nil, says("")).addr }, false},
		{"silent after the request", func() string { return w.serve(nil, waits).addr }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			good := w.serve(nil, grants)
			c := w.client(tc.first(), good.addr)
			c.Dial = hasty(c.Hosts[0], tc.second)
			if !tc.second {
				c.IOTimeout = 500 * time.Millisecond
			}
			req, _ := logon(t)
			got, err := c.Logon(t.Context(), req)
			dialled, asked := good.counts()
			if tc.second {
				if err != nil || asked != 1 || len(got.Unanswered) != 1 || got.Server != good.addr {
					t.Errorf("got %+v, %v; the second server was asked %d times", got, err, asked)
				}
				return
			}
			if err == nil || dialled != 0 {
				t.Errorf("got %v; the second server was dialled %d times", err, dialled)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), canary) {
				t.Errorf("the pass phrase is in the error: %v", err)
			}
		})
	}
}

// hasty dials, and soon gives up on one server: on one that is silent, or else
// only after its first words. The client itself has long times, so that it bears
// with another server that is slow.
func hasty(server string, silent bool) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil || addr != server {
			return conn, err
		}
		h := &hastyConn{Conn: conn}
		if silent {
			h.hurry()
		}
		return h, nil
	}
}

type hastyConn struct{ net.Conn }

func (h *hastyConn) hurry() { _ = h.SetReadDeadline(time.Now().Add(500 * time.Millisecond)) }

func (h *hastyConn) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	h.hurry()
	return n, err
}

func TestNobodyAnswers(t *testing.T) {
	w := newWorld(t)
	a, b := closedPort(t), closedPort(t)
	req, _ := logon(t)
	_, err := w.client(a, b).Logon(t.Context(), req)
	var e *DialError
	if !errors.As(err, &e) || len(e.Hosts) != 2 || e.Hosts[0].Host != a || e.Hosts[1].Host != b {
		t.Fatalf("got %v, want a DialError with both servers", err)
	}
	if !strings.Contains(e.Hosts[0].Error(), "refused") {
		t.Errorf("%v does not say that the connection was refused", e.Hosts[0])
	}
}

// What went before an answer is part of the error.
func TestErrorAfterFailOver(t *testing.T) {
	w := newWorld(t)
	dead := closedPort(t)
	req, _ := logon(t)
	_, err := w.client(dead, w.serve(nil, says(badPass)).addr).Logon(t.Context(), req)
	var over *FailoverError
	var said *ServerError
	if !errors.As(err, &over) || len(over.Earlier) != 1 || over.Earlier[0].Host != dead || !errors.As(err, &said) {
		t.Fatalf("got %#v", err)
	}
}

// What servers did, or could do, in place of sending the certificates they owe.
func TestBadCertificates(t *testing.T) {
	w := newWorld(t)
	der := string(w.ca.Raw)
	for _, tc := range []struct {
		name, data string
		want       any
	}{
		{"count 0", "\x00" + okResponse, new(*CertificateError)},
		{"count 17", "\x11" + strings.Repeat(der, 17), new(*CertificateError)},
		{"chain cut short", "\x03" + der, new(*CertificateError)},
		{"garbage", "\x01garbage", new(*CertificateError)},
		{"a response instead", okResponse, new(*CertificateError)},
		{"an error instead", "VERSION=MYPROXYv2\nRESPONSE=1\nERROR=Certificate generation failure.\n\x00", new(*ServerError)},
		{"nothing", "", new(*LostError)},
		{"an error behind them", "\x01" + der + badPass, new(*ServerError)},
		{"nothing behind them", "\x01" + der, new(*LostError)},
		{"garbage behind them", "\x01" + der + der, new(*ProtocolError)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, _ := logon(t)
			_, err := w.client(w.serve(nil, gives(tc.data)).addr).Logon(t.Context(), req)
			if !errors.As(err, tc.want) {
				t.Errorf("got %v, want %T", err, tc.want)
			}
		})
	}
}

// Responses may hold what only other commands send, and trust roots of many
// records.
func TestUnknownFieldsInResponse(t *testing.T) {
	w := newWorld(t)
	info := "VERSION=MYPROXYv2\nRESPONSE=0\nCRED_START_TIME=1\nCRED_OWNER=/CN=x\n" +
		strings.Repeat("FILEDATA_x.0="+strings.Repeat("QUJD", 1000)+"\n", 20) + "ADDL_CREDS=a,b\n\x00"
	f := w.serve(nil, func(f *fake, c *tls.Conn, _ net.Conn) {
		f.request(c)
		_, _ = io.WriteString(c, info)
		buf := make([]byte, 64<<10)
		n, _ := c.Read(buf)
		_, _ = c.Write(append([]byte{1}, f.w.issue(buf[:n])...))
		_, _ = io.WriteString(c, okResponse)
	})
	req, _ := logon(t)
	if _, err := w.client(f.addr).Logon(t.Context(), req); err != nil {
		t.Error(err)
	}
}

// A server may leave the NUL of TLS 1.3 out, or speak before it is asked.
func TestAfterHandshake(t *testing.T) {
	w := newWorld(t)
	late := w.serve(nil, func(f *fake, c *tls.Conn, _ net.Conn) {
		buf := make([]byte, 64<<10)
		_, _ = c.Read(buf)
		_, _ = c.Read(buf)
		_, _ = io.WriteString(c, "\x00"+okResponse)
		n, _ := c.Read(buf)
		_, _ = c.Write(append([]byte{1}, f.w.issue(buf[:n])...))
		_, _ = io.WriteString(c, okResponse)
	})
	req, _ := logon(t)
	if _, err := w.client(late.addr).Logon(t.Context(), req); err != nil {
		t.Errorf("a late NUL: %v", err)
	}
	var began time.Time
	patient := w.serve(nil, func(f *fake, c *tls.Conn, raw net.Conn) {
		_ = raw.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := c.Read(make([]byte, 1))
		if spoke := err == nil || n > 0; spoke && time.Since(began) > nullWait {
			return // it was this server that was slow
		} else if spoke {
			t.Error("the client spoke before the NUL came: that costs 40 ms with a real server")
		}
		_ = raw.SetReadDeadline(time.Now().Add(patience))
		grants(f, c, raw)
	})
	began = time.Now()
	if _, err := w.client(patient.addr).Logon(t.Context(), req); err != nil && time.Since(began) < nullWait {
		t.Errorf("the NUL after 50 ms: %v", err)
	}
	early := w.serve(nil, func(_ *fake, c *tls.Conn, _ net.Conn) {
		_, _ = io.WriteString(c, "VERSION=MYPROXYv2\nRESPONSE=1\nERROR=overloaded\n\x00")
	})
	var said *ServerError
	if _, err := w.client(early.addr).Logon(t.Context(), req); !errors.As(err, &said) || said.Words() != "overloaded" {
		t.Errorf("an early refusal: %v", err)
	}
}

// deafConn is a connection whose other end stopped reading: from its fourth
// write on (hello, end of the handshake, '0', request) there is nobody there.
type deafConn struct {
	net.Conn
	writes int
	until  <-chan struct{}
}

func (d *deafConn) Write(p []byte) (int, error) {
	if d.writes++; d.writes < 4 {
		return d.Conn.Write(p)
	}
	<-d.until
	return 0, &net.OpError{Op: "write", Err: errors.New("broken pipe")}
}

// A server may refuse and close before it has read the request; then writing
// fails, and what it said is still there to be read.
func TestLastWords(t *testing.T) {
	w := newWorld(t)
	for text, want := range map[string]any{badPass: new(*ServerError), "": new(*LostError)} {
		said := make(chan struct{})
		f := w.serve(&tls.Config{Certificates: []tls.Certificate{w.host(nil)}, MinVersion: tls.VersionTLS13}, func(_ *fake, c *tls.Conn, _ net.Conn) {
			_, _ = c.Write([]byte{0})
			_, _ = c.Read(make([]byte, 1))
			_, _ = io.WriteString(c, text)
			close(said)
		})
		c := w.client(f.addr)
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &deafConn{Conn: conn, until: said}, err
		}
		req, _ := logon(t)
		if _, err := c.Logon(t.Context(), req); !errors.As(err, want) {
			t.Errorf("%q: got %v, want %T", text, err, want)
		}
	}
}

// A server takes one record for one message, so that a long request must not be
// cut as Go would by itself.
func TestOneRecordPerMessage(t *testing.T) {
	w := newWorld(t)
	lines := []string{strings.Repeat("x", 7000), strings.Repeat("y", 7000)}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		got := make(chan string, 1)
		f := w.serve(&tls.Config{Certificates: []tls.Certificate{w.host(nil)}, MaxVersion: version},
			func(f *fake, c *tls.Conn, _ net.Conn) { got <- f.request(c) })
		req, _ := logon(t)
		req.VOMS, req.VOMSES = []string{"atlas"}, lines
		_, _ = w.client(f.addr).Logon(t.Context(), req)
		if s := <-got; !strings.HasSuffix(s, "y\n\x00") || !strings.HasPrefix(s, "VERSION=") {
			t.Errorf("%s: the first record holds %d bytes of the request", tls.VersionName(version), len(s))
		}
	}
}

// A server's words reach people without what a terminal would obey, and not at
// all where they repeat the pass phrase.
func TestServerWords(t *testing.T) {
	w := newWorld(t)
	req, _ := logon(t)
	ask := func(words string) error {
		_, err := w.client(w.serve(nil, says("VERSION=MYPROXYv2\nRESPONSE=1\nERROR="+words+"\n\x00")).addr).Logon(t.Context(), req)
		return err
	}
	if err := ask("\x1b]0;owned\x07bad \x1b[31mred\u202e"); err == nil || strings.ContainsAny(err.Error(), "\x1b\x07\u202e") {
		t.Errorf("got %q", err)
	}
	err := ask("PAM authentication failed: " + canary + " is wrong")
	var said *ServerError
	if !errors.As(err, &said) || said.Kind != KindAuthentication || strings.Contains(fmt.Sprintf("%v %#v", err, said), canary) {
		t.Errorf("got %v", err)
	}
}

func TestCSRFails(t *testing.T) {
	w := newWorld(t)
	req, _ := logon(t)
	want := errors.New("no entropy")
	req.CSR = func(context.Context) ([]byte, error) { return nil, want }
	if _, err := w.client(w.serve(nil, grants).addr).Logon(t.Context(), req); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	req.CSR = func(context.Context) ([]byte, error) { return make([]byte, maxMessageOut+1), nil }
	var e *RequestError
	if _, err := w.client(w.serve(nil, grants).addr).Logon(t.Context(), req); !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
