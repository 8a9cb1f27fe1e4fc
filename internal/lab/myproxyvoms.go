package lab

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// BesideVOMS is the address, "localhost:PORT", of another myproxy-server with
// the same configuration and store, which reaches a VOMS server: at
// localhost:15000, as in v.Vomses. It trusts that one's CA and signers.
//
// It serves as one that inetd starts, a process for each connection, because it
// lives in the VOMS server's network, where no client of ours could reach it;
// and where it looks for CAs and signers of attributes is compiled in, hence a
// mount namespace.
func (m *MyProxy) BesideVOMS(v *VOMS) string {
	m.t.Helper()
	Require(m.t, MyProxyVOMS)
	etc := filepath.Join(m.dir, "grid-security")
	if err := os.Mkdir(etc, 0o755); err != nil {
		m.t.Fatalf("%v", err)
	}
	for name, dir := range map[string]string{"certificates": v.TrustDir, "vomsdir": v.VOMSDir} {
		if err := os.Symlink(dir, filepath.Join(etc, name)); err != nil {
			m.t.Fatalf("%v", err)
		}
	}
	const bind = `mount --bind "$0" /etc/grid-security && exec "$@"`
	argv := v.Inside(append([]string{"unshare", "--mount", "sh", "-c", bind, etc}, m.argv("-d")...)...)
	env := slices.Concat(m.env, m.hostEnv("beside", m.Host))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatalf("%v", err)
	}
	log := filepath.Join(m.dir, "beside.log")
	done := safego.Go(func() error {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return nil // closed
			}
			if err := serveOne(conn.(*net.TCPConn), log, env, argv); err != nil {
				return err
			}
		}
	})
	m.t.Cleanup(func() {
		listener.Close()
		if err := <-done; err != nil {
			m.t.Errorf("myproxy-server beside voms-server: %v", err)
		}
		if text, _ := os.ReadFile(log); m.t.Failed() {
			m.t.Logf("myproxy-server beside voms-server: %s", tail(text))
		}
	})
	return "localhost:" + strings.TrimPrefix(listener.Addr().String(), "127.0.0.1:")
}

// serveOne runs a server for one connection, which it has as standard input.
// How it ends is what its client is told.
func serveOne(conn *net.TCPConn, log string, env, argv []string) error {
	file, err := conn.File()
	conn.Close()
	if err != nil {
		return err
	}
	defer file.Close()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stderr = env, file, out
	if err := cmd.Start(); err != nil {
		return err
	}
	file.Close()
	_ = cmd.Wait()
	return nil
}
