package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestXRootD: a proxy from the real MyProxy server opens the door of a real
// storage server, and nothing else does.
func TestXRootD(t *testing.T) {
	Require(t, MyProxyServer, MyProxyClient, XRootDServer, XRootDClient)
	m := StartMyProxy(t, MyProxyOptions{})
	alice, mallory := m.CA.User("Alice"), m.CA.User("Mallory")
	x := StartXRootD(t, m.CA, alice.DN())
	writeFile(t, filepath.Join(x.Data, "file"), []byte("hello\n"), 0o644)
	proxy := func(name string, c *Credential) string {
		m.Store(name, "correct horse", c)
		text, err := m.Logon(name, "correct horse")
		if err != nil {
			t.Fatal(err)
		}
		return m.file(name+".proxy", string(text), 0o600)
	}
	got := filepath.Join(t.TempDir(), "got")
	copyFile := func(proxy string) ([]byte, error) {
		cmd := exec.Command("xrdcp", "-f", "-s", x.URL+"//data/file", got)
		cmd.Env = x.Env(proxy)
		return cmd.CombinedOutput()
	}
	if out, err := copyFile(proxy("alice", alice)); err != nil {
		t.Fatalf("xrdcp: %v, %s", err, out)
	}
	if text, err := os.ReadFile(got); err != nil || string(text) != "hello\n" {
		t.Errorf("copied %q, %v", text, err)
	}
	if out, err := copyFile(proxy("mallory", mallory)); err == nil || !strings.Contains(string(out), "Auth failed") {
		t.Errorf("somebody who is not in the grid-map file: %v, %s", err, out)
	}
	x.Stop()
}

// TestXRootDListensOnLoopbackOnly: it has no option for that; its sockets are ours.
func TestXRootDListensOnLoopbackOnly(t *testing.T) {
	x := StartXRootDWith(t, NewCA(t, "X509CH Lab"), XRootDOptions{TLS: true, HTTP: true})
	for _, addr := range x.addrs {
		if !strings.HasPrefix(addr, "127.0.0.1:") {
			t.Errorf("listens at %s", addr)
		}
	}
	if ports := listening(t, x.server.pid); len(ports) != len(x.addrs) {
		t.Errorf("listens at %d ports: %v", len(ports), ports)
	}
}

// TestXRootDTLSAndHTTP: the users' real tools come in by all doors with a proxy
// of a user that is let in, and by none with that of another.
func TestXRootDTLSAndHTTP(t *testing.T) {
	Require(t, XRootDServer, XRootDHTTP, XRootDClient, GridTools, GFAL, Curl)
	ca := NewCA(t, "X509CH Lab")
	alice, mallory := ca.User("Alice"), ca.User("Mallory")
	x := StartXRootDWith(t, ca, XRootDOptions{TLS: true, HTTP: true, Users: []string{alice.DN()}})
	writeFile(t, filepath.Join(x.Data, "file"), []byte("hello\n"), 0o644)
	proxies := map[string]string{"alice": gridProxy(t, x.TrustDir, alice), "mallory": gridProxy(t, x.TrustDir, mallory)}
	curl := func(proxy string) []string {
		return []string{"curl", "-sSf", "--capath", x.TrustDir, "--cert", proxy, "--key", proxy, x.HTTPS + "/data/file"}
	}
	roots := strings.Replace(x.URL, "root:", "roots:", 1)
	for name, tool := range map[string]func(proxy string) []string{
		"xrdfs":         func(string) []string { return []string{"xrdfs", x.URL, "cat", "/data/file"} },
		"xrdfs roots":   func(string) []string { return []string{"xrdfs", roots, "cat", "/data/file"} },
		"gfal-cat root": func(string) []string { return []string{"gfal-cat", x.URL + "//data/file"} },
		"gfal-cat davs": func(string) []string { return []string{"gfal-cat", x.DAVS() + "/data/file"} },
		"curl":          curl,
	} {
		t.Run(name, func(t *testing.T) {
			for who, proxy := range proxies {
				cmd := exec.Command(tool(proxy)[0], tool(proxy)[1:]...)
				cmd.Env = x.Env(proxy)
				out, err := cmd.CombinedOutput()
				if who == "alice" && (err != nil || !strings.Contains(string(out), "hello\n")) {
					t.Errorf("%s is let in, but: %v, %s", who, err, out)
				}
				if who != "alice" && (err == nil || strings.Contains(string(out), "hello\n")) {
					t.Errorf("%s was let in: %s", who, out)
				}
			}
		})
	}
	out, err := exec.Command("curl", "-sSf", "--capath", x.TrustDir, x.HTTPS+"/data/file").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "403") {
		t.Errorf("without a certificate: %v, %s", err, out)
	}
}

// TestXRootDUpgradesToTLS: a client that says root:// ends up with TLS when the
// server wants it, and does without when it does not: what a proxy must be like
// depends on that.
func TestXRootDUpgradesToTLS(t *testing.T) {
	Require(t, XRootDServer, XRootDClient, GridTools)
	ca := NewCA(t, "X509CH Lab")
	alice := ca.User("Alice")
	for name, tls := range map[string]bool{"TLS": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			x := StartXRootDWith(t, ca, XRootDOptions{TLS: tls, Users: []string{alice.DN()}})
			cmd := exec.Command("xrdfs", x.URL, "ls", "/data")
			cmd.Env = append(x.Env(gridProxy(t, x.TrustDir, alice)), "XRD_LOGLEVEL=Debug")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("xrdfs: %v, %s", err, out)
			}
			if got := strings.Contains(string(out), "TLS hand-shake done"); got != tls {
				t.Errorf("TLS: %v, want %v; xrdfs says:\n%s", got, tls, out)
			}
		})
	}
}

// gridProxy makes a proxy with grid-proxy-init.
func gridProxy(t *testing.T, trustDir string, user *Credential) string {
	t.Helper()
	dir := t.TempDir()
	cert, key, out := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "proxy")
	writeFile(t, cert, user.CertPEM(), 0o644)
	writeFile(t, key, user.keyPEM(), 0o400)
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "X509_CERT_DIR=" + trustDir}
	run(t, env, "", "grid-proxy-init", "-q", "-bits", "2048", "-cert", cert, "-key", key, "-out", out)
	return out
}

// listening lists the addresses at which a process listens for TCP, as the
// kernel writes them.
func listening(t *testing.T, pid int) []string {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	descriptors, err := filepath.Glob(filepath.Join(proc, "fd", "*"))
	if err != nil || len(descriptors) == 0 {
		t.Fatalf("no descriptors: %v", err)
	}
	mine := map[string]bool{}
	for _, d := range descriptors {
		target, _ := os.Readlink(d) // one that is closed by now does not count
		mine[target] = true
	}
	var found []string
	for _, table := range []string{"tcp", "tcp6"} {
		data, err := os.ReadFile(filepath.Join(proc, "net", table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			// sl, local address, remote address, state, …, inode
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && mine["socket:["+f[9]+"]"] {
				found = append(found, f[1])
			}
		}
	}
	return found
}
