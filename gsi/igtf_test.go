package gsi

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const igtfDir = "/etc/grid-security/certificates"

// openIGTF opens the real directory of Debian's igtf-policy packages.
func openIGTF(t testing.TB) *TrustDir {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(igtfDir, "*.signing_policy"))
	if len(files) < 20 {
		t.Skip("the IGTF's CAs are not installed (Debian: igtf-policy-classic)")
	}
	dir, err := OpenTrustDir(igtfDir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestIGTF reads every CA, hash and signing policy of the real world.
func TestIGTF(t *testing.T) {
	dir := openIGTF(t)
	hashes, policies, subCAs := 0, 0, 0
	dir.scan()
	if len(dir.bad) > 0 {
		t.Errorf("not read: %v", dir.bad)
	}
	for _, a := range dir.scanned {
		hash, err := SubjectHash(a.cert.RawSubject)
		if err != nil {
			t.Errorf("%s: %v", a.file, err)
		}
		stem := strings.TrimSuffix(a.file, filepath.Ext(a.file))
		if stem != hash && stem != SubjectHashOld(a.cert.RawSubject) {
			t.Errorf("%s: hashes are %s and %s", a.file, hash, SubjectHashOld(a.cert.RawSubject))
		}
		hashes++
		data, err := os.ReadFile(filepath.Join(igtfDir, stem+".signing_policy"))
		if err != nil {
			continue
		}
		policy, err := parsePolicy(data)
		if err != nil {
			t.Errorf("%s.signing_policy: %v", stem, err)
			continue
		}
		policies++
		name, err := OneLine(a.cert.RawSubject)
		if err != nil {
			t.Fatal(err)
		}
		if !speaksOfAnything(policy, name) {
			t.Errorf("%s.signing_policy does not speak of %s", stem, name)
		}
		if !isSelfIssued(a.cert) && time.Now().Before(a.cert.NotAfter) {
			if err := dir.Verify([]*x509.Certificate{a.cert}, time.Now(), TrustOptions{}); err != nil {
				t.Errorf("sub-CA %s: %v", a.file, err)
			}
			subCAs++
		}
	}
	t.Logf("%d hashes, %d policies, %d sub-CAs", hashes, policies, subCAs)
	if hashes < 40 || policies < 40 {
		t.Errorf("only %d hashes and %d policies", hashes, policies)
	}
}

func speaksOfAnything(p signingPolicy, ca string) bool {
	for i := range p {
		if p[i].speaksOf(ca) {
			return true
		}
	}
	return false
}
