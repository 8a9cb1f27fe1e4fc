package gsi

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
)

// forge signs a proxy of which change may break any rule.
func forge(t testing.TB, issuer *Credential, change func(*x509.Certificate)) *Credential {
	t.Helper()
	key := newECKey(t)
	subject, err := dn.AppendCN(issuer.Leaf().RawSubject, "4711")
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		RawSubject: subject, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: testTime.Add(-5 * time.Minute), NotAfter: testTime.Add(time.Hour),
		ExtraExtensions: []pkix.Extension{proxyExt(t, oidInheritAll, nil)},
	}
	change(c)
	var signer crypto.Signer = key
	if c.PublicKey != nil { // a test's own key
		signer = c.PublicKey.(crypto.Signer)
	}
	cert := issue(t, &authority{issuer.Leaf(), issuer.Key}, signer, c)
	return &Credential{Chain: append([]*x509.Certificate{cert}, issuer.Chain...), Key: signer}
}

func proxyExt(t testing.TB, language asn1.ObjectIdentifier, pathLen *int) pkix.Extension {
	t.Helper()
	ext, err := proxyInfoExtension(language, pathLen)
	if err != nil {
		t.Fatal(err)
	}
	return ext
}

func withCN(t testing.TB, c *x509.Certificate, cn string) []byte {
	t.Helper()
	subject, err := dn.AppendCN(c.RawSubject, cn)
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

// legacy makes a GSI-2 proxy: no extension, the CN says what it is.
func legacy(t testing.TB, issuer *Credential, cn string) *Credential {
	t.Helper()
	return forge(t, issuer, func(c *x509.Certificate) {
		c.RawSubject, c.ExtraExtensions = withCN(t, issuer.Leaf(), cn), nil
	})
}

// draftExt is the proxyCertInfo of GSI-3: the path length stands behind the policy.
func draftExt(t testing.TB, language asn1.ObjectIdentifier, pathLen []byte) pkix.Extension {
	t.Helper()
	policy, err := asn1.Marshal(struct{ Language asn1.ObjectIdentifier }{language})
	if err != nil {
		t.Fatal(err)
	}
	value, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(policy, pathLen...)})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oidDraftProxyInfo, Critical: true, Value: value}
}

func draft(t testing.TB, issuer *Credential, pathLen []byte) *Credential {
	t.Helper()
	ext := draftExt(t, oidInheritAll, pathLen)
	return forge(t, issuer, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{ext} })
}

func limit(n int) *int { return &n }

func nameOf(t testing.TB, rdns ...pkix.RelativeDistinguishedNameSET) []byte {
	t.Helper()
	der, err := asn1.Marshal(pkix.RDNSequence(rdns))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// retyped is the same name with its PrintableStrings as UTF8Strings.
func retyped(t testing.TB, raw []byte) []byte {
	t.Helper()
	out := bytes.ReplaceAll(raw, []byte{asn1.TagPrintableString, 4}, []byte{asn1.TagUTF8String, 4})
	if bytes.Equal(out, raw) {
		t.Fatal("nothing to retype")
	}
	return out
}

// TestGoodChains: what must not be refused.
func TestGoodChains(t *testing.T) {
	root := newCA(t, "Root", nil)
	sub := newCA(t, "Sub CA", root)
	user := newEEC(t, sub, "Jane")
	noUsage := newEEC(t, root, "Jane", func(c *x509.Certificate) { c.KeyUsage = 0 })
	online := &Credential{Chain: []*x509.Certificate{user.Leaf(), sub.cert}, Key: user.Key}
	limited := derive(t, user, IssueOptions{Rights: RightsLimited})
	for name, cred := range map[string]*Credential{
		"online CA: the user's certificate alone":    user,
		"online CA with its sub-CA":                  online,
		"the root at the end":                        {Chain: append(slices.Clone(online.Chain), root.cert), Key: user.Key},
		"one proxy":                                  derive(t, user, IssueOptions{}),
		"a proxy above user and sub-CA":              derive(t, online, IssueOptions{}),
		"two proxies":                                derive(t, derive(t, user, IssueOptions{}), IssueOptions{}),
		"path length used up":                        derive(t, derive(t, user, IssueOptions{PathLen: limit(1)}), IssueOptions{PathLen: limit(0)}),
		"issuer without keyUsage":                    derive(t, noUsage, IssueOptions{}),
		"limited stays limited":                      derive(t, limited, IssueOptions{}),
		"independent of a limited one, like Globus":  forge(t, limited, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{proxyExt(t, oidIndependent, nil)} }),
		"proxy that outlives its issuer on its face": forge(t, user, func(c *x509.Certificate) { c.NotAfter = testTime.Add(10000 * time.Hour) }),
	} {
		if err := cred.Verify(VerifyOptions{Now: testTime}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		outlives := func(e *ChainError) bool { return e.Fault == FaultOutlives }
		if all := slices.DeleteFunc(Examine(cred, VerifyOptions{Now: testTime}), outlives); len(all) > 0 {
			t.Errorf("%s: Examine finds %v", name, all)
		}
	}
	for name, cred := range map[string]*Credential{
		"legacy":                   legacy(t, user, "proxy"),
		"limited legacy of legacy": legacy(t, legacy(t, user, "proxy"), "limited proxy"),
		"draft":                    draft(t, user, nil),
	} {
		if err := cred.Verify(VerifyOptions{Now: testTime, AllowLegacy: true}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantFault(t, cred.Verify(VerifyOptions{Now: testTime}), FaultLegacy)
	}
}

func TestFaults(t *testing.T) {
	root := newCA(t, "Root", nil)
	user := newEEC(t, root, "Jane")
	other := newEEC(t, root, "Joe")
	proxy := derive(t, user, IssueOptions{})
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	nameless := newEEC(t, root, "x", func(c *x509.Certificate) {
		c.RawSubject, c.EmailAddresses = []byte{0x30, 0}, []string{"jane@example.org"}
	})
	puppet := newCA(t, "Puppet CA", &authority{user.Leaf(), user.Key})
	ext := func(language asn1.ObjectIdentifier) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{proxyExt(t, language, nil)} }
	}
	chain := func(certs ...*x509.Certificate) *Credential { return &Credential{Chain: certs, Key: proxy.Key} }
	tests := []struct {
		name string
		want Fault
		cred *Credential
	}{
		{"nothing", FaultIncompleteChain, chain()},
		{"a hole", FaultIncompleteChain, chain(proxy.Leaf(), nil)},
		{"too many", FaultTooLong, chain(slices.Repeat(proxy.Chain, 9)...)},
		{"proxy alone: truncated by the server", FaultIncompleteChain, chain(proxy.Leaf())},
		{"another key", FaultWrongKey, &Credential{Chain: proxy.Chain, Key: other.Key}},
		{"no key", FaultWrongKey, &Credential{Chain: proxy.Chain}},
		{"user before proxy", FaultIssuer, &Credential{Chain: []*x509.Certificate{user.Leaf(), proxy.Leaf()}, Key: user.Key}},
		{"another user's certificate follows", FaultIssuer, chain(proxy.Leaf(), other.Leaf())},
		{"issuer of the same name with another key", FaultSignature, chain(proxy.Leaf(), newEEC(t, root, "Jane").Leaf())},
		{"proxyCertInfo not critical", FaultNotCritical, forge(t, user, func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = false })},
		{"no proxyCertInfo", FaultNotProxy, forge(t, user, func(c *x509.Certificate) { c.ExtraExtensions = nil })},
		{"proxyCertInfo is garbage", FaultProxyInfo, forge(t, user, func(c *x509.Certificate) { c.ExtraExtensions[0].Value = []byte{0x30, 1} })},
		{"path length below zero", FaultProxyInfo, forge(t, user, func(c *x509.Certificate) {
			c.ExtraExtensions[0].Value = slices.Concat([]byte{0x30, 15, 2, 1, 0xff, 0x30, 10, 6, 8}, []byte{0x2b, 6, 1, 5, 5, 7, 21, 1})
		})},
		{"policy text in disguise", FaultProxyInfo, forge(t, user, func(c *x509.Certificate) {
			c.ExtraExtensions[0].Value = slices.Concat([]byte{0x30, 15, 0x30, 13, 6, 8}, []byte{0x2b, 6, 1, 5, 5, 7, 21, 1}, []byte{12, 1, 'x'})
		})},
		{"something behind the policy", FaultProxyInfo, forge(t, user, func(c *x509.Certificate) {
			c.ExtraExtensions[0].Value = slices.Concat([]byte{0x30, 16, 0x30, 14, 6, 8}, []byte{0x2b, 6, 1, 5, 5, 7, 21, 1}, []byte{4, 0, 5, 0})
		})},
		{"unknown policy language", FaultProxyInfo, forge(t, user, ext(asn1.ObjectIdentifier{1, 2, 3}))},
		{"subject of somebody else", FaultSubject, forge(t, user, func(c *x509.Certificate) { c.RawSubject = withCN(t, other.Leaf(), "1") })},
		{"subject with two CNs more", FaultSubject, forge(t, proxy, func(c *x509.Certificate) {
			c.RawSubject, _ = dn.AppendCN(withCN(t, proxy.Leaf(), "1"), "2")
		})},
		{"subject as its issuer", FaultSubject, forge(t, user, func(c *x509.Certificate) { c.RawSubject = user.Leaf().RawSubject })},
		{"one element more, but a CN and an OU", FaultSubject, forge(t, user, func(c *x509.Certificate) {
			c.RawSubject = nameOf(t, rdn(oidC, "XX"), rdn(oidO, "Lab"), rdn(oidCN, "Jane"), append(rdn(oidCN, "1"), rdn(oidOU, "x")...))
		})},
		{"the last CN swallowed the new one", FaultSubject, forge(t, user, func(c *x509.Certificate) {
			c.RawSubject = nameOf(t, rdn(oidC, "XX"), rdn(oidO, "Lab"), append(rdn(oidCN, "Jane"), rdn(oidCN, "1")...))
		})},
		{"subject in another string type", FaultSubject, forge(t, user, func(c *x509.Certificate) {
			c.RawSubject = withCN(t, &x509.Certificate{RawSubject: retyped(t, user.Leaf().RawSubject)}, "1")
		})},
		{"issuer in another string type", FaultIssuer, chain(forge(t, &Credential{
			Chain: []*x509.Certificate{{RawSubject: retyped(t, user.Leaf().RawSubject), PublicKey: user.Leaf().PublicKey}}, Key: user.Key,
		}, func(*x509.Certificate) {}).Leaf(), user.Leaf())},
		{"path length exceeded two below", FaultPathLength, forge(t, derive(t, derive(t, user, IssueOptions{PathLen: limit(1)}), IssueOptions{}), func(*x509.Certificate) {})},
		{"path length of more than is left", FaultPathLength, withInfo(t, withInfo(t, user, oidInheritAll, limit(1)), oidInheritAll, limit(1))},
		{"the same two above", FaultPathLength, withInfo(t, derive(t, withInfo(t, user, oidInheritAll, limit(2)), IssueOptions{}), oidInheritAll, limit(1))},
		{"a user plays CA", FaultCA, chain(newEEC(t, puppet, "Joe").Leaf(), puppet.cert, user.Leaf())},
		{"a user's own CA issues the user of a proxy", FaultCA, chain(append(derive(t, newEEC(t, puppet, "Joe"), IssueOptions{}).Chain, puppet.cert, user.Leaf())...)},
		{"limited, independent, full is not limited, full", FaultLimitedLost, forge(t,
			derive(t, forge(t, user, ext(oidIndependent)), IssueOptions{Rights: RightsLimited}), func(*x509.Certificate) {})},
		{"user without a name", FaultSubject, nameless},
		{"proxy of a user without a name", FaultSubject, forge(t, nameless, func(c *x509.Certificate) { c.RawSubject = withCN(t, nameless.Leaf(), "1") })},
		{"alternative name", FaultSAN, forge(t, user, func(c *x509.Certificate) { c.DNSNames = []string{"example.org"} })},
		{"calls itself a CA", FaultCA, forge(t, user, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })},
		{"proxy without digitalSignature", FaultKeyUsage, forge(t, user, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })},
		{"issuer without digitalSignature", FaultKeyUsage, forge(t,
			newEEC(t, root, "Jane", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), func(*x509.Certificate) {})},
		{"path length exceeded", FaultPathLength, forge(t, derive(t, user, IssueOptions{PathLen: limit(0)}), func(*x509.Certificate) {})},
		{"full proxy of a limited one", FaultLimitedLost, forge(t, derive(t, user, IssueOptions{Rights: RightsLimited}), func(*x509.Certificate) {})},
		{"legacy", FaultLegacy, legacy(t, user, "proxy")},
		{"draft", FaultLegacy, draft(t, user, nil)},
		{"outlives its issuer", FaultOutlives, forge(t, derive(t, user, IssueOptions{}), func(c *x509.Certificate) { c.NotAfter = testTime.Add(13 * time.Hour) })},
		{"proxy of something that is none", FaultNotProxy, forge(t, proxy, func(c *x509.Certificate) { c.ExtraExtensions = nil })},
		{"kinds mixed", FaultMixedTypes, forge(t, legacy(t, user, "proxy"), func(*x509.Certificate) {})},
		{"unknown critical extension", FaultUnknownCritical, forge(t, user, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		})},
		{"proxyCertInfo of both kinds", FaultUnknownCritical, forge(t, user, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidDraftProxyInfo, Critical: true, Value: c.ExtraExtensions[0].Value})
		})},
		{"RSA 1024 in the proxy", FaultWeakKey, forge(t, user, func(c *x509.Certificate) { c.PublicKey = weak })},
		{"proxy of a CA", FaultCA, forge(t, &Credential{Chain: []*x509.Certificate{root.cert}, Key: root.key}, func(*x509.Certificate) {})},
		{"a CA as the user", FaultCA, &Credential{Chain: []*x509.Certificate{root.cert}, Key: root.key}},
		{"expired", FaultExpired, forge(t, user, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = testTime.Add(-2*time.Hour), testTime.Add(-time.Second)
		})},
		{"the user's certificate expired, the proxy not", FaultExpired, forge(t,
			newEEC(t, root, "Jane", func(c *x509.Certificate) { c.NotAfter = testTime.Add(-time.Second) }), func(*x509.Certificate) {})},
		{"not yet valid", FaultNotYetValid, forge(t, user, func(c *x509.Certificate) { c.NotBefore = testTime.Add(time.Second) })},
		{"forged and expired: the forgery counts", FaultSignature, chain(forge(t, user, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = testTime.Add(-2*time.Hour), testTime.Add(-time.Second)
		}).Leaf(), newEEC(t, root, "Jane").Leaf())},
	}
	strict := VerifyOptions{Now: testTime, RefuseOutliving: true}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cred.Key != nil { // Examine does not judge the lack of one
				wantFirst(t, tt.cred, strict)
			}
			if tt.want != FaultWrongKey {
				wantFault(t, VerifyChain(tt.cred.Chain, strict), tt.want)
				return
			}
			wantFault(t, tt.cred.Verify(strict), tt.want)
		})
	}
}

// hugeKey is a key with which nobody should compute.
type hugeKey struct{ crypto.Signer }

func (hugeKey) Public() crypto.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), 20000)
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
}

func TestHugeKey(t *testing.T) {
	user := newEEC(t, newCA(t, "Root", nil), "Jane")
	proxy := forge(t, user, func(c *x509.Certificate) { c.PublicKey = hugeKey{newECKey(t)} })
	wantFault(t, VerifyChain(proxy.Chain, VerifyOptions{Now: testTime}), FaultWeakKey)
}

// TestFaultTextIsShort: how long a name is is up to a stranger.
func TestFaultTextIsShort(t *testing.T) {
	user := newEEC(t, newCA(t, "Root", nil), strings.Repeat("\u00e4", 20000))
	err := VerifyChain(user.Chain, VerifyOptions{Now: testTime.Add(1000 * 24 * time.Hour)})
	wantFault(t, err, FaultExpired)
	if n := len(err.Error()); n > 2000 {
		t.Errorf("a text of %d bytes", n)
	}
}

// TestCAChain: the certificates above the user's must be CAs that may sign.
func TestCAChain(t *testing.T) {
	root := newCA(t, "Root", nil)
	broken := func(change func(*x509.Certificate)) []*x509.Certificate {
		sub := newCA(t, "Sub CA", root, change)
		return []*x509.Certificate{newEEC(t, sub, "Jane").Leaf(), sub.cert}
	}
	wantFault(t, VerifyChain(broken(func(c *x509.Certificate) { c.IsCA = false }), VerifyOptions{Now: testTime}), FaultNotProxy)
	wantFault(t, VerifyChain(broken(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), VerifyOptions{Now: testTime}), FaultKeyUsage)

	short := newCA(t, "Short", root, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	below := newCA(t, "Below", short)
	chain := []*x509.Certificate{newEEC(t, below, "Jane").Leaf(), below.cert, short.cert}
	wantFault(t, VerifyChain(chain, VerifyOptions{Now: testTime}), FaultPathLength)
}

// TestSHA1: a MyProxy server signs with the digest of the stored certificate's
// signature, so old ones give SHA-1. Go does not make such signatures: openssl
// made this one.
func TestSHA1(t *testing.T) {
	chain := opensslSHA1(t)
	now := chain[0].NotBefore.Add(time.Minute)
	wantFault(t, VerifyChain(chain, VerifyOptions{Now: now}), FaultSHA1)
	if err := VerifyChain(chain, VerifyOptions{Now: now, AllowSHA1: true}); err != nil {
		t.Errorf("allowed: %v", err)
	}
}

// TestBrokenLinkAmongCAs: MD5 is forgivable in a root's own signature only,
// which proves nothing. A CA's that another CA of the same name has signed must
// not pass unverified.
func TestBrokenLinkAmongCAs(t *testing.T) {
	ca := newCA(t, "CA", nil)
	other := newCA(t, "CA", nil)
	md5 := *ca.cert
	md5.SignatureAlgorithm = x509.MD5WithRSA
	user := newEEC(t, ca, "Jane").Leaf()
	if err := VerifyChain([]*x509.Certificate{user, &md5}, VerifyOptions{Now: testTime}); err != nil {
		t.Errorf("a root: %v", err)
	}
	wantFault(t, VerifyChain([]*x509.Certificate{user, &md5, other.cert}, VerifyOptions{Now: testTime}), FaultSHA1)
	wantFault(t, VerifyChain([]*x509.Certificate{user, ca.cert, other.cert}, VerifyOptions{Now: testTime}), FaultSignature)
}
