package voms

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func pemText(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// reasonOf is the reason of a *VerifyError, "" for anything else.
func reasonOf(err error) Reason {
	var e *VerifyError
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// parseChanged signs a change and reads it again.
func parseChanged(t testing.TB, change func(*signedInfo)) (SignOptions, []Attributes, error) {
	t.Helper()
	opts, _ := sign(t)
	ext, err := SignChanged(opts, crypto.SHA256, change)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseExtension(ext.Value)
	return opts, got, err
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func seq(parts ...[]byte) asn1.RawValue {
	return asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: bytes.Join(parts, nil)}
}

func extension(oid asn1.ObjectIdentifier, value []byte) func(*signedInfo) {
	return func(info *signedInfo) {
		info.Extensions = append(info.Extensions, pkix.Extension{Id: oid, Value: value})
	}
}

// TestTimes: VOMS writes whole seconds in UTC; encoding/asn1 reads nothing else.
func TestTimes(t *testing.T) {
	_, ext := sign(t)
	when := []byte(testTime.Format("20060102150405Z"))
	for why, change := range map[string]string{
		"a fraction": "2026112112000.Z", "no zone": "202611211200000", "a zone": "2026112112+0100", "a month too many": "20261321120000Z", "no digits": "2026112112000xZ",
	} {
		if len(change) != len(when) {
			t.Fatal(change)
		}
		if got, err := parseExtension(bytes.Replace(ext.Value, when, []byte(change), 1)); err == nil {
			t.Errorf("%s: %s", why, got[0].NotBefore)
		}
	}
}

func TestGeneric(t *testing.T) {
	_, ext := sign(t, func(o *SignOptions) {
		o.Generic = []GenericAttribute{
			{"nickname", "jdoe", ""}, {"empty", "", "/labvo/sub"},
			{"odd\x1b[2J", "a\nb\x00 M\xfcller, J\u00fcrgen\\x", "labvo\x7f"},
		}
	})
	got, err := parseExtension(ext.Value)
	if err != nil {
		t.Fatal(err)
	}
	want := []GenericAttribute{
		{"nickname", "jdoe", "labvo"}, {"empty", "", "/labvo/sub"},
		{`odd\x1B[2J`, `a\x0Ab\x00 M\xFCller, Jürgen\x`, `labvo\x7F`},
	}
	if !slices.Equal(got[0].Generic, want) {
		t.Errorf("got %q", got[0].Generic)
	}
	if text := want[0].String(); text != "nickname = jdoe (labvo)" {
		t.Error(text)
	}
}

func TestGenericForms(t *testing.T) {
	octets := func(s string) []byte { return marshal(t, []byte(s)) }
	uri := authorityURI(SignOptions{VO: "labvo", Host: "voms.example.org:15001"})
	tag := marshal(t, seq(octets("n"), octets("v"), octets("q")))
	holder := func(tags ...[]byte) []byte {
		return marshal(t, seq(marshal(t, uri), marshal(t, seq(tags...))))
	}
	value := func(holders ...[]byte) []byte { return marshal(t, seq(marshal(t, seq(holders...)))) }
	for _, tt := range []struct {
		name string
		der  []byte
		n    int // attributes; -1: refused
	}{
		{"one", value(holder(tag)), 1},
		{"none, as servers before 1.9 wrote", value(), 0},
		{"a provider without any", value(holder()), 0},
		{"two providers", value(holder(tag), holder(tag, tag)), 3},
		{"as many as may be", value(holder(slices.Repeat([][]byte{tag}, maxGeneric)...)), maxGeneric},
		{"one too many", value(holder(slices.Repeat([][]byte{tag}, maxGeneric+1)...)), -1},
		{"one too many of the second provider", value(holder(slices.Repeat([][]byte{tag}, maxGeneric)...), holder(tag)), -1},
		{"too many providers", value(slices.Repeat([][]byte{holder()}, maxNames+1)...), -1},
		{"no list", marshal(t, seq()), -1},
		{"two lists", marshal(t, seq(marshal(t, seq()), marshal(t, seq()))), -1},
		{"an attribute without a qualifier", value(holder(marshal(t, seq(octets("n"), octets("v"))))), -1},
		{"a number", value(holder(marshal(t, seq(octets("n"), marshal(t, 1), octets("q"))))), -1},
		{"cut off", value(holder(tag))[:20], -1},
		{"nothing", nil, -1},
	} {
		_, got, err := parseChanged(t, extension(oidGeneric, tt.der))
		if (err != nil) != (tt.n < 0) || err == nil && len(got[0].Generic) != tt.n {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

// TestTargetForms: VOMS puts a SEQUENCE around each target, RFC 3281 does not.
func TestTargetForms(t *testing.T) {
	uri := func(host string) []byte {
		name := marshal(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tagURI, Bytes: []byte(host)})
		return marshal(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: name})
	}
	group := marshal(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true, Bytes: uri("g")[2:]})
	for _, tt := range []struct {
		name string
		der  []byte
		want string // joined; "-": refused
	}{
		{"VOMS", marshal(t, seq(marshal(t, seq(marshal(t, seq(uri("a"))), marshal(t, seq(uri("b"))))))), "a b"},
		{"RFC 3281", marshal(t, seq(marshal(t, seq(uri("a"), uri("b"))))), "a b"},
		{"two lists", marshal(t, seq(marshal(t, seq(uri("a"))), marshal(t, seq(uri("b"))))), "a b"},
		{"a group", marshal(t, seq(marshal(t, seq(group)))), ""},
		{"none", marshal(t, seq(marshal(t, seq()))), ""},
		{"no list", marshal(t, seq()), ""},
		{"an escape sequence", marshal(t, seq(marshal(t, seq(uri("a\x1b"))))), "-"},
		{"too many", marshal(t, seq(marshal(t, seq(slices.Repeat([][]byte{uri("a")}, maxTargets+1)...)))), "-"},
		{"not a list", []byte{5, 0}, "-"},
		{"nothing", nil, "-"},
	} {
		opts, got, err := parseChanged(t, extension(oidTargets, tt.der))
		if tt.want == "-" {
			if err == nil {
				t.Errorf("%s: %q", tt.name, got[0].Targets)
			}
			continue
		}
		if err != nil || strings.Join(got[0].Targets, " ") != tt.want {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		// Restricted to nothing is not unrestricted.
		verr := Verify(&got[0], VerifyOptions{Now: testTime, Holder: opts.Holder})
		if (tt.want == "") != (reasonOf(verr) == ReasonTarget) {
			t.Errorf("%s: %v", tt.name, verr)
		}
	}
}

// TestUnreadableCertificate: attributes are shown even where the certificate
// beside them is of a kind that crypto/x509 refuses.
func TestUnreadableCertificate(t *testing.T) {
	opts, got, err := parseChanged(t, func(info *signedInfo) {
		info.Extensions[2].Value = marshal(t, seq(marshal(t, seq(marshal(t, seq([]byte{5, 0}))))))
	})
	if err != nil || len(got) != 1 || len(got[0].FQANs) == 0 {
		t.Fatalf("%v, %v", got, err)
	}
	if err := Verify(&got[0], VerifyOptions{Now: testTime, Holder: opts.Holder}); reasonOf(err) != ReasonNoAA {
		t.Error(err)
	}
}

// TestVerifyWithoutDir: the zero options refuse, and what is not asked is not
// checked.
func TestVerifyWithoutDir(t *testing.T) {
	opts, ext := sign(t, func(o *SignOptions) { o.Targets = []string{"a.example.org"} })
	got, err := parseExtension(ext.Value)
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("nobody knows it")
	for _, tt := range []struct {
		why  string
		opts VerifyOptions
		want Reason
	}{
		{"good", VerifyOptions{Now: testTime, Holder: opts.Holder}, ""},
		{"on its host", VerifyOptions{Now: testTime, Holder: opts.Holder, Host: "a.example.org"}, ""},
		{"elsewhere", VerifyOptions{Now: testTime, Holder: opts.Holder, Host: "b.example.org"}, ReasonTarget},
		{"no holder", VerifyOptions{Now: testTime}, ReasonHolder},
		{"no time", VerifyOptions{Holder: opts.Holder}, ReasonUntrusted},
		{"the server's certificate has ended", VerifyOptions{Now: testTime.Add(2 * time.Hour), Holder: opts.Holder}, ReasonUntrusted},
		{"not trusted", VerifyOptions{Now: testTime, Holder: opts.Holder, Trust: func(chain []*x509.Certificate) error {
			if len(chain) != 1 || !chain[0].Equal(opts.Issuer) {
				t.Errorf("asked about %d certificates", len(chain))
			}
			return cause
		}}, ReasonUntrusted},
	} {
		err := Verify(&got[0], tt.opts)
		if reasonOf(err) != tt.want || (err == nil) != (tt.want == "") {
			t.Errorf("%s: %v", tt.why, err)
		}
		if tt.why == "not trusted" && !errors.Is(err, cause) {
			t.Errorf("the cause is lost: %v", err)
		}
	}
	got[0].SignatureAlgorithm = x509.UnknownSignatureAlgorithm
	if err := Verify(&got[0], VerifyOptions{Now: testTime, Holder: opts.Holder}); reasonOf(err) != ReasonSignature {
		t.Errorf("unknown algorithm: %v", err)
	}
	got[0].SignatureAlgorithm = x509.MD5WithRSA
	if err := Verify(&got[0], VerifyOptions{Now: testTime, Holder: opts.Holder, AllowSHA1: true}); reasonOf(err) != ReasonSHA1 {
		t.Errorf("MD5: %v", err)
	}
}

// TestAllocation: the statement at Parse, on inputs that are all overhead.
func TestAllocation(t *testing.T) {
	many := func(n int, element ...byte) []byte { return bytes.Repeat(element, n) }
	_, good := sign(t)
	inputs := map[string][]byte{"good": good.Value}
	inputs["FQANs of one byte"] = signedValue(t, func(o *SignOptions) { o.FQANs = slices.Repeat([]string{"/"}, maxFQANs) })
	inputs["long FQANs"] = signedValue(t, func(o *SignOptions) {
		for i := range 500 {
			o.FQANs = append(o.FQANs, fmt.Sprintf("/labvo/%04d%s", i, strings.Repeat("x", 1000)))
		}
	})
	inputs["generic attributes"] = signedValue(t, func(o *SignOptions) {
		o.Generic = slices.Repeat([]GenericAttribute{{"\x01", "\x01", "\x01"}}, maxGeneric)
	})
	inputs["elements of two bytes"] = marshal(t, seq(marshal(t, seq(many(500000, 5, 0)))))
	for name, der := range map[string][]byte{"holder": {5, 0}, "name": {0xa4, 0}, "attribute": {0x30, 0}} {
		_, ext := sign(t)
		inputs["empty "+name] = bytes.Replace(ext.Value, []byte("voms.example.org"), many(8, der...), 1)
	}
	for _, oid := range []asn1.ObjectIdentifier{oidCerts, oidGeneric, oidTargets, {1, 2, 3}} {
		value := marshal(t, seq(marshal(t, seq(many(400000, 0x30, 0)))))
		opts, _ := sign(t)
		ext, err := SignChanged(opts, crypto.SHA256, func(info *signedInfo) {
			info.Extensions = []pkix.Extension{{Id: oid, Value: value}}
		})
		if err != nil {
			t.Fatal(err)
		}
		inputs["extension "+oid.String()] = ext.Value
	}
	inputs["crowded certificate"] = signedValue(t, func(o *SignOptions) { o.Above = []*x509.Certificate{crowded(t)} })
	for name, der := range inputs {
		limit := uint64(64*len(der) + 64<<10)
		if used := allocated(func() { _, _ = parseExtension(der) }); used > limit {
			t.Errorf("%s: %d bytes for %d, at most %d", name, used, len(der), limit)
		} else {
			t.Logf("%-40s %8d bytes: %8d allocated, %.1f times", name, len(der), used, float64(used)/float64(len(der)))
		}
	}
	lines := []byte(strings.Repeat("/a\n/b\n------ NEXT CHAIN ------\n", 60) + strings.Repeat("\n", 1000))
	if used := allocated(func() { _, _ = ParseLSC(lines) }); used > uint64(16*len(lines)+4096) {
		t.Errorf("ParseLSC: %d bytes for %d", used, len(lines))
	}
}

// crowded is a certificate with as many small things in it as fit.
func crowded(t testing.TB) *x509.Certificate {
	t.Helper()
	key := newKey(t)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: slices.Repeat([]string{"a"}, 5000),
		Subject: pkix.Name{OrganizationalUnit: slices.Repeat([]string{"a"}, 1000)},
	}
	for i := range 1000 {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, i}})
		c.PolicyIdentifiers = append(c.PolicyIdentifiers, asn1.ObjectIdentifier{1, 2, i})
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func signedValue(t testing.TB, change func(*SignOptions)) []byte {
	t.Helper()
	_, ext := sign(t, change)
	return ext.Value
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func chainOf(certs ...*x509.Certificate) []*x509.Certificate { return certs }
