package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// FakeVOMSOptions says which attributes voms-proxy-fake is to make up.
type FakeVOMSOptions struct {
	VO    string      // "": labvo
	Host  string      // host:port of the server that would have issued them; "": localhost:15000
	FQANs []string    // in full, "/labvo/Role=NULL/Capability=NULL"; nil: that one of the VO
	AA    *Credential // who signs; nil: a host certificate of the authority
	// Args are more options of voms-proxy-fake's: -hours and -vomslife (12 h
	// both), -path-length (1), -limited, -ga "name=value (qualifier)", -target
	// host, -newformat (see VOMSOptions.NewFormat), …
	Args []string
}

// FakeVOMS runs voms-proxy-fake, which needs no server, and returns an RFC 3820
// proxy of the user with VOMS attributes. The user may be a proxy himself.
// Whoever is to believe it needs CA.VOMSDir.
func FakeVOMS(t TB, ca *CA, user *Credential, o FakeVOMSOptions) []byte {
	t.Helper()
	Require(t, VOMSFake)
	if o.VO == "" {
		o.VO = defaultVO
	}
	if o.Host == "" {
		o.Host = defaultVOMSAddr
	}
	if o.FQANs == nil {
		o.FQANs = []string{"/" + o.VO + "/Role=NULL/Capability=NULL"}
	}
	if o.AA == nil {
		o.AA = ca.Host(HostSAN)
	}
	f := newVOMSFiles(t, user)
	writeFile(t, filepath.Join(f.dir, "aa.pem"), o.AA.CertPEM(), 0o644)
	writeFile(t, filepath.Join(f.dir, "aa.key"), o.AA.keyPEM(), 0o400)
	argv := []string{
		"voms-proxy-fake", "-q", "-rfc", "-bits", "2048", "-voms", o.VO, "-uri", o.Host,
		"-cert", f.user, "-key", f.user, "-out", f.out,
		"-hostcert", filepath.Join(f.dir, "aa.pem"), "-hostkey", filepath.Join(f.dir, "aa.key"),
	}
	for _, fqan := range o.FQANs {
		argv = append(argv, "-fqan", fqan)
	}
	trust := ca.TrustDir(Trust{})
	run(t, f.env(trust, ca.VOMSDir(o.VO, o.Host)), "", slices.Concat(argv, []string{"-certdir", trust}, o.Args)...)
	return f.proxy()
}

// VOMSDir makes a directory with the .lsc file of a VO's server, "host" or
// "host:port", that has one of the authority's ordinary host certificates.
func (ca *CA) VOMSDir(vo, host string) string {
	ca.t.Helper()
	host, _, _ = strings.Cut(host, ":")
	dir := tempDir(ca.t, "vomsdir")
	if err := os.Mkdir(filepath.Join(dir, vo), 0o755); err != nil {
		ca.t.Fatalf("%v", err)
	}
	lsc := fmt.Sprintf("%s\n%s\n", ca.Host(HostSAN).DN(), oneLine(ca.Cert))
	writeFile(ca.t, filepath.Join(dir, vo, host+".lsc"), []byte(lsc), 0o644)
	return dir
}

// vomsFiles are the files of one run of a program of VOMS's.
type vomsFiles struct {
	t              TB
	dir, user, out string
}

// newVOMSFiles writes the user's certificates and key into one file: only from
// there do VOMS's programs take the issuers of a proxy.
func newVOMSFiles(t TB, user *Credential) *vomsFiles {
	t.Helper()
	f := &vomsFiles{t: t, dir: tempDir(t, "voms")}
	f.user, f.out = filepath.Join(f.dir, "user.pem"), filepath.Join(f.dir, "proxy.pem")
	writeFile(t, f.user, user.PEM(), 0o600)
	return f
}

func (f *vomsFiles) env(trustDir, vomsDir string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + f.dir, "RANDFILE=" + filepath.Join(f.dir, "rnd"),
		"X509_CERT_DIR=" + trustDir, "X509_VOMS_DIR=" + vomsDir,
	}
}

func (f *vomsFiles) proxy() []byte {
	f.t.Helper()
	text, err := os.ReadFile(f.out)
	if err != nil {
		f.t.Fatalf("%v", err)
	}
	return text
}
