package gsi

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
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
		"no lifetime":                {Now: testTime},
		"a lifetime below zero":      {Now: testTime, Lifetime: -time.Hour},
		"no time":                    {Lifetime: time.Hour},
		"alternative name":           proxyTimes(IssueOptions{Extensions: []pkix.Extension{{Id: oidSubjectAltName}}}),
		"key usage twice":            proxyTimes(IssueOptions{Extensions: []pkix.Extension{{Id: oidKeyUsage}}}),
		"basic constraints of a CA":  proxyTimes(IssueOptions{Extensions: []pkix.Extension{{Id: oidBasicConstraints, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}}),
		"proxyCertInfo of the draft": proxyTimes(IssueOptions{Extensions: []pkix.Extension{draftExt(t, oidInheritAll, nil)}}),
		"path length below 0":        proxyTimes(IssueOptions{PathLen: limit(-1)}),
		"rights that nobody defined": proxyTimes(IssueOptions{Rights: RightsOther}),
		"rights with a typo":         proxyTimes(IssueOptions{Rights: "Limited"}),
	} {
		if _, err := user.Derive(newECKey(t), o); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	if _, err := (&Credential{Chain: user.Chain}).Derive(newECKey(t), proxyTimes(IssueOptions{})); err == nil {
		t.Error("signed without a key")
	}
}

// TestIssueRefusesKeysAndTimes: each with its reason.
func TestIssueRefusesKeysAndTimes(t *testing.T) {
	root := newCA(t, "Root", nil)
	user := newEEC(t, root, "Jane")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, err = user.Derive(weak, proxyTimes(IssueOptions{}))
	wantFault(t, err, FaultWeakKey)
	_, err = user.Derive(hugeKey{newECKey(t)}, proxyTimes(IssueOptions{}))
	wantFault(t, err, FaultWeakKey)
	ofWeak := &Credential{Chain: []*x509.Certificate{issue(t, root, weak, &x509.Certificate{RawSubject: labName("Jane")})}, Key: weak}
	_, err = ofWeak.Derive(newECKey(t), proxyTimes(IssueOptions{}))
	wantFault(t, err, FaultWeakKey)
	_, err = (&Credential{Chain: user.Chain, Key: newECKey(t)}).Derive(newECKey(t), proxyTimes(IssueOptions{}))
	wantFault(t, err, FaultWrongKey)
	strange := forge(t, user, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{proxyExt(t, asn1.ObjectIdentifier{1, 2, 3}, nil)}
	})
	_, err = strange.Derive(newECKey(t), proxyTimes(IssueOptions{}))
	wantFault(t, err, FaultProxyInfo)

	end := user.Leaf().NotAfter
	for _, now := range []time.Time{end, end.Add(time.Hour)} {
		_, err = user.Derive(newECKey(t), IssueOptions{Now: now, Lifetime: time.Hour})
		wantFault(t, err, FaultExpired)
	}
	_, err = user.Derive(newECKey(t), IssueOptions{Now: user.Leaf().NotBefore.Add(-2 * time.Hour), Lifetime: time.Hour})
	wantFault(t, err, FaultNotYetValid)
}

// TestIssueTimes: five minutes back for slow clocks, and never outside any
// certificate of the chain.
func TestIssueTimes(t *testing.T) {
	root := newCA(t, "Root", nil)
	user := newEEC(t, root, "Jane")
	short := derive(t, user, IssueOptions{})
	for name, tt := range map[string]struct {
		issuer   *Credential
		now      time.Time
		lifetime time.Duration
		from, to time.Time
	}{
		"as asked for":       {user, testTime, time.Hour, testTime.Add(-Backdate), testTime.Add(time.Hour)},
		"of a shorter proxy": {short, testTime, 100 * time.Hour, testTime.Add(-Backdate), testTime.Add(12 * time.Hour)},
		"for ever":           {user, testTime, 1<<63 - 1, testTime.Add(-Backdate), user.Leaf().NotAfter},
		"of a young issuer":  {user, user.Leaf().NotBefore.Add(time.Minute), time.Hour, user.Leaf().NotBefore, user.Leaf().NotBefore.Add(time.Hour + time.Minute)},
		"in another zone":    {user, testTime.In(time.FixedZone("x", 3600)), time.Hour, testTime.Add(-Backdate), testTime.Add(time.Hour)},
	} {
		cred, err := tt.issuer.Derive(newECKey(t), IssueOptions{Now: tt.now, Lifetime: tt.lifetime})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c := cred.Leaf(); !c.NotBefore.Equal(tt.from) || !c.NotAfter.Equal(tt.to) {
			t.Errorf("%s: %s to %s, want %s to %s", name, c.NotBefore, c.NotAfter, tt.from, tt.to)
		}
		if faults := Examine(cred, VerifyOptions{Now: tt.now}); len(faults) > 0 {
			t.Errorf("%s: %v", name, faults)
		}
	}
}
