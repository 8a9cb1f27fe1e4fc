package voms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

var testTime = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newCert(t testing.TB, cn string, key crypto.Signer, extensions ...pkix.Extension) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(4711), Subject: pkix.Name{Country: []string{"XX"}, CommonName: cn},
		NotBefore: testTime, NotAfter: testTime.Add(time.Hour), ExtraExtensions: extensions,
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

func sign(t testing.TB, change ...func(*SignOptions)) (SignOptions, pkix.Extension) {
	t.Helper()
	key := newKey(t)
	opts := SignOptions{
		Issuer: newCert(t, "voms.example.org", key), Key: key, Holder: newCert(t, "Jane", newKey(t)),
		VO: "labvo", Host: "voms.example.org:15001",
		FQANs:     []string{"/labvo/Role=production/Capability=NULL", "/labvo/Role=NULL/Capability=NULL"},
		NotBefore: testTime, NotAfter: testTime.Add(12 * time.Hour),
	}
	for _, f := range change {
		f(&opts)
	}
	ext, err := Sign(opts)
	if err != nil {
		t.Fatal(err)
	}
	return opts, ext
}

func TestSignAndParse(t *testing.T) {
	opts, ext := sign(t)
	if ext.Critical {
		t.Error("the extension is critical: servers without VOMS would refuse the proxy")
	}
	got, err := Parse(newCert(t, "Jane/1", newKey(t), ext))
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	a := got[0]
	if a.VO != "labvo" || a.Host != opts.Host || !slices.Equal(a.FQANs, opts.FQANs) {
		t.Errorf("got %q %q %q", a.VO, a.Host, a.FQANs)
	}
	if a.Issuer != "/C=XX/CN=voms.example.org" || !bytes.Equal(a.IssuerRaw, opts.Issuer.RawSubject) {
		t.Errorf("issuer %q", a.Issuer)
	}
	if !a.NotBefore.Equal(opts.NotBefore) || !a.NotAfter.Equal(opts.NotAfter) {
		t.Errorf("from %s to %s", a.NotBefore, a.NotAfter)
	}
	if a.HolderIssuer != "/C=XX/CN=Jane" || !a.HeldBy(opts.Holder) {
		t.Errorf("holder's issuer %q", a.HolderIssuer)
	}
	if a.HeldBy(opts.Issuer) {
		t.Error("held by somebody else: same serial number, another issuer")
	}
	if none, err := Parse(opts.Holder); err != nil || none != nil {
		t.Errorf("no extension: %v, %v", none, err)
	}
}

// TestSignature: Sign's own signature holds over the very bytes of the info.
func TestSignature(t *testing.T) {
	opts, ext := sign(t)
	ac := firstAC(t, ext)
	if err := opts.Issuer.CheckSignature(x509.ECDSAWithSHA256, ac.Info.Raw, ac.Signature.Bytes); err != nil {
		t.Error(err)
	}
}

func firstAC(t testing.TB, ext pkix.Extension) attributeCertificate {
	t.Helper()
	list, err := only(ext.Value)
	if err != nil {
		t.Fatal(err)
	}
	var ac attributeCertificate
	if _, err := asn1.Unmarshal(list.Bytes, &ac); err != nil {
		t.Fatal(err)
	}
	return ac
}

func TestParseRefuses(t *testing.T) {
	_, good := sign(t)
	var outer [][]asn1.RawValue
	if _, err := asn1.Unmarshal(good.Value, &outer); err != nil {
		t.Fatal(err)
	}
	many, err := asn1.Marshal([][]asn1.RawValue{slices.Repeat(outer[0], maxCertificates+1)})
	if err != nil {
		t.Fatal(err)
	}
	escape := func(o *SignOptions) { o.FQANs = []string{"/labvo\x1b[2J"} }
	newline := func(o *SignOptions) { o.VO = "labvo\nroot" }
	toMany := func(o *SignOptions) { o.FQANs = slices.Repeat([]string{"/labvo"}, maxFQANs+1) }
	long := func(o *SignOptions) { o.FQANs = []string{"/" + strings.Repeat("x", maxFQAN)} }
	value := func(change func(*SignOptions)) []byte { _, ext := sign(t, change); return ext.Value }
	for why, der := range map[string][]byte{
		"empty":                  {},
		"cut off":                good.Value[:len(good.Value)-1],
		"trailing byte":          append(slices.Clone(good.Value), 0),
		"no certificate list":    {0x30, 0},
		"an empty list":          {0x30, 2, 0x30, 0},
		"text":                   {0x30, 2, 12, 0},
		"17 certificates":        many,
		"escape sequence":        value(escape),
		"line feed in the VO":    value(newline),
		"too many FQANs":         value(toMany),
		"a FQAN too long":        value(long),
		"bytes far from the end": bytes.Replace(good.Value, []byte("\x18\x0f"), []byte("\x17\x0f"), 1),
	} {
		if got, err := parseExtension(der); err == nil {
			t.Errorf("%s: %+v", why, got)
		}
	}
}

func TestParseRequest(t *testing.T) {
	for text, want := range map[string]Request{
		"atlas":                        {"atlas", ""},
		"vo.example.org":               {"vo.example.org", ""},
		"atlas:/atlas":                 {"atlas", "/atlas"},
		"atlas:/atlas/Role=production": {"atlas", "/atlas/Role=production"},
		"atlas:/atlas/de/sub-group":    {"atlas", "/atlas/de/sub-group"},
		"atlas:/atlas/de/Role=NULL/Capability=NULL":       {"atlas", "/atlas/de"},
		"atlas:/atlas/Role=production/Capability=NULL":    {"atlas", "/atlas/Role=production"},
		"atlas:/atlas/Role=production/Capability=special": {"atlas", "/atlas/Role=production/Capability=special"},
	} {
		got, err := ParseRequest(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
			continue
		}
		if again, err := ParseRequest(got.String()); err != nil || again != got {
			t.Errorf("%q: String %q reads as %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{
		"", ":", ":/atlas", "atlas:", "atlas:atlas", "atlas:/", "atlas:/cms", "atlas:/atlasx", "atlas:Role=x", "atlas:all",
		"/atlas", "-atlas", "at las", "atlas\n", "atlas\nVOMSES=x", "atlas:/atlas/Role=x\r\nUSERNAME=root", "atlas:/atlas/Role=", "atlas:/atlas//x",
		"atlas:/atlas/../x", "atlas:/atlas/Role=a/Role=b", "atlas:/atlas/Role=a/sub", "atlas:/atlas:/atlas", "ätlas", "a" + strings.Repeat("b", 300), "atlas:/atlas/" + strings.Repeat("b", 2000),
	} {
		if got, err := ParseRequest(text); err == nil {
			t.Errorf("%.40q: %+v", text, got)
		}
	}
}

func TestSatisfies(t *testing.T) {
	atlas := Attributes{VO: "atlas", FQANs: []string{"/atlas/Role=production/Capability=NULL", "/atlas/Role=NULL/Capability=NULL", "/atlas/de"}}
	cms := Attributes{VO: "cms", FQANs: []string{"/cms"}}
	empty := Attributes{VO: "atlas"}
	for _, tt := range []struct {
		why  string
		got  []Attributes
		want string // requests, joined by spaces
		miss string // the request that is missing
	}{
		{"nothing asked", []Attributes{atlas}, "", ""},
		{"nothing asked, nothing there", nil, "", ""},
		{"a role", []Attributes{atlas}, "atlas:/atlas/Role=production", ""},
		{"several", []Attributes{atlas}, "atlas:/atlas/Role=production atlas:/atlas/de atlas:/atlas", ""},
		{"any of the VO", []Attributes{atlas}, "atlas", ""},
		{"two VOs", []Attributes{atlas, cms}, "atlas cms:/cms", ""},
		{"first as the first", []Attributes{atlas}, "atlas:/atlas/de", "atlas:/atlas/de"},
		{"VOs the other way round", []Attributes{cms, atlas}, "atlas cms", "atlas"},
		{"MyProxy ignored the request", nil, "atlas", "atlas"},
		{"another role", []Attributes{atlas}, "atlas:/atlas/Role=pilot", "atlas:/atlas/Role=pilot"},
		{"second missing", []Attributes{atlas}, "atlas cms", "cms"},
		{"no FQAN at all", []Attributes{empty}, "atlas", "atlas"},
		{"one VO does not speak for another", []Attributes{{VO: "cms", FQANs: []string{"/atlas"}}}, "atlas:/atlas", "atlas:/atlas"},
	} {
		var want []Request
		for _, text := range strings.Fields(tt.want) {
			r, err := ParseRequest(text)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, r)
		}
		err := Satisfies(tt.got, want)
		if tt.miss == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.why, err)
			}
			continue
		}
		var me *MissingError
		if !errors.As(err, &me) || me.Want.String() != tt.miss {
			t.Errorf("%s: got %v, want %s to be missing", tt.why, err, tt.miss)
		} else if len(tt.got) > 0 && len(tt.got[0].FQANs) > 0 && !strings.Contains(err.Error(), tt.got[0].FQANs[0]) {
			t.Errorf("%s: the text does not say what there is: %v", tt.why, err)
		}
	}
}

// TestMissingErrorIsShort: how many FQANs there are is up to a stranger.
func TestMissingErrorIsShort(t *testing.T) {
	got := []Attributes{{VO: "labvo", FQANs: slices.Repeat([]string{"/labvo/" + strings.Repeat("x", 200)}, 1000)}}
	err := Satisfies(got, []Request{{VO: "other"}})
	if err == nil || len(err.Error()) > 1000 || !strings.Contains(err.Error(), "and 998 more") {
		t.Errorf("%.2000v", err)
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{"atlas", "atlas:/atlas/Role=production/Capability=NULL", "a:/a\n", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRequest(s)
		if err != nil {
			return
		}
		if again, err := ParseRequest(r.String()); err != nil || again != r {
			t.Fatalf("%q: String %q reads as %+v, %v", s, r, again, err)
		}
		if strings.ContainsAny(r.String(), "\r\n \x00=") && !strings.Contains(r.String(), "Role=") && !strings.Contains(r.String(), "Capability=") {
			t.Fatalf("%q got through", r)
		}
	})
}
