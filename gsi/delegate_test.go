package gsi

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// request makes a certificate request with any extensions.
func request(t testing.TB, key crypto.Signer, extensions ...pkix.Extension) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "somebody else"}, ExtraExtensions: extensions,
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestDelegate: what a request may decide about its proxy: the key, and less
// than what the issuer would give.
func TestDelegate(t *testing.T) {
	user := newEEC(t, newCA(t, "Root", nil), "Jane")
	key := newECKey(t)
	full, limited, independent := IssueOptions{}, IssueOptions{Rights: RightsLimited}, IssueOptions{Rights: RightsIndependent}
	info := func(language asn1.ObjectIdentifier, pathLen *int) pkix.Extension {
		return proxyExt(t, language, pathLen)
	}
	draftLimited := pkix.Extension{Id: oidDraftProxyInfo, Critical: true, Value: mustMarshal(t, struct {
		Policy struct{ Language asn1.ObjectIdentifier }
	}{
		struct{ Language asn1.ObjectIdentifier }{oidLimited},
	})}
	for _, tt := range []struct {
		name    string
		issuer  *Credential
		csr     []byte
		opts    IssueOptions
		rights  Rights
		pathLen int
	}{
		{"nothing asked for", user, request(t, key), full, RightsInheritAll, -1},
		{"all asked for", user, request(t, key, info(oidInheritAll, nil)), full, RightsInheritAll, -1},
		{"limited asked for", user, request(t, key, info(oidLimited, nil)), full, RightsLimited, -1},
		{"limited asked for as in the draft", user, request(t, key, draftLimited), full, RightsLimited, -1},
		{"all asked for, limited given", user, request(t, key, info(oidInheritAll, nil)), limited, RightsLimited, -1},
		{"independent asked for, limited given", user, request(t, key, info(oidIndependent, nil)), limited, RightsLimited, -1},
		{"limited asked for, independent given", user, request(t, key, info(oidLimited, nil)), independent, RightsLimited, -1},
		{"independent asked for", user, request(t, key, info(oidIndependent, nil)), full, RightsIndependent, -1},
		{"all asked for, independent given", user, request(t, key, info(oidInheritAll, nil)), independent, RightsIndependent, -1},
		{"the issuer is limited", derive(t, user, limited), request(t, key), full, RightsLimited, -1},
		{"path length asked for", user, request(t, key, info(oidInheritAll, limit(2))), full, RightsInheritAll, 2},
		{"the shorter of two is the request's", user, request(t, key, info(oidInheritAll, limit(0))), IssueOptions{PathLen: limit(3)}, RightsInheritAll, 0},
		{"the shorter of two is the issuer's", user, request(t, key, info(oidInheritAll, limit(3))), IssueOptions{PathLen: limit(1)}, RightsInheritAll, 1},
		{"our own request", user, mustRequest(t, key, false), full, RightsInheritAll, -1},
		{"our own limited request", user, mustRequest(t, key, true), full, RightsLimited, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chain, err := Delegate(tt.issuer, tt.csr, proxyTimes(tt.opts))
			if err != nil {
				t.Fatal(err)
			}
			cred := &Credential{Chain: chain, Key: key}
			if err := cred.Verify(VerifyOptions{Now: testTime}); err != nil {
				t.Error(err)
			}
			got, err := Inspect(chain)
			if err != nil {
				t.Fatal(err)
			}
			if got.Rights != tt.rights || got.PathLen != tt.pathLen || got.Identity != "/C=XX/O=Lab/CN=Jane" || len(chain) != len(tt.issuer.Chain)+1 {
				t.Errorf("%s, path length %d, %s, %d certificates", got.Rights, got.PathLen, got.Identity, len(chain))
			}
		})
	}
}

func mustRequest(t testing.TB, key crypto.Signer, limited bool) []byte {
	t.Helper()
	der, err := NewRequest(key, limited)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestDelegateTakesOnlyTheKey: names, uses and powers that a request asks for
// are not the requester's to choose.
func TestDelegateTakesOnlyTheKey(t *testing.T) {
	user := newEEC(t, newCA(t, "Root", nil), "Jane")
	key := newECKey(t)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "root"}, DNSNames: []string{"example.org"},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}, // CA
			{Id: oidKeyUsage, Critical: true, Value: []byte{3, 2, 1, 6}},                                  // keyCertSign
			{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte{5, 0}},
		},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := Delegate(user, der, proxyTimes(IssueOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	leaf := chain[0]
	if len(leaf.Extensions) != 2 || leaf.IsCA || len(leaf.DNSNames) > 0 || strings.Contains(leaf.Subject.String(), "root") {
		t.Errorf("%s has %d extensions, CA %v, names %v", leaf.Subject, len(leaf.Extensions), leaf.IsCA, leaf.DNSNames)
	}
}

// TestDelegateRefuses: each fault of a request, before anything is signed.
func TestDelegateRefuses(t *testing.T) {
	user := newEEC(t, newCA(t, "Root", nil), "Jane")
	key := newECKey(t)
	good := request(t, key)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	otherCurve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	info := func(value []byte) []byte {
		return request(t, key, pkix.Extension{Id: oidProxyCertInfo, Critical: true, Value: value})
	}
	other := bytes.Clone(good)
	other[len(other)-1] ^= 1
	for _, tt := range []struct {
		name string
		want Fault
		csr  []byte
	}{
		{"nothing", FaultRequest, nil},
		{"garbage", FaultRequest, []byte("GET / HTTP/1.0")},
		{"cut off", FaultRequest, good[:len(good)-1]},
		{"something behind it", FaultRequest, append(bytes.Clone(good), 0)},
		{"too big", FaultRequest, append(bytes.Clone(good), make([]byte, MaxRequestBytes)...)},
		{"a certificate", FaultRequest, user.Leaf().Raw},
		{"another signature", FaultSignature, other},
		{"signed with another key", FaultSignature, bytes.Replace(request(t, otherCurve), mustPublic(t, otherCurve), mustPublic(t, otherKey(t)), 1)},
		{"RSA 1024", FaultWeakKey, request(t, weak)},
		{"RSA 20001", FaultWeakKey, unsigned(t, hugeKey{key})},
		{"malformed proxyCertInfo", FaultProxyInfo, info([]byte{0x30, 1})},
		{"rights that nobody understands", FaultProxyInfo, request(t, key, proxyExt(t, asn1.ObjectIdentifier{1, 2, 3}, nil))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			chain, err := Delegate(user, tt.csr, proxyTimes(IssueOptions{}))
			wantFault(t, err, tt.want)
			if chain != nil {
				t.Error("a chain all the same")
			}
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
	// The issuer's own faults are Issue's.
	_, err = Delegate(derive(t, user, IssueOptions{PathLen: limit(0)}), good, proxyTimes(IssueOptions{}))
	wantFault(t, err, FaultPathLength)
}

// unsigned is a request that nobody signed.
func unsigned(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	return mustMarshal(t, struct {
		Body struct {
			Version      int
			Subject, Key asn1.RawValue
			Attributes   asn1.RawValue
		}
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		struct {
			Version      int
			Subject, Key asn1.RawValue
			Attributes   asn1.RawValue
		}{0, asn1.RawValue{FullBytes: labName("x")}, asn1.RawValue{FullBytes: mustPublic(t, key)}, asn1.RawValue{FullBytes: []byte{0xa0, 0}}},
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue},
		asn1.BitString{Bytes: make([]byte, 256), BitLength: 2048},
	})
}

func otherKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustPublic(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestDelegateOldDigests: SHA-1 proves possession well enough, MD5 does not.
func TestDelegateOldDigests(t *testing.T) {
	needTool(t, "openssl", "openssl")
	user := newEEC(t, newCA(t, "Root", nil), "Jane")
	dir := t.TempDir()
	text, err := withKey(t, rsaKeys()[0]).PEM()
	if err != nil {
		t.Fatal(err)
	}
	key := write(t, filepath.Join(dir, "key.pem"), text)
	for digest, want := range map[string]Fault{"sha256": "", "sha1": "", "md5": FaultSHA1} {
		out := run(t, nil, "openssl", "req", "-new", "-"+digest, "-key", key, "-subj", "/CN=x")
		block, _ := pem.Decode([]byte(out))
		if block == nil {
			t.Fatal(out)
		}
		_, err := Delegate(user, block.Bytes, proxyTimes(IssueOptions{}))
		if want != "" {
			wantFault(t, err, want)
		} else if err != nil {
			t.Errorf("%s: %v", digest, err)
		}
	}
}

// TestRecordedRequests: what myproxy-server 6.2.14 asks for in PUT.
func TestRecordedRequests(t *testing.T) {
	_, recordings := readRecordings(t, "put-ok-*.json")
	if len(recordings) == 0 {
		t.Fatal("no recordings")
	}
	user := newEEC(t, newCA(t, "Root", nil), "Jane")
	for _, r := range recordings {
		i := slices.IndexFunc(r.Messages, func(m message) bool { return m.From == "server" && len(m.Base64) > 0 })
		if i < 0 {
			t.Fatalf("%s: no request in it", r.Name)
		}
		chain, err := Delegate(user, r.Messages[i].Base64, proxyTimes(IssueOptions{}))
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
			continue
		}
		if err := VerifyChain(chain, VerifyOptions{Now: testTime}); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
}
