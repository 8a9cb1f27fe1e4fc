package lab

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestRepository: what myproxy-store put in, myproxy-logon gets out, over one
// connection, whatever TLS version the server insists on.
func TestRepository(t *testing.T) {
	Require(t, MyProxyServer, MyProxyClient)
	ca := NewCA(t, "X509CH Lab")
	alice := ca.User("Alice")
	for name, o := range map[string]MyProxyOptions{
		"defaults":     {},
		"TLS 1.2 only": {TLSMax: tls.VersionTLS12},
		"TLS 1.3 only": {TLSMin: tls.VersionTLS13},
		"strict":       {Mode: Strict},
	} {
		t.Run(name, func(t *testing.T) {
			o.CA = ca
			m := StartMyProxy(t, o)
			m.Store("alice", "correct horse", alice)
			got, err := m.Logon("alice", "correct horse")
			if err != nil {
				t.Fatal(err)
			}
			if n := m.Connections(); n != 1 {
				t.Errorf("%d connections", n)
			}
			life := time.Until(leaf(t, got).NotAfter).Round(time.Hour)
			want := 12 * time.Hour
			if o.Mode == Strict {
				want = 2 * time.Hour
			}
			if life != want {
				t.Errorf("the proxy lives %v, want %v", life, want)
			}
			if want := tlsVersions(o); negotiable(m) != want {
				t.Errorf("the server speaks %q, want %q", negotiable(m), want)
			}
		})
	}
}

func tlsVersions(o MyProxyOptions) string {
	switch {
	case o.TLSMax == tls.VersionTLS12:
		return "1.2"
	case o.TLSMin == tls.VersionTLS13:
		return "1.3"
	}
	return "1.2 1.3"
}

// negotiable lists the TLS versions the server really speaks.
func negotiable(m *MyProxy) string {
	var versions []string
	for name, v := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		conn, err := tls.Dial("tcp", m.Direct, &tls.Config{InsecureSkipVerify: true, MinVersion: v, MaxVersion: v})
		if err == nil {
			conn.Close()
			versions = append(versions, name)
		}
	}
	if len(versions) == 2 {
		return "1.2 1.3"
	}
	return strings.Join(versions, "")
}

// TestRefusals: the words of the real server for what goes wrong most often.
func TestRefusals(t *testing.T) {
	Require(t, MyProxyServer, MyProxyClient)
	m := StartMyProxy(t, MyProxyOptions{})
	m.Store("alice", "correct horse", m.CA.User("Alice"), "-k", "second")
	for name, tc := range map[string]struct{ user, pass, cred, want string }{
		"wrong pass phrase": {"alice", "wrong horse", "second", "invalid credential passphrase"},
		"unknown user":      {"nobody", "correct horse", "second", `No credentials exist`},
		"no such name":      {"alice", "correct horse", "third", `No credentials exist`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := m.Logon(tc.user, tc.pass, "-k", tc.cred); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if got := strings.Join(m.Stored(), " "); got != "alice-second" {
		t.Errorf("stored: %q", got)
	}
}

// TestOnlineCA: PAM lets Carol in, and nobody with another pass phrase.
func TestOnlineCA(t *testing.T) {
	Require(t, MyProxyServer, MyProxyClient)
	m := StartMyProxy(t, MyProxyOptions{Mode: OnlineCA, Users: map[string]string{"carol": "open  sesame $x"}})
	got, err := m.Logon("carol", "open  sesame $x")
	if err != nil {
		t.Fatal(err)
	}
	if cn := leaf(t, got).Subject.CommonName; cn != "carol" {
		t.Errorf("the certificate is %q's", cn)
	}
	if _, err := m.Logon("carol", "open sesame $x"); err == nil || !strings.Contains(err.Error(), "invalid password") {
		t.Errorf("wrong pass phrase: got %v", err)
	}
	if n := m.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// TestHostCertificates: the C client accepts the good kinds and says of each
// bad one what is wrong with it, so each is what it claims to be.
func TestHostCertificates(t *testing.T) {
	Require(t, MyProxyServer, MyProxyClient, FakeTime)
	ca := NewCA(t, "X509CH Lab")
	alice := ca.User("Alice")
	for kind, want := range map[HostKind]string{
		HostSAN: "", HostCN: "", HostHostCN: "", HostMyProxyCN: "",
		HostWrongName: "other.example.org",
		HostExpired:   "has expired",
		HostLapsed:    "Connection closed",
		HostRevoked:   "has been revoked",
		HostUntrusted: "Cannot find trusted CA certificate",
	} {
		t.Run(string("host "+kind), func(t *testing.T) {
			m := StartMyProxy(t, MyProxyOptions{CA: ca, Host: kind})
			if want == "" {
				m.Store("alice", "correct horse", alice)
			}
			_, err := m.Logon("alice", "correct horse")
			if want == "" && err != nil {
				t.Error(err)
			}
			if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

// TestTrustDirectories: the C client, which fails closed, finds in each what is
// wrong with it.
func TestTrustDirectories(t *testing.T) {
	Require(t, MyProxyServer, MyProxyClient)
	m := StartMyProxy(t, MyProxyOptions{})
	m.Store("alice", "correct horse", m.CA.User("Alice"))
	for name, tc := range map[string]struct {
		trust Trust
		want  string
	}{
		"good list":    {Trust{CRL: CRLGood}, ""},
		"expired list": {Trust{CRL: CRLExpired}, "CRL has expired"},
		"no policy":    {Trust{NoPolicy: true}, "signing policy"},
		"other policy": {Trust{Policy: `"/C=XX/O=Elsewhere/*"`}, "does not match the signing policies"},
	} {
		t.Run(name, func(t *testing.T) {
			m := *m
			m.t, m.TrustDir = t, m.CA.TrustDir(tc.trust)
			_, err := m.Logon("alice", "correct horse")
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestStopAndFreeze: a stopped server refuses, a frozen one says nothing, and
// neither fails the test's clean-up.
func TestStopAndFreeze(t *testing.T) {
	Require(t, MyProxyServer, MyProxyClient)
	m := StartMyProxy(t, MyProxyOptions{})
	m.Freeze()
	conn, err := tls.DialWithDialer(dialer(200*time.Millisecond), "tcp", m.Addr, &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		conn.Close()
		t.Error("the frozen server answered")
	}
	m.Thaw()
	conn, err = tls.DialWithDialer(dialer(startTimeout), "tcp", m.Addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("the thawed server: %v", err)
	}
	conn.Close()
	if n := m.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
	m.Freeze()
	m.Stop()
	if _, err := m.Logon("alice", "correct horse"); err == nil || !strings.Contains(err.Error(), "Unable to connect") {
		t.Errorf("the stopped server: %v", err)
	}
}

// TestProxyIsGood: openssl and Globus accept what comes out.
func TestProxyIsGood(t *testing.T) {
	Require(t, MyProxyServer, MyProxyClient, GridTools)
	m := StartMyProxy(t, MyProxyOptions{})
	alice := m.CA.User("Alice")
	m.Store("alice", "correct horse", alice)
	got, err := m.Logon("alice", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	file := m.file("out.pem", string(got), 0o600)
	out, err := exec.Command("grid-proxy-info", "-f", file, "-identity").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != alice.DN() {
		t.Errorf("grid-proxy-info: %v, %q", err, out)
	}
	root := m.file("root.pem", string(pemCert(m.CA.Cert)), 0o644)
	out, err = exec.Command("openssl", "verify", "-allow_proxy_certs", "-CAfile", root, "-untrusted", file, file).CombinedOutput()
	if err != nil {
		t.Errorf("openssl verify: %v, %s", err, out)
	}
}

func dialer(timeout time.Duration) *net.Dialer { return &net.Dialer{Timeout: timeout} }

func leaf(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("no PEM: %q", text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
