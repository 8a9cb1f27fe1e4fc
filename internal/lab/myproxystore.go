package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Store puts a credential into the repository with the real myproxy-store; its
// key is encrypted under the pass phrase. More arguments are those of
// myproxy-store, e.g. "-k", "name", "-t", "1". The owner is c itself.
//
// It talks to a second server on the same store, which ends after this one
// connection: what is stored depends neither on the host certificate nor on
// the TLS versions under test, and Connections does not count it.
func (m *MyProxy) Store(user, passphrase string, c *Credential, args ...string) {
	m.t.Helper()
	portFile, pidFile := filepath.Join(m.dir, "store.port"), filepath.Join(m.dir, "store.pid")
	os.Remove(portFile)
	helper := start(m.t, "myproxy-server-store", m.dir,
		append(m.env, m.hostEnv("store", m.CA.Host(HostSAN))...), nil, nil,
		// Without a pid file of its own it locks one that all share.
		m.argv("-d", "-P", pidFile, "-z", portFile)...)
	helper.waitFor("port", func() bool { return readNumber(portFile) != 0 })
	port := readNumber(portFile)

	key := m.encrypt(c, passphrase)
	cert := m.file("user.pem", string(c.CertPEM()), 0o644)
	env := append(m.env, "X509_USER_PROXY="+m.file("user.cred", string(c.PEM()), 0o600))
	run(m.t, env, "", append([]string{"myproxy-store", "-s", "localhost", "-p", strconv.Itoa(port),
		"-l", user, "-c", cert, "-y", key}, args...)...)
	if !helper.gone(startTimeout) {
		m.t.Errorf("myproxy-server -d still runs after its one connection")
	}
	helper.end()
}

// encrypt writes the key in PKCS#8 under a pass phrase. A thousand iterations
// are quick, and nobody attacks a lab.
func (m *MyProxy) encrypt(c *Credential, passphrase string) string {
	m.t.Helper()
	out := filepath.Join(m.dir, "user.key")
	run(m.t, m.env, "", "openssl", "pkcs8", "-topk8", "-v2", "aes-128-cbc", "-iter", "1000",
		"-in", m.file("user.plain", string(c.keyPEM()), 0o600),
		"-passout", "file:"+m.file("user.pass", passphrase+"\n", 0o600), "-out", out)
	return out
}

// Stored lists the credentials in the repository, "user" or "user-name".
func (m *MyProxy) Stored() []string {
	m.t.Helper()
	paths, err := filepath.Glob(filepath.Join(m.store(), "*.creds"))
	if err != nil {
		m.t.Fatalf("%v", err)
	}
	for i, path := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(path), ".creds")
	}
	return paths
}

// checkClosed fails the test if somebody still listens. A server that has just
// been thawed may leave a child that holds the socket for a moment.
func checkClosed(t TB, addrs ...string) {
	t.Helper()
	closedWithin(t, leakGrace, addrs...)
}

func closedWithin(t TB, grace time.Duration, addrs ...string) {
	t.Helper()
	for _, addr := range addrs {
		for deadline := time.Now().Add(grace); answers(addr); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("somebody still listens at %s", addr)
				break
			}
		}
	}
}

func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", strings.Replace(addr, "localhost", "127.0.0.1", 1), time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// Logon runs the real myproxy-logon and returns what it wrote to the file, or
// its output as an error.
func (m *MyProxy) Logon(user, passphrase string, args ...string) ([]byte, error) {
	m.t.Helper()
	out := filepath.Join(tempDir(m.t, "logon"), "proxy.pem")
	host, port, _ := net.SplitHostPort(m.Addr)
	env := []string{m.env[0], "HOME=" + m.dir, "PATH=" + os.Getenv("PATH"), "X509_CERT_DIR=" + m.TrustDir}
	text, err := command(env, passphrase+"\n", append([]string{"myproxy-logon", "-s", host, "-p", port,
		"-l", user, "-S", "-o", out}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return os.ReadFile(out)
}
