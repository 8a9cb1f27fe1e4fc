package gsi

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// wantFirst checks that Examine begins with what Verify says.
func wantFirst(t *testing.T, cred *Credential, opts VerifyOptions) {
	t.Helper()
	err := VerifyChain(cred.Chain, opts)
	if cred.Key != nil {
		err = cred.Verify(opts)
	}
	all := Examine(cred, opts)
	var first *ChainError
	switch {
	case !errors.As(err, &first):
		t.Errorf("Verify says %v", err)
	case len(all) == 0:
		t.Errorf("Examine finds nothing, Verify %v", err)
	case *all[0] != *first:
		t.Errorf("Examine says %v first, Verify %v", all[0], first)
	}
}

// faultsOf is "fault@depth" of all that Examine finds.
func faultsOf(cred *Credential, opts VerifyOptions) []string {
	var out []string
	for _, e := range Examine(cred, opts) {
		out = append(out, fmt.Sprintf("%s@%d", e.Fault, e.Depth))
	}
	return out
}

// TestExamine: all faults at once, each where it is, in the order in which
// they count.
func TestExamine(t *testing.T) {
	root := newCA(t, "Root", nil)
	user := newEEC(t, root, "Jane")
	proxy := derive(t, user, IssueOptions{})
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}
	bad := forge(t, user, func(c *x509.Certificate) {
		c.PublicKey = weak
		c.KeyUsage = x509.KeyUsageKeyEncipherment
		c.DNSNames = []string{"example.org"}
		c.IsCA, c.BasicConstraintsValid = true, true
		c.NotBefore, c.NotAfter = testTime.Add(-2*time.Hour), testTime.Add(-time.Hour)
		c.ExtraExtensions[0].Critical = false
		c.ExtraExtensions = append(c.ExtraExtensions, unknown)
	})
	worse := forge(t, derive(t, derive(t, user, IssueOptions{PathLen: limit(1)}), IssueOptions{Rights: RightsLimited}), func(c *x509.Certificate) {
		c.NotAfter = testTime.Add(100 * time.Hour)
	})
	hole := &Credential{Chain: []*x509.Certificate{proxy.Leaf(), nil}, Key: proxy.Key}
	old := newEEC(t, root, "Jane", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = testTime.Add(-48*time.Hour), testTime.Add(-24*time.Hour)
	})
	ofOld := forge(t, old, func(*x509.Certificate) {})
	for _, tt := range []struct {
		name string
		cred *Credential
		want []string
	}{
		{"good", proxy, nil},
		{"good, without the key", &Credential{Chain: proxy.Chain}, nil},
		{"everything that one proxy can have", bad, []string{"weak_key@0", "not_critical@0", "ca@0", "subject_alternative_name@0", "key_usage@0", "unknown_critical_extension@0", "expired@0"}},
		{"three levels", worse, []string{"limited_lost@0", "path_length@2", "outlives_issuer@0"}},
		{"the user's certificate expired", ofOld, []string{"expired@1", "outlives_issuer@0"}},
		{"another key and no user", &Credential{Chain: ofOld.Chain[:1], Key: user.Key}, []string{"wrong_key@0", "incomplete_chain@0"}},
		{"another signature and expired", &Credential{Chain: []*x509.Certificate{ofOld.Leaf(), user.Leaf()}}, []string{"signature@0"}},
		{"malformed proxyCertInfo and not yet valid", forge(t, user, func(c *x509.Certificate) {
			c.ExtraExtensions[0].Value, c.NotBefore = []byte{0x30, 1}, testTime.Add(time.Minute)
		}), []string{"proxy_cert_info@0", "not_yet_valid@0"}},
		{"out of order", &Credential{Chain: []*x509.Certificate{user.Leaf(), proxy.Leaf()}}, []string{"issuer@1", "issuer@0"}},
		{"random CN, no proxyCertInfo", forge(t, user, func(c *x509.Certificate) { c.ExtraExtensions = nil }), []string{"not_a_proxy@0"}},
		{"a CA issued the proxy", forge(t, &Credential{Chain: []*x509.Certificate{root.cert}, Key: root.key}, func(*x509.Certificate) {}), []string{"ca@1", "key_usage@1"}},
		{"legacy under draft", legacy(t, draft(t, user, nil), "proxy"), []string{"legacy_proxy@0", "mixed_types@1", "legacy_proxy@1"}},
		{"a hole", hole, []string{"incomplete_chain@1"}},
		{"nothing", new(Credential), []string{"incomplete_chain@0"}},
		{"nil", nil, []string{"incomplete_chain@0"}},
	} {
		if got := faultsOf(tt.cred, VerifyOptions{Now: testTime}); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
	if got := faultsOf(legacy(t, user, "proxy"), VerifyOptions{Now: testTime, AllowLegacy: true}); got != nil {
		t.Errorf("legacy allowed: %q", got)
	}
}

// TestOutliving: servers accept it, so Verify does unless told otherwise.
func TestOutliving(t *testing.T) {
	user := newEEC(t, newCA(t, "Root", nil), "Jane", func(c *x509.Certificate) { c.NotAfter = testTime.Add(time.Minute) })
	proxy := forge(t, user, func(*x509.Certificate) {})
	if err := proxy.Verify(VerifyOptions{Now: testTime}); err != nil {
		t.Errorf("not asked for: %v", err)
	}
	wantFault(t, proxy.Verify(VerifyOptions{Now: testTime, RefuseOutliving: true}), FaultOutlives)
	// A proxy begins before its issuer where that was made minutes ago, as
	// MyProxy's do in the recordings. That is no fault.
	young := newEEC(t, newCA(t, "Root", nil), "Jane", func(c *x509.Certificate) { c.NotBefore = testTime.Add(-time.Minute) })
	if got := faultsOf(forge(t, young, func(*x509.Certificate) {}), VerifyOptions{Now: testTime}); got != nil {
		t.Errorf("begins early: %q", got)
	}
}
