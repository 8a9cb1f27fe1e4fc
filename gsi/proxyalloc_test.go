package gsi

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// costOf is how many bytes f allocates, garbage included. What it counts is
// the whole process, where an earlier test may still be making a key: a figure
// above most is measured again.
func costOf(most uint64, f func()) uint64 {
	var got uint64
	for range 10 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		if got = after.TotalAlloc - before.TotalAlloc; got <= most {
			break
		}
	}
	return got
}

// greedyCertificates are certificates whose parsed form is far bigger than
// their DER, each in its own way.
func greedyCertificates(t *testing.T) map[string]*x509.Certificate {
	t.Helper()
	ca := newCA(t, "Root", nil)
	n := 10000
	if testing.Short() {
		n = 1000
	}
	tlv := func(tag byte, body []byte) []byte {
		return mustMarshal(t, asn1.RawValue{Class: int(tag >> 6), Tag: int(tag & 31), IsCompound: tag&32 != 0, Bytes: body})
	}
	many := func(part []byte) []byte { return tlv(0x30, bytes.Repeat(part, n)) }
	oid := []byte{6, 1, 42}
	extensions := map[string]pkix.Extension{
		"URIs":                {Id: oidSubjectAltName, Value: many([]byte{0x86, 1, 'x'})},
		"host names":          {Id: oidSubjectAltName, Value: many([]byte{0x82, 1, 'x'})},
		"addresses":           {Id: oidSubjectAltName, Value: many([]byte{0x87, 4, 1, 2, 3, 4})},
		"extended key usages": {Id: oidExtKeyUsage, Value: many(oid)},
		"policies": {Id: asn1.ObjectIdentifier{2, 5, 29, 32}, Value: tlv(0x30, func() (out []byte) {
			for i := range n {
				out = append(out, tlv(0x30, mustMarshal(t, asn1.ObjectIdentifier{1, 2, i}))...)
			}
			return out
		}())},
		"revocation lists":      {Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: many(tlv(0x30, tlv(0xa0, tlv(0xa0, []byte{0x86, 1, 'x'}))))},
		"permitted host names":  {Id: oidNameConstraints, Value: tlv(0x30, tlv(0xa0, bytes.Repeat(tlv(0x30, []byte{0x82, 1, 'x'}), n)))},
		"permitted addresses":   {Id: oidNameConstraints, Value: tlv(0x30, tlv(0xa0, bytes.Repeat(tlv(0x30, []byte{0x87, 8, 1, 2, 3, 4, 255, 255, 255, 255}), n)))},
		"proxyCertInfo of many": {Id: oidProxyCertInfo, Critical: true, Value: many([]byte{5, 0})},
		"proxy policy of many":  {Id: oidProxyCertInfo, Critical: true, Value: tlv(0x30, many([]byte{5, 0}))},
	}
	out := map[string]*x509.Certificate{}
	for name, ext := range extensions {
		out[name] = issue(t, ca, newECKey(t), &x509.Certificate{RawSubject: labName("Jane"), ExtraExtensions: []pkix.Extension{ext}})
	}
	var rdns pkix.RDNSequence
	for range 4000 {
		rdns = append(rdns, rdn(oidCN, "x"))
	}
	out["long name"] = issue(t, ca, newECKey(t), &x509.Certificate{RawSubject: mustMarshal(t, rdns)})
	var exts []pkix.Extension
	for i := range 4000 {
		exts = append(exts, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, i}, Critical: true, Value: []byte{}})
	}
	out["many critical extensions"] = issue(t, ca, newECKey(t), &x509.Certificate{RawSubject: labName("Jane"), ExtraExtensions: exts})
	return out
}

// TestAllocation holds what the package promises: reading a text allocates at
// most textFactor times its length, and looking at a chain at most chainFactor
// times its DER, each and a constant.
func TestAllocation(t *testing.T) {
	const textFactor, chainFactor, constant = 64, 64, 256 << 10
	texts := map[string][]byte{}
	chains := map[string][]*x509.Certificate{}
	for name, cert := range greedyCertificates(t) {
		texts[name] = pemOf(cert)
		chains[name] = []*x509.Certificate{cert}
		if n := MaxCredentialBytes / len(pemOf(cert)); n > 1 {
			texts[name+", as many as go in"] = bytes.Repeat(pemOf(cert), min(n, MaxCertificates))
			chains[name+", as many as go in"] = slices.Repeat([]*x509.Certificate{cert}, min(n, MaxCertificates))
		}
	}
	body := base64.StdEncoding.EncodeToString(make([]byte, 700<<10))
	lines := strings.Repeat("A \n", 300<<10)
	texts["one huge block"] = []byte("-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----\n")
	texts["one letter a line"] = []byte("-----BEGIN CERTIFICATE-----\n" + lines + "\n-----END CERTIFICATE-----\n")
	texts["32 beginnings, one end"] = []byte(strings.Repeat("-----BEGIN CERTIFICATE-----\n", 32) + body + "\n-----END CERTIFICATE-----\n")
	texts["32 beginnings, each with an end of another"] = []byte(strings.Repeat("-----BEGIN X-----\n-----END Y-----\n", 31) + "-----BEGIN X-----\n" + body + "\n-----END X-----\n")
	texts["32 key blocks"] = bytes.Repeat(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: make([]byte, 20<<10)}), 32)
	texts["headers"] = []byte("-----BEGIN RSA PRIVATE KEY-----\n" + strings.Repeat("a: b\n", 200<<10) + "\nAAAA\n-----END RSA PRIVATE KEY-----\n")
	headers := &strings.Builder{}
	for i := range 60 << 10 {
		fmt.Fprintf(headers, "%d: b\n", i)
	}
	texts["different headers"] = []byte("-----BEGIN RSA PRIVATE KEY-----\n" + headers.String() + "\nAAAA\n-----END RSA PRIVATE KEY-----\n")
	texts["dashes"] = bytes.Repeat([]byte("-----END "), 100<<10)
	for name, text := range texts {
		if len(text) > MaxCredentialBytes {
			t.Fatalf("%s: %d bytes, too big to be read at all", name, len(text))
		}
		most := uint64(textFactor*len(text) + constant)
		got := costOf(most, func() { _, _ = ParseCredentialWith(text, ParseOptions{KeyOptional: true, Passphrase: []byte("x")}) })
		t.Logf("%5.1f times: text, %s", float64(got)/float64(len(text)), name)
		if got > most {
			t.Errorf("%s: %d bytes for a text of %d", name, got, len(text))
		}
	}
	for name, chain := range chains {
		size := 0
		for _, c := range chain {
			size += len(c.Raw)
		}
		most := uint64(chainFactor*size + constant)
		got := max(
			costOf(most, func() { _ = VerifyChain(chain, VerifyOptions{Now: testTime}) }),
			costOf(most, func() { _ = Examine(&Credential{Chain: chain}, VerifyOptions{Now: testTime}) }),
			costOf(most, func() { _, _ = Inspect(chain) }))
		t.Logf("%5.1f times: chain, %s", float64(got)/float64(size), name)
		if got > most {
			t.Errorf("%s: %d bytes for a chain of %d", name, got, size)
		}
	}
}
