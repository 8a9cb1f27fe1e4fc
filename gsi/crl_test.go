package gsi

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"
)

// TestCRLKeyIdentifier: a list that the CA signed counts, whatever key
// identifier is in it; one of the CA's other key does not disturb.
func TestCRLKeyIdentifier(t *testing.T) {
	f := newTrust(t)
	wrong := *f.sub.cert
	wrong.SubjectKeyId = []byte("not the one")
	f.add(t, f.sub, ".r0", makeCRL(t, &authority{&wrong, f.sub.key}, testTime.Add(-time.Hour), testTime.Add(time.Hour), f.user.Leaf().SerialNumber))
	wantTrust(t, f.open(t).Verify(f.user.Chain, testTime, TrustOptions{}), TrustRevoked, f.name(t, f.sub, ".r0"))

	rolled := newCA(t, "Sub CA", f.root)
	f.add(t, f.sub, ".r0", makeCRL(t, rolled, testTime.Add(-time.Hour), testTime.Add(time.Hour), f.user.Leaf().SerialNumber))
	if err := f.open(t).Verify(f.user.Chain, testTime, TrustOptions{}); err != nil {
		t.Errorf("a list of the CA's other key: %v", err)
	}
}

// TestCRLSigner: a CA that may not sign lists has none that is believed.
func TestCRLSigner(t *testing.T) {
	f := newTrust(t)
	mute := newCA(t, "Mute CA", f.root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
	f.add(t, mute, ".0", pemOf(mute.cert))
	f.policy(t, mute, "/C=XX/O=Lab/*")
	able := *mute.cert
	able.KeyUsage |= x509.KeyUsageCRLSign
	f.crl(t, &authority{&able, mute.key}, ".r0", testTime.Add(time.Hour))
	chain := newEEC(t, mute, "Jane").Chain
	wantTrust(t, f.open(t).Verify(chain, testTime, TrustOptions{}), TrustCRLInvalid, f.name(t, mute, ".r0"))
}

// TestCRLExtensions: lists that speak for some certificates or reasons only
// must not pass for whole ones.
func TestCRLExtensions(t *testing.T) {
	point := func(value ...byte) pkix.Extension {
		return pkix.Extension{Id: oidIssuingPoint, Critical: true, Value: value}
	}
	for why, tt := range map[string]struct {
		ext pkix.Extension
		ok  bool
	}{
		"not critical":          {pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}, true},
		"delta":                 {pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}, false},
		"users only":            {point(0x30, 3, 0x81, 1, 0xff), true},
		"some reasons":          {point(0x30, 4, 0x83, 2, 0, 0x80), false},
		"indirect":              {point(0x30, 3, 0x84, 1, 0xff), false},
		"malformed":             {point(0x30), false},
		"indirect set to false": {point(0x30, 3, 0x84, 1, 0), true},
	} {
		err := checkCRLExtensions(&x509.RevocationList{Extensions: []pkix.Extension{tt.ext}})
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", why, err)
		}
	}
}
