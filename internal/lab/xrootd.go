package lab

import (
	"bytes"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// XRootDOptions says how an xrootd is to be. The zero value is one that speaks
// root:// with GSI, without TLS, and lets nobody in.
type XRootDOptions struct {
	// TLS makes the server turn every client that can to TLS, also one that
	// says root://; roots:// works too.
	TLS bool
	// HTTP opens a second port for https:// and davs:// with client
	// certificates.
	HTTP bool
	// VOMSDir is a directory of .lsc files. With one, whoever shows no valid
	// VOMS attributes of one of its VOs is refused, and whoever does is let in
	// whether he is among Users or not. "": attributes are not looked at.
	VOMSDir string
	// Users are the DNs (one-line form) that are let in.
	Users []string
	// Trust names another trust directory, in which nothing is named as in the
	// authority's own: its CAs may issue clients' certificates.
	Trust string
}

// XRootD is a running xrootd that wants GSI.
type XRootD struct {
	URL      string // "root://localhost:PORT"; the URL of a file is URL + "//data/NAME"
	HTTPS    string // "https://localhost:PORT", with XRootDOptions.HTTP; a file's URL is HTTPS + "/data/NAME"
	Data     string // the directory behind /data, world-readable
	TrustDir string // for clients; the server's own as well

	t       TB
	options XRootDOptions
	dir     string
	addrs   []string
	server  *server
}

// StartXRootD starts an xrootd without TLS on a free loopback port that lets in
// the users whose DNs (one-line form) are given, and nobody else. Where the
// test runs as root, xrootd, which refuses to, runs as Debian's user xrootd.
func StartXRootD(t TB, ca *CA, users ...string) *XRootD {
	t.Helper()
	return StartXRootDWith(t, ca, XRootDOptions{Users: users})
}

// StartXRootDWith is StartXRootD with a choice of how clients may come in.
func StartXRootDWith(t TB, ca *CA, o XRootDOptions) *XRootD {
	t.Helper()
	Require(t, XRootDServer)
	if o.HTTP {
		Require(t, XRootDHTTP)
	}
	if o.VOMSDir != "" {
		Require(t, XRootDVOMS)
	}
	id := LeakCheck(t)
	x := &XRootD{t: t, options: o, dir: tempDir(t, "xrd"), TrustDir: ca.TrustDir(Trust{})}
	if o.Trust != "" {
		copyTree(t, x.TrustDir, o.Trust)
	}
	x.Data = filepath.Join(x.dir, "root", "data")
	for _, dir := range []string{filepath.Join(x.dir, "admin"), x.Data} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatalf("%v", err)
		}
	}
	root, port := x.listen()
	defer root.Close()
	x.URL = "root://localhost:" + port
	sockets, httpPort := []*os.File{root}, ""
	if o.HTTP {
		web, port := x.listen()
		defer web.Close()
		x.HTTPS, httpPort = "https://localhost:"+port, port
		sockets = append(sockets, web)
	}
	x.configure(ca, httpPort)
	env := []string{
		id, "PATH=" + os.Getenv("PATH"), "HOME=" + x.dir,
		"X509_CERT_DIR=" + x.TrustDir, "X509_VOMS_DIR=" + x.vomsDir(), // for its VOMS plug-in
	}
	x.start(env, sockets, port)
	t.Cleanup(x.Stop)
	return x
}

// listen opens a loopback port for the server. There is no option of xrootd's
// to bind to loopback only, and nobody can take the port in between.
func (x *XRootD) listen() (socket *os.File, port string) {
	x.t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		x.t.Fatalf("%v", err)
	}
	defer listener.Close()
	socket, err = listener.(*net.TCPListener).File()
	if err != nil {
		x.t.Fatalf("%v", err)
	}
	x.addrs = append(x.addrs, listener.Addr().String())
	return socket, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// start hands xrootd its listening sockets as systemd would; it recognises them
// by their ports.
func (x *XRootD) start(env []string, sockets []*os.File, port string) {
	x.t.Helper()
	env = append(env, "LISTEN_FDS="+strconv.Itoa(len(sockets)))
	argv := append(x.unprivileged(), "sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`,
		lookPath("xrootd"), "-c", filepath.Join(x.dir, "config"), "-I", "v4", "-p", port, "-n", "lab")
	x.server = start(x.t, "xrootd", x.dir, env, nil, sockets, argv...)
	x.server.waitFor("end of its start", func() bool {
		out, _ := os.ReadFile(x.server.log)
		return bytes.Contains(out, []byte("initialization completed"))
	})
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

// Env is the whole environment of a client, be it XRootD's own, gfal or curl:
// the proxy's file (absent: ""), and nothing from which xrdcp could make itself
// a weak proxy. gfal-ls and its kin would otherwise take the first Python on
// the PATH, one without gfal2 included.
func (x *XRootD) Env(proxy string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + x.dir, "X509_CERT_DIR=" + x.TrustDir,
		"XrdSecGSICREATEPROXY=0", "GFAL_PYTHONBIN=/usr/bin/python3",
	}
	if proxy != "" {
		env = append(env, "X509_USER_PROXY="+proxy)
	}
	return slices.Clip(env)
}

// DAVS is HTTPS as gfal wants it: "davs://localhost:PORT".
func (x *XRootD) DAVS() string { return strings.Replace(x.HTTPS, "https:", "davs:", 1) }

// Log is what the server has written so far.
func (x *XRootD) Log() string {
	out, _ := os.ReadFile(filepath.Join(x.dir, "xrootd.log"))
	return string(out)
}

// Stop ends the server.
func (x *XRootD) Stop() {
	x.t.Helper()
	if x.server == nil {
		return
	}
	x.server.end()
	x.server = nil
	checkClosed(x.t, x.addrs...)
}
