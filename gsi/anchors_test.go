package gsi

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// anchorOf is the one of a CA.
func anchorOf(t testing.TB, list []Anchor, subject string) Anchor {
	t.Helper()
	var found []Anchor
	for _, a := range list {
		if a.Subject == subject {
			found = append(found, a)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d anchors of %s", len(found), subject)
	}
	return found[0]
}

// TestAnchorProblems: every kind of problem with its severity, which options
// soften, and nothing else beside it.
func TestAnchorProblems(t *testing.T) {
	later, earlier := testTime.Add(time.Hour), testTime.Add(-time.Minute)
	again := func(t *testing.T, f *trustFixture, change func(*x509.Certificate)) {
		c := &x509.Certificate{RawSubject: f.sub.cert.RawSubject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
		change(c)
		f.add(t, f.sub, ".0", pemOf(issue(t, f.root, f.sub.key, c)))
	}
	file := func(ext string) func(t *testing.T, f *trustFixture) string {
		return func(t *testing.T, f *trustFixture) string { return f.name(t, f.sub, ext) }
	}
	for why, tt := range map[string]struct {
		change   func(t *testing.T, f *trustFixture)
		opts     TrustOptions
		severity Severity
		reason   TrustReason
		file     func(t *testing.T, f *trustFixture) string
	}{
		"expired":       {func(t *testing.T, f *trustFixture) { again(t, f, func(c *x509.Certificate) { c.NotAfter = earlier }) }, TrustOptions{}, SeverityError, TrustExpired, file(".0")},
		"not yet valid": {func(t *testing.T, f *trustFixture) { again(t, f, func(c *x509.Certificate) { c.NotBefore = later }) }, TrustOptions{}, SeverityError, TrustNotYetValid, file(".0")},
		"no CA": {func(t *testing.T, f *trustFixture) {
			again(t, f, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
		}, TrustOptions{}, SeverityError, TrustBadCertificate, file(".0")},
		"no policy":           {func(t *testing.T, f *trustFixture) { f.remove(t, f.sub, ".signing_policy") }, TrustOptions{}, SeverityError, TrustNoPolicy, file(".signing_policy")},
		"no policy, optional": {func(t *testing.T, f *trustFixture) { f.remove(t, f.sub, ".signing_policy") }, TrustOptions{SigningPolicy: PolicyIfPresent}, SeverityWarning, TrustNoPolicy, file(".signing_policy")},
		"no policy, ignored":  {func(t *testing.T, f *trustFixture) { f.remove(t, f.sub, ".signing_policy") }, TrustOptions{SigningPolicy: PolicyIgnore}, SeverityWarning, TrustNoPolicy, file(".signing_policy")},
		"namespaces only": {func(t *testing.T, f *trustFixture) {
			f.remove(t, f.sub, ".signing_policy")
			f.namespaces(t, f.sub, "TO Issuer SELF PERMIT Subject \".*\"")
		}, TrustOptions{}, SeverityWarning, TrustNoPolicy, file(".signing_policy")},
		"broken policy": {func(t *testing.T, f *trustFixture) {
			f.add(t, f.sub, ".signing_policy", []byte("access_id_CA X509 '/C=XX"))
		}, TrustOptions{}, SeverityError, TrustBadFile, file(".signing_policy")},
		"policy of another": {func(t *testing.T, f *trustFixture) {
			f.add(t, f.sub, ".signing_policy", []byte("access_id_CA X509 '/C=XX/O=Lab/CN=Other'\npos_rights globus CA:sign\n"))
		}, TrustOptions{}, SeverityError, TrustOtherPolicy, file(".signing_policy")},
		"list expired":          {func(t *testing.T, f *trustFixture) { f.crl(t, f.sub, ".r0", earlier) }, TrustOptions{}, SeverityError, TrustCRLExpired, file(".r0")},
		"list expired, allowed": {func(t *testing.T, f *trustFixture) { f.crl(t, f.sub, ".r0", earlier) }, TrustOptions{CRL: CRLAllowExpired}, SeverityWarning, TrustCRLExpired, file(".r0")},
		"list expired, another is not": {func(t *testing.T, f *trustFixture) {
			f.crl(t, f.sub, ".r0", earlier)
			f.crl(t, f.sub, ".r1", later)
		}, TrustOptions{}, SeverityWarning, TrustCRLExpired, file(".r0")},
		"list not yet valid": {func(t *testing.T, f *trustFixture) {
			f.add(t, f.sub, ".r0", makeCRL(t, f.sub, later, later.Add(time.Hour)))
		}, TrustOptions{}, SeverityError, TrustCRLNotYetValid, file(".r0")},
		"list forged":        {func(t *testing.T, f *trustFixture) { f.add(t, f.sub, ".r0", forgedCRL(t, f.sub)) }, TrustOptions{}, SeverityError, TrustCRLInvalid, file(".r0")},
		"list of another CA": {func(t *testing.T, f *trustFixture) { f.add(t, f.sub, ".r0", makeCRL(t, f.root, testTime, later)) }, TrustOptions{}, SeverityWarning, TrustCRLInvalid, file(".r0")},
		"list is garbage":    {func(t *testing.T, f *trustFixture) { f.add(t, f.sub, ".r0", []byte("x")) }, TrustOptions{CRL: CRLIgnore}, SeverityWarning, TrustBadFile, file(".r0")},
		"no list":            {func(*testing.T, *trustFixture) {}, TrustOptions{}, SeverityOK, TrustCRLMissing, file(".r0")},
		"hash of another": {func(t *testing.T, f *trustFixture) { f.rename(t, ".0", "0123abcd.0") }, TrustOptions{}, SeverityWarning, TrustHash,
			func(_ *testing.T, f *trustFixture) string { return filepath.Join(f.dir, "0123abcd.0") }},
		"old hash only": {func(t *testing.T, f *trustFixture) { f.rename(t, ".0", SubjectHashOld(f.sub.cert.RawSubject)+".0") }, TrustOptions{}, SeverityWarning, TrustHash,
			func(_ *testing.T, f *trustFixture) string {
				return filepath.Join(f.dir, SubjectHashOld(f.sub.cert.RawSubject)+".0")
			}},
		"root missing": {func(t *testing.T, f *trustFixture) { f.remove(t, f.root, ".0") }, TrustOptions{}, SeverityError, TrustUnknownIssuer, func(_ *testing.T, f *trustFixture) string { return f.dir }},
		"root's policy forbids it": {func(t *testing.T, f *trustFixture) { f.policy(t, f.root, "/C=YY/*") }, TrustOptions{}, SeverityError, TrustPolicy,
			func(t *testing.T, f *trustFixture) string { return f.name(t, f.root, ".signing_policy") }},
		"revoked by the root": {func(t *testing.T, f *trustFixture) { f.crl(t, f.root, ".r0", later, f.sub.cert.SerialNumber) }, TrustOptions{}, SeverityError, TrustRevoked,
			func(t *testing.T, f *trustFixture) string { return f.name(t, f.root, ".r0") }},
		"root of another key": {func(t *testing.T, f *trustFixture) { f.add(t, f.root, ".0", pemOf(newCA(t, "Root", nil).cert)) }, TrustOptions{}, SeverityError, TrustSignature,
			func(t *testing.T, f *trustFixture) string { return f.name(t, f.root, ".0") }},
	} {
		t.Run(why, func(t *testing.T) {
			f := newTrust(t)
			tt.change(t, f)
			a := anchorOf(t, f.open(t).Anchors(testTime, tt.opts), subName)
			if a.Severity != tt.severity {
				t.Errorf("severity %s: %+v", a.Severity, a.Problems)
			}
			for _, p := range a.Problems {
				if p.Reason == TrustCRLMissing && tt.reason != TrustCRLMissing {
					continue
				}
				if p.Reason != tt.reason || p.File != tt.file(t, f) || p.Severity != tt.severity || !strings.Contains(p.Detail, "; ") {
					t.Errorf("not that, or no remedy: %+v", p)
				}
			}
			if len(a.Problems) == 0 {
				t.Error("no problem")
			}
		})
	}
}

// TestAnchorWeak: keys and signatures that servers refuse.
func TestAnchorWeak(t *testing.T) {
	f := newTrust(t)
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := &authority{issue(t, nil, key, &x509.Certificate{RawSubject: f.root.cert.RawSubject, IsCA: true, BasicConstraintsValid: true}), key}
	f.add(t, f.root, ".0", pemOf(weak.cert))
	a := anchorOf(t, f.open(t).Anchors(testTime, TrustOptions{}), "/C=XX/O=Lab/CN=Root")
	if a.KeyText != "RSA 1024" || a.Problems[0].Reason != TrustWeakKey || a.Severity != SeverityError {
		t.Errorf("%s: %+v", a.KeyText, a.Problems)
	}

	sha1Chain := opensslSHA1(t)
	now := sha1Chain[0].NotBefore.Add(time.Minute)
	f = newTrust(t)
	ca := &authority{cert: sha1Chain[1]}
	f.add(t, ca, ".0", pemOf(ca.cert))
	name := subjectText(ca.cert)
	for allow, want := range map[bool]Severity{false: SeverityError, true: SeverityWarning} {
		for _, p := range anchorOf(t, f.open(t).Anchors(now, TrustOptions{AllowSHA1: allow}), name).Problems {
			if p.Reason == TrustSHA1 && p.Severity == want {
				want = -1
			}
		}
		if want != -1 {
			t.Errorf("SHA-1 allowed %v: not said", allow)
		}
	}
}

// TestAnchors: one anchor for a CA of several names, in the order of urgency,
// with what is known of it.
func TestAnchors(t *testing.T) {
	f := newTrust(t)
	soon := newCA(t, "Soon", nil, func(c *x509.Certificate) { c.NotAfter = testTime.Add(time.Hour) })
	gone := newCA(t, "Gone", nil, func(c *x509.Certificate) { c.NotAfter = testTime.Add(-time.Hour) })
	bare := newCA(t, "Bare", nil)
	for _, ca := range []*authority{soon, gone, bare} {
		f.add(t, ca, ".0", pemOf(ca.cert))
		f.policy(t, ca, "/C=XX/O=Lab/*")
	}
	old := SubjectHashOld(f.root.cert.RawSubject)
	for _, ext := range []string{".0", ".signing_policy"} { // as the IGTF's packages
		if err := os.Symlink(f.name(t, f.root, ext), filepath.Join(f.dir, old+ext)); err != nil {
			t.Fatal(err)
		}
	}
	f.remove(t, bare, ".signing_policy")
	f.namespaces(t, bare, "TO Issuer SELF PERMIT Subject \"/C=XX/.*\"")
	f.crl(t, f.root, ".r0", testTime.Add(2*time.Hour), f.user.Leaf().SerialNumber, newCA(t, "x", nil).cert.SerialNumber)
	write(t, filepath.Join(f.dir, old+".r0"), mustRead(t, f.name(t, f.root, ".r0")))
	write(t, filepath.Join(f.dir, "deadbeef.0"), []byte("x"))
	print := sha1.Sum(f.root.cert.Raw)
	info := strings.TrimSuffix(strings.ReplaceAll(fmt.Sprintf("% X", print), " ", ":"), ":")
	write(t, filepath.Join(f.dir, "Lab-Root.info"), []byte("alias = Lab-Root\nstatus = accredited:lab\nsha1fp.0 = "+info+"\n"))

	list := f.open(t).Anchors(testTime, TrustOptions{})
	var order []string
	for _, a := range list {
		order = append(order, a.Severity.String()+" "+a.Subject)
	}
	want := []string{"error ", "error /C=XX/O=Lab/CN=Gone", "warning /C=XX/O=Lab/CN=Bare", "ok /C=XX/O=Lab/CN=Soon", "ok /C=XX/O=Lab/CN=Root", "ok " + subName}
	if strings.Join(order, "\n") != strings.Join(want, "\n") {
		t.Errorf("order:\n%s", strings.Join(order, "\n"))
	}
	if bad := list[0]; bad.File != filepath.Join(f.dir, "deadbeef.0") || bad.Problems[0].Reason != TrustBadFile || bad.Policy != "none" {
		t.Errorf("%+v", bad)
	}
	root := anchorOf(t, list, "/C=XX/O=Lab/CN=Root")
	if !root.Until.Equal(testTime.Add(2*time.Hour)) || !root.Root || root.KeyText != "ECDSA P-256" || len(root.Files) != 2 ||
		root.File != f.name(t, f.root, ".0") || root.OldHash != old || root.Policy != "signing_policy" || root.PolicyFile != f.name(t, f.root, ".signing_policy") {
		t.Errorf("%+v", root)
	}
	if root.Alias != "Lab-Root" || root.Info == nil || root.Info.Status != "accredited:lab" {
		t.Errorf("info: %q %+v", root.Alias, root.Info)
	}
	if len(root.CRLs) != 1 || root.CRLs[0].Entries != 2 || root.CRLs[0].Fault != "" || root.CRLs[0].File != f.name(t, f.root, ".r0") {
		t.Errorf("lists: %+v", root.CRLs)
	}
	sub := anchorOf(t, list, subName)
	if sub.Root || sub.Info != nil || !sub.Until.Equal(f.sub.cert.NotAfter) || len(sub.Files) != 1 {
		t.Errorf("%+v", sub)
	}
	if a := anchorOf(t, list, "/C=XX/O=Lab/CN=Bare"); a.Policy != "namespaces" || a.PolicyFile != f.name(t, bare, ".namespaces") {
		t.Errorf("%+v", a)
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestVerifyReadsLittle: one chain costs the files of its CAs, however many
// others there are.
func TestVerifyReadsLittle(t *testing.T) {
	f := newTrust(t)
	dir := f.open(t)
	if err := dir.Verify(f.user.Chain, testTime, TrustOptions{}); err != nil {
		t.Fatal(err)
	}
	if dir.index != nil {
		t.Error("the whole directory was read")
	}
}

// TestIGTFAnchors: the real directory, with what has ended in it.
func TestIGTFAnchors(t *testing.T) {
	list := openIGTF(t).Anchors(igtfTime, TrustOptions{})
	errors, infos := 0, 0
	for _, a := range list {
		if a.Severity == SeverityError {
			errors++
			if p := a.Problems[0]; len(a.Problems) != 2 || p.Reason != TrustExpired || !a.Until.Before(igtfTime) || p.File != a.File {
				t.Errorf("%s: %+v", a.Subject, a.Problems) // 2: there are no revocation lists
			}
		}
		if a.Info != nil && a.Alias != "" {
			infos++
		}
		if len(a.Files) != 2 {
			t.Errorf("%s lies in %v", a.Subject, a.Files)
		}
	}
	if len(list) < 80 || infos != len(list) || errors == 0 || errors > 20 {
		t.Errorf("%d CAs, %d with an .info file, %d errors", len(list), infos, errors)
	}
	rcauth := anchorOf(t, list, "/DC=eu/DC=rcauth/O=Certification Authorities/CN=Research and Collaboration Authentication Pilot G1 CA")
	if rcauth.Hash != "5f40742a" || rcauth.Alias != "RCauth-Pilot-ICA-G1" || rcauth.Problems[0].Reason != TrustExpired ||
		rcauth.Problems[0].File != filepath.Join(igtfDir, "5f40742a.0") || !rcauth.Until.Equal(time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC)) {
		t.Errorf("%+v", rcauth)
	}
}
