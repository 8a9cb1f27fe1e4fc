package gsi

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func run(t testing.TB, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// opensslSHA1 returns a proxy and its user's certificate, both signed with
// SHA-1, and the root.
func opensslSHA1(t *testing.T) []*x509.Certificate {
	t.Helper()
	needTool(t, "openssl", "openssl")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("ext"), []byte("keyUsage=critical,digitalSignature\n[proxy]\nkeyUsage=critical,digitalSignature\nproxyCertInfo=critical,language:id-ppl-inheritAll\n"))
	for _, name := range []string{"ca", "user", "proxy"} {
		subject := map[string]string{"ca": "/CN=CA", "user": "/CN=Jane", "proxy": "/CN=Jane/CN=1"}[name]
		run(t, nil, "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at(name+".key"), "-out", at(name+".csr"), "-subj", subject)
	}
	run(t, nil, "openssl", "x509", "-req", "-in", at("ca.csr"), "-signkey", at("ca.key"), "-days", "2", "-out", at("ca.pem"))
	run(t, nil, "openssl", "x509", "-req", "-sha1", "-in", at("user.csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-set_serial", "2", "-days", "2", "-extfile", at("ext"), "-out", at("user.pem"))
	run(t, nil, "openssl", "x509", "-req", "-sha1", "-in", at("proxy.csr"), "-CA", at("user.pem"), "-CAkey", at("user.key"), "-set_serial", "1", "-days", "2", "-extfile", at("ext"), "-extensions", "proxy", "-out", at("proxy.pem"))
	var out []*x509.Certificate
	for _, name := range []string{"proxy.pem", "user.pem", "ca.pem"} {
		data, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		certs, err := ParseCertificates(data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, certs...)
	}
	return out
}

// realNow makes certificates for tools that cannot be given a clock.
func realNow(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
}

func realProxy(t *testing.T, o IssueOptions, levels int) (root *authority, cred *Credential) {
	t.Helper()
	root = newCA(t, "Root", nil, realNow)
	cred = newEEC(t, root, "Jane", realNow)
	for range levels {
		o.Now, o.Lifetime = time.Now(), 12*time.Hour
		next, err := cred.Derive(rsaKeys()[0], o)
		if err != nil {
			t.Fatal(err)
		}
		cred = next
	}
	return root, cred
}

// TestOpenSSLAcceptsProxies: OpenSSL's verifier is what davs:// servers have.
func TestOpenSSLAcceptsProxies(t *testing.T) {
	needTool(t, "openssl", "openssl")
	for name, o := range map[string]IssueOptions{
		"full": {}, "limited": {Rights: RightsLimited}, "independent": {Rights: RightsIndependent}, "path length": {PathLen: limit(1)},
	} {
		root, cred := realProxy(t, o, 2)
		dir := t.TempDir()
		out := run(t, nil, "openssl", "verify", "-allow_proxy_certs", "-auth_level", "2",
			"-CAfile", write(t, filepath.Join(dir, "ca.pem"), pemOf(root.cert)),
			"-untrusted", write(t, filepath.Join(dir, "chain.pem"), pemOf(cred.Chain[1:]...)),
			write(t, filepath.Join(dir, "proxy.pem"), pemOf(cred.Leaf())))
		if !strings.Contains(out, ": OK") {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// TestOpenSSLCountsPromises: a path length that promises more than its issuer
// has left is within RFC 3820, but TLS servers refuse it, and so does Verify.
func TestOpenSSLCountsPromises(t *testing.T) {
	needTool(t, "openssl", "openssl")
	root, first := realProxy(t, IssueOptions{PathLen: limit(1)}, 1)
	for pathLen, good := range map[int]bool{0: true, 1: false} {
		cred := withInfo(t, first, oidInheritAll, limit(pathLen), realNow)
		dir := t.TempDir()
		out, err := exec.Command("openssl", "verify", "-allow_proxy_certs",
			"-CAfile", write(t, filepath.Join(dir, "ca.pem"), pemOf(root.cert)),
			"-untrusted", write(t, filepath.Join(dir, "chain.pem"), pemOf(cred.Chain[1:]...)),
			write(t, filepath.Join(dir, "proxy.pem"), pemOf(cred.Leaf()))).CombinedOutput()
		if (err == nil) != good || !good && !strings.Contains(string(out), "proxy path length constraint exceeded") {
			t.Errorf("path length %d below 1: openssl says %v\n%s", pathLen, err, out)
		}
		if err := cred.Verify(VerifyOptions{Now: time.Now()}); (err == nil) != good {
			t.Errorf("path length %d below 1: Verify says %v", pathLen, err)
		}
	}
}

// TestGridProxyInfo: the Globus tool reads the file and agrees on what it is.
func TestGridProxyInfo(t *testing.T) {
	needTool(t, "grid-proxy-info", "globus-proxy-utils")
	for _, tt := range []struct {
		o    IssueOptions
		want string
	}{
		{IssueOptions{}, "RFC 3820 compliant impersonation proxy"},
		{IssueOptions{Rights: RightsLimited}, "RFC 3820 compliant limited proxy"},
	} {
		_, cred := realProxy(t, tt.o, 2)
		text, err := cred.PEM()
		if err != nil {
			t.Fatal(err)
		}
		file := write(t, filepath.Join(t.TempDir(), "proxy"), text)
		out := run(t, nil, "grid-proxy-info", "-file", file, "-type", "-identity", "-subject")
		info, err := Inspect(cred.Chain)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{tt.want, info.Identity + "\n", info.Subject + "\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in:\n%s", want, out)
			}
		}
	}
}

// TestOpenSSLReadsRequest: signature, empty subject and critical extension.
func TestOpenSSLReadsRequest(t *testing.T) {
	needTool(t, "openssl", "openssl")
	for limited, want := range map[bool]string{false: "Inherit all", true: "1.3.6.1.4.1.3536.1.1.1.9"} {
		der, err := NewRequest(rsaKeys()[0], limited)
		if err != nil {
			t.Fatal(err)
		}
		file := write(t, filepath.Join(t.TempDir(), "csr.der"), der)
		out := run(t, nil, "openssl", "req", "-inform", "DER", "-in", file, "-noout", "-text", "-verify")
		for _, part := range []string{"Proxy Certificate Information: critical", want, "sha256WithRSAEncryption", "verify OK"} {
			if !strings.Contains(out, part) {
				t.Errorf("no %q in:\n%s", part, out)
			}
		}
	}
}
