package lab

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// CRL is the state of the revocation list in a trust directory.
type CRL int

// The states of a revocation list.
const (
	CRLNone CRL = iota
	CRLGood
	CRLExpired
)

// Trust says what a trust directory holds beside the authority's certificate.
// Its zero value is a good one without a revocation list.
type Trust struct {
	NoPolicy bool
	Policy   string // cond_subjects, e.g. `"/C=XX/O=Elsewhere/*"`; "" allows the authority's own names
	CRL      CRL
	Revoked  []*x509.Certificate // implies CRLGood
}

// TrustDir writes a new trust directory as IGTF's packages install them: under
// both the new and the old subject hash .0, .signing_policy and, if asked, .r0.
func (ca *CA) TrustDir(trust Trust) string {
	ca.t.Helper()
	dir := tempDir(ca.t, "trust")
	policy := trust.Policy
	if policy == "" {
		policy = fmt.Sprintf(`"/C=XX/O=%s/*"`, ca.name)
	}
	text := fmt.Sprintf("access_id_CA X509 '%s'\npos_rights globus CA:sign\ncond_subjects globus '%s'\n", oneLine(ca.Cert), policy)
	for _, hash := range ca.hashes {
		writeFile(ca.t, filepath.Join(dir, hash+".0"), pemCert(ca.Cert), 0o644)
		if !trust.NoPolicy {
			writeFile(ca.t, filepath.Join(dir, hash+".signing_policy"), []byte(text), 0o644)
		}
		if trust.CRL != CRLNone || len(trust.Revoked) > 0 {
			writeFile(ca.t, filepath.Join(dir, hash+".r0"), ca.crl(trust), 0o644)
		}
	}
	return dir
}

func (ca *CA) crl(trust Trust) []byte {
	ca.t.Helper()
	list := &x509.RevocationList{
		Number:     big.NewInt(1),
		ThisUpdate: time.Now().Add(-2 * time.Hour),
		NextUpdate: time.Now().Add(24 * time.Hour),
	}
	if trust.CRL == CRLExpired {
		list.NextUpdate = time.Now().Add(-time.Hour)
	}
	for _, cert := range trust.Revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: time.Now().Add(-time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.Cert, ca.Key)
	if err != nil {
		ca.t.Fatalf("revocation list: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// subjectHashes asks openssl for the names of a CA's files: an answer that
// does not depend on the code under test.
func subjectHashes(t TB, cert *x509.Certificate) (hashes [2]string) {
	t.Helper()
	cmd := exec.Command("openssl", "x509", "-noout", "-subject_hash", "-subject_hash_old")
	cmd.Stdin = bytes.NewReader(pemCert(cert))
	out, err := cmd.Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) != 2 {
		t.Fatalf("openssl x509: %v, %q", err, out)
	}
	return [2]string{fields[0], fields[1]}
}

func writeFile(t TB, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatalf("%v", err)
	}
	if err := os.Chmod(path, mode); err != nil { // the umask does not count here
		t.Fatalf("%v", err)
	}
}
