package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

// past is how long before now certificates begin: the clocks of those who try
// the sandbox may differ a little.
const past = time.Hour

// organization is the part that all DNs here share; the signing policy allows
// what is below it.
const organization = "Sandbox"

// authority is a certification authority.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(name string, key crypto.Signer, now time.Time) (*authority, error) {
	template := &x509.Certificate{
		SerialNumber:          randomSerial(),
		Subject:               dn("", name),
		NotBefore:             now.Add(-past),
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId:          keyID(key.Public()),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the sandbox's CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key}, nil
}

// newUntrustedAuthority is a CA that is in nobody's trust directory.
func newUntrustedAuthority(now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return newAuthority("Unknown CA", key, now)
}

func (a *authority) sign(template *x509.Certificate, pub crypto.PublicKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", template.Subject, err)
	}
	return x509.ParseCertificate(der)
}

// user signs a long-term certificate as a grid CA makes it for people.
func (a *authority) user(commonName string, pub crypto.PublicKey, from, to time.Time) (*x509.Certificate, error) {
	return a.sign(&x509.Certificate{
		SerialNumber:          randomSerial(),
		Subject:               dn("People", commonName),
		NotBefore:             from,
		NotAfter:              to,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageEmailProtection},
		SubjectKeyId:          keyID(pub),
	}, pub)
}

// host signs a server's certificate. Without names it has no subject
// alternative name, as older grid hosts.
func (a *authority) host(commonName string, names []string, pub crypto.PublicKey, from, to time.Time) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber:          randomSerial(),
		Subject:               dn("", commonName),
		NotBefore:             from,
		NotAfter:              to,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return a.sign(template, pub)
}

// crl signs a revocation list.
func (a *authority) crl(revoked []*big.Int, from, to time.Time) ([]byte, error) {
	list := &x509.RevocationList{Number: randomSerial(), ThisUpdate: from, NextUpdate: to}
	for _, serial := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: from})
	}
	return x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
}

// dn is a name below the sandbox's organization; unit may be empty.
func dn(unit, commonName string) pkix.Name {
	name := pkix.Name{Country: []string{"XX"}, Organization: []string{organization}, CommonName: commonName}
	if unit != "" {
		name.OrganizationalUnit = []string{unit}
	}
	return name
}

// randomSerial is a positive serial number of 63 bits.
func randomSerial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		panic(err) // crypto/rand cannot fail since Go 1.24
	}
	return n.Add(n, big.NewInt(1))
}

// keyID is a subject key identifier: any value that is the key's own will do
// (RFC 5280 section 4.2.1.2).
func keyID(pub crypto.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(der)
	return sum[:20]
}
