package gsi

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// trustFixture is a directory with one root and one sub-CA in it.
type trustFixture struct {
	dir       string
	root, sub *authority
	user      *Credential // signed by sub
}

func newTrust(t testing.TB) *trustFixture {
	t.Helper()
	f := &trustFixture{dir: t.TempDir(), root: newCA(t, "Root", nil)}
	f.sub = newCA(t, "Sub CA", f.root)
	f.user = newEEC(t, f.sub, "Jane")
	for _, ca := range []*authority{f.root, f.sub} {
		f.add(t, ca, ".0", pemOf(ca.cert))
		f.policy(t, ca, "/C=XX/O=Lab/*")
	}
	return f
}

func (f *trustFixture) name(t testing.TB, ca *authority, ext string) string {
	t.Helper()
	hash, err := SubjectHash(ca.cert.RawSubject)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(f.dir, hash+ext)
}

func (f *trustFixture) add(t testing.TB, ca *authority, ext string, data []byte) {
	t.Helper()
	write(t, f.name(t, ca, ext), data)
}

func (f *trustFixture) remove(t testing.TB, ca *authority, ext string) {
	t.Helper()
	if err := os.Remove(f.name(t, ca, ext)); err != nil {
		t.Fatal(err)
	}
}

func (f *trustFixture) policy(t testing.TB, ca *authority, pattern string) {
	t.Helper()
	f.add(t, ca, ".signing_policy", []byte("access_id_CA X509 '"+subjectText(ca.cert)+"'\npos_rights globus CA:sign\ncond_subjects globus '\""+pattern+"\"'\n"))
}

func (f *trustFixture) crl(t testing.TB, ca *authority, ext string, until time.Time, revoked ...*big.Int) {
	t.Helper()
	f.add(t, ca, ext, makeCRL(t, ca, testTime.Add(-time.Hour), until, revoked...))
}

func makeCRL(t testing.TB, ca *authority, from, until time.Time, revoked ...*big.Int) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: from, NextUpdate: until}
	for _, serial := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: from})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func (f *trustFixture) open(t testing.TB) *TrustDir {
	t.Helper()
	dir, err := OpenTrustDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTrustGood: what must not be refused.
func TestTrustGood(t *testing.T) {
	later := testTime.Add(time.Hour)
	for name, tt := range map[string]struct {
		change func(*trustFixture)
		opts   TrustOptions
	}{
		"no revocation lists":    {func(*trustFixture) {}, TrustOptions{}},
		"empty revocation lists": {func(f *trustFixture) { f.crl(t, f.root, ".r0", later); f.crl(t, f.sub, ".r0", later) }, TrustOptions{}},
		"another serial revoked": {func(f *trustFixture) { f.crl(t, f.sub, ".r0", later, big.NewInt(7)) }, TrustOptions{}},
		"an old and a fresh list": {func(f *trustFixture) {
			f.crl(t, f.sub, ".r0", testTime.Add(-time.Minute))
			f.crl(t, f.sub, ".r1", later)
		}, TrustOptions{}},
		"list of another CA":      {func(f *trustFixture) { f.add(t, f.sub, ".r0", makeCRL(t, newCA(t, "Other", nil), testTime, later)) }, TrustOptions{}},
		"expired list, allowed":   {func(f *trustFixture) { f.crl(t, f.sub, ".r0", testTime.Add(-time.Minute)) }, TrustOptions{CRL: CRLAllowExpired}},
		"revoked, ignored":        {func(f *trustFixture) { f.crl(t, f.sub, ".r0", later, f.user.Leaf().SerialNumber) }, TrustOptions{CRL: CRLIgnore}},
		"no policy, not required": {func(f *trustFixture) { f.remove(t, f.sub, ".signing_policy") }, TrustOptions{SigningPolicy: PolicyIfPresent}},
		"policy says no, ignored": {func(f *trustFixture) { f.policy(t, f.sub, "/C=YY/*") }, TrustOptions{SigningPolicy: PolicyIgnore}},
		"garbage beside the CAs":  {func(f *trustFixture) { write(t, filepath.Join(f.dir, "00000000.0"), []byte("x")) }, TrustOptions{}},
		"another CA of the name, first": {func(f *trustFixture) {
			f.add(t, f.sub, ".1", pemOf(f.sub.cert))
			f.add(t, f.sub, ".0", pemOf(newCA(t, "Sub CA", f.root).cert))
		}, TrustOptions{}},
		"CA under the old hash": {func(f *trustFixture) { f.rename(t, ".0", SubjectHashOld(f.sub.cert.RawSubject)+".0") }, TrustOptions{}},
		"CA under another name": {func(f *trustFixture) { f.rename(t, ".0", "labca.0") }, TrustOptions{}},
		"policy beside that other name": {func(f *trustFixture) {
			f.rename(t, ".0", "labca.0")
			f.rename(t, ".signing_policy", "labca.signing_policy")
		}, TrustOptions{}},
		"symbolic links, as the IGTF's": {func(f *trustFixture) { f.rename(t, ".0", "lab.pem"); f.link(t, "lab.pem", ".0") }, TrustOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTrust(t)
			tt.change(f)
			if err := f.open(t).Verify(derive(t, f.user, IssueOptions{}).Chain, testTime, tt.opts); err != nil {
				t.Error(err)
			}
		})
	}
}

func (f *trustFixture) rename(t testing.TB, ext, name string) {
	t.Helper()
	if err := os.Rename(f.name(t, f.sub, ext), filepath.Join(f.dir, name)); err != nil {
		t.Fatal(err)
	}
}

func (f *trustFixture) link(t testing.TB, target, ext string) {
	t.Helper()
	if err := os.Symlink(target, f.name(t, f.sub, ext)); err != nil {
		t.Fatal(err)
	}
}

// TestTrustSentCA: a sub-CA that the server sends helps to find the path, but
// needs a policy of its own in the directory, as with Globus.
func TestTrustSentCA(t *testing.T) {
	f := newTrust(t)
	f.remove(t, f.sub, ".0")
	chain := []*x509.Certificate{f.user.Leaf(), f.sub.cert, f.root.cert}
	if err := f.open(t).Verify(chain, testTime, TrustOptions{}); err != nil {
		t.Error(err)
	}
	wantTrust(t, f.open(t).Verify(chain[:1], testTime, TrustOptions{}), TrustUnknownIssuer, f.dir)
	f.remove(t, f.sub, ".signing_policy")
	wantTrust(t, f.open(t).Verify(chain, testTime, TrustOptions{}), TrustNoPolicy, f.name(t, f.sub, ".signing_policy"))
	f.remove(t, f.root, ".0")
	f.add(t, newCA(t, "Unrelated", nil), ".0", pemOf(newCA(t, "Unrelated", nil).cert))
	wantTrust(t, f.open(t).Verify(chain, testTime, TrustOptions{}), TrustUnknownIssuer, f.dir)
}

func wantTrust(t testing.TB, err error, reason TrustReason, file string) {
	t.Helper()
	var te *TrustError
	if !errors.As(err, &te) {
		t.Fatalf("got %v, want a TrustError of %s", err, reason)
	}
	if te.Reason != reason || te.File != file {
		t.Fatalf("got %s of %q (%v), want %s of %q", te.Reason, te.File, err, reason, file)
	}
	if file != "" && !strings.Contains(err.Error(), file) {
		t.Errorf("the text does not name the file: %v", err)
	}
}

func TestTrustRefuses(t *testing.T) {
	later, earlier := testTime.Add(time.Hour), testTime.Add(-time.Minute)
	subFile := func(ext string) func(*trustFixture) string {
		return func(f *trustFixture) string { return f.name(t, f.sub, ext) }
	}
	noFile := func(*trustFixture) string { return "" }
	for name, tt := range map[string]struct {
		change func(*trustFixture)
		opts   TrustOptions
		reason TrustReason
		file   func(*trustFixture) string
	}{
		"unknown CA":                  {func(f *trustFixture) { f.remove(t, f.sub, ".0") }, TrustOptions{}, TrustUnknownIssuer, func(f *trustFixture) string { return f.dir }},
		"sub-CA without its root":     {func(f *trustFixture) { f.remove(t, f.root, ".0") }, TrustOptions{}, TrustUnknownIssuer, func(f *trustFixture) string { return f.dir }},
		"CA of that name, other key":  {func(f *trustFixture) { f.add(t, f.sub, ".0", pemOf(newCA(t, "Sub CA", f.root).cert)) }, TrustOptions{}, TrustSignature, subFile(".0")},
		"no policy":                   {func(f *trustFixture) { f.remove(t, f.sub, ".signing_policy") }, TrustOptions{}, TrustNoPolicy, subFile(".signing_policy")},
		"policy for others":           {func(f *trustFixture) { f.policy(t, f.sub, "/C=YY/*") }, TrustOptions{}, TrustPolicy, subFile(".signing_policy")},
		"policy for others, if there": {func(f *trustFixture) { f.policy(t, f.sub, "/C=YY/*") }, TrustOptions{SigningPolicy: PolicyIfPresent}, TrustPolicy, subFile(".signing_policy")},
		"root's policy forbids sub-CA": {func(f *trustFixture) { f.policy(t, f.root, "/C=XX/O=Lab/CN=Jane") }, TrustOptions{}, TrustPolicy,
			func(f *trustFixture) string { return f.name(t, f.root, ".signing_policy") }},
		"broken policy": {func(f *trustFixture) { f.add(t, f.sub, ".signing_policy", []byte("access_id_CA X509 '/C=XX")) }, TrustOptions{}, TrustBadFile, subFile(".signing_policy")},
		"policy of another CA": {func(f *trustFixture) {
			f.add(t, f.sub, ".signing_policy", []byte("access_id_CA X509 '/C=XX/O=Lab/CN=Other'\npos_rights globus CA:sign\n"))
		}, TrustOptions{}, TrustPolicy, subFile(".signing_policy")},
		"policy is a directory": {func(f *trustFixture) {
			f.remove(t, f.sub, ".signing_policy")
			if err := os.Mkdir(f.name(t, f.sub, ".signing_policy"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, TrustOptions{}, TrustBadFile, subFile(".signing_policy")},
		"user revoked": {func(f *trustFixture) { f.crl(t, f.sub, ".r0", later, f.user.Leaf().SerialNumber) }, TrustOptions{}, TrustRevoked, subFile(".r0")},
		"user revoked in a second list": {func(f *trustFixture) {
			f.crl(t, f.sub, ".r0", later)
			f.crl(t, f.sub, ".r1", later, f.user.Leaf().SerialNumber)
		}, TrustOptions{}, TrustRevoked, subFile(".r1")},
		"user revoked, list expired": {func(f *trustFixture) { f.crl(t, f.sub, ".r0", earlier, f.user.Leaf().SerialNumber) }, TrustOptions{CRL: CRLAllowExpired}, TrustRevoked, subFile(".r0")},
		"sub-CA revoked": {func(f *trustFixture) { f.crl(t, f.root, ".r0", later, f.sub.cert.SerialNumber) }, TrustOptions{}, TrustRevoked,
			func(f *trustFixture) string { return f.name(t, f.root, ".r0") }},
		"list expired":            {func(f *trustFixture) { f.crl(t, f.sub, ".r0", earlier) }, TrustOptions{}, TrustCRLExpired, subFile(".r0")},
		"list not yet valid":      {func(f *trustFixture) { f.add(t, f.sub, ".r0", makeCRL(t, f.sub, testTime.Add(time.Minute), later)) }, TrustOptions{CRL: CRLAllowExpired}, TrustCRLNotYetValid, subFile(".r0")},
		"list is garbage":         {func(f *trustFixture) { f.add(t, f.sub, ".r0", []byte("<html>not found</html>")) }, TrustOptions{CRL: CRLAllowExpired}, TrustBadFile, subFile(".r0")},
		"list is a dangling link": {func(f *trustFixture) { f.link(t, "nowhere", ".r0") }, TrustOptions{}, TrustBadFile, subFile(".r0")},
		"list forged":             {func(f *trustFixture) { f.add(t, f.sub, ".r0", forgedCRL(t, f.sub)) }, TrustOptions{}, TrustCRLInvalid, subFile(".r0")},
		"CA expired": {func(f *trustFixture) {
			old := &authority{issue(t, f.root, f.sub.key, &x509.Certificate{
				RawSubject: f.sub.cert.RawSubject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: earlier,
			}), f.sub.key}
			f.add(t, f.sub, ".0", pemOf(old.cert))
		}, TrustOptions{}, TrustExpired, subFile(".0")},
		"CA is none": {func(f *trustFixture) {
			none := issue(t, f.root, f.sub.key, &x509.Certificate{RawSubject: f.sub.cert.RawSubject})
			f.add(t, f.sub, ".0", pemOf(none))
		}, TrustOptions{}, TrustBadCertificate, subFile(".0")},
		"root of 1024 bits": {func(f *trustFixture) {
			key, err := rsa.GenerateKey(rand.Reader, 1024)
			if err != nil {
				t.Fatal(err)
			}
			weak := &authority{issue(t, nil, key, &x509.Certificate{RawSubject: f.root.cert.RawSubject, IsCA: true, BasicConstraintsValid: true}), key}
			f.add(t, f.root, ".0", pemOf(weak.cert))
		}, TrustOptions{}, TrustBadCertificate, func(f *trustFixture) string { return f.name(t, f.root, ".0") }},
		"name constraint of the CA": {func(f *trustFixture) {
			bound := &authority{issue(t, f.root, f.sub.key, &x509.Certificate{
				RawSubject: f.sub.cert.RawSubject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
				PermittedDNSDomains: []string{"example.org"}, PermittedDNSDomainsCritical: true,
			}), f.sub.key}
			f.add(t, f.sub, ".0", pemOf(bound.cert))
			f.user = newEEC(t, bound, "Jane", func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} })
		}, TrustOptions{}, TrustBadCertificate, noFile},
		"user expired": {func(f *trustFixture) {
			f.user = newEEC(t, f.sub, "Jane", func(c *x509.Certificate) { c.NotAfter = earlier })
		}, TrustOptions{}, TrustExpired, noFile},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTrust(t)
			tt.change(f)
			wantTrust(t, f.open(t).Verify(f.user.Chain, testTime, tt.opts), tt.reason, tt.file(f))
		})
	}
}

// forgedCRL has the CA's name but another's signature.
func forgedCRL(t testing.TB, ca *authority) []byte {
	t.Helper()
	forger := newCA(t, "Sub CA", nil, func(c *x509.Certificate) { c.SubjectKeyId = ca.cert.SubjectKeyId })
	return makeCRL(t, forger, testTime, testTime.Add(time.Hour))
}

// TestTrustProxies: a proxy of another key must not pass because its user is
// trusted.
func TestTrustProxies(t *testing.T) {
	f := newTrust(t)
	stranger := derive(t, newEEC(t, newCA(t, "Sub CA", nil), "Jane"), IssueOptions{})
	chain := []*x509.Certificate{stranger.Leaf(), f.user.Leaf()}
	wantTrust(t, f.open(t).Verify(chain, testTime, TrustOptions{}), TrustSignature, "")
	wantTrust(t, f.open(t).Verify(nil, testTime, TrustOptions{}), TrustBadCertificate, "")
}

// TestTrustNoIsFinal: who adds certificates to the chain cannot turn the "no" of
// a CA that is here into "nobody knows the CA", which callers may tolerate.
func TestTrustNoIsFinal(t *testing.T) {
	f := newTrust(t)
	f.crl(t, f.sub, ".r0", testTime.Add(time.Hour), f.user.Leaf().SerialNumber)
	far := newCA(t, "Far", newCA(t, "Stranger", nil))
	between := newCA(t, "Between", far)
	again := func(key crypto.Signer, by *authority) *x509.Certificate { // the sub-CA's name, by somebody else
		return issue(t, by, key, &x509.Certificate{
			RawSubject: f.sub.cert.RawSubject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		})
	}
	detour := []*x509.Certificate{f.user.Leaf(), again(f.sub.key, between), between.cert, far.cert}
	wantTrust(t, f.open(t).Verify(detour, testTime, TrustOptions{}), TrustRevoked, f.name(t, f.sub, ".r0"))

	thief := newECKey(t)
	fake := &authority{again(thief, between), thief}
	forged := newEEC(t, fake, "Jane")
	chain := []*x509.Certificate{forged.Leaf(), fake.cert, between.cert}
	wantTrust(t, f.open(t).Verify(chain[:1], testTime, TrustOptions{}), TrustSignature, f.name(t, f.sub, ".0"))
	wantTrust(t, f.open(t).Verify(chain, testTime, TrustOptions{}), TrustSignature, f.name(t, f.sub, ".0"))
}

// TestTrustPuppet: a person's certificate must not pass for a CA's, however far
// below it stands.
func TestTrustPuppet(t *testing.T) {
	f := newTrust(t)
	puppet := newCA(t, "Puppet CA", &authority{f.user.Leaf(), f.user.Key})
	f.policy(t, puppet, "/C=XX/O=Lab/*")
	f.policy(t, &authority{f.user.Leaf(), f.user.Key}, "/C=XX/O=Lab/*")
	server := newEEC(t, puppet, "host/a.example.org")
	chain := []*x509.Certificate{server.Leaf(), puppet.cert, f.user.Leaf(), f.sub.cert, f.root.cert}
	wantTrust(t, f.open(t).VerifyServer(chain, "a.example.org", "", testTime, TrustOptions{}), TrustBadCertificate, "")
	wantTrust(t, f.open(t).Verify(chain, testTime, TrustOptions{}), TrustBadCertificate, "")
	mine := newEEC(t, &authority{f.user.Leaf(), f.user.Key}, "host/a.example.org")
	chain = []*x509.Certificate{mine.Leaf(), f.user.Leaf(), f.sub.cert}
	wantTrust(t, f.open(t).VerifyServer(chain, "a.example.org", "", testTime, TrustOptions{}), TrustBadCertificate, "")
	onProxy := derive(t, f.user, IssueOptions{})
	forged := newEEC(t, &authority{onProxy.Leaf(), onProxy.Key}, "host/a.example.org")
	chain = append([]*x509.Certificate{forged.Leaf()}, onProxy.Chain...)
	if err := f.open(t).VerifyServer(chain, "a.example.org", "", testTime, TrustOptions{}); err == nil {
		t.Error("a proxy passes for a CA")
	}
}

// TestTrustBounds: the sender of a chain decides neither how long the way is nor
// how many ways are tried.
func TestTrustBounds(t *testing.T) {
	f := newTrust(t)
	top := f.root
	var sent []*x509.Certificate
	for i := range maxPathDepth {
		top = newCA(t, "CA "+string(rune('a'+i)), top)
		f.policy(t, top, "/C=XX/O=Lab/*")
		sent = append(sent, top.cert)
	}
	chain := append([]*x509.Certificate{newEEC(t, top, "Jane").Leaf()}, sent...)
	wantTrust(t, f.open(t).Verify(chain, testTime, TrustOptions{}), TrustBadCertificate, "")

	a, b := newCA(t, "A", nil), newCA(t, "B", nil)
	chain = []*x509.Certificate{newEEC(t, a, "Jane").Leaf()}
	for range (MaxCertificates - 1) / 2 { // each of one name could have issued all of the other
		for _, by := range [][2]*authority{{a, b}, {b, a}} {
			chain = append(chain, issue(t, by[1], by[0].key, &x509.Certificate{
				RawSubject: by[0].cert.RawSubject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
			}))
		}
	}
	search := &pathSearch{dir: f.open(t), now: testTime}
	if err := search.verify(chain); err == nil || search.checks > 20*maxPathChecks {
		t.Errorf("%v after %d attempts", err, search.checks)
	}
}

// TestTrustLoop: two CAs that issued each other lead to no root, and to an end.
func TestTrustLoop(t *testing.T) {
	f := newTrust(t)
	a, b := newCA(t, "A", nil), newCA(t, "B", nil)
	cross := func(of, by *authority) *x509.Certificate {
		return issue(t, by, of.key, &x509.Certificate{
			RawSubject: of.cert.RawSubject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		})
	}
	chain := []*x509.Certificate{newEEC(t, a, "Jane").Leaf(), cross(a, b), cross(b, a)}
	wantTrust(t, f.open(t).Verify(chain, testTime, TrustOptions{}), TrustUnknownIssuer, "")
}

// TestTrustSHA1: refused like everywhere unless it is allowed; allowed, the
// rules for CAs hold all the same.
func TestTrustSHA1(t *testing.T) {
	chain := opensslSHA1(t)
	now := chain[0].NotBefore.Add(time.Minute)
	f := newTrust(t)
	wantTrust(t, f.open(t).Verify(chain, now, TrustOptions{AllowSHA1: true}), TrustUnknownIssuer, f.dir)
	ca := &authority{cert: chain[2]}
	f.add(t, ca, ".0", pemOf(ca.cert))
	f.policy(t, ca, "/CN=*")
	wantTrust(t, f.open(t).Verify(chain, now, TrustOptions{}), TrustBadCertificate, "")
	if err := f.open(t).Verify(chain, now, TrustOptions{AllowSHA1: true}); err != nil {
		t.Errorf("allowed: %v", err)
	}
}
