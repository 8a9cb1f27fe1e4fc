package voms_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// cert makes a certificate for the tool, which has only the real clock.
func cert(t *testing.T, cn string, key crypto.Signer, parent *x509.Certificate, parentKey crypto.Signer) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{Country: []string{"XX"}, Organization: []string{"Lab"}, CommonName: cn},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	if parent == nil {
		parent, parentKey = c, key
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func put(t *testing.T, text []byte, elements ...string) {
	t.Helper()
	path := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestVOMSProxyInfo: the real tool prints what Parse reads, and the library
// behind it, which servers have, verifies signature, holder, issuer and dates.
// voms-proxy-info alone is no judge: it shows forged attributes without a word.
func TestVOMSProxyInfo(t *testing.T) {
	if _, err := exec.LookPath("voms-proxy-info"); err != nil {
		if os.Getenv("X509CH_LAB") == "require" {
			t.Fatal("voms-proxy-info is not installed (Debian: voms-clients)")
		}
		t.Skip("voms-proxy-info is not installed (Debian: voms-clients)")
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey, "ECDSA": ecKey} {
		t.Run(name, func(t *testing.T) { checkWithTool(t, key, rsaKey) })
	}
}

func checkWithTool(t *testing.T, aaKey, key crypto.Signer) {
	dir := t.TempDir()
	root := cert(t, "Root", key, nil, nil)
	authority := cert(t, "voms.example.org", aaKey, root, key)
	user := &gsi.Credential{Chain: []*x509.Certificate{cert(t, "Jane", key, root, key)}, Key: key}
	ext, err := voms.Sign(voms.SignOptions{
		Issuer: authority, Key: aaKey, Holder: user.Leaf(), VO: "labvo", Host: "voms.example.org:15001",
		FQANs:     []string{"/labvo/Role=production/Capability=NULL", "/labvo/Role=NULL/Capability=NULL"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := user.Derive(key, gsi.IssueOptions{
		NotBefore: time.Now().Add(-5 * time.Minute), NotAfter: time.Now().Add(12 * time.Hour), Extensions: []pkix.Extension{ext},
	})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := gsi.SubjectHash(root.RawSubject)
	if err != nil {
		t.Fatal(err)
	}
	text, err := proxy.PEM()
	if err != nil {
		t.Fatal(err)
	}
	put(t, text, dir, "proxy")
	put(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), dir, "ca", hash+".0")
	put(t, []byte("access_id_CA X509 '/C=XX/O=Lab/CN=Root'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/*\"'\n"), dir, "ca", hash+".signing_policy")
	put(t, []byte("/C=XX/O=Lab/CN=voms.example.org\n/C=XX/O=Lab/CN=Root\n"), dir, "vomsdir", "labvo", "voms.example.org.lsc")

	info, err := gsi.Inspect(proxy.Chain)
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
	for _, want := range append(info.VOMS[0].FQANs, "VO        : labvo", "issuer    : "+info.VOMS[0].Issuer, "uri       : "+info.VOMS[0].Host, "identity  : "+info.Identity) {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	verifyWithLibrary(t, dir)
}

// verifyScript calls VOMS_RetrieveFromFile of the C library with full
// verification, which is its default.
const verifyScript = `
import sys
from ctypes import *
voms, libc = CDLL("libvomsapi.so.1"), CDLL(None)
libc.fopen.restype = voms.VOMS_Init.restype = c_void_p
voms.VOMS_ErrorMessage.restype = c_char_p
d, err = sys.argv[1].encode(), c_int(0)
data = c_void_p(voms.VOMS_Init(d + b"/vomsdir", d + b"/ca"))
file = c_void_p(libc.fopen(d + b"/proxy", b"r"))
ok = voms.VOMS_RetrieveFromFile(file, 0, data, byref(err))
print("verified" if ok else voms.VOMS_ErrorMessage(data, err, None, 0))
`

func verifyWithLibrary(t *testing.T, dir string) {
	t.Helper()
	if exec.Command("python3", "-c", `import ctypes; ctypes.CDLL("libvomsapi.so.1")`).Run() != nil {
		const missing = "python3 or libvomsapi.so.1 is not installed (Debian: python3, libvomsapi1v5)"
		if os.Getenv("X509CH_LAB") == "require" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	out, err := exec.Command("python3", "-c", verifyScript, dir).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "verified" {
		t.Errorf("the VOMS library says: %s %v", out, err)
	}
}
