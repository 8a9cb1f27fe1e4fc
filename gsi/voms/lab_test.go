package voms_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// identity is a certificate with its key.
type identity struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rsaKeys are two RSA keys for all tests: making them is most of their time.
var rsaKeys = sync.OnceValue(func() (keys [2]crypto.Signer) {
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

func labName(cn string) pkix.Name {
	return pkix.Name{Country: []string{"XX"}, Organization: []string{"Lab"}, CommonName: cn}
}

// issue makes a certificate; a nil issuer is a root's.
func issue(t testing.TB, issuer *identity, cn string, key crypto.Signer, change ...func(*x509.Certificate)) *identity {
	t.Helper()
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: labName(cn),
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(48 * time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	if issuer == nil {
		asCA(c)
	}
	for _, f := range change {
		f(c)
	}
	parent, signer := c, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{out, key}
}

func asCA(c *x509.Certificate) {
	c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
}

// world is a CA, a VO's server and two people.
type world struct {
	now                  time.Time
	root, aa, jane, eve  *identity
	forgedRoot, forgedAA *identity // of the same names
	subCA, belowSub      *identity
	expiredAA, weakAA    *identity
	caAA, nosignAA, ecAA *identity
}

const (
	labVO   = "labvo"
	labHost = "voms.example.org"
	rootDN  = "/C=XX/O=Lab/CN=Root"
	aaDN    = "/C=XX/O=Lab/CN=" + labHost
)

// newWorld is made once: none of the tests changes it. VOMS servers have RSA
// keys, and those are what libvomsapi is asked about.
var newWorld = sync.OnceValue(func() *world {
	t := new(panicTB)
	w := &world{now: time.Now().Truncate(time.Second)}
	right, wrong := rsaKeys()[0], rsaKeys()[1]
	w.root = issue(t, nil, "Root", newKey(t))
	w.aa = issue(t, w.root, labHost, right)
	w.jane = issue(t, w.root, "Jane", newKey(t))
	w.eve = issue(t, w.root, "Eve", wrong)
	w.forgedRoot = issue(t, nil, "Root", newKey(t))
	w.forgedAA = issue(t, w.forgedRoot, labHost, wrong)
	w.subCA = issue(t, w.root, "Sub", newKey(t), asCA)
	w.belowSub = issue(t, w.subCA, labHost, right)
	w.expiredAA = issue(t, w.root, labHost, right, func(c *x509.Certificate) { c.NotAfter = w.now.Add(-time.Hour) })
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	w.weakAA = issue(t, w.root, labHost, weak)
	w.caAA = issue(t, w.root, labHost, right, func(c *x509.Certificate) {
		asCA(c)
		c.KeyUsage |= x509.KeyUsageDigitalSignature
	})
	w.nosignAA = issue(t, w.root, labHost, right, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
	w.ecAA = issue(t, w.root, labHost, newKey(t))
	return w
})

// panicTB lets helpers of tests run where there is no test.
type panicTB struct{ testing.TB }

func (*panicTB) Helper()           {}
func (*panicTB) Fatal(args ...any) { panic(args) }

// signedBy are good attributes of Jane's, signed by aa.
func (w *world) signedBy(aa *identity) voms.SignOptions {
	return voms.SignOptions{
		Issuer: aa.cert, Key: aa.key, Holder: w.jane.cert, VO: labVO, Host: labHost + ":15001",
		FQANs:     []string{"/labvo/Role=production/Capability=NULL", "/labvo/Role=NULL/Capability=NULL"},
		NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.Add(time.Hour),
	}
}

// fullProxy is the proxyCertInfo of a proxy that inherits all rights.
var fullProxy = pkix.Extension{
	Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 14}, Critical: true,
	Value: []byte{0x30, 12, 0x30, 10, 6, 8, 0x2B, 6, 1, 5, 5, 7, 21, 1},
}

// proxy puts an extension into a proxy that is valid for twelve hours.
func proxy(t testing.TB, from *identity, ext pkix.Extension) *gsi.Credential {
	t.Helper()
	subject, err := dn.AppendCN(from.cert.RawSubject, "4711")
	if err != nil {
		t.Fatal(err)
	}
	made := issue(t, from, "", newKey(t), func(c *x509.Certificate) {
		c.RawSubject, c.NotBefore, c.NotAfter = subject, time.Now().Add(-5*time.Minute), time.Now().Add(12*time.Hour)
		c.ExtraExtensions = []pkix.Extension{fullProxy, ext}
	})
	return &gsi.Credential{Chain: []*x509.Certificate{made.cert, from.cert}, Key: made.key}
}

func put(t testing.TB, text []byte, elements ...string) {
	t.Helper()
	path := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// putCA makes dir a trust directory with one root, and lets a CA below it sign.
func putCA(t testing.TB, w *world, dir string) {
	t.Helper()
	for _, ca := range []*identity{w.root, w.subCA} {
		hash, err := gsi.SubjectHash(ca.cert.RawSubject)
		if err != nil {
			t.Fatal(err)
		}
		if ca == w.root {
			put(t, pemOf(ca.cert), dir, hash+".0")
		}
		put(t, []byte("access_id_CA X509 '/C=XX/O=Lab/CN="+ca.cert.Subject.CommonName+"'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/*\"'\n"), dir, hash+".signing_policy")
	}
}
