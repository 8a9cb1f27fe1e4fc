package sandbox

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"
)

// compare checks the last answer against the recorded one.
func (p *player) compare() {
	p.t.Helper()
	switch {
	case bytes.HasPrefix(p.recorded, []byte("VERSION")) || len(p.recorded) == 1:
		if got, want := comparable(p.answer), comparable(p.recorded); got != want {
			p.t.Fatalf("the server said\n%q\nrecorded was\n%q", got, want)
		}
	case bytes.HasPrefix(p.recorded, []byte("-----BEGIN")):
		if !bytes.Equal(p.answer, p.recorded) {
			p.t.Fatalf("the server sent the file\n%q\nrecorded was\n%q", p.answer, p.recorded)
		}
	default:
		if csr, err := x509.ParseCertificateRequest(p.recorded); err == nil {
			compareRequests(p.t, p.answer, csr)
			return
		}
		p.compareCertificates(p.answer, p.recorded)
	}
}

// comparable leaves out of a response what the server makes up: challenges, the
// order of the credentials behind the first, and the hours left of a credential,
// one less a second later.
func comparable(response []byte) string {
	lines := strings.Split(string(response), "\n")
	for i, line := range lines {
		if name, _, found := strings.Cut(line, ":"); found && strings.HasPrefix(line, "AUTHORIZATION_DATA=") {
			lines[i] = name
		}
		if rest, found := strings.CutPrefix(line, "ERROR=Credential lifetime ("); found {
			_, lines[i], _ = strings.Cut(rest, " ")
		}
		if names, found := strings.CutPrefix(line, "ADDL_CREDS="); found {
			sorted := strings.Split(names, ",")
			slices.Sort(sorted)
			lines[i] = "ADDL_CREDS=" + strings.Join(sorted, ",")
			slices.Sort(lines)
		}
	}
	return strings.Join(lines, "\n")
}

// compareRoots: the files are others, so only the form is compared.
func compareRoots(t *testing.T, got string) {
	t.Helper()
	rest, ok := strings.CutPrefix(got, "VERSION=MYPROXYv2\nRESPONSE=0\nTRUSTED_CERTS=")
	lines := strings.Split(rest, "\n")
	if !ok || lines[len(lines)-1] != "\x00" {
		t.Fatalf("not the form of a response with trust roots: %q", got)
	}
	names := strings.Split(lines[0], ",")
	if len(names) < 8 || len(lines) != len(names)+2 {
		t.Fatalf("%d names, %d lines: %q", len(names), len(lines), got)
	}
	for i, name := range names {
		text, ok := strings.CutPrefix(lines[i+1], "FILEDATA_"+name+"=")
		if _, err := base64.StdEncoding.DecodeString(text); !ok || err != nil || text == "" {
			t.Errorf("line for %s: %q", name, lines[i+1])
		}
	}
}

func compareRequests(t *testing.T, got []byte, want *x509.CertificateRequest) {
	t.Helper()
	csr, err := x509.ParseCertificateRequest(got)
	if err != nil {
		t.Fatalf("no certificate request: %q, %v", got, err)
	}
	if !bytes.Equal(csr.RawSubject, want.RawSubject) || csr.SignatureAlgorithm != want.SignatureAlgorithm ||
		len(csr.RawSubjectPublicKeyInfo) != len(want.RawSubjectPublicKeyInfo) || len(got) != len(want.Raw) ||
		!slices.Equal(extensionTexts(csr.Extensions), extensionTexts(want.Extensions)) {
		t.Errorf("certificate request of %s, %v; recorded was %s, %v", csr.Subject, csr.Extensions, want.Subject, want.Extensions)
	}
	if err := csr.CheckSignature(); err != nil {
		t.Error(err)
	}
}

func (p *player) compareCertificates(got, want []byte) {
	t, s := p.t, p.s
	t.Helper()
	if bytes.HasPrefix(got, []byte("VERSION")) {
		t.Fatalf("%q in place of certificates", got)
	}
	mine, theirs := certificates(t, got), certificates(t, want)
	if len(mine) != len(theirs) {
		t.Fatalf("%d certificates, recorded were %d", len(mine), len(theirs))
	}
	leaf, recorded := mine[0], theirs[0]
	if !bytes.Equal(leaf.RawSubjectPublicKeyInfo, recorded.RawSubjectPublicKeyInfo) {
		t.Error("the new certificate is for another key than the recorded one, though the request is the same")
	}
	if leaf.SignatureAlgorithm != recorded.SignatureAlgorithm {
		t.Errorf("signed with %s, recorded was %s", leaf.SignatureAlgorithm, recorded.SignatureAlgorithm)
	}
	at, now := p.r.RecordedAt, s.now()
	const near = 2 * time.Second // whole seconds, and the recording took its time
	if a, b := leaf.NotAfter.Sub(now), recorded.NotAfter.Sub(at); (a - b).Abs() > near {
		t.Errorf("the certificate ends in %s, recorded were %s", a, b)
	}
	if a, b := leaf.NotBefore.Sub(now), recorded.NotBefore.Sub(at); (a - b).Abs() > near {
		t.Errorf("the certificate begins in %s, recorded were %s", a, b)
	}
	// In a CA's certificate OpenSSL and Go have their own order.
	a, b := extensionList(leaf), extensionList(recorded)
	if strings.HasPrefix(p.r.Server, "ca") {
		slices.Sort(a)
		slices.Sort(b)
	}
	if !slices.Equal(a, b) {
		t.Errorf("extensions %v, recorded were %v", a, b)
	}
	for i := 1; i < len(mine); i++ {
		if err := mine[i].CheckSignature(mine[i-1].SignatureAlgorithm, mine[i-1].RawTBSCertificate, mine[i-1].Signature); err != nil {
			t.Errorf("certificate %d is not signed by the next: %v", i-1, err)
		}
	}
}

// extensionList has the extensions' identifiers; a proxy's policy is part of
// it, other values are their issuer's business.
func extensionList(cert *x509.Certificate) []string { return extensionTexts(cert.Extensions) }

func extensionTexts(extensions []pkix.Extension) []string {
	var list []string
	for _, ext := range extensions {
		text := ext.Id.String()
		if ext.Critical {
			text += " critical"
		}
		if ext.Id.Equal(oidProxyCertInfo) || ext.Id.Equal(oidKeyUsage) || ext.Id.Equal(oidExtKeyUsage) {
			text += " " + base64.StdEncoding.EncodeToString(ext.Value)
		}
		list = append(list, text)
	}
	return list
}

// records counts the TLS records that carry application data, or in TLS 1.3
// anything encrypted, since the handshake.
func (p *tap) records(t *testing.T) int {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for rest := p.seen; len(rest) > 0; n++ {
		if len(rest) < 5 || (rest[0] != 23 && rest[0] != 21) {
			t.Fatalf("no TLS record: % x", rest[:min(len(rest), 10)])
		}
		size := 5 + int(rest[3])<<8 + int(rest[4])
		if size > len(rest) {
			t.Fatalf("half a TLS record")
		}
		rest = rest[size:]
	}
	return n
}

// compareRaw reads up to the end below TLS.
func (p *tap) compareRaw(t *testing.T, want []byte) {
	t.Helper()
	got := make([]byte, len(want)+1)
	n := 0
	for {
		k, err := p.Conn.Read(got[n:])
		n += k
		if err != nil || n == len(got) {
			break
		}
	}
	if !bytes.Equal(got[:n], want) {
		t.Errorf("below TLS the server said %q, recorded was %q", got[:n], want)
	}
}
