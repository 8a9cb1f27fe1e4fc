package sandbox

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// recordedLab is who and what was there when the recordings were made.
type recordedLab struct {
	cas    []*x509.Certificate
	people map[string]*gsi.Credential // by file name, and by DN
	many   []*x509.Certificate        // more CAs, for a long list of trust roots
}

func readLab(t *testing.T, dir string) *recordedLab {
	t.Helper()
	l := &recordedLab{people: map[string]*gsi.Credential{}}
	for _, text := range readFiles(t, filepath.Join(dir, "trust", "*.0")) {
		certs, err := gsi.ParseCertificates(text)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(l.cas, certs[0].Equal) { // under both hashes
			l.cas = append(l.cas, certs[0])
		}
	}
	for name, text := range readFiles(t, filepath.Join(dir, "credentials", "*.pem")) {
		c, err := gsi.ParseCredentialWith(text, gsi.ParseOptions{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.Chain = c.Chain[:1]
		dn, err := gsi.OneLine(c.Chain[0].RawSubject)
		if err != nil {
			t.Fatal(err)
		}
		l.people[strings.TrimSuffix(name, ".pem")], l.people[dn] = c, c
	}
	for i := range 6 {
		ca, err := newAuthority("CA number "+strconv.Itoa(i), testKey(t), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		l.many = append(l.many, ca.cert)
	}
	return l
}

func readFiles(t *testing.T, pattern string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	texts := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(file)] = text
	}
	return texts
}

// server starts a sandbox like the server of a recording, at the same time.
func (l *recordedLab) server(t *testing.T, r *recording) *Sandbox {
	t.Helper()
	cas := l.cas
	o, known := map[string]Options{
		"repository":             {VOMS: VOMSUnreachable},
		"repository-no-cert-dir": {NoTrustRoots: true},
		"repository-many-roots":  {},
		"repository-tls12-only":  {MaxTLS: tls.VersionTLS12},
		"repository-tls13-only":  {MinTLS: tls.VersionTLS13},
		"strict": {MaxLifetime: 2 * time.Hour, Policies: &Policies{
			AcceptedCredentials: []string{"*"}, AuthorizedRetrievers: []string{"*/CN=portal"},
			AuthorizedRenewers: []string{"*/CN=scheduler"}, MaxCredentialLifetime: 240 * time.Hour,
		}},
		"ca":                 {Mode: CA, MaxLifetime: 12 * time.Hour},
		"ca-min-keylen-3072": {Mode: CA, MaxLifetime: 12 * time.Hour, MinKeyBits: 3072},
	}[r.Server]
	if !known {
		t.Fatalf("no such server: %q", r.Server)
	}
	if outcomeOf(r).says("(accepted_credentials policy)") && o.Policies != nil {
		o.Policies.AcceptedCredentials = nil // what the list was is not known
	}
	if r.Server == "repository-many-roots" {
		cas = slices.Concat(cas, l.many)
	}
	o.TrustedCAs = cas
	o.Clock = func() time.Time { return r.RecordedAt }
	return start(t, o)
}

// identity is the client's certificate in TLS.
func (l *recordedLab) identity(t *testing.T, r *recording) *tls.Certificate {
	t.Helper()
	name, proxied := strings.CutSuffix(r.Client, "-proxy")
	if name == "none" {
		return nil
	}
	c := l.people[name]
	if c == nil {
		t.Fatalf("there is no credential %q", name)
	}
	if proxied {
		c = l.below(t, c, oidInheritAll, r.RecordedAt, r.RecordedAt.Add(12*time.Hour))
	}
	identity := &tls.Certificate{PrivateKey: c.Key}
	for _, cert := range c.Chain {
		identity.Certificate = append(identity.Certificate, cert.Raw)
	}
	return identity
}

// below is a new proxy.
func (l *recordedLab) below(t *testing.T, issuer *gsi.Credential, language []int, now, end time.Time) *gsi.Credential {
	t.Helper()
	key := crypto.Signer(testKey(t))
	cert, err := signProxy(issuer, key.Public(), proxyOptions{language: language, now: now, lifetime: end.Sub(now), byClient: true})
	if err != nil {
		t.Fatal(err)
	}
	return &gsi.Credential{Chain: append([]*x509.Certificate{cert}, issuer.Chain...), Key: key}
}

// rebuilt is a chain like a recorded one, with keys: its end-entity
// certificate itself, and for each proxy a new one of the same kind and end.
func (l *recordedLab) rebuilt(t *testing.T, chain []*x509.Certificate, now time.Time) *gsi.Credential {
	t.Helper()
	last := chain[len(chain)-1]
	dn, err := gsi.OneLine(last.RawSubject)
	if err != nil {
		t.Fatal(err)
	}
	c := l.people[dn]
	if c == nil {
		t.Fatalf("there is no credential of %s", dn)
	}
	for _, cert := range slices.Backward(chain[:len(chain)-1]) {
		language, err := proxyLanguage(cert.Extensions)
		if err != nil || language == nil {
			t.Fatalf("no proxy in a recorded chain: %s, %v", cert.Subject, err)
		}
		c = l.below(t, c, language, now, cert.NotAfter)
	}
	return c
}

// message is what the client sends in place of what it sent: the same, unless
// that answers a certificate request or a challenge of the server's.
func (p *player) message(recorded []byte) []byte {
	p.t.Helper()
	if csr, err := x509.ParseCertificateRequest(p.recorded); err == nil {
		return p.delegation(recorded, csr)
	}
	if bytes.HasPrefix(p.recorded, []byte("VERSION=MYPROXYv2\nRESPONSE=2\n")) {
		return p.renewal(recorded)
	}
	return recorded
}

// delegation answers the sandbox's certificate request as the recorded one was
// answered: with a chain of the same length, and a bad signature if it was one.
func (p *player) delegation(recorded []byte, asked *x509.CertificateRequest) []byte {
	p.t.Helper()
	chain, err := parseDelegation(recorded)
	if err != nil || !bytes.Equal(chain[0].RawSubjectPublicKeyInfo, asked.RawSubjectPublicKeyInfo) {
		return recorded
	}
	csr, err := x509.ParseCertificateRequest(p.answer)
	if err != nil {
		p.t.Fatal(err)
	}
	language, err := proxyLanguage(chain[0].Extensions)
	if err != nil || language == nil || len(chain) < 2 {
		p.t.Fatalf("a recorded delegation is no proxy: %v", err)
	}
	now := p.r.RecordedAt
	issuer := p.lab.rebuilt(p.t, chain[1:], now)
	leaf, err := signProxy(issuer, csr.PublicKey, proxyOptions{language: language, now: now, lifetime: chain[0].NotAfter.Sub(now), byClient: true})
	if err != nil {
		p.t.Fatal(err)
	}
	message := append([]byte{recorded[0]}, leaf.Raw...)
	if chain[1].CheckSignature(chain[0].SignatureAlgorithm, chain[0].RawTBSCertificate, chain[0].Signature) != nil {
		message[len(message)-1] ^= 1
	}
	for _, cert := range issuer.Chain {
		message = append(message, cert.Raw...)
	}
	return message
}

// renewal answers the sandbox's challenge, with a good signature if the
// recorded one was good.
func (p *player) renewal(recorded []byte) []byte {
	p.t.Helper()
	reply, refusal := parseReply(recorded)
	if refusal != "" || len(reply.chain) == 0 || reply.verify(challengeOf(p.recorded, reply.method)) != "" {
		return recorded
	}
	c, err := gsi.ParseCredentialWith([]byte(p.r.Renewal), gsi.ParseOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	c.Chain = reply.chain
	return renewalMessage(p.t, c, reply.method, challengeOf(p.answer, reply.method))
}

func challengeOf(response []byte, method byte) string {
	name := map[byte]string{methodSHA1: "X509_certificate:", methodSHA256: "X509_certificate_SHA256:"}[method]
	_, after, _ := strings.Cut(string(response), "AUTHORIZATION_DATA="+name)
	line, _, _ := strings.Cut(after, "\n")
	return line
}
