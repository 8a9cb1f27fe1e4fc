package lab

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Mode is what a MyProxy server does.
type Mode string

// The modes of a MyProxy server.
const (
	// Repository keeps credentials and delegates proxies of them.
	Repository Mode = "repository" // also ""
	// OnlineCA issues end-entity certificates to whom PAM lets in.
	OnlineCA Mode = "ca"
	// Strict is a repository that gives nobody a key, lets nobody renew, and
	// signs proxies of at most 2 h.
	Strict Mode = "strict"
)

// MyProxyOptions says how a MyProxy server is to be. The zero value is a
// repository with a good host certificate, TLS 1.2 and 1.3.
type MyProxyOptions struct {
	CA             *CA // nil: a new one
	Mode           Mode
	Host           HostKind
	TLSMin, TLSMax uint16            // tls.VersionTLS12, tls.VersionTLS13; 0: Debian's defaults
	Users          map[string]string // names and pass phrases that PAM lets in (OnlineCA)
	// Policy replaces lines of the mode's configuration, by their directive:
	// "authorized_renewers", "default_retrievers", "max_proxy_lifetime" and so
	// on, each with its values. A directive without values is left out.
	Policy map[string][]string
	// AllowSelfAuthorization lets clients renew, or retrieve as trusted ones,
	// credentials of their own identity.
	AllowSelfAuthorization bool
	// NoTrustRoots leaves cert_dir out: the server has no trust roots to send.
	NoTrustRoots bool
	// PutKeyBits is the size of the RSA keys that the server makes for PUT,
	// which take half a second each at 2048 bits; 0: 2048.
	PutKeyBits int
	Config     string // more lines for myproxy-server.config
}

// MyProxy is a running myproxy-server.
type MyProxy struct {
	// Addr is "localhost:PORT" of a relay in front of the server that counts
	// connections and passes every byte unmodified.
	Addr string
	// Direct is "localhost:PORT" of the server itself, for measurements.
	Direct   string
	CA       *CA
	Host     *Credential // the server's certificate
	TrustDir string      // a fresh one for clients, which a test may change
	// CertDir holds the trust roots that the server sends, and trusts itself. A
	// test may change it; only files that everybody may read are sent.
	CertDir string

	t      TB
	dir    string
	config string
	env    []string
	server *server
	relay  *relay
}

// StartMyProxy starts a myproxy-server on a free loopback port.
func StartMyProxy(t TB, o MyProxyOptions) *MyProxy {
	t.Helper()
	Require(t, MyProxyServer)
	if o.Host == HostExpired {
		Require(t, FakeTime)
	}
	if o.CA == nil {
		o.CA = NewCA(t, "X509CH Lab")
	}
	m := &MyProxy{CA: o.CA, t: t, env: []string{LeakCheck(t)}, dir: tempDir(t, "myproxy"), CertDir: o.CA.TrustDir(Trust{})}
	m.Host = o.CA.Host(o.Host)
	m.TrustDir = o.CA.TrustDir(Trust{})
	if o.Host == HostRevoked {
		m.TrustDir = o.CA.TrustDir(Trust{Revoked: m.Host.Chain[:1]})
	}
	m.config = m.file("config", m.configText(o), 0o600)
	m.env = append(m.env, "HOME="+m.dir, "PATH="+os.Getenv("PATH"), "X509_CERT_DIR="+m.CertDir)
	if err := os.Mkdir(m.store(), 0o700); err != nil {
		t.Fatalf("%v", err)
	}
	m.env = slices.Clip(m.env)
	m.startServer(o)
	m.relay = startRelay(t, strings.Replace(m.Direct, "localhost", "127.0.0.1", 1))
	m.Addr = "localhost:" + m.relay.port()
	t.Cleanup(m.Stop)
	return m
}

// startServer starts the daemon. It writes its port and, after its fork, its
// pid; the process that forked has then ended.
func (m *MyProxy) startServer(o MyProxyOptions) {
	m.t.Helper()
	env := append(m.env, m.hostEnv("host", m.Host)...)
	env = append(env, tlsEnv(o)...)
	if o.PutKeyBits > 0 {
		env = append(env, "MYPROXY_KEYBITS="+strconv.Itoa(o.PutKeyBits))
	}
	if o.Host == HostExpired {
		env = append(env, fakeTimeEnv(90*time.Minute)...)
	}
	pidFile, portFile := filepath.Join(m.dir, "pid"), filepath.Join(m.dir, "port")
	argv := append(m.wrapper(o), m.argv("-P", pidFile, "-z", portFile)...)
	run(m.t, env, "", argv...)
	m.server = &server{t: m.t, name: "myproxy-server", process: otherProcess(m.number(pidFile))}
	m.server.watch()
	m.Direct = "localhost:" + strconv.Itoa(m.number(portFile))
	if o.Host == HostLapsed {
		m.hostEnv("host", m.CA.Host(HostExpired))
	}
}

// argv is the command line common to the daemon and to Store's server.
func (m *MyProxy) argv(args ...string) []string {
	return append([]string{lookPath("myproxy-server"), "-l", "127.0.0.1", "-p", "0", "-s", m.store(), "-c", m.config}, args...)
}

// number waits for a file of the server's to hold a number.
func (m *MyProxy) number(path string) int {
	m.t.Helper()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if n := readNumber(path); n != 0 {
			return n
		}
	}
	m.t.Fatalf("myproxy-server did not write %s", path)
	return 0
}

// readNumber returns 0 until the number is there; the server writes it at once.
func readNumber(path string) int {
	data, _ := os.ReadFile(path)
	n, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return n
}

// hostEnv writes a host certificate and key and names them as the server
// wants them.
func (m *MyProxy) hostEnv(name string, host *Credential) []string {
	m.t.Helper()
	return []string{
		"X509_USER_CERT=" + m.file(name+".pem", string(host.CertPEM()), 0o644),
		"X509_USER_KEY=" + m.file(name+".key", string(host.keyPEM()), 0o600),
	}
}

func (m *MyProxy) file(name, text string, mode os.FileMode) string {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	writeFile(m.t, path, []byte(text), mode)
	return path
}

func (m *MyProxy) store() string { return filepath.Join(m.dir, "store") }

// Connections is the number of connections that clients of Addr have made.
func (m *MyProxy) Connections() int { return m.relay.connections() }

// Stop ends the server and closes its ports: clients are refused from now on.
func (m *MyProxy) Stop() {
	m.t.Helper()
	if m.server == nil {
		return
	}
	m.relay.close()
	m.server.end()
	for _, p := range marked(m.env[0]) {
		p.signal(sigKill) // in the middle of serving somebody
	}
	m.server = nil
	checkClosed(m.t, m.Addr, m.Direct)
}

// Freeze stops the server without closing anything: clients connect and hear
// nothing. Thaw lets it go on.
func (m *MyProxy) Freeze() { m.server.signal(sigStop) }

// Thaw ends Freeze.
func (m *MyProxy) Thaw() { m.server.signal(sigCont) }

func tlsEnv(o MyProxyOptions) []string {
	names := map[uint16]string{tls.VersionTLS12: "TLS1_2_VERSION", tls.VersionTLS13: "TLS1_3_VERSION", 0: "0"}
	return []string{
		"GLOBUS_GSSAPI_MIN_TLS_PROTOCOL=" + names[o.TLSMin],
		"GLOBUS_GSSAPI_MAX_TLS_PROTOCOL=" + names[o.TLSMax],
	}
}
