package gsi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

func TestInspect(t *testing.T) {
	root := newCA(t, "Root", nil)
	user := newEEC(t, root, "Jane", func(c *x509.Certificate) { c.NotAfter = testTime.Add(2 * time.Hour) })
	limited := derive(t, user, IssueOptions{Rights: RightsLimited})
	long := forge(t, limited, func(c *x509.Certificate) {
		c.NotAfter = testTime.Add(100 * time.Hour)
		c.ExtraExtensions = []pkix.Extension{proxyExt(t, oidLimited, nil)}
	})
	info, err := Inspect(long.Chain)
	if err != nil {
		t.Fatal(err)
	}
	if info.Type != TypeRFC3820 || !info.Limited || info.Depth != 2 {
		t.Errorf("got %s limited=%v depth=%d", info.Type, info.Limited, info.Depth)
	}
	// voms-proxy-info prints the first proxy as the identity of a second one.
	if info.Identity != "/C=XX/O=Lab/CN=Jane" || info.IdentityRFC2253 != "CN=Jane,O=Lab,C=XX" {
		t.Errorf("identity %q %q", info.Identity, info.IdentityRFC2253)
	}
	if !info.NotAfter.Equal(testTime.Add(2 * time.Hour)) {
		t.Errorf("not after %s: the user's certificate ends before the proxy", info.NotAfter)
	}
	if !info.NotBefore.Equal(testTime.Add(-5 * time.Minute)) {
		t.Errorf("not before %s", info.NotBefore)
	}
	if len(info.Fingerprint) != len("sha256:")+64 {
		t.Errorf("fingerprint %q", info.Fingerprint)
	}
	if info, err = Inspect(user.Chain); err != nil || info.Type != TypeEEC || info.Depth != 0 || info.Limited {
		t.Errorf("user's certificate: %+v %v", info, err)
	}
	if info, err = Inspect(legacy(t, user, "limited proxy").Chain); err != nil || info.Type != TypeLegacy || !info.Limited {
		t.Errorf("legacy: %+v %v", info, err)
	}
	if info, err = Inspect(draft(t, user, []byte{0xa1, 3, 2, 1, 5}).Chain); err != nil || info.Type != TypeDraft {
		t.Errorf("draft: %+v %v", info, err)
	}
	_, err = Inspect(limited.Chain[:1])
	wantFault(t, err, FaultIncompleteChain)
}

// withInfo is a proxy with a policy language and path length of its own.
func withInfo(t testing.TB, issuer *Credential, language asn1.ObjectIdentifier, pathLen *int, change ...func(*x509.Certificate)) *Credential {
	t.Helper()
	return forge(t, issuer, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{proxyExt(t, language, pathLen)}
		for _, f := range change {
			f(c)
		}
	})
}

// TestRights: what a leaf may do depends on every proxy above it.
func TestRights(t *testing.T) {
	user := newEEC(t, newCA(t, "Root", nil), "Jane")
	other := asn1.ObjectIdentifier{1, 2, 3}
	for _, tt := range []struct {
		name      string
		languages []asn1.ObjectIdentifier // from the user downwards
		want      Rights
	}{
		{"no proxy", nil, ""},
		{"full", []asn1.ObjectIdentifier{oidInheritAll}, RightsInheritAll},
		{"limited", []asn1.ObjectIdentifier{oidLimited}, RightsLimited},
		{"independent", []asn1.ObjectIdentifier{oidIndependent}, RightsIndependent},
		{"other", []asn1.ObjectIdentifier{other}, RightsOther},
		{"limited, then full: limited stays", []asn1.ObjectIdentifier{oidLimited, oidInheritAll}, RightsLimited},
		{"full, then limited", []asn1.ObjectIdentifier{oidInheritAll, oidLimited}, RightsLimited},
		{"limited, then independent: limited stays", []asn1.ObjectIdentifier{oidLimited, oidIndependent}, RightsLimited},
		{"limited, independent, full", []asn1.ObjectIdentifier{oidLimited, oidIndependent, oidInheritAll}, RightsLimited},
		{"independent, then limited", []asn1.ObjectIdentifier{oidIndependent, oidLimited}, RightsLimited},
		{"independent, then full: inherits independent", []asn1.ObjectIdentifier{oidIndependent, oidInheritAll}, RightsIndependent},
		{"other, then full: inherits other", []asn1.ObjectIdentifier{other, oidInheritAll}, RightsOther},
		{"other, then independent: still restricted", []asn1.ObjectIdentifier{other, oidIndependent}, RightsOther},
		{"independent, then other", []asn1.ObjectIdentifier{oidIndependent, other}, RightsOther},
	} {
		cred := user
		for _, language := range tt.languages {
			cred = withInfo(t, cred, language, nil)
		}
		info, err := Inspect(cred.Chain)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if info.Rights != tt.want || info.Limited != (tt.want == RightsLimited) {
			t.Errorf("%s: rights %q, limited %v", tt.name, info.Rights, info.Limited)
		}
	}
}

// TestPathLen: each constraint counts from its own place, the shortest wins.
func TestPathLen(t *testing.T) {
	user := newEEC(t, newCA(t, "Root", nil), "Jane")
	for _, tt := range []struct {
		name   string
		limits []*int // from the user downwards
		want   int
	}{
		{"no proxy", nil, -1},
		{"no limit", []*int{nil, nil}, -1},
		{"at the leaf", []*int{limit(3)}, 3},
		{"one above", []*int{limit(3), nil}, 2},
		{"used up", []*int{limit(1), nil}, 0},
		{"exceeded is no less than used up", []*int{limit(0), nil, nil}, 0},
		{"the upper one is shorter", []*int{limit(2), limit(5)}, 1},
		{"the lower one is shorter", []*int{limit(5), limit(2)}, 2},
		{"far away", []*int{limit(9), nil, nil, nil}, 6},
	} {
		cred := user
		for _, n := range tt.limits {
			cred = withInfo(t, cred, oidInheritAll, n)
		}
		info, err := Inspect(cred.Chain)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if info.PathLen != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, info.PathLen, tt.want)
		}
		// What Inspect promises, Issue and Verify must hold.
		if cred.Verify(VerifyOptions{Now: testTime}) != nil {
			continue
		}
		for _, pathLen := range []*int{nil, limit(0), limit(1), limit(100)} {
			next, err := cred.Derive(newECKey(t), proxyTimes(IssueOptions{PathLen: pathLen}))
			if (err == nil) != (tt.want != 0) {
				t.Errorf("%s: a further proxy: %v", tt.name, err)
			} else if err == nil {
				if err := next.Verify(VerifyOptions{Now: testTime}); err != nil {
					t.Errorf("%s: a further proxy: %v", tt.name, err)
				}
			}
		}
	}
}

func TestKeyInfo(t *testing.T) {
	keys := keyKinds(t)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys["P-521"] = p521
	for name, want := range map[string]struct {
		algorithm string
		bits      int
	}{"RSA": {"RSA", 2048}, "ECDSA": {"ECDSA", 256}, "Ed25519": {"Ed25519", 256}, "P-521": {"ECDSA", 521}} {
		info, err := Inspect(withKey(t, keys[name]).Chain)
		if err != nil {
			t.Fatal(err)
		}
		if info.KeyAlgorithm != want.algorithm || info.KeyBits != want.bits || info.SignatureAlgorithm != "ECDSA-SHA256" || info.Issuer != "/C=XX/O=Lab/CN=Root" {
			t.Errorf("%s: %s %d, signed with %s by %s", name, info.KeyAlgorithm, info.KeyBits, info.SignatureAlgorithm, info.Issuer)
		}
	}
}

// TestUnknownKey: what crypto/x509 does not know has no number for a name.
func TestUnknownKey(t *testing.T) {
	info, err := Inspect([]*x509.Certificate{{RawSubject: labName("Jane"), RawIssuer: labName("Root")}})
	if err != nil || info.KeyAlgorithm != "unknown" || info.SignatureAlgorithm != "unknown" || info.KeyBits != 0 {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestTypeText: grid-proxy-info's words, where it is right; where it looks at
// the leaf alone, ours.
func TestTypeText(t *testing.T) {
	root := newCA(t, "Root", nil, realNow)
	rsaUser := issue(t, root, rsaKeys()[1], &x509.Certificate{RawSubject: labName("Jane"), KeyUsage: x509.KeyUsageDigitalSignature})
	user := &Credential{Chain: []*x509.Certificate{rsaUser}, Key: rsaKeys()[1]}
	other := asn1.ObjectIdentifier{1, 2, 3}
	limitedDraft := forge(t, user, func(c *x509.Certificate) {
		value := mustMarshal(t, struct{ Policy proxyPolicy }{proxyPolicy{Language: oidLimited}})
		c.ExtraExtensions = []pkix.Extension{{Id: oidDraftProxyInfo, Critical: true, Value: value}}
	})
	for _, tt := range []struct {
		name, want string
		cred       *Credential
		alone      bool // the tool says something else
	}{
		{"full", "RFC 3820 compliant impersonation proxy", withInfo(t, user, oidInheritAll, nil), false},
		{"limited", "RFC 3820 compliant limited proxy", withInfo(t, user, oidLimited, nil), false},
		{"independent", "RFC 3820 compliant independent proxy", withInfo(t, user, oidIndependent, nil), false},
		{"other", "RFC 3820 compliant restricted proxy", withInfo(t, user, other, nil), false},
		{"draft", "Proxy draft (pre-RFC) compliant impersonation proxy", draft(t, user, nil), false},
		{"limited draft", "Proxy draft (pre-RFC) compliant limited proxy", limitedDraft, false},
		{"legacy", "full legacy globus proxy", legacy(t, user, "proxy"), false},
		{"limited legacy", "limited legacy globus proxy", legacy(t, user, "limited proxy"), false},
		{"user", "end entity credential", user, false},
		{"limited, then full", "RFC 3820 compliant limited proxy", withInfo(t, withInfo(t, user, oidLimited, nil), oidInheritAll, nil), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			info, err := Inspect(tt.cred.Chain)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.TypeText(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			needTool(t, "grid-proxy-info", "globus-proxy-utils")
			text, err := tt.cred.PEM()
			if err != nil {
				t.Fatal(err)
			}
			file := write(t, filepath.Join(t.TempDir(), "proxy"), text)
			out := run(t, nil, "grid-proxy-info", "-file", file, "-type")
			if said := slices.Contains(strings.Split(out, "\n"), tt.want); said == tt.alone {
				t.Errorf("grid-proxy-info says %q", out)
			}
		})
	}
}

// TestInspectVOMS: the attributes that servers see are those nearest to the
// leaf; what they have superseded must satisfy nobody, and its end counts all
// the same.
func TestInspectVOMS(t *testing.T) {
	f := newVOMS(t)
	until := func(d time.Duration, fqans ...string) func(*voms.SignOptions) {
		return func(o *voms.SignOptions) { o.FQANs, o.NotAfter = fqans, testTime.Add(d) }
	}
	production := derive(t, f.user, f.sign(t, f.user, until(time.Hour, "/labvo/Role=production", "/labvo")))
	plain := derive(t, production, f.sign(t, f.user, until(2*time.Hour, "/labvo")))
	for _, tt := range []struct {
		name string
		cred *Credential
		want []string
	}{
		{"no attributes", derive(t, f.user, IssueOptions{}), nil},
		{"in the leaf", production, []string{"/labvo/Role=production", "/labvo"}},
		{"one above", derive(t, production, IssueOptions{}), []string{"/labvo/Role=production", "/labvo"}},
		{"superseded", plain, []string{"/labvo"}},
		{"superseded, one above", derive(t, plain, IssueOptions{}), []string{"/labvo"}},
	} {
		info, err := Inspect(tt.cred.Chain)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var got []string
		for _, a := range info.VOMS {
			got = append(got, a.FQANs...)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if err := f.open(t).VerifyVOMS(tt.cred.Chain, f.vomsdir, testTime, TrustOptions{}); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.want != nil && !info.NotAfter.Equal(testTime.Add(time.Hour)) {
			t.Errorf("%s: until %s, the first attributes end at %s", tt.name, info.NotAfter, testTime.Add(time.Hour))
		}
	}
}

// TestInspectInventsNobody: a certificate that a user has issued without
// proxyCertInfo may have any name, and must not pass for the user.
func TestInspectInventsNobody(t *testing.T) {
	root := newCA(t, "Root", nil)
	sub := newCA(t, "Sub CA", root)
	eve := newEEC(t, sub, "Eve")
	unmarked := func(c *x509.Certificate) { c.ExtraExtensions = nil }
	for name, cred := range map[string]*Credential{
		"a random CN":      forge(t, eve, unmarked),
		"another's name":   forge(t, eve, func(c *x509.Certificate) { unmarked(c); c.RawSubject = labName("Jane") }),
		"a proxy below it": forge(t, forge(t, eve, unmarked), func(*x509.Certificate) {}),
		"with the CA":      {Chain: append(forge(t, eve, unmarked).Chain, sub.cert), Key: eve.Key},
	} {
		info, err := Inspect(cred.Chain)
		if err == nil {
			t.Errorf("%s: taken for %s", name, info.Identity)
			continue
		}
		wantFault(t, err, FaultNotProxy)
	}
	for name, chain := range map[string][]*x509.Certificate{
		"with its CA":          {eve.Leaf(), sub.cert},
		"with a root of old":   {newEEC(t, root, "Jane").Leaf(), version1(root.cert)},
		"with a stranger":      {eve.Leaf(), newEEC(t, root, "Jane").Leaf()},
		"with a CA's CA below": {sub.cert, root.cert},
	} {
		if _, err := Inspect(chain); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// version1 is a root as there were before basicConstraints.
func version1(c *x509.Certificate) *x509.Certificate {
	old := *c
	old.Version, old.IsCA, old.BasicConstraintsValid, old.Extensions = 1, false, false, nil
	return &old
}
