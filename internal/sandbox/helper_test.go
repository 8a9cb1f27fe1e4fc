package sandbox

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	goodPass  = "example-passphrase-not-real"
	wrongPass = "example-wrong-passphrase"
)

// patience only guards against hangs: a machine may stall for some seconds.
const patience = time.Minute

// testKeys saves a third of a second per sandbox.
var testKeys = NewKeys()

func start(t testing.TB, o Options, users ...User) *Sandbox {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Keys = testKeys
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for _, u := range users {
		if u.Passphrase == "" {
			u.Passphrase = goodPass
		}
		if err := s.AddUser(u); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// client is the least that can talk to the server, so that its records are
// seen one by one. It checks nothing.
type client struct {
	t   testing.TB
	raw *tap
	tls *tls.Conn
}

// tap keeps what comes from the server below TLS.
type tap struct {
	net.Conn
	mu   sync.Mutex
	seen []byte
}

func (p *tap) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, b[:n]...)
	return n, err
}

func dial(t testing.TB, s *Sandbox, version uint16, identity *tls.Certificate) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	raw := &tap{Conn: conn}
	t.Cleanup(func() { _ = raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(patience))
	c := &client{t: t, raw: raw, tls: tls.Client(raw, clientConfig(version, identity))}
	if err := c.tls.Handshake(); err != nil {
		t.Fatal(err)
	}
	raw.seen = nil // the handshake
	return c
}

func clientConfig(version uint16, identity *tls.Certificate) *tls.Config {
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, DynamicRecordSizingDisabled: true}
	if identity != nil {
		config.Certificates = []tls.Certificate{*identity}
	}
	return config
}

// greeted is dial and what comes before a request.
func greeted(t testing.TB, s *Sandbox, version uint16, identity *tls.Certificate) *client {
	t.Helper()
	c := dial(t, s, version, identity)
	if version == tls.VersionTLS13 {
		if got := c.record(); string(got) != "\x00" {
			t.Fatalf("after the TLS 1.3 handshake the server sent %q, not a lone NUL", got)
		}
	}
	c.send("0")
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := c.tls.Write([]byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// record is what one TLS record of the server holds; nil at the end.
func (c *client) record() []byte {
	c.t.Helper()
	buf := make([]byte, 1<<16)
	n, err := c.tls.Read(buf)
	if err != nil && err != io.EOF {
		c.t.Fatalf("read: %v", err)
	}
	return buf[:n]
}

func getRequest(user, pass string, extra ...string) string {
	return fmt.Sprintf("VERSION=MYPROXYv2\nCOMMAND=0\nUSERNAME=%s\nPASSPHRASE=%s\nLIFETIME=43200\n%s\x00", user, pass, strings.Join(extra, ""))
}

// testCSR is a certificate request and its key; limited asks for a limited
// proxy.
func testCSR(t testing.TB, key crypto.Signer, limited bool) []byte {
	t.Helper()
	language := oidInheritAll
	if limited {
		language = oidLimited
	}
	ext, err := proxyExtension(language)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{ExtraExtensions: []pkix.Extension{ext}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func testKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := testKeys.get(t.Context(), "client")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// get runs a whole GET and returns the certificates' message.
func get(t testing.TB, s *Sandbox, version uint16, request string, csr []byte) []byte {
	t.Helper()
	c := greeted(t, s, version, nil)
	c.send(request)
	if got := c.record(); string(got) != "VERSION=MYPROXYv2\nRESPONSE=0\n\x00" {
		t.Fatalf("first response: %q", got)
	}
	if _, err := c.tls.Write(csr); err != nil {
		t.Fatal(err)
	}
	message := c.record()
	if strings.HasPrefix(string(message), "VERSION") {
		t.Fatalf("in place of certificates: %q", message)
	}
	if got := c.record(); string(got) != "VERSION=MYPROXYv2\nRESPONSE=0\n\x00" {
		t.Fatalf("last response: %q", got)
	}
	if got := c.record(); len(got) != 0 {
		t.Fatalf("after the end: %q", got)
	}
	return message
}

func certificates(t testing.TB, message []byte) []*x509.Certificate {
	t.Helper()
	certs, err := x509.ParseCertificates(message[1:])
	if err != nil {
		t.Fatal(err)
	}
	if int(message[0]) != len(certs) {
		t.Fatalf("count byte %d, %d certificates", message[0], len(certs))
	}
	return certs
}

// need skips where a program of a Debian package is missing, and fails where
// the laboratory is required.
func need(t testing.TB, program, debian string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("X509CH_LAB") == "require" {
		t.Fatalf("%s is missing: apt-get install %s", program, debian)
	}
	t.Skipf("%s is missing: apt-get install %s", program, debian)
	return ""
}

func certificatesOf(t testing.TB, der []byte) []*x509.Certificate {
	t.Helper()
	certs, err := x509.ParseCertificates(der)
	if err != nil {
		t.Fatal(err)
	}
	return certs
}

func rawDial(t testing.TB, s *Sandbox) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
