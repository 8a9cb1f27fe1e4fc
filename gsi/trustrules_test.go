package gsi

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// TestOwnRules: of paths at random without constraints that break none of the
// rules for single certificates, ours accept exactly those that the standard
// library accepts, which cannot be asked about SHA-1.
func TestOwnRules(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	one := func(n int) bool { return random.IntN(n) == 0 }
	extension := func(id int, value any) pkix.Extension {
		der, err := asn1.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, id}, Critical: one(2), Value: der}
	}
	anyPolicy, ours := asn1.ObjectIdentifier{2, 5, 29, 32, 0}, asn1.ObjectIdentifier{1, 2, 3}
	change := func(c *x509.Certificate) {
		if c.MaxPathLen = -1; c.IsCA && one(3) {
			c.MaxPathLen = random.IntN(3)
			c.MaxPathLenZero = c.MaxPathLen == 0
		}
		if one(4) {
			c.DNSNames = [][]string{{"a.example.org"}, {"b.example.com"}, {"a.example.org", "not a name"}}[random.IntN(3)]
		}
		if c.IsCA && one(6) {
			c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.org"}, one(2)
		}
		if c.IsCA && one(20) {
			c.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}}
		}
		if one(2) {
			c.ExtraExtensions = append(c.ExtraExtensions, extension(32, [][]asn1.ObjectIdentifier{{[]asn1.ObjectIdentifier{anyPolicy, ours}[random.IntN(2)]}}))
		}
		if c.IsCA && one(6) {
			c.ExtraExtensions = append(c.ExtraExtensions, extension(36, struct {
				Explicit int `asn1:"tag:0"`
			}{random.IntN(2)}))
		}
		if c.IsCA && one(12) {
			c.ExtraExtensions = append(c.ExtraExtensions, extension(54, random.IntN(2)))
		}
		if c.IsCA && one(12) {
			c.ExtraExtensions = append(c.ExtraExtensions, extension(33, [][]asn1.ObjectIdentifier{{ours, anyPolicy}}))
		}
		if one(30) {
			c.KeyUsage = x509.KeyUsageDigitalSignature
		}
		if one(40) {
			c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, 0, false
		}
		if one(40) {
			c.NotAfter = testTime.Add(-time.Second)
		}
	}
	good, bad := 0, 0
	for range 2000 {
		ca := newCA(t, "Root", nil, change)
		path := []anchor{{cert: ca.cert, file: "x.0"}}
		for i := random.IntN(4); i > 0; i-- {
			ca = newCA(t, "Sub "+string(rune('0'+i)), ca, change)
			path = append([]anchor{{cert: ca.cert}}, path...)
		}
		path = append([]anchor{{cert: newEEC(t, ca, "Jane", change).Leaf()}}, path...)
		s := &pathSearch{dir: &TrustDir{}, now: testTime}
		single := true
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		constrained := false
		var chain []*x509.Certificate
		for i, a := range path {
			chain = append(chain, a.cert)
			single = single && s.certificate(a, i > 0) == nil
			if i == len(path)-1 {
				roots.AddCert(a.cert)
			} else {
				between.AddCert(a.cert)
			}
			for _, ext := range a.cert.Extensions {
				constrained = constrained || isConstraint(ext)
			}
		}
		_, err := path[0].cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: testTime, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if !single || constrained {
			continue
		}
		got := ownRules(chain)
		if (got == nil) != (err == nil) {
			t.Fatalf("here %v, the standard library %v", got, err)
		}
		if err == nil {
			good++
		} else {
			bad++
		}
	}
	t.Logf("%d good, %d bad", good, bad)
	if good < 300 || bad < 30 {
		t.Error("these are too few of a kind to mean anything")
	}
}

// TestTrustSHA1Constrained: the library cannot judge a path with SHA-1, so
// what only it understands is refused there, policies as well as names.
func TestTrustSHA1Constrained(t *testing.T) {
	for id, value := range map[int][]byte{
		36: {0x30, 3, 0x80, 1, 0}, // policyConstraints, requireExplicitPolicy 0
		54: {2, 1, 0},
	} {
		f := newTrust(t)
		f.sub = newCA(t, "Sub CA", f.root, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, id}, Critical: true, Value: value}}
		})
		f.add(t, f.sub, ".0", pemOf(f.sub.cert))
		leaf := newEEC(t, f.sub, "Jane", func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }).Leaf()
		if err := f.open(t).Verify([]*x509.Certificate{leaf}, testTime, TrustOptions{AllowSHA1: true}); err == nil {
			t.Errorf("2.5.29.%d is passed over", id)
		}
	}
}
