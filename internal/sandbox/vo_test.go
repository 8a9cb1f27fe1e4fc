package sandbox

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

var testVOs = map[string][]string{
	"testvo": {"/testvo", "/testvo/group", "/testvo/Role=production"},
	"second": {"/second"},
}

// What comes first is what was asked for; roles come on request only. The
// attributes are judged by the classic tool, signature included.
func TestVOMSAttached(t *testing.T) {
	s := start(t, Options{VOMS: VOMSAttached, VOs: testVOs}, User{Name: "alice", Kind: Proxy, EndsIn: 2 * time.Hour})
	key := testKey(t)
	for _, c := range []struct {
		lines []string
		want  map[string]string
	}{
		{nil, map[string]string{}},
		{[]string{"VONAME=testvo\n"}, map[string]string{"testvo": "/testvo /testvo/group"}},
		{[]string{"VONAME=testvo:/testvo/Role=production\n"}, map[string]string{"testvo": "/testvo/Role=production /testvo /testvo/group"}},
		{[]string{"VONAME=second\n", "VONAME=testvo:/testvo/group\n"}, map[string]string{"second": "/second", "testvo": "/testvo/group /testvo"}},
	} {
		message := get(t, s, tls.VersionTLS13, getRequest("alice", goodPass, c.lines...), testCSR(t, key, false))
		certs := certificates(t, message)
		found, err := voms.Parse(certs[0])
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != len(c.want) {
			t.Errorf("%q: %d attribute certificates", c.lines, len(found))
		}
		for _, a := range found {
			if got := strings.Join(a.FQANs, " "); got != c.want[a.VO] {
				t.Errorf("%q: %s has %q, want %q", c.lines, a.VO, got, c.want[a.VO])
			}
			if a.NotAfter.After(certs[0].NotAfter) {
				t.Errorf("%q: the attributes outlive the proxy", c.lines)
			}
		}
		if len(found) > 0 {
			judgeAttributes(t, s, certs, c.want)
		}
	}
}

func judgeAttributes(t *testing.T, s *Sandbox, certs []*x509.Certificate, want map[string]string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	blocks := []*pem.Block{{Type: "CERTIFICATE", Bytes: certs[0].Raw}, {Type: "PRIVATE KEY", Bytes: der}}
	for _, cert := range certs[1:] {
		blocks = append(blocks, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	}
	var file bytes.Buffer
	for _, b := range blocks {
		file.Write(pem.EncodeToMemory(b))
	}
	path := filepath.Join(t.TempDir(), "proxy.pem")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	judgeAttributesIn(t, s, path, want)
}

// judgeAttributesIn asks the real tools what they think of a proxy file.
func judgeAttributesIn(t *testing.T, s *Sandbox, path string, want map[string]string) {
	t.Helper()
	program := need(t, "voms-proxy-info", "voms-clients")
	judgeProxy(t, s, path, true)
	cmd := exec.Command(program, "-file", path, "-all")
	cmd.Env = append(os.Environ(), "X509_CERT_DIR="+s.TrustDir(), "X509_VOMS_DIR="+s.VOMSDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("voms-proxy-info: %v: %s", err, out)
	}
	for vo, fqans := range want {
		if !strings.Contains(string(out), "VO        : "+vo) {
			t.Errorf("voms-proxy-info does not show the VO %s: %s", vo, out)
		}
		for fqan := range strings.FieldsSeq(fqans) {
			if !strings.Contains(string(out), "attribute : "+fqan) {
				t.Errorf("voms-proxy-info does not show %s: %s", fqan, out)
			}
		}
	}
}

// Refusals come in place of the certificates, with the measured texts.
func TestVOMSRefused(t *testing.T) {
	unreachable := start(t, Options{VOMS: VOMSUnreachable}, User{Name: "alice"})
	attached := start(t, Options{VOMS: VOMSAttached, VOs: testVOs}, User{Name: "alice"})
	const vomses = "VOMSES=\"testvo\" \"127.0.0.1\" \"17599\" \"/CN=x\" \"testvo\"\n"
	const found = "ERROR=Couldn't get user information for testvo VO.\nERROR=Couldn't get VOMS User Information.\n"
	const notFound = "ERROR=Error finding voms server info.\n" + found
	for _, c := range []struct {
		s     *Sandbox
		lines []string
		want  string
	}{
		{unreachable, []string{"VONAME=testvo\n"}, "ERROR=No VOMS Server Information\nERROR=Couldn't get VOMS User Information.\n"},
		{unreachable, []string{"VONAME=testvo\n", vomses}, found},
		// Measured: a line counts if it has five fields in quotes, the first of them the VO that is asked for.
		{unreachable, []string{"VONAME=testvo\n", "VOMSES=testvo 127.0.0.1 17599 /CN=x testvo\n"}, notFound},
		{unreachable, []string{"VONAME=testvo\n", "VOMSES=\n"}, notFound},
		{unreachable, []string{"VONAME=testvo\n", "VOMSES=\"testvo\" \"127.0.0.1\" \"17599\" \"/CN=x\"\n"}, notFound},
		{unreachable, []string{"VONAME=testvo\n", strings.Replace(vomses, "testvo", "alias", 1)}, notFound},
		{unreachable, []string{"VONAME=testvo:/testvo/Role=x\n", "VOMSES=nonsense\n", vomses}, found},
		{attached, []string{"VONAME=other\n"}, "ERROR=Couldn't get user information for other VO.\n"},
		{attached, []string{"VONAME=testvo:/testvo/Role=admin\n"}, "ERROR=Couldn't get user information for testvo VO.\n"},
	} {
		conn := greeted(t, c.s, tls.VersionTLS12, nil)
		conn.send(getRequest("alice", goodPass, c.lines...))
		conn.record()
		conn.send(string(testCSR(t, testKey(t), false)))
		if got := conn.record(); !strings.Contains(string(got), "RESPONSE=1\n"+c.want) {
			t.Errorf("%q: %q, want %q", c.lines, got, c.want)
		}
	}
}

// The classic client asks for attributes, and takes them.
func TestVOMSRealClient(t *testing.T) {
	s := start(t, Options{VOMS: VOMSAttached, VOs: testVOs}, User{Name: "alice"})
	for _, f := range []Faults{{}, {NoVOMS: true}} {
		s.SetFaults(f)
		out, proxy, code := logon(t, s, goodPass, "-l", "alice", "-m", "testvo")
		data, err := os.ReadFile(proxy)
		if err != nil {
			t.Fatalf("exit status %d: %s", code, out)
		}
		block, _ := pem.Decode(data)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		found, err := voms.Parse(cert)
		if err != nil {
			t.Fatal(err)
		}
		if (len(found) == 1) == f.NoVOMS {
			t.Errorf("NoVOMS %t: exit status %d, %d attribute certificates: %s", f.NoVOMS, code, len(found), out)
		}
	}
}
