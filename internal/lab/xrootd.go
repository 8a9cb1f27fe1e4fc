package lab

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// XRootD is a running xrootd that wants GSI.
type XRootD struct {
	URL      string // "root://localhost:PORT"; the URL of a file is URL + "//data/NAME"
	Data     string // the directory behind /data, world-readable
	TrustDir string // for clients

	t      TB
	dir    string
	addr   string
	server *server
}

// StartXRootD starts an xrootd on a free loopback port that lets in the users
// whose DNs (one-line form) are given, and nobody else. Where the test runs as
// root, xrootd, which refuses to, runs as Debian's user xrootd.
func StartXRootD(t TB, ca *CA, users ...string) *XRootD {
	t.Helper()
	Require(t, XRootDServer)
	id := LeakCheck(t)
	x := &XRootD{t: t, dir: tempDir(t, "xrd"), TrustDir: ca.TrustDir(Trust{})}
	x.Data = filepath.Join(x.dir, "root", "data")
	for _, dir := range []string{filepath.Join(x.dir, "admin"), x.Data} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatalf("%v", err)
		}
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer socket.Close()
	x.addr = listener.Addr().String()
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	x.URL = "root://localhost:" + port
	x.configure(ca, users)
	x.start([]string{id, "PATH=" + os.Getenv("PATH"), "HOME=" + x.dir}, socket, port)
	t.Cleanup(x.Stop)
	return x
}

// start hands xrootd its listening socket as systemd would: there is no option
// to bind to loopback only, and nobody can take the port in between.
func (x *XRootD) start(env []string, socket *os.File, port string) {
	x.t.Helper()
	argv := append(x.unprivileged(), "sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"`,
		lookPath("xrootd"), "-c", filepath.Join(x.dir, "config"), "-I", "v4", "-p", port, "-n", "lab")
	x.server = start(x.t, "xrootd", x.dir, env, nil, []*os.File{socket}, argv...)
	x.server.waitFor("end of its start", func() bool {
		out, _ := os.ReadFile(x.server.log)
		return bytes.Contains(out, []byte("initialization completed"))
	})
}

func (x *XRootD) configure(ca *CA, users []string) {
	x.t.Helper()
	var gridmap strings.Builder
	for i, dn := range users {
		fmt.Fprintf(&gridmap, "%q user%d\n", dn, i)
	}
	host := ca.Host(HostSAN)
	path := func(name string) string { return filepath.Join(x.dir, name) }
	writeFile(x.t, path("gridmap"), []byte(gridmap.String()), 0o644)
	writeFile(x.t, path("host.pem"), host.CertPEM(), 0o644)
	writeFile(x.t, path("host.key"), host.keyPEM(), 0o400) // it insists on this mode
	writeFile(x.t, path("config"), fmt.Appendf(nil, `all.export /data
oss.localroot %s
all.adminpath %s
all.pidpath %s
xrd.network nodnr norpipa
xrootd.seclib libXrdSec.so
sec.protocol gsi -certdir:%s -cert:%s -key:%s -gridmap:%s -gmapopt:2 -crl:1 -dlgpxy:0
sec.protbind * only gsi
`, path("root"), path("admin"), path("admin"), x.TrustDir, path("host.pem"), path("host.key"), path("gridmap")), 0o644)
}

// unprivileged is what to put before xrootd's command line. Its files become
// that user's, its host key in particular.
func (x *XRootD) unprivileged() []string {
	x.t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	account, err := user.Lookup("xrootd")
	if err != nil {
		x.t.Fatalf("xrootd refuses root and has no user of its own: %v", err)
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	for _, top := range []string{x.dir, x.TrustDir} {
		err := filepath.WalkDir(top, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, uid, gid)
		})
		if err != nil {
			x.t.Fatalf("%v", err)
		}
	}
	return []string{"setpriv", "--reuid=" + account.Uid, "--regid=" + account.Gid, "--clear-groups", "--"}
}

// Env is the whole environment of a client: the proxy's file (absent: ""), and
// nothing from which xrdcp could make itself a weak proxy.
func (x *XRootD) Env(proxy string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + x.dir, "X509_CERT_DIR=" + x.TrustDir, "XrdSecGSICREATEPROXY=0"}
	if proxy != "" {
		env = append(env, "X509_USER_PROXY="+proxy)
	}
	return slices.Clip(env)
}

// Stop ends the server.
func (x *XRootD) Stop() {
	x.t.Helper()
	if x.server == nil {
		return
	}
	x.server.end()
	x.server = nil
	checkClosed(x.t, x.addr)
}
