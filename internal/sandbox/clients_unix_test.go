//go:build unix

package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cClient runs the real C commands as one user.
type cClient struct {
	t    *testing.T
	s    *Sandbox
	home string
	env  []string
}

// newCClient is a client with the identity of a user of the sandbox; with ""
// it is anonymous.
func newCClient(t *testing.T, s *Sandbox, user string) *cClient {
	t.Helper()
	c := &cClient{t: t, s: s, home: t.TempDir()}
	c.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.home, "X509_CERT_DIR=" + s.TrustDir(), "MYPROXY_SERVER=localhost", "MYPROXY_SERVER_PORT=" + s.port()}
	if user == "" {
		c.env = append(c.env, "X509_USER_PROXY=/none", "X509_USER_CERT=/none", "X509_USER_KEY=/none")
		return c
	}
	cert, key, err := s.IdentityFiles(user, "")
	if err != nil {
		t.Fatal(err)
	}
	proxy := filepath.Join(c.home, "identity.pem")
	var both []byte
	for _, file := range []string{cert, key} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	if err := os.WriteFile(proxy, both, 0o600); err != nil {
		t.Fatal(err)
	}
	c.env = append(c.env, "X509_USER_PROXY="+proxy, "X509_USER_CERT="+cert, "X509_USER_KEY="+key)
	return c
}

// run runs a command to its end; want is part of its output, code how it ends.
func (c *cClient) run(stdin string, code int, want string, argv ...string) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), need(c.t, argv[0], "myproxy"), argv[1:]...)
	cmd.Env, cmd.Stdin = c.env, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), want) {
		c.t.Errorf("%s: exit %d, want %d with %q:\n%s", strings.Join(argv, " "), got, code, want, out)
	}
}

// The C commands do with the sandbox what they do with the real server.
func TestRealClientCommands(t *testing.T) {
	need(t, "grid-proxy-init", "globus-proxy-utils") // of which myproxy-init makes use
	s := start(t, Options{}, User{Name: "owner", CommonName: "alice"}, User{Name: "portal"})
	alice, portal, anonymous := newCClient(t, s, "owner"), newCClient(t, s, "portal"), newCClient(t, s, "")
	out := filepath.Join(t.TempDir(), "out.pem")
	passwords := goodPass + "\n" + goodPass + "\n"

	alice.run(passwords, 0, "now exists on localhost", "myproxy-init", "-l", "alice", "-S")
	anonymous.run(goodPass+"\n", 0, "A credential has been received for user alice", "myproxy-logon", "-l", "alice", "-S", "-o", out)
	judgeProxy(t, s, out, true)
	alice.run(passwords, 0, "now exists on localhost", "myproxy-init", "-l", "alice", "-k", "named", "-K", "for the portal", "-r", "portal", "-S")
	alice.run("", 0, "description: for the portal", "myproxy-info", "-l", "alice")
	portal.run("", 1, "no credentials found for user alice", "myproxy-info", "-l", "alice")
	anonymous.run(goodPass+"\n", 1, "not authorized by credential's authorized_retrievers policy", "myproxy-logon", "-l", "alice", "-k", "named", "-S", "-o", out)
	portal.run(goodPass+"\n", 0, "A credential has been received", "myproxy-logon", "-l", "alice", "-k", "named", "-S", "-o", out)
	portal.run(passwords, 1, "so you may not overwrite them", "myproxy-init", "-l", "alice", "-S")
	portal.run("", 1, "Credentials not owned by", "myproxy-destroy", "-l", "alice")

	alice.run(goodPass+"\nanother pass phrase\nanother pass phrase\n", 0, "Pass phrase changed.", "myproxy-change-pass-phrase", "-l", "alice", "-S")
	anonymous.run(goodPass+"\n", 1, "invalid credential passphrase", "myproxy-logon", "-l", "alice", "-S", "-o", out)
	anonymous.run("another pass phrase\n", 0, "A credential has been received", "myproxy-logon", "-l", "alice", "-S", "-o", out)

	// A renewal: stored without a pass phrase, fetched with a proxy of alice's.
	alice.run("", 0, "now exists on localhost", "myproxy-init", "-l", "renew", "-A")
	anonymous.run("", 0, "A credential has been received for user renew", "myproxy-logon", "-l", "renew", "-a", out, "-o", out+".new")
	judgeProxy(t, s, out+".new", true)
	alice.run("", 1, "self-authz", "myproxy-logon", "-l", "renew", "-a", out, "-o", out+".own")

	// The files themselves, as they are.
	cert, key, err := s.IdentityFiles("owner", "")
	if err != nil {
		t.Fatal(err)
	}
	encrypted := filepath.Join(t.TempDir(), "key.pem")
	encrypt := exec.CommandContext(t.Context(), need(t, "openssl", "openssl"), "pkcs8", "-topk8", "-in", key, "-out", encrypted, "-passout", "pass:"+goodPass)
	if text, err := encrypt.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	// (The C client makes "*/CN=*" of the pattern, which no anonymous client matches.)
	alice.run("", 0, "saved to", "myproxy-store", "-l", "files", "-c", cert, "-y", encrypted, "-E", "*")
	anonymous.run(goodPass+"\n", 255, "authorized_key_retrievers policy", "myproxy-retrieve", "-l", "files", "-c", out+".cert", "-y", out+".key", "-S")
	portal.run(goodPass+"\n", 0, "", "myproxy-retrieve", "-l", "files", "-c", out+".cert", "-y", out+".key", "-S")
	alice.run("", 0, "", "myproxy-destroy", "-l", "files")
	alice.run("", 1, "Credentials do not exist", "myproxy-destroy", "-l", "files")
	anonymous.run("", 0, "Trust roots have been installed", "myproxy-get-trustroots")
}
