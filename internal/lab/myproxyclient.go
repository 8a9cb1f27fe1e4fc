package lab

import (
	"net"
	"os"
	"path/filepath"
)

// Command runs one of the real C clients against this server, "myproxy-info"
// for instance, and returns the last of its output. as is the client's
// credential, nil for the anonymous client; stdin is what it reads with -S.
// Files are looked for in, and written to, dir.
func (m *MyProxy) Command(dir string, as *Credential, stdin, program string, args ...string) (string, error) {
	m.t.Helper()
	host, port, _ := net.SplitHostPort(m.Addr)
	env := []string{
		m.env[0], "HOME=" + dir, "PATH=" + os.Getenv("PATH"), "X509_CERT_DIR=" + m.TrustDir, "LOGNAME=nobody",
		// Where nothing is there, the clients look into other places.
		"X509_USER_PROXY=" + filepath.Join(dir, "none"),
	}
	if as != nil {
		cert, key := filepath.Join(dir, "usercert.pem"), filepath.Join(dir, "userkey.pem")
		writeFile(m.t, cert, as.CertPEM(), 0o644)
		writeFile(m.t, key, as.keyPEM(), 0o600)
		env = append(env[:len(env)-1], "X509_USER_CERT="+cert, "X509_USER_KEY="+key)
		if len(as.Chain) > 1 {
			proxy := filepath.Join(dir, "proxy.pem")
			writeFile(m.t, proxy, as.PEM(), 0o600)
			env = append(env, "X509_USER_PROXY="+proxy)
		}
	}
	return command(env, stdin, append([]string{program, "-s", host, "-p", port}, args...)...)
}
