package gsi

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// testTime is the clock of all tests that make their own certificates.
var testTime = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// Making RSA keys is most of the cost of these tests: two are enough for all
// that must be RSA.
var rsaKeys = sync.OnceValue(func() (keys [2]*rsa.PrivateKey) {
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustKey(t testing.TB, text string) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("no PEM")
	}
	key, err := parseKey(block.Type, block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// authority is a certificate that issues others.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func rdn(kind asn1.ObjectIdentifier, value string) pkix.RelativeDistinguishedNameSET {
	return pkix.RelativeDistinguishedNameSET{{Type: kind, Value: value}}
}

var (
	oidC  = asn1.ObjectIdentifier{2, 5, 4, 6}
	oidO  = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidOU = asn1.ObjectIdentifier{2, 5, 4, 11}
	oidCN = asn1.ObjectIdentifier{2, 5, 4, 3}
)

// labName is /C=XX/O=Lab/CN=cn.
func labName(cn string) []byte {
	der, err := asn1.Marshal(pkix.RDNSequence{rdn(oidC, "XX"), rdn(oidO, "Lab"), rdn(oidCN, cn)})
	if err != nil {
		panic(err)
	}
	return der
}

func serialNumber(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return n.Add(n, big.NewInt(1))
}

// issue signs a certificate; a nil parent is itself.
func issue(t testing.TB, parent *authority, key crypto.Signer, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	if c.SerialNumber == nil {
		c.SerialNumber = serialNumber(t)
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = testTime.Add(-24 * time.Hour)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = testTime.Add(365 * 24 * time.Hour)
	}
	issuerCert, signer := c, key
	if parent != nil {
		issuerCert, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuerCert, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newCA(t testing.TB, cn string, parent *authority, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	key := newECKey(t)
	c := &x509.Certificate{
		RawSubject: labName(cn), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, f := range change {
		f(c)
	}
	return &authority{issue(t, parent, key, c), key}
}

func newEEC(t testing.TB, ca *authority, cn string, change ...func(*x509.Certificate)) *Credential {
	t.Helper()
	key := newECKey(t)
	c := &x509.Certificate{
		RawSubject: labName(cn), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	for _, f := range change {
		f(c)
	}
	return &Credential{Chain: []*x509.Certificate{issue(t, ca, key, c)}, Key: key}
}

func proxyTimes(o IssueOptions) IssueOptions {
	o.Now, o.Lifetime = testTime, 12*time.Hour
	return o
}

// derive makes a good proxy.
func derive(t testing.TB, from *Credential, o IssueOptions) *Credential {
	t.Helper()
	cred, err := from.Derive(newECKey(t), proxyTimes(o))
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func pemOf(certs ...*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range certs {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return out.Bytes()
}

func wantFault(t testing.TB, err error, want Fault) {
	t.Helper()
	var ce *ChainError
	if !errors.As(err, &ce) {
		t.Fatalf("got %v, want a ChainError of %s", err, want)
	}
	if ce.Fault != want {
		t.Fatalf("got %s (%v), want %s", ce.Fault, err, want)
	}
}

// needTool skips a test with one line where a program is not installed, and
// fails it where the laboratory is required.
func needTool(t testing.TB, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("X509CH_LAB") == "require":
		t.Fatalf("%s is not installed (Debian: %s)", name, debianPackage)
	default:
		t.Skipf("%s is not installed (Debian: %s)", name, debianPackage)
	}
	return path
}
