package gsi

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// FuzzNamespaces: no panic, and no CA may sign that no rule speaks of.
func FuzzNamespaces(f *testing.F) {
	f.Add("#NAMESPACES-VERSION: 1.0\nTO Issuer \"/C=XX/CN=CA\" \\\n  PERMIT Subject \"/C=XX/O=Lab/.*\"\n", "/C=XX/O=Lab/CN=Jane")
	f.Add("TO Issuer SELF DENY Subject '/C=XX/O=[^a-c]*/E=.*'\nto issuer self permit subject \".*\"", "/C=XX/O=xyz/emailAddress=x")
	f.Add(`TO Issuer SELF PERMIT Subject "/O=Universit\xC3\xA4t\/a\.b[+]$" # x`, `/O=Universit\xC3\xA4t/a.b+`)
	f.Add("TO Issuer SELF PERMIT Subject \"/O=Ä*[ -~]\"", `/O=\xC3\x84x`)
	f.Fuzz(func(t *testing.T, text, subject string) {
		n, err := parseNamespaces([]byte(text))
		if err != nil {
			return
		}
		const ca = "/C=XX/CN=CA"
		n.allows(ca, subject, true)
		if n.allows(ca, subject, false) && !n.speaksOf(ca, false) {
			t.Fatal("a CA that no rule speaks of may sign")
		}
	})
}

// FuzzNSPattern compares with Go's regular expressions where the text means the
// same to both.
func FuzzNSPattern(f *testing.F) {
	f.Add("/c=xx/o=lab/.*", "/c=xx/o=lab/cn=jane")
	f.Add("^/o=[a-c]x[^0-9]*.*y$", "/o=bxyzy")
	f.Add(`a\.b*c`, "a.bbbc")
	f.Fuzz(func(t *testing.T, pattern, subject string) {
		p, err := parseNSPattern(pattern)
		if err != nil || len(subject) > 1000 {
			return
		}
		got := p.match(foldSubject(subject))
		if strings.Contains(pattern, `\`) || strings.Contains(pattern, "[]") || !isPlain(pattern) || !isPlain(subject) {
			return
		}
		body := strings.TrimSuffix(strings.TrimPrefix(foldDN(pattern), "^"), "$")
		re, err := regexp.Compile("^(?s:" + body + ")$")
		if err != nil {
			return // "[a-" and the like
		}
		if want := re.MatchString(foldSubject(subject)); got != want {
			t.Fatalf("%q %q: %v", pattern, subject, got)
		}
	})
}

func isPlain(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func FuzzInfo(f *testing.F) {
	f.Add([]byte("# x\nalias = A\nversion=1.2\nsubjectdn = \"/C=US/O=a, b\", \\\n  \"/C=XX\"\nrequires = B = 1.1, \\\n\nsha1fp.0 = 00:11\ncrl_url = http://a/;http://b/\n"))
	f.Add([]byte("alias = a\nobsoletes = a, \\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := ParseAnchorInfo(data)
		if err != nil {
			return
		}
		if info.Alias == "" && len(info.SubjectDNs) == 0 {
			t.Fatal("of no CA")
		}
		for _, list := range [][]string{info.CRLURLs, info.SHA1, info.SubjectDNs, info.Requires, info.Obsoletes} {
			for _, item := range list {
				if item == "" || strings.Contains(item, "\n") {
					t.Fatalf("%q", list)
				}
			}
		}
	})
}

// FuzzTrustDir puts any bytes as a revocation list, and any as a policy and a
// description, beside a CA whose own list revokes the user: it stays so.
func FuzzTrustDir(f *testing.F) {
	fix := &trustFixture{dir: f.TempDir(), root: fixedCA(f, "Root", 1, nil)}
	fix.user = &Credential{Chain: []*x509.Certificate{fixedCA(f, "Jane", 2, fix.root).cert}}
	fix.add(f, fix.root, ".0", pemOf(fix.root.cert))
	leaf := fix.user.Leaf()
	later := testTime.Add(time.Hour)
	fix.crl(f, fix.root, ".r1", later, leaf.SerialNumber)
	revoking, empty := makeCRL(f, fix.root, testTime.Add(-time.Hour), later, leaf.SerialNumber), makeCRL(f, fix.root, testTime, later)
	block, _ := pem.Decode(revoking)
	f.Add(revoking, []byte("TO Issuer SELF PERMIT Subject \".*\""))
	f.Add(empty, []byte("access_id_ANYBODY\npos_rights globus CA:sign"))
	f.Add(block.Bytes, []byte("alias = x\nsha1fp.0 = 00"))
	forger := fixedCA(f, "Root", 3, nil, func(c *x509.Certificate) { c.SubjectKeyId = fix.root.cert.SubjectKeyId })
	f.Add(makeCRL(f, forger, testTime, later), []byte{})
	f.Add(makeCRL(f, fixedCA(f, "Other", 4, nil), testTime, later), []byte("x"))
	files := map[string][]byte{}
	for _, file := range rootsOf(f, fix.dir) {
		files[file.Name] = file.Data
	}
	crlName, spacesName := filepath.Base(fix.name(f, fix.root, ".r0")), filepath.Base(fix.name(f, fix.root, ".namespaces"))
	f.Fuzz(func(t *testing.T, list, text []byte) {
		dir := dirOf(files, TrustFile{crlName, list}, TrustFile{spacesName, text}, TrustFile{"x.info", text})
		if err := dir.Verify(fix.user.Chain, testTime, TrustOptions{CRL: CRLAllowExpired, SigningPolicy: PolicyIfPresent}); err == nil {
			t.Fatal("a revoked certificate is trusted")
		}
		if list := dir.Anchors(testTime, TrustOptions{}); len(list) != 1 || list[0].Hash == "" || len(list[0].CRLs) == 0 {
			t.Fatalf("%+v", list)
		}
	})
}

// fixedCA makes the same certificate every time: the processes of one fuzzing
// run share their inputs, and a list means nothing to one with another key.
func fixedCA(t testing.TB, cn string, number byte, parent *authority, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize))
	c := &x509.Certificate{
		SerialNumber: big.NewInt(int64(number)), RawSubject: labName(cn), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, f := range change {
		f(c)
	}
	return &authority{issue(t, parent, key, c), key}
}

// dirOf is a directory in memory, with some files more.
func dirOf(files map[string][]byte, more ...TrustFile) *TrustDir {
	all := maps.Clone(files)
	for _, file := range more {
		all[file.Name] = file.Data
	}
	dir := &TrustDir{path: "/nonexistent", names: map[string]bool{}, read: func(path string, limit int64) ([]byte, error) {
		if data := all[filepath.Base(path)]; int64(len(data)) <= limit {
			return data, nil
		}
		return nil, errors.New("too large")
	}}
	for name := range all {
		dir.names[name] = true
	}
	return dir
}

// FuzzInstallPlan: what passes has a name that is one, a kind that fits it, and
// reads as what it is.
func FuzzInstallPlan(f *testing.F) {
	fix := &trustFixture{dir: f.TempDir(), root: fixedCA(f, "Root", 1, nil)}
	fix.sub = fixedCA(f, "Sub CA", 2, fix.root)
	fix.policy(f, fix.sub, "/C=XX/O=Lab/*")
	base := func(ext string) string { return filepath.Base(fix.name(f, fix.sub, ext)) }
	f.Add(base(".0"), pemOf(fix.sub.cert))
	f.Add(base(".r0"), makeCRL(f, fix.sub, testTime, testTime.Add(time.Hour)))
	f.Add(base(".signing_policy"), mustRead(f, fix.name(f, fix.sub, ".signing_policy")))
	f.Add(base(".namespaces"), []byte("TO Issuer SELF PERMIT Subject \".*\""))
	f.Add(base(".crl_url"), []byte("http://a.example.org/crl\n# x\n"))
	f.Add("Lab-CA.info", []byte("alias = Lab-CA"))
	f.Add("../x.0", []byte{})
	ca := TrustFile{base(".1"), pemOf(fix.sub.cert)}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		var report InstallReport
		plan, err := planInstall([]TrustFile{ca, {name, data}}, &report)
		if err == nil {
			plan, err = plan.checkCRLs(nil, &report)
		}
		if err != nil {
			return
		}
		for _, p := range plan {
			if p.name != filepath.Base(p.name) || !filepath.IsLocal(p.name) || strings.ContainsAny(p.name, "/\\:\x00\n ") || p.name[0] == '.' {
				t.Fatalf("%q", p.name)
			}
			switch {
			case p.kind == kindCertificate && (p.cert == nil || !strings.Contains(p.name, ".")):
				t.Fatalf("%q: %+v", p.name, p)
			case p.kind == kindCRL && (p.ca == nil || !bytes.Equal(p.ca.RawSubject, p.crl.RawIssuer)):
				t.Fatalf("%q: a list of nobody", p.name)
			}
		}
	})
}

// FuzzAnchorCertificate: a directory shows and verifies with any certificate in
// it.
func FuzzAnchorCertificate(f *testing.F) {
	fix := newTrust(f)
	f.Add(fix.sub.cert.Raw)
	f.Add(fix.root.cert.Raw)
	f.Add(fix.user.Leaf().Raw)
	files := map[string][]byte{}
	for _, file := range rootsOf(f, fix.dir) {
		files[file.Name] = file.Data
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		dir := dirOf(files, TrustFile{"0123abcd.0", pemOf(c)})
		if len(dir.Anchors(testTime, TrustOptions{})) < 2 {
			t.Fatal("the others are gone")
		}
		if err := dir.Verify(fix.user.Chain, testTime, TrustOptions{}); err != nil {
			t.Fatalf("a certificate beside the CAs: %v", err)
		}
	})
}
