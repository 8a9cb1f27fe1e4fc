package lab

import (
	"os"
	"os/exec"
	"path/filepath"
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

// TestXRootDListensOnLoopbackOnly: it has no option for that; its socket is ours.
func TestXRootDListensOnLoopbackOnly(t *testing.T) {
	x := StartXRootD(t, NewCA(t, "X509CH Lab"))
	if !strings.HasPrefix(x.addr, "127.0.0.1:") {
		t.Errorf("listens at %s", x.addr)
	}
}
