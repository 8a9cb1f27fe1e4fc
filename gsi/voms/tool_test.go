package voms_test

import (
	"crypto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// TestVOMSProxyInfo: the real tool prints what Parse reads.
// voms-proxy-info alone is no judge: it shows forged attributes without a word.
func TestVOMSProxyInfo(t *testing.T) {
	if _, err := exec.LookPath("voms-proxy-info"); err != nil {
		missing(t, "voms-proxy-info", "voms-clients")
	}
	for name, key := range map[string]crypto.Signer{"RSA": rsaKeys()[0], "ECDSA": newKey(t)} {
		t.Run(name, func(t *testing.T) { checkWithTool(t, key) })
	}
}

func checkWithTool(t *testing.T, aaKey crypto.Signer) {
	w, dir := newWorld(), t.TempDir()
	opts := w.signedBy(issue(t, w.root, labHost, aaKey))
	opts.Generic = []voms.GenericAttribute{{Name: "nickname", Value: "jdoe"}, {Name: "mail", Value: "a=b, c", Qualifier: "/labvo/sub"}}
	ext, err := voms.Sign(opts)
	if err != nil {
		t.Fatal(err)
	}
	cred := proxy(t, w.jane, ext)
	text, err := cred.PEM()
	if err != nil {
		t.Fatal(err)
	}
	put(t, text, dir, "proxy")
	putCA(t, w, filepath.Join(dir, "ca"))
	put(t, []byte(aaDN+"\n"+rootDN+"\n"), dir, "vomsdir", labVO, labHost+".lsc")

	info, err := gsi.Inspect(cred.Chain)
	if err != nil {
		t.Fatal(err)
	}
	if until := info.NotAfter; until.After(time.Now().Add(time.Hour)) {
		t.Errorf("not after %s: the attributes end before the proxy", until)
	}
	cmd := exec.Command("voms-proxy-info", "-all", "-file", filepath.Join(dir, "proxy"))
	cmd.Env = append(os.Environ(), "X509_CERT_DIR="+filepath.Join(dir, "ca"), "X509_VOMS_DIR="+filepath.Join(dir, "vomsdir"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wants := append(info.VOMS[0].FQANs, "VO        : labvo", "issuer    : "+info.VOMS[0].Issuer,
		"uri       : "+info.VOMS[0].URI(), "identity  : "+info.Identity)
	for _, g := range info.VOMS[0].Generic {
		wants = append(wants, "attribute : "+g.String())
	}
	for _, want := range wants {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}
