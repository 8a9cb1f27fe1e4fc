package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// configure writes the server's configuration and all that it names. httpPort
// is "" for a server without HTTP.
func (x *XRootD) configure(ca *CA, httpPort string) {
	x.t.Helper()
	x.copyVOMSDir()
	var gridmap, access strings.Builder
	for i, dn := range x.options.Users {
		fmt.Fprintf(&gridmap, "\"%s\" user%d\n", dn, i) // no escapes: XRootD knows none, and a DN has its own
		fmt.Fprintf(&access, "u user%d /data a\n", i)
	}
	for _, vo := range x.vos() {
		fmt.Fprintf(&access, "o %s /data a\n", vo)
	}
	host := ca.Host(HostSAN)
	writeFile(x.t, x.path("gridmap"), []byte(gridmap.String()), 0o644)
	writeFile(x.t, x.path("access"), []byte(access.String()), 0o644)
	writeFile(x.t, x.path("host.pem"), host.CertPEM(), 0o644)
	writeFile(x.t, x.path("host.key"), host.keyPEM(), 0o400) // it insists on this mode
	text := x.rootConfig()
	if x.options.TLS || httpPort != "" {
		text += fmt.Sprintf("xrd.tls %s %s\nxrd.tlsca certdir %s\n", x.path("host.pem"), x.path("host.key"), x.TrustDir)
	}
	if x.options.TLS {
		text += "xrootd.tls capable all\n"
	}
	if httpPort != "" {
		text += x.httpConfig(httpPort)
	}
	writeFile(x.t, x.path("config"), []byte(text), 0o644)
}

func (x *XRootD) rootConfig() string {
	// 2: a DN must be in the grid-map file. 1: it may be.
	who := "-gmapopt:2"
	if x.options.VOMSDir != "" {
		who = "-gmapopt:1 -vomsat:require -vomsfun:libXrdVoms.so -vomsfunparms:vos=" + strings.Join(x.vos(), ",")
	}
	return fmt.Sprintf(`all.export /data
oss.localroot %s
all.adminpath %s
all.pidpath %s
xrd.network nodnr norpipa
xrootd.seclib libXrdSec.so
sec.protocol gsi -certdir:%s -cert:%s -key:%s -gridmap:%s %s -crl:1 -dlgpxy:0
sec.protbind * only gsi
`, x.path("root"), x.path("admin"), x.path("admin"),
		x.TrustDir, x.path("host.pem"), x.path("host.key"), x.path("gridmap"), who)
}

// httpConfig: HTTP lets in whoever shows no certificate, as "nobody", so that
// only the access list keeps people out.
func (x *XRootD) httpConfig(port string) string {
	text := fmt.Sprintf(`xrd.protocol XrdHttp:%s libXrdHttp.so
http.gridmap %s
http.selfhttps2http no
ofs.authorize 1
acc.authdb %s
`, port, x.path("gridmap"), x.path("access"))
	if x.options.VOMSDir != "" {
		text += "http.secxtractor libXrdVoms.so vos=" + strings.Join(x.vos(), ",") + "\n"
	}
	return text
}

// vos lists the VOs of VOMSDir: each has a directory there.
func (x *XRootD) vos() []string {
	x.t.Helper()
	entries, err := os.ReadDir(x.vomsDir())
	if err != nil {
		x.t.Fatalf("%v", err)
	}
	var vos []string
	for _, e := range entries {
		if e.IsDir() {
			vos = append(vos, e.Name())
		}
	}
	return vos
}

// copyVOMSDir makes the server's own copy of VOMSDir, which its user can read,
// so that it never looks at the system's.
func (x *XRootD) copyVOMSDir() {
	x.t.Helper()
	if err := os.Mkdir(x.vomsDir(), 0o755); err != nil {
		x.t.Fatalf("%v", err)
	}
	if x.options.VOMSDir != "" {
		copyTree(x.t, x.vomsDir(), x.options.VOMSDir)
	}
}

// copyTree copies what is in a directory into another one.
func copyTree(t TB, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatalf("%v", err)
	}
}

func (x *XRootD) vomsDir() string { return x.path("vomsdir") }

func (x *XRootD) path(name string) string { return filepath.Join(x.dir, name) }
