package rcauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// otherCA is the file of a CA that has nothing to do with the portal, alone in
// its directory.
func otherCA(t testing.TB) string {
	t.Helper()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Other CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	return writeCA(t, ca, "12345678.0")
}

// writeCA signs a CA's certificate with a key of no account and writes it into a
// new directory.
func writeCA(t testing.TB, ca *x509.Certificate, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var public crypto.PublicKey = key.Public()
	if ca.PublicKey != nil {
		public = ca.PublicKey
	}
	issuer := &x509.Certificate{Subject: ca.Subject, RawSubject: ca.RawSubject}
	ca.SignatureAlgorithm = 0
	der, err := x509.CreateCertificate(rand.Reader, ca, issuer, public, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sealedLong counts the files below the directories of the long data key.
func sealedLong(t testing.TB, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "cache", "v1", "long-*", "*.xche"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
