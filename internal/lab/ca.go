package lab

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// Credential is a private key and its certificates, leaf first. It converts to
// and from gsi.Credential; the lab does not use that package because it judges
// it.
type Credential struct {
	Chain []*x509.Certificate
	Key   crypto.Signer
}

// PEM returns certificate, key (PKCS#8) and issuers, the order that Globus
// writes and reads.
func (c *Credential) PEM() []byte {
	out := pemCert(c.Chain[0])
	out = append(out, c.keyPEM()...)
	for _, cert := range c.Chain[1:] {
		out = append(out, pemCert(cert)...)
	}
	return out
}

// CertPEM returns the certificates alone, leaf first.
func (c *Credential) CertPEM() []byte {
	var out []byte
	for _, cert := range c.Chain {
		out = append(out, pemCert(cert)...)
	}
	return out
}

func (c *Credential) keyPEM() []byte {
	key, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		panic(err) // only for kinds of keys that the lab never makes
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
}

// DN is the leaf's subject in OpenSSL's one-line form.
func (c *Credential) DN() string { return oneLine(c.Chain[0]) }

// CA is a certificate authority for one test.
type CA struct {
	Cert *x509.Certificate
	Key  *rsa.PrivateKey

	t       TB
	name    string
	hostKey *rsa.PrivateKey // of all host certificates: generation is slow
	serial  atomic.Int64
	hashes  [2]string // the names of its files in a trust directory
}

// NewCA makes an RSA-2048 authority. Its certificates are called
// /C=XX/O=<name>/CN=…, and its signing policy allows no others.
func NewCA(t TB, name string) *CA {
	t.Helper()
	ca := &CA{t: t, name: name}
	host := safego.Go(func() (err error) { ca.hostKey, err = rsa.GenerateKey(rand.Reader, 2048); return err })
	ca.Key = generateKey(t)
	if err := <-host; err != nil {
		t.Fatalf("host key: %v", err)
	}
	template := &x509.Certificate{
		Subject:   ca.subject("Lab CA"),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	ca.Cert = template // its own issuer
	ca.Cert = ca.Sign(template, ca.Key.Public())
	ca.hashes = subjectHashes(t, ca.Cert)
	return ca
}

// User makes an end-entity certificate with an RSA-2048 key.
func (ca *CA) User(cn string) *Credential {
	ca.t.Helper()
	return ca.UserUntil(cn, time.Now().Add(10*24*time.Hour))
}

// UserUntil makes an end-entity certificate that ends at a given time.
func (ca *CA) UserUntil(cn string, notAfter time.Time) *Credential {
	ca.t.Helper()
	key := generateKey(ca.t)
	cert := ca.Sign(&x509.Certificate{
		Subject:   ca.subject(cn),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key.Public())
	return &Credential{Chain: []*x509.Certificate{cert}, Key: key}
}

// HostKind is a kind of host certificate.
type HostKind string

// The kinds of host certificates. All but HostWrongName are for localhost and
// 127.0.0.1.
const (
	HostSAN       HostKind = ""                     // dNSName and iPAddress
	HostCN        HostKind = "CN=localhost"         // no SAN, as old authorities issue them
	HostHostCN    HostKind = "CN=host/localhost"    // no SAN
	HostMyProxyCN HostKind = "CN=myproxy/localhost" // no SAN
	HostWrongName HostKind = "wrong name"           // dNSName other.example.org
	HostExpired   HostKind = "expired"              // ended an hour ago; the server's clock is late
	HostLapsed    HostKind = "lapsed"               // ended while the server runs: it answers in clear text
	HostRevoked   HostKind = "revoked"              // on the authority's list, see CA.TrustDir
	HostUntrusted HostKind = "untrusted"            // by an authority that no trust directory holds
)

// Host makes a host certificate.
func (ca *CA) Host(kind HostKind) *Credential {
	ca.t.Helper()
	if kind == HostUntrusted {
		return NewCA(ca.t, "Unknown to all").Host(HostSAN)
	}
	template := &x509.Certificate{
		Subject:   ca.subject("localhost"),
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	switch kind {
	case HostCN, HostHostCN, HostMyProxyCN:
		template.Subject = ca.subject(strings.TrimPrefix(string(kind), "CN="))
		template.DNSNames, template.IPAddresses = nil, nil
	case HostWrongName:
		template.Subject = ca.subject("other.example.org")
		template.DNSNames, template.IPAddresses = []string{"other.example.org"}, nil
	case HostExpired:
		template.NotAfter = time.Now().Add(-time.Hour)
	}
	return &Credential{Chain: []*x509.Certificate{ca.Sign(template, ca.hostKey.Public())}, Key: ca.hostKey}
}

// Sign issues a certificate; it fills in the serial number and the subject key
// identifier.
func (ca *CA) Sign(template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	ca.t.Helper()
	template.SerialNumber = big.NewInt(1000 + ca.serial.Add(1))
	template.SubjectKeyId = keyID(ca.t, public)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Cert, public, ca.Key)
	if err != nil {
		ca.t.Fatalf("sign: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatalf("sign: %v", err)
	}
	return cert
}

// keyID is the key identifier of RFC 5280, 4.2.1.2, method 1. VOMS's programs
// make neither attributes nor proxies for a certificate without one, and
// libvomsapi refuses attributes whose issuer has one made by another method
// (Go's own, say).
func keyID(t TB, public crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatalf("key identifier: %v", err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		t.Fatalf("key identifier: %v", err)
	}
	id := sha1.Sum(info.Key.Bytes)
	return id[:]
}

func (ca *CA) subject(cn string) pkix.Name {
	return pkix.Name{Country: []string{"XX"}, Organization: []string{ca.name}, CommonName: cn}
}

func generateKey(t TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	return key
}

func pemCert(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// oneLine is enough for names as CA.subject makes them.
func oneLine(cert *x509.Certificate) string {
	var b strings.Builder
	short := map[string]string{"2.5.4.6": "C", "2.5.4.10": "O", "2.5.4.3": "CN"}
	for _, atv := range cert.Subject.Names {
		b.WriteString("/" + short[atv.Type.String()] + "=" + atv.Value.(string))
	}
	return b.String()
}
