package lab

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// TB is what this package uses of testing.TB, so that programs that are no
// tests can run a lab too.
type TB interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Failed() bool
	Cleanup(func())
}

// Part is one part of the lab; it names the programs that must be installed.
type Part string

// The parts of the lab.
const (
	MyProxyServer Part = "myproxy-server"
	MyProxyVOMS   Part = "myproxy-server's VOMS"
	MyProxyClient Part = "myproxy client"
	XRootDServer  Part = "xrootd"
	XRootDHTTP    Part = "xrootd's HTTP" // https:// and davs://
	XRootDVOMS    Part = "xrootd's VOMS"
	XRootDClient  Part = "xrdcp, xrdfs"
	GFAL          Part = "gfal-ls, gfal-copy" // file, davs and root
	Curl          Part = "curl"
	Davix         Part = "davix"
	VOMSServer    Part = "voms-server"
	VOMSFake      Part = "voms-proxy-fake"
	SecretService Part = "gnome-keyring"
	GridTools     Part = "grid-proxy-info, voms-proxy-info"
	Peers         Part = "docker-credential-secretservice"
	FakeTime      Part = "libfaketime"
	Strace        Part = "strace"
	Callers       Part = "python3, cc, json-c, jq"
	SlurmCluster  Part = "slurmctld, slurmd, munged" // and iproute2; as root
	Shells        Part = "fish, tcsh, zsh"
	WebBrowser    Part = "chromium"
)

// programs says which program, or file, shows that a Debian package is
// installed.
var programs = map[Part]map[string]string{
	MyProxyServer: {"myproxy-server": "myproxy-server", "myproxy-store": "myproxy", "openssl": "openssl"},
	MyProxyVOMS:   {"/usr/lib/*/libmyproxy_voms.so": "libmyproxy-voms"},
	MyProxyClient: {"myproxy-logon": "myproxy"},
	XRootDServer:  {"xrootd": "xrootd-server", "openssl": "openssl"},
	XRootDHTTP:    {"/usr/lib/*/libXrdHttp-5.so": "xrootd-server-plugins"},
	XRootDVOMS:    {"/usr/lib/*/libXrdVoms-5.so": "xrootd-voms-plugins"},
	XRootDClient:  {"xrdcp": "xrootd-client"},
	GFAL: {
		"gfal-ls": "gfal2-util-scripts",
		"/usr/lib/*/gfal2-plugins/libgfal_plugin_file.so":   "gfal2-plugin-file",
		"/usr/lib/*/gfal2-plugins/libgfal_plugin_http.so":   "gfal2-plugin-http",
		"/usr/lib/*/gfal2-plugins/libgfal_plugin_xrootd.so": "gfal2-plugin-xrootd",
	},
	Curl:     {"curl": "curl"},
	Davix:    {"davix-get": "davix"},
	VOMSFake: {"voms-proxy-fake": "voms-clients", "openssl": "openssl"},
	VOMSServer: {
		"voms": "voms-server", "/usr/lib/voms/libvomsmysql.so": "voms-mysql-plugin",
		"mariadbd": "mariadb-server-core", "ip": "iproute2", "voms-proxy-init": "voms-clients", "openssl": "openssl",
	},
	SecretService: {"gnome-keyring-daemon": "gnome-keyring", "dbus-daemon": "dbus-daemon", "secret-tool": "libsecret-tools"},
	GridTools:     {"grid-proxy-info": "globus-proxy-utils", "voms-proxy-info": "voms-clients", "openssl": "openssl"},
	Peers:         {"docker-credential-secretservice": "golang-docker-credential-helpers"},
	FakeTime:      {fakeTimeLibrary: "libfaketime"},
	Strace:        {"strace": "strace"},
	Callers: {
		"/usr/bin/python3": "python3", "jq": "jq",
		"cc": "gcc", "/usr/include/stdio.h": "libc6-dev", "/usr/include/json-c/json.h": "libjson-c-dev",
	},
	Shells:       {"fish": "fish", "tcsh": "tcsh", "zsh": "zsh"},
	SlurmCluster: {"slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client", "munged": "munge", "ip": "iproute2"},
	WebBrowser:   {"chromium": "chromium"},
}

//go:embed packages.txt
var packagesTxt string

// Packages lists the Debian packages that the whole lab needs.
func Packages() []string { return strings.Fields(packagesTxt) }

// Require skips the test, with one line that names the Debian packages to
// install, if a part of the lab is not installed; with X509CH_LAB=require the
// test fails instead.
func Require(t TB, parts ...Part) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("the lab of real servers runs on Linux only")
	}
	missing := Missing(parts...)
	if len(missing) == 0 {
		return
	}
	const text = "not installed: apt-get install --no-install-recommends %s"
	if os.Getenv("X509CH_LAB") == "require" {
		t.Fatalf(text, strings.Join(missing, " "))
	}
	t.Skipf(text, strings.Join(missing, " "))
}

// Missing names the Debian packages that the parts need and that are not
// installed, sorted.
func Missing(parts ...Part) []string {
	var missing []string
	for _, part := range parts {
		for program, pkg := range programs[part] {
			if program := lookPath(program); program == "" && !slices.Contains(missing, pkg) {
				missing = append(missing, pkg)
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// lookPath finds a program or, by its absolute path with wildcards, a file. It
// looks also where Debian keeps servers: an ordinary
// user's PATH has no sbin.
func lookPath(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	if found, err := filepath.Glob(program); err == nil && len(found) > 0 && filepath.IsAbs(program) {
		return found[0]
	}
	path := "/usr/sbin/" + program
	if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
		return path
	}
	return ""
}
