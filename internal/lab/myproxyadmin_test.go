package lab

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPolicy: what replaces a line of the configuration holds, and what is left
// out is not there.
func TestPolicy(t *testing.T) {
	Require(t, MyProxyServer, MyProxyClient)
	ca := NewCA(t, "X509CH Lab")
	alice := ca.User("Alice")
	for name, tc := range map[string]struct {
		options MyProxyOptions
		want    string
		life    time.Duration
	}{
		"as it is":          {MyProxyOptions{}, "", 12 * time.Hour},
		"others only":       {MyProxyOptions{Policy: map[string][]string{"authorized_retrievers": {"*/CN=portal", "*/CN=x"}}}, "authorized_retrievers policy", 0},
		"one of several":    {MyProxyOptions{Policy: map[string][]string{"authorized_retrievers": {"*/CN=portal", "*"}}}, "", 12 * time.Hour},
		"nobody":            {MyProxyOptions{Policy: map[string][]string{"authorized_retrievers": nil}}, "authorized_retrievers policy", 0},
		"an hour at most":   {MyProxyOptions{Policy: map[string][]string{"max_proxy_lifetime": {"1"}}}, "", time.Hour},
		"strict, two hours": {MyProxyOptions{Mode: Strict}, "", 2 * time.Hour},
		"strict, changed":   {MyProxyOptions{Mode: Strict, Policy: map[string][]string{"max_proxy_lifetime": {"3"}}}, "", 3 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			tc.options.CA = ca
			m := StartMyProxy(t, tc.options)
			m.Store("alice", "correct horse", alice)
			got, err := m.Logon("alice", "correct horse")
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if life := time.Until(leaf(t, got).NotAfter).Round(time.Hour); life != tc.life {
				t.Errorf("the proxy lives %v, want %v", life, tc.life)
			}
		})
	}
}

// TestLock: a locked credential is refused in the administrator's words, until
// it is unlocked; one that is removed is gone.
func TestLock(t *testing.T) {
	Require(t, MyProxyServer, MyProxyClient)
	m := StartMyProxy(t, MyProxyOptions{})
	m.Store("alice", "correct horse", m.CA.User("Alice"), "-k", "second")
	if text := string(m.StoredPEM("alice", "second")); !strings.Contains(text, "ENCRYPTED") {
		t.Errorf("stored: %q", text)
	}
	m.Lock("alice", "second", "under review")
	if _, err := m.Logon("alice", "correct horse", "-k", "second"); err == nil || !strings.Contains(err.Error(), "credential locked\nunder review") {
		t.Errorf("locked: %v", err)
	}
	m.Unlock("alice", "second")
	if _, err := m.Logon("alice", "correct horse", "-k", "second"); err != nil {
		t.Errorf("unlocked: %v", err)
	}
	m.Remove("alice", "second")
	if got := m.Stored(); len(got) != 0 {
		t.Errorf("stored: %q", got)
	}
}

// TestTrustRoots: a server of any mode sends what is in CertDir, also what came
// later, unless it has none.
func TestTrustRoots(t *testing.T) {
	Require(t, MyProxyServer, MyProxyClient)
	ca := NewCA(t, "X509CH Lab")
	for name, tc := range map[string]struct {
		options MyProxyOptions
		want    int
	}{
		"repository": {MyProxyOptions{}, 5},
		"strict":     {MyProxyOptions{Mode: Strict}, 5},
		"online CA":  {MyProxyOptions{Mode: OnlineCA}, 5},
		"none":       {MyProxyOptions{NoTrustRoots: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tc.options.CA = ca
			m := StartMyProxy(t, tc.options)
			writeFile(t, filepath.Join(m.CertDir, "later.info"), []byte("a file more\n"), 0o644)
			if got := m.trustRoots(t); len(got) != tc.want || tc.want > 0 && !slices.Contains(got, "later.info") {
				t.Errorf("trust roots: %q", got)
			}
		})
	}
}

// trustRoots asks for them without a client.
func (m *MyProxy) trustRoots(t *testing.T) []string {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: startTimeout}, "tcp", m.Direct,
		&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, message := range []string{"0", "VERSION=MYPROXYv2\nCOMMAND=7\nUSERNAME=\nPASSPHRASE=\nLIFETIME=0\nTRUSTED_CERTS=1\n\x00"} {
		if _, err := conn.Write([]byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 1<<16)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	_, names, found := strings.Cut(string(buf[:n]), "TRUSTED_CERTS=")
	if !found {
		return nil
	}
	line, _, _ := strings.Cut(names, "\n")
	return strings.Split(line, ",")
}

// TestSelfAuthorization: what lets a client renew its own credential is in the
// configuration only if it was asked for.
func TestSelfAuthorization(t *testing.T) {
	Require(t, MyProxyServer)
	for _, allow := range []bool{false, true} {
		m := StartMyProxy(t, MyProxyOptions{AllowSelfAuthorization: allow})
		text, err := os.ReadFile(m.config)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), "allow_self_authorization \"true\"\n"); got != allow {
			t.Errorf("allowed: %t, the configuration:\n%s", allow, text)
		}
	}
}
