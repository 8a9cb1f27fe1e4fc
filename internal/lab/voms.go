package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a VOMS server of the lab is called.
const (
	defaultVO       = "labvo"
	vomsPort        = 15000
	defaultVOMSAddr = "localhost:15000"
)

// VOMSOptions says what a VOMS server is to know.
type VOMSOptions struct {
	VO      string        // "": labvo
	Members []VOMSMember  // nobody else gets attributes
	MaxLife time.Duration // of attributes, the server shortens what is asked for; 0: 24 h
	// NewFormat names the holder of attributes as RFC 3281 wants it, by issuer
	// and serial number; the server's default puts the holder's own name there.
	NewFormat bool
}

// VOMSMember is a member of a VO.
type VOMSMember struct {
	User  *Credential // an end-entity certificate; its issuer must be the lab's authority
	FQANs []string    // groups and roles beside the VO itself: "/labvo/team", "/labvo/Role=production"
}

// VOMS is a running voms-server with its database.
//
// It always listens at all addresses, hence it has a network namespace of its
// own, and its clients must be inside: see ProxyInit and Inside. Generic
// attributes are not offered: Debian's database plug-in loses their values.
type VOMS struct {
	VO       string
	VOMSDir  string // with the .lsc file
	Vomses   string // the file that names the server, at localhost:15000
	TrustDir string // for clients

	t        TB
	dir      string
	trust    string // the server's own
	env      []string
	network  []string // what to put before the server's command line
	database *server
	server   *server
}

// StartVOMS starts a voms-server. Where the test may not make a network
// namespace it skips, and with X509CH_LAB=require it fails.
func StartVOMS(t TB, ca *CA, o VOMSOptions) *VOMS {
	t.Helper()
	Require(t, VOMSServer)
	if o.VO == "" {
		o.VO = defaultVO
	}
	if o.MaxLife == 0 {
		o.MaxLife = 24 * time.Hour
	}
	v := &VOMS{VO: o.VO, t: t, network: privateNetwork(t), env: []string{LeakCheck(t)}}
	v.dir, v.trust = tempDir(t, "voms"), ca.TrustDir(Trust{})
	v.TrustDir, v.VOMSDir = ca.TrustDir(Trust{}), ca.VOMSDir(o.VO, defaultVOMSAddr)
	v.env = slices.Clip(append(v.env, "HOME="+v.dir, "PATH="+os.Getenv("PATH")))
	host := ca.Host(HostSAN)
	writeFile(t, v.path("host.pem"), host.CertPEM(), 0o644)
	writeFile(t, v.path("host.key"), host.keyPEM(), 0o400)
	writeFile(t, v.path("password"), []byte("none\n"), 0o640) // it insists on this mode
	v.Vomses = v.path("vomses")
	writeFile(t, v.Vomses, fmt.Appendf(nil, "%q \"localhost\" \"%d\" %q %q\n", o.VO, vomsPort, host.DN(), o.VO), 0o644)
	v.database = v.startDatabase(vomsTables(o, oneLine(ca.Cert)))
	t.Cleanup(v.Stop)
	v.start(o)
	return v
}

// start starts the server itself. -debug does not let it fork, and logs no more.
func (v *VOMS) start(o VOMSOptions) {
	v.t.Helper()
	argv := append(v.network, "sh", "-c", `"$0" link set lo up && exec "$@"`, lookPath("ip"),
		lookPath("voms"), "-debug", "-vo", o.VO, "-port", strconv.Itoa(vomsPort), "-uri", defaultVOMSAddr,
		"-timeout", strconv.Itoa(int(o.MaxLife.Seconds())),
		"-logfile", v.path("voms.log"), "-loglevel", "4",
		"-sqlloc", "/usr/lib/voms/libvomsmysql.so", "-mysql-socket", v.path("socket"),
		"-contactstring", "localhost", "-dbname", vomsDatabase, "-username", "voms", "-passfile", v.path("password"),
		"-x509_cert_dir", v.trust, "-x509_user_cert", v.path("host.pem"), "-x509_user_key", v.path("host.key"))
	if o.NewFormat {
		argv = append(argv, "-newformat")
	}
	v.server = start(v.t, "voms-server", v.dir, v.env, nil, nil, argv...)
	v.server.waitFor("listening port", func() bool { return listens(v.server.pid, vomsPort) })
}

// listens says whether somebody listens at an IPv4 port in a process's network.
func listens(pid, port int) bool {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	return err == nil && bytes.Contains(table, fmt.Appendf(nil, " 00000000:%04X 00000000:0000 0A ", port))
}

// Inside is a command line that runs argv in the server's network, where the
// server is localhost:15000 and nothing else is to be reached.
func (v *VOMS) Inside(argv ...string) []string {
	enter := []string{"nsenter", "--target", strconv.Itoa(v.server.pid), "--net"}
	if slices.Contains(v.network, "--user") {
		enter = append(enter, "--user", "--preserve-credentials")
	}
	return slices.Concat(enter, []string{"--"}, argv)
}

// ProxyInit runs the real voms-proxy-init and returns the proxy; t fails if
// there is none. More of its options may be given, another -voms too.
func (v *VOMS) ProxyInit(t TB, user *Credential, args ...string) []byte {
	t.Helper()
	proxy, err := v.TryProxyInit(t, user, args...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return proxy
}

// TryProxyInit is ProxyInit for a proxy that may be refused; the error ends
// with what voms-proxy-init said.
func (v *VOMS) TryProxyInit(t TB, user *Credential, args ...string) ([]byte, error) {
	t.Helper()
	f := newVOMSFiles(t, user)
	argv := []string{
		"voms-proxy-init", "-q", "-rfc", "-bits", "2048", "-vomses", v.Vomses,
		"-cert", f.user, "-key", f.user, "-out", f.out,
	}
	if !slices.Contains(args, "-voms") {
		argv = append(argv, "-voms", v.VO)
	}
	env := append(f.env(v.TrustDir, v.VOMSDir), v.env[0])
	if out, err := command(env, "", v.Inside(append(argv, args...)...)...); err != nil {
		return nil, fmt.Errorf("voms-proxy-init: %w: %s", err, strings.TrimSpace(out))
	}
	return f.proxy(), nil
}

func (v *VOMS) path(name string) string { return filepath.Join(v.dir, name) }

// Stop ends the server and its database.
func (v *VOMS) Stop() {
	v.t.Helper()
	for _, s := range []*server{v.server, v.database} {
		if s != nil {
			s.end()
		}
	}
	v.server, v.database = nil, nil
}
