package gsi

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"
)

// TestIssueKeepsBytes: a DC in IA5String, a name in T61 and one in UTF-8 must
// stay what they are; pkix.Name would write them anew as other string types.
func TestIssueKeepsBytes(t *testing.T) {
	var rdns []byte
	for _, part := range []struct {
		oid   asn1.ObjectIdentifier
		value asn1.RawValue
	}{
		{asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte("org")}},
		{asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.RawValue{Tag: asn1.TagT61String, Bytes: []byte("M\xfcnchen")}},
		{asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte("Jürgen")}},
	} {
		pair, err := asn1.Marshal(struct {
			OID   asn1.ObjectIdentifier
			Value asn1.RawValue
		}{part.oid, part.value})
		if err != nil {
			t.Fatal(err)
		}
		set, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: pair})
		if err != nil {
			t.Fatal(err)
		}
		rdns = append(rdns, set...)
	}
	subject, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: rdns})
	if err != nil {
		t.Fatal(err)
	}
	user := newEEC(t, newCA(t, "Root", nil), "", func(c *x509.Certificate) { c.RawSubject = subject })
	proxy := derive(t, user, IssueOptions{})
	if err := proxy.Verify(VerifyOptions{Now: testTime}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(proxy.Leaf().RawIssuer, subject) || !bytes.Contains(proxy.Leaf().RawSubject, rdns) {
		t.Error("the name's bytes changed")
	}
	info, err := Inspect(proxy.Chain)
	if err != nil {
		t.Fatal(err)
	}
	if want := `/DC=org/O=M\xFCnchen/CN=J\xC3\xBCrgen`; info.Identity != want {
		t.Errorf("got %q, want %q", info.Identity, want)
	}
}

func TestIssue(t *testing.T) {
	root := newCA(t, "Root", nil)
	user := newEEC(t, root, "Jane", func(c *x509.Certificate) {
		c.NotAfter = testTime.Add(time.Hour)
		c.NotBefore = testTime.Add(-time.Minute)
		c.DNSNames = []string{"jane.example.org"}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		c.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageDataEncipherment
	})
	own := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte{5, 0}}
	proxy := derive(t, user, IssueOptions{Extensions: []pkix.Extension{own}}).Leaf()
	if proxy.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("key usage %b: the issuer has no keyEncipherment to give", proxy.KeyUsage)
	}
	if len(proxy.ExtKeyUsage) != 1 || proxy.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("extended key usage %v", proxy.ExtKeyUsage)
	}
	if len(proxy.DNSNames) > 0 {
		t.Error("the alternative name was copied, servers refuse that")
	}
	if !proxy.NotAfter.Equal(user.Leaf().NotAfter) || !proxy.NotBefore.Equal(user.Leaf().NotBefore) {
		t.Errorf("%s to %s is not clipped to the issuer's", proxy.NotBefore, proxy.NotAfter)
	}
	if n := proxy.SerialNumber.BitLen(); n > 31 || n == 0 {
		t.Errorf("serial number of %d bits", n)
	}
	if !hasExtension(proxy, own.Id) {
		t.Error("the caller's extension is missing")
	}
	if !bytes.HasSuffix(proxy.RawSubject, []byte(proxy.SerialNumber.String())) {
		t.Error("the CN is not the serial number")
	}
}

// TestIssueRefuses: what no server would accept is not signed.
func TestIssueRefuses(t *testing.T) {
	root := newCA(t, "Root", nil)
	user := newEEC(t, root, "Jane")
	_, err := (&Credential{Chain: []*x509.Certificate{root.cert}, Key: root.key}).Derive(newECKey(t), proxyTimes(IssueOptions{}))
	wantFault(t, err, FaultCA)
	_, err = derive(t, derive(t, user, IssueOptions{PathLen: limit(1)}), IssueOptions{}).Derive(newECKey(t), proxyTimes(IssueOptions{}))
	wantFault(t, err, FaultPathLength)
	_, err = legacy(t, user, "proxy").Derive(newECKey(t), proxyTimes(IssueOptions{}))
	wantFault(t, err, FaultMixedTypes)
	for name, o := range map[string]IssueOptions{
		"over before it begins": {NotBefore: testTime, NotAfter: testTime},
		"alternative name":      proxyTimes(IssueOptions{Extensions: []pkix.Extension{{Id: oidSubjectAltName}}}),
		"key usage twice":       proxyTimes(IssueOptions{Extensions: []pkix.Extension{{Id: oidKeyUsage}}}),
		"path length below 0":   proxyTimes(IssueOptions{PathLen: limit(-1)}),
	} {
		if _, err := user.Derive(newECKey(t), o); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	if _, err := (&Credential{Chain: user.Chain}).Derive(newECKey(t), proxyTimes(IssueOptions{})); err == nil {
		t.Error("signed without a key")
	}
}
