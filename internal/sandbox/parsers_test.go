package sandbox

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// fuzzChain is a proxy and its end-entity certificate, with the proxy's key.
func fuzzChain(f *testing.F) *gsi.Credential {
	f.Helper()
	key := testKey(f)
	ca, err := newAuthority("Fuzz CA", key, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	cert, err := ca.user("alice", key.Public(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	eec := &gsi.Credential{Chain: []*x509.Certificate{cert}, Key: key}
	proxy, err := signProxy(eec, key.Public(), proxyOptions{language: oidInheritAll, now: time.Now(), lifetime: time.Minute, byClient: true})
	if err != nil {
		f.Fatal(err)
	}
	return &gsi.Credential{Chain: []*x509.Certificate{proxy, cert}, Key: key}
}

// FuzzParseReply: whatever answers a challenge, the parser ends, and what it
// takes for a signature and certificates is what the message says it is.
func FuzzParseReply(f *testing.F) {
	c := fuzzChain(f)
	for _, method := range []byte{methodSHA1, methodSHA256, 1} {
		f.Add(renewalMessage(f, c, method, strings.Repeat("0", 32)))
	}
	f.Add([]byte{methodSHA256, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{methodSHA256, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return // the caller's business
		}
		r, refusal := parseReply(data)
		if refusal != "" {
			return
		}
		if r.method != methodSHA1 && r.method != methodSHA256 {
			if r.signature != nil || r.chain != nil {
				t.Fatalf("method %d, and yet something was read", r.method)
			}
			return
		}
		if len(r.chain) == 0 || len(r.signature) != int(binary.BigEndian.Uint32(data[4:])) || !bytes.Contains(data, r.signature) {
			t.Fatalf("%d certificates, signature of %d bytes", len(r.chain), len(r.signature))
		}
		_ = r.verify("challenge") // ends, whatever the key is
		_ = allProxies(r.chain)
	})
}

// FuzzParseDelegation: whatever answers the certificate request of a PUT.
func FuzzParseDelegation(f *testing.F) {
	good := counted(fuzzChain(f).Chain)
	f.Add(good)
	f.Add(append(bytes.Clone(good), okResponse(nil)...))
	f.Add(good[:len(good)-1])
	f.Add([]byte{0})
	f.Add([]byte("VERSION=MYPROXYv2\nRESPONSE=1\n\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		chain, err := parseDelegation(data)
		if (err == nil) == (len(chain) == 0) {
			t.Fatalf("%d certificates, %v", len(chain), err)
		}
		before, _, _ := bytes.Cut(data, []byte("VERSION"))
		var raw []byte
		for _, cert := range chain {
			raw = append(raw, cert.Raw...)
		}
		if err == nil && !bytes.Equal(before[1:], raw) {
			t.Fatal("there is more in the message than certificates")
		}
	})
}

// FuzzStoredFile: whatever STORE sends. What is stored comes back as it was.
func FuzzStoredFile(f *testing.F) {
	c := fuzzChain(f)
	for _, passphrase := range []string{"", goodPass} {
		text := storedForm(f, c, passphrase)
		f.Add(text)
		f.Add(text[:len(text)/2])
	}
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := storedText(data)
		file, err := parseCredentialFile(text)
		if err != nil {
			return
		}
		if len(file.certificates) == 0 || len(file.chain) == 0 || file.chain[0] != file.certificates[0] || !bytes.Equal(file.text, text) {
			t.Fatalf("%d certificates, %d of them for a delegation", len(file.certificates), len(file.chain))
		}
		if start, end := file.times(); start.Before(file.chain[0].NotBefore) || end.After(file.chain[0].NotAfter) {
			t.Fatalf("from %s to %s", start, end)
		}
		if !file.encrypted() && file.anyKey == nil {
			t.Fatal("a key that is not there is not encrypted")
		}
	})
}

// FuzzPolicy: whatever a client gives for a pattern, it matches or does not,
// and without its special characters it matches itself only.
func FuzzPolicy(f *testing.F) {
	for _, seed := range []string{"*", "*/CN=portal", `\`, `a\*`, "(", "[", "a{1001}", "|", "+", "SUBJECT:", "FQAN:*", "\xff"} {
		f.Add(seed, "/C=XX/O=Lab/CN=portal")
	}
	plain := regexp.MustCompile("^[A-Za-z0-9/=_ -]*$")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := matchesAny(new(complaint), []string{pattern}, name)
		if plain.MatchString(pattern) && got != (pattern == name) {
			t.Fatalf("%q matches %q: %t", pattern, name, got)
		}
	})
}
