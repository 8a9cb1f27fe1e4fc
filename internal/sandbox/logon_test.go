package sandbox

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// logon runs the real C client.
func logon(t *testing.T, s *Sandbox, pass string, args ...string) (out, proxy string, code int) {
	t.Helper()
	program := need(t, "myproxy-logon", "myproxy")
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	proxy = filepath.Join(home, "proxy.pem")
	cmd := exec.CommandContext(t.Context(), program, append([]string{"-s", "localhost", "-p", port, "-S", "-o", proxy}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "X509_CERT_DIR=" + s.TrustDir(), "X509_USER_PROXY=" + filepath.Join(home, "none")}
	cmd.Stdin = strings.NewReader(pass + "\n")
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), proxy, cmd.ProcessState.ExitCode()
}

var versions = map[string]uint16{"tls12": tls.VersionTLS12, "tls13": tls.VersionTLS13}

// The C client of Debian has been talking to the real server for decades: what
// it makes of the sandbox's answers must be what it makes of the real one's.
func TestRealClientRepository(t *testing.T) {
	cases := []struct {
		name, pass string
		args       []string
		code       int
		want       []string
		chain      int
		lifetime   time.Duration
	}{
		{name: "a proxy from a stored proxy", pass: goodPass, args: []string{"-l", "alice"}, want: []string{"A credential has been received for user alice in "}, chain: 3, lifetime: 12 * time.Hour},
		{name: "a proxy from a stored certificate", pass: goodPass, args: []string{"-l", "carol"}, want: []string{"A credential has been received for user carol in "}, chain: 2, lifetime: 12 * time.Hour},
		{name: "a deep chain", pass: goodPass, args: []string{"-l", "deep"}, chain: 4, lifetime: 12 * time.Hour},
		{name: "a named credential", pass: goodPass, args: []string{"-l", "alice", "-k", "second", "-t", "1"}, chain: 3, lifetime: time.Hour},
		{name: "clipped to the stored limit without a word", pass: goodPass, args: []string{"-l", "limit", "-t", "24"}, chain: 3, lifetime: time.Hour},
		{name: "clipped to the stored credential's end", pass: goodPass, args: []string{"-l", "near"}, chain: 3, lifetime: 30 * time.Minute},
		{name: "wrong pass phrase", pass: wrongPass, args: []string{"-l", "alice"}, code: 1, want: []string{"Failed to receive credentials.", "ERROR from myproxy-server:", "Bad password\ninvalid credential passphrase"}},
		{name: "unknown user", pass: goodPass, args: []string{"-l", "nobody"}, code: 1, want: []string{`No credentials exist for username "nobody".`}},
		{name: "unknown credential", pass: goodPass, args: []string{"-l", "alice", "-k", "nosuch"}, code: 1, want: []string{`No credentials exist with username "alice" and credential name "nosuch".`}},
		{name: "locked", pass: goodPass, args: []string{"-l", "locked"}, code: 1, want: []string{"credential locked\naccount under review"}},
		{name: "expired", pass: goodPass, args: []string{"-l", "expired"}, code: 1, want: []string{"X509_verify_cert() failed: certificate has expired"}},
		{name: "a stored proxy with an ECDSA signature", pass: goodPass, args: []string{"-l", "eve"}, code: 1, want: []string{"Unable to delegate credentials."}},
	}
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			s := start(t, Options{MinTLS: version, MaxTLS: version},
				User{Name: "alice", Kind: Proxy}, User{Name: "alice", CredentialName: "second", Kind: Proxy},
				User{Name: "carol"}, User{Name: "deep", Kind: DeepProxy},
				User{Name: "limit", Kind: Proxy, Limit: time.Hour}, User{Name: "near", Kind: Proxy, EndsIn: 30 * time.Minute},
				User{Name: "locked", Locked: "account under review"}, User{Name: "expired", Kind: Proxy, Expired: true},
				User{Name: "eve", Kind: Proxy, P256: true})
			for i, c := range cases {
				if version == tls.VersionTLS12 && c.code == 0 && i > 1 {
					continue // the client's RSA key is all that takes time, and TLS 1.2 has been seen to work
				}
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					out, proxy, code := logon(t, s, c.pass, c.args...)
					if code != c.code {
						t.Fatalf("exit status %d, want %d: %s", code, c.code, out)
					}
					for _, want := range c.want {
						if !strings.Contains(out, want) {
							t.Errorf("output lacks %q: %s", want, out)
						}
					}
					if c.code == 0 {
						judge(t, s, proxy, c.chain, c.lifetime)
					}
				})
			}
		})
	}
}

func TestRealClientCA(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			s := start(t, Options{Mode: CA, MinTLS: version, MaxTLS: version}, User{Name: "alice", CommonName: "Alice Example"})
			out, proxy, code := logon(t, s, goodPass, "-l", "alice", "-t", "24")
			if code != 0 {
				t.Fatalf("exit status %d: %s", code, out)
			}
			judge(t, s, proxy, 1, 12*time.Hour)
			for user, want := range map[string]string{"mallory": "unknown username: mallory", "alice": "PAM authentication failed: System error"} {
				if out, _, code := logon(t, s, wrongPass, "-l", user); code != 1 || !strings.Contains(out, want) {
					t.Errorf("exit status %d, output without %q: %s", code, want, out)
				}
			}
		})
	}
}

// The C client must refuse what it refuses of a real server: the sandbox's
// faults of the trust kind are only worth something if they are real ones.
func TestRealClientRefusesServer(t *testing.T) {
	cases := []struct {
		name  string
		host  Host
		trust Trust
		want  string // "" is accepted
	}{
		{name: "good"},
		{name: "common name", host: HostCommonName},
		{name: "host service name", host: HostService},
		{name: "myproxy service name", host: HostMyProxy},
		{name: "wrong name", host: HostWrongName, want: "other.example.org"},
		{name: "expired", host: HostExpired, want: "certificate has expired"},
		{name: "not yet valid", host: HostNotYetValid, want: "not yet valid"},
		{name: "untrusted CA", host: HostUntrusted, want: "certificate"},
		{name: "revoked", host: HostRevoked, want: "revoked"},
		{name: "no signing policy", trust: Trust{NoPolicy: true}, want: "signing policy"},
		{name: "forbidding signing policy", trust: Trust{PolicyForbids: true}, want: "signing policies"},
		{name: "expired CRL", trust: Trust{ExpiredCRL: true}, want: "CRL has expired"},
		{name: "no CRL", trust: Trust{NoCRL: true}},
		{name: "no CA", trust: Trust{NoCA: true}, want: "certificate"},
	}
	s := start(t, Options{}, User{Name: "alice"})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := s.SetHost(c.host); err != nil {
				t.Fatal(err)
			}
			if err := s.SetTrust(c.trust); err != nil {
				t.Fatal(err)
			}
			out, _, code := logon(t, s, goodPass, "-l", "alice")
			if c.want == "" {
				if code != 0 {
					t.Fatalf("refused: %s", out)
				}
				return
			}
			if code == 0 || !strings.Contains(out, c.want) {
				t.Errorf("exit status %d, output without %q: %s", code, c.want, out)
			}
		})
	}
}

// judge asks OpenSSL and Globus what they think of a proxy file.
func judge(t *testing.T, s *Sandbox, proxy string, chain int, lifetime time.Duration) {
	t.Helper()
	data, err := os.ReadFile(proxy)
	if err != nil {
		t.Fatal(err)
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, cert)
	}
	if len(certs) != chain {
		t.Errorf("%d certificates, want %d", len(certs), chain)
	}
	if off := time.Until(certs[0].NotAfter) - lifetime; off > time.Minute || off < -time.Minute {
		t.Errorf("the proxy ends in %s, want %s", time.Until(certs[0].NotAfter), lifetime)
	}
	judgeProxy(t, s, proxy, chain > 1)
}

// judgeProxy runs openssl verify and grid-proxy-info on a proxy file.
func judgeProxy(t *testing.T, s *Sandbox, proxy string, isProxy bool) {
	t.Helper()
	openssl := need(t, "openssl", "openssl")
	args := []string{"verify", "-allow_proxy_certs", "-CApath", s.TrustDir(), "-crl_check_all", "-untrusted", proxy, proxy}
	if out, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput(); err != nil {
		t.Errorf("openssl verify: %v: %s", err, out)
	}
	if !isProxy {
		return
	}
	info := exec.CommandContext(t.Context(), need(t, "grid-proxy-info", "globus-proxy-utils"), "-f", proxy, "-exists", "-valid", "0:04")
	info.Env = append(os.Environ(), "X509_CERT_DIR="+s.TrustDir())
	if out, err := info.CombinedOutput(); err != nil {
		t.Errorf("grid-proxy-info: %v: %s", err, out)
	}
}
