package myproxy

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// patience only guards against hangs: a machine may stall for some seconds.
const patience = time.Minute

// canary is the pass phrase of every conversation here; no error may hold it.
const canary = "canary-pass-phrase"

// world is a CA with its trust directory.
type world struct {
	t   testing.TB
	now time.Time
	key *ecdsa.PrivateKey
	ca  *x509.Certificate
	dir string
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, now: time.Now(), key: newKey(t), dir: t.TempDir()}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{Country: []string{"XX"}, CommonName: "Test CA"},
		NotBefore:    w.now.Add(-365 * 24 * time.Hour), NotAfter: w.now.Add(365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, w.key.Public(), w.key)
	if err != nil {
		t.Fatal(err)
	}
	if w.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	w.write(".0", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	w.write(".signing_policy", []byte("access_id_CA X509 '/C=XX/CN=Test CA'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/*\"'\n"))
	return w
}

// path is the file of the CA with that suffix in the trust directory.
func (w *world) path(suffix string) string {
	hash, err := gsi.SubjectHash(w.ca.RawSubject)
	if err != nil {
		w.t.Fatal(err)
	}
	return filepath.Join(w.dir, hash+suffix)
}

func (w *world) write(suffix string, data []byte) {
	if err := os.WriteFile(w.path(suffix), data, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// crl writes a CRL that revokes the serial numbers.
func (w *world) crl(next time.Time, revoked ...int64) {
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: w.now.Add(-48 * time.Hour), NextUpdate: next}
	for _, n := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: w.now.Add(-time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, w.ca, w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(".r0", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

const hostSerial = 77

// host makes a host certificate; change may spoil it.
func (w *world) host(change func(*x509.Certificate)) tls.Certificate {
	key := newKey(w.t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(hostSerial),
		Subject:      pkix.Name{Country: []string{"XX"}, CommonName: "localhost"},
		NotBefore:    w.now.Add(-24 * time.Hour), NotAfter: w.now.Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, w.ca, key.Public(), w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, w.ca.Raw}, PrivateKey: key}
}

// issue answers a certificate request as an online CA does.
func (w *world) issue(csr []byte) []byte {
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		w.t.Errorf("the server cannot read the request: %v", err)
		return nil
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(5), Subject: pkix.Name{Country: []string{"XX"}, CommonName: "jane"},
		NotBefore: w.now.Add(-time.Minute), NotAfter: w.now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, w.ca, req.PublicKey, w.key)
	if err != nil {
		w.t.Error(err)
	}
	return der
}

// fake is a server under the test's control.
type fake struct {
	w      *world
	addr   string // "localhost:port"
	config *tls.Config

	mu      sync.Mutex
	dialled int
	asked   int // requests that came
}

// handler holds one conversation after the TLS handshake; raw is the TCP
// connection.
type handler func(f *fake, c *tls.Conn, raw net.Conn)

func (w *world) serve(config *tls.Config, talk handler) *fake {
	w.t.Helper()
	if config == nil {
		config = &tls.Config{Certificates: []tls.Certificate{w.host(nil)}}
	}
	f := &fake{w: w, config: config}
	f.listen(func(raw net.Conn) {
		c := tls.Server(raw, f.config)
		if c.Handshake() == nil {
			talk(f, c, raw)
		}
	})
	return f
}

// serveTCP is a server that does not even speak TLS.
func (w *world) serveTCP(talk func(net.Conn)) *fake {
	w.t.Helper()
	f := &fake{w: w}
	f.listen(talk)
	return f
}

func (f *fake) listen(talk func(net.Conn)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.w.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	f.addr = net.JoinHostPort("localhost", port)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.dialled++
			f.mu.Unlock()
			running.Go(func() {
				defer raw.Close()
				_ = raw.SetDeadline(time.Now().Add(patience))
				talk(raw)
			})
		}
	})
	f.w.t.Cleanup(func() { l.Close(); running.Wait() })
}

func (f *fake) counts() (dialled, asked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dialled, f.asked
}

// request does what precedes a request and reads it.
func (f *fake) request(c *tls.Conn) string {
	if c.ConnectionState().Version == tls.VersionTLS13 {
		_, _ = c.Write([]byte{0})
	}
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	if err != nil || string(buf[:n]) != "0" {
		return ""
	}
	if n, _ = c.Read(buf); n == 0 {
		return ""
	}
	f.mu.Lock()
	f.asked++
	f.mu.Unlock()
	return string(buf[:n])
}

const (
	okResponse = "VERSION=MYPROXYv2\nRESPONSE=0\n\x00"
	badPass    = "VERSION=MYPROXYv2\nRESPONSE=1\nERROR=Bad password\nERROR=invalid credential passphrase\n\x00"
)

// grants is a server that does its duty.
func grants(f *fake, c *tls.Conn, _ net.Conn) {
	f.request(c)
	_, _ = io.WriteString(c, okResponse)
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	if err != nil {
		return
	}
	_, _ = c.Write(append([]byte{1}, f.w.issue(buf[:n])...))
	_, _ = io.WriteString(c, okResponse)
}

// says answers every request with a text.
func says(text string) handler {
	return func(f *fake, c *tls.Conn, _ net.Conn) {
		f.request(c)
		_, _ = io.WriteString(c, text)
	}
}

// gives answers the certificate request with these bytes.
func gives(data string) handler {
	return func(f *fake, c *tls.Conn, _ net.Conn) {
		f.request(c)
		_, _ = io.WriteString(c, okResponse)
		_, _ = bufio.NewReaderSize(c, 16).ReadByte()
		_, _ = io.WriteString(c, data)
	}
}

// waits is silent after the request until the client goes away.
func waits(f *fake, c *tls.Conn, _ net.Conn) {
	f.request(c)
	_, _ = io.Copy(io.Discard, c)
}

func (w *world) trust() (*gsi.TrustDir, error) { return gsi.OpenTrustDir(w.dir) }

// client is a client for these servers.
func (w *world) client(hosts ...string) *Client {
	return &Client{Hosts: hosts, Trust: w.trust, DialTimeout: patience, IOTimeout: patience}
}

// logon is a request with a key of its own.
func logon(t testing.TB) (LogonRequest, crypto.Signer) {
	key := newKey(t)
	return LogonRequest{
		Username: "jane", Passphrase: []byte(canary),
		CSR: func(context.Context) ([]byte, error) {
			return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		},
	}, key
}

// closedPort is an address where nobody listens.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// noGoroutines fails if more goroutines run than before, after they had time
// to end.
func noGoroutines(t testing.TB, before int) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if runtime.NumGoroutine() <= before {
			return
		}
	}
	buf := make([]byte, 64<<10)
	t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}
