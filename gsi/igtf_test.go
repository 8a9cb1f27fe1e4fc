package gsi

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/files"
)

const igtfDir = "/etc/grid-security/certificates"

// igtfTime is a moment after the end of the one CA of Debian 12's packages that
// has ended, and before the end of those that are valid now.
var igtfTime = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// openIGTF opens the real directory of Debian's igtf-policy packages.
func openIGTF(t testing.TB) *TrustDir {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(igtfDir, "*.signing_policy"))
	if len(files) < 100 {
		const missing = "the IGTF's CAs are not installed (Debian: igtf-policy-classic and its five sisters)"
		if os.Getenv("X509CH_LAB") == "require" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	dir, err := OpenTrustDir(igtfDir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestIGTF reads every CA, hash and policy of the real world.
func TestIGTF(t *testing.T) {
	dir := openIGTF(t)
	subjects, subCAs := map[string]bool{}, 0
	dir.scanOnce.Do(dir.scan)
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
		subjects[string(a.cert.RawSubject)] = true
		p, err := dir.policyOf(a, nil)
		if err != nil || p.kind != policySigning || !p.speaks() {
			t.Errorf("%s: policy of kind %s in %s (speaks of the CA: %v): %v", a.file, p.kind, p.file, p.speaks(), err)
		}
		if !isSelfIssued(a.cert) && igtfTime.Before(a.cert.NotAfter) {
			if err := dir.Verify([]*x509.Certificate{a.cert}, igtfTime, TrustOptions{}); err != nil {
				t.Errorf("sub-CA %s: %v", a.file, err)
			}
			subCAs++
		}
	}
	t.Logf("%d files, %d CAs, %d files of valid sub-CAs", len(dir.scanned), len(subjects), subCAs)
	if len(dir.scanned) < 160 || len(subjects) < 80 || subCAs < 50 {
		t.Error("these are fewer than Debian 12 has")
	}
}

// igtfFiles lists the real files of a kind, each once however many links lead
// to it.
func igtfFiles(t testing.TB, ext string) []string {
	t.Helper()
	openIGTF(t)
	links, err := filepath.Glob(filepath.Join(igtfDir, "*"+ext))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("/usr/share/igtf-policy/*/*" + ext) // those that are not enabled
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, link := range append(links, more...) {
		real, err := filepath.EvalSymlinks(link)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, real)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// TestIGTFFiles: all of its policies and descriptions are understood.
func TestIGTFFiles(t *testing.T) {
	for ext, tt := range map[string]struct {
		parse func([]byte) error
		least int
	}{
		".signing_policy": {func(data []byte) error { _, err := parsePolicy(data); return err }, 83},
		".namespaces":     {func(data []byte) error { _, err := parseNamespaces(data); return err }, 77},
		".info": {func(data []byte) error {
			info, err := ParseAnchorInfo(data)
			isCA := err == nil && !strings.HasPrefix(info.Alias, "policy-")
			if err == nil && (info.Alias == "" || info.Version == "" || isCA && (len(info.SubjectDNs) != 1 || len(info.SHA1) == 0 || len(info.CRLURLs) == 0)) {
				t.Errorf("something is missing: %+v", info)
			}
			return err
		}, 87},
	} {
		files := igtfFiles(t, ext)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err == nil {
				err = tt.parse(data)
			}
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		t.Logf("%d files %s", len(files), ext)
		if len(files) < tt.least {
			t.Errorf("%d files %s, Debian 12 has %d", len(files), ext, tt.least)
		}
	}
}

// TestIGTFNamespaces: without its signing policies the IGTF's directory still
// allows what it allows with them. Some sub-CAs are spoken of in the file of
// their root only.
func TestIGTFNamespaces(t *testing.T) {
	dir := openIGTF(t)
	dir.scanOnce.Do(dir.scan)
	bare := &TrustDir{path: dir.path, names: map[string]bool{}, read: files.Read}
	for name := range dir.names {
		if filepath.Ext(name) != ".signing_policy" {
			bare.names[name] = true
		}
	}
	subCAs, above := 0, 0
	for _, a := range dir.scanned {
		if !isSelfIssued(a.cert) && igtfTime.Before(a.cert.NotAfter) {
			subCAs++
			if err := bare.Verify([]*x509.Certificate{a.cert}, igtfTime, TrustOptions{}); err != nil {
				t.Errorf("%s: %v", a.file, err)
			}
			if bare.companion(a, ".namespaces") == "" {
				above++
				p, err := bare.policyOf(a, dir.find(a.cert.RawIssuer))
				if err != nil || p.kind != policyNamespaces || p.own {
					t.Errorf("%s: nobody above speaks of it (%s): %v", a.file, p.file, err)
				}
			}
		}
	}
	t.Logf("%d files of sub-CAs, %d of them without .namespaces", subCAs, above)
	if subCAs < 50 || above == 0 {
		t.Error("these are fewer than Debian 12 has")
	}
}
