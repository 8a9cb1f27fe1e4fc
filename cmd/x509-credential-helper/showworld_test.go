package main

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
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// showKeys are those of a CA, a user and two proxies.
var showKeys = sync.OnceValue(func() (keys [4]*rsa.PrivateKey) {
	for i := range keys {
		var err error
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return keys
})

// The languages of proxyCertInfo.
var (
	inheritAll  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 1}
	independent = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 2}
	limited     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3536, 1, 1, 1, 9}
)

// paper is a certificate under construction and its key.
type paper struct {
	t     testing.TB
	cert  *x509.Certificate
	key   crypto.Signer
	name  pkix.RDNSequence
	above *paper
}

// proxyLab is a CA, its VOMS server and a user, at a time.
type proxyLab struct {
	t        testing.TB
	now      time.Time
	ca, user *paper
	aa       *paper
	serial   int64
}

func newProxyLab(t testing.TB, now time.Time) *proxyLab {
	t.Helper()
	g := &proxyLab{t: t, now: now, serial: 1000}
	keys := showKeys()
	g.ca = g.issue(nil, keys[0], g.name("Lab CA"), now.Add(3000*24*time.Hour), func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	})
	g.user = g.issue(g.ca, keys[1], g.name("Jane Doe jane@example.org"), now.Add(300*24*time.Hour), nil)
	g.aa = g.issue(g.ca, keys[0], g.name("voms.example.org"), now.Add(100*24*time.Hour), nil)
	return g
}

func (g *proxyLab) name(cn string) pkix.RDNSequence {
	return pkix.Name{Country: []string{"XX"}, Organization: []string{"Example Grid"}, CommonName: cn}.ToRDNSequence()
}

// issue signs a certificate that began an hour ago; without an issuer its own.
func (g *proxyLab) issue(by *paper, key crypto.Signer, name pkix.RDNSequence, end time.Time, change func(*x509.Certificate)) *paper {
	g.t.Helper()
	raw, err := asn1.Marshal(name)
	if err != nil {
		g.t.Fatal(err)
	}
	g.serial++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(g.serial), RawSubject: raw, NotBefore: g.now.Add(-time.Hour), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	if change != nil {
		change(c)
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = &x509.Certificate{Raw: by.cert.Raw, RawSubject: by.cert.RawSubject, PublicKey: by.cert.PublicKey}, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		g.t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		g.t.Fatal(err)
	}
	return &paper{t: g.t, cert: c, key: key, name: name, above: by}
}

// proxyInfo is the critical proxyCertInfo; below 0 is no path length.
func proxyInfo(t testing.TB, language asn1.ObjectIdentifier, pathLen int) pkix.Extension {
	t.Helper()
	type policy struct{ Language asn1.ObjectIdentifier }
	var value []byte
	var err error
	if pathLen < 0 {
		value, err = asn1.Marshal(struct{ Policy policy }{policy{language}})
	} else {
		value, err = asn1.Marshal(struct {
			PathLen int
			Policy  policy
		}{pathLen, policy{language}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 14}, Critical: true, Value: value}
}

// proxy issues one of RFC 3820 with that CN added to the name.
func (g *proxyLab) proxy(by *paper, cn string, language asn1.ObjectIdentifier, life time.Duration, extensions ...pkix.Extension) *paper {
	g.t.Helper()
	extensions = append([]pkix.Extension{proxyInfo(g.t, language, -1)}, extensions...)
	return g.below(by, cn, g.now.Add(life), func(c *x509.Certificate) { c.ExtraExtensions = extensions })
}

// below issues a certificate with a CN added to the issuer's name, as every kind
// of proxy has it.
func (g *proxyLab) below(by *paper, cn string, end time.Time, change func(*x509.Certificate)) *paper {
	g.t.Helper()
	key := showKeys()[2]
	if by.key == crypto.Signer(key) {
		key = showKeys()[3]
	}
	name := append(append(pkix.RDNSequence{}, by.name...), pkix.Name{CommonName: cn}.ToRDNSequence()...)
	return g.issue(by, key, name, end, change)
}

// attributes are the user's in a VO.
func (g *proxyLab) attributes(vo string, life time.Duration, fqans ...string) pkix.Extension {
	g.t.Helper()
	ext, err := voms.Sign(voms.SignOptions{
		Issuer: g.aa.cert, Key: g.aa.key, Holder: g.user.cert, VO: vo, Host: "voms.example.org:15001", FQANs: fqans,
		NotBefore: g.now.Add(-time.Hour), NotAfter: g.now.Add(life), Serial: big.NewInt(0x2a17),
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return ext
}

// pem is the file of a proxy: certificate, key, issuers without the root.
func (p *paper) pem() []byte {
	p.t.Helper()
	key := p.keyPEM()
	out := bytes.Join([][]byte{p.certPEM(), key}, nil)
	for above := p.above; above != nil && above.above != nil; above = above.above {
		out = append(out, above.certPEM()...)
	}
	return out
}

func (p *paper) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
}

func (p *paper) keyPEM() []byte {
	p.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func write(t testing.TB, path string, data []byte, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// trustDir installs the CA with a policy and the VOMS server.
func (g *proxyLab) trustDir(dir string) (certificates, vomsdir string) {
	g.t.Helper()
	hash, err := gsi.SubjectHash(g.ca.cert.RawSubject)
	if err != nil {
		g.t.Fatal(err)
	}
	subject := oneLine(g.ca.cert.RawSubject)
	certificates, vomsdir = filepath.Join(dir, "certificates"), filepath.Join(dir, "vomsdir")
	write(g.t, filepath.Join(certificates, hash+".0"), g.ca.certPEM(), 0o644)
	write(g.t, filepath.Join(certificates, hash+".signing_policy"), []byte("access_id_CA X509 '"+subject+"'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/O=Example Grid/*\"'\n"), 0o644)
	write(g.t, filepath.Join(vomsdir, "labvo", "voms.example.org.lsc"), []byte(oneLine(g.aa.cert.RawSubject)+"\n"+subject+"\n"), 0o644)
	return certificates, vomsdir
}
