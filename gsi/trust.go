package gsi

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Verify finds a path from the chain's end-entity certificate to a self-signed
// CA of the directory and checks every certificate, signing policy and
// revocation list on it. Proxies at the head of the chain are checked for
// signatures and form; how weak their algorithms may be is VerifyChain's
// business. CAs of the chain help to find the path but are never trusted by
// themselves. Errors are *TrustError.
func (t *TrustDir) Verify(chain []*x509.Certificate, now time.Time, opts TrustOptions) error {
	proxies, err := classify(chain)
	if err != nil {
		return trustFault(err)
	}
	if n := len(proxies); n > 0 {
		if err := VerifyChain(chain[:n+1], VerifyOptions{Now: now, AllowSHA1: true, AllowLegacy: true}); err != nil {
			return trustFault(err)
		}
	}
	s := &pathSearch{dir: t, now: now, opts: opts}
	return s.verify(chain[len(proxies):])
}

// VerifyServer checks a server's certificates as TLS gave them: the name (see
// VerifyServerName) on the end-entity certificate, then trust as Verify. A
// server may run on a proxy (RFC 3820); it must then be a strong one. Errors
// are *TrustError or *NameError.
func (t *TrustDir) VerifyServer(peer []*x509.Certificate, host, serverDN string, now time.Time, opts TrustOptions) error {
	proxies, err := classify(peer)
	if err != nil {
		return trustFault(err)
	}
	if n := len(proxies); n > 0 {
		if err := VerifyChain(peer[:n+1], VerifyOptions{Now: now, AllowSHA1: opts.AllowSHA1}); err != nil {
			return trustFault(err)
		}
	}
	rest := peer[len(proxies):]
	if err := VerifyServerName(rest[0], host, serverDN); err != nil {
		return err
	}
	s := &pathSearch{dir: t, now: now, opts: opts, hostInCN: serverDN == "" && !hasServerSAN(rest[0])}
	return s.verify(rest)
}

// Limits of the search for a path. Real ones have one to three CAs.
const (
	maxPathDepth  = 8
	maxPathChecks = 64
)

// pathSearch walks from a certificate up to the directory's roots.
type pathSearch struct {
	dir    *TrustDir
	sent   []*x509.Certificate // CAs that came with the chain
	now    time.Time
	opts   TrustOptions
	checks int // signatures tried

	hostInCN bool // a host was found by its CN

	best       *TrustError // of the way that says most
	bestWeight int
}

// verify searches from the first certificate; the others may help.
func (s *pathSearch) verify(certs []*x509.Certificate) error {
	s.sent = certs[1:]
	start := anchor{cert: certs[0]}
	if isSelfIssued(start.cert) {
		// A self-signed server certificate is trusted where it lies in the
		// directory itself.
		for _, a := range s.dir.find(start.cert.RawSubject) {
			if a.cert.Equal(start.cert) {
				start = a
			}
		}
	}
	if s.climb([]anchor{start}) {
		return nil
	}
	return s.best
}

// What an error weighs beside the length of its way. A root of the directory
// that says no has the last word, then any other CA of the directory. What the
// sent CAs lead to weighs least: whoever sends them can make that way as long as
// he likes, and a caller may tolerate that it leads to nothing known here.
const (
	fromSent      = 0
	fromDirectory = maxPathDepth + 1
	fromRoot      = 2 * fromDirectory
)

// weightOf is the weight of what is said by a CA, or about it.
func weightOf(a anchor) int {
	if a.file == "" {
		return fromSent
	}
	return fromDirectory
}

// fail remembers the error that weighs most, the first one among equals:
// "revoked" of the right CA is better news than "not signed by" of another.
func (s *pathSearch) fail(weight int, e *TrustError) bool {
	if s.best == nil || weight > s.bestWeight {
		s.best, s.bestWeight = e, weight
	}
	return false
}

// climb extends a path until it ends in a root; it reports whether one way
// was good all along.
func (s *pathSearch) climb(path []anchor) bool {
	depth := len(path)
	top := path[depth-1]
	if e := s.certificate(top, depth > 1); e != nil {
		return s.fail(weightOf(top)+depth, e)
	}
	if isSelfIssued(top.cert) && top.file != "" {
		return s.finish(path)
	}
	if depth == maxPathDepth {
		return s.fail(depth, s.refuse(TrustBadCertificate, top, fmt.Sprintf("the path to a root is longer than %d certificates", maxPathDepth)))
	}
	issuers := s.issuers(top.cert)
	if len(issuers) == 0 {
		return s.fail(depth, &TrustError{
			Reason: TrustUnknownIssuer, File: s.dir.path, Subject: subjectText(top.cert),
			Detail: "the CA " + issuerText(top.cert) + " is not in the directory of trusted CAs" + s.dir.badFiles() + "; it issued the certificate",
		})
	}
	for _, issuer := range issuers {
		if s.signed(path, issuer) && s.climb(append(path[:depth:depth], issuer)) {
			return true
		}
	}
	return false
}

// issuers lists the candidates, those of the directory first.
func (s *pathSearch) issuers(c *x509.Certificate) []anchor {
	out := s.dir.find(c.RawIssuer)
	for _, sent := range s.sent {
		if !isSelfIssued(sent) {
			out = appendMatching(out, []*x509.Certificate{sent}, "", c.RawIssuer)
		}
	}
	return out
}

// signed checks the signature and whatever the issuer's files say about it.
func (s *pathSearch) signed(path []anchor, issuer anchor) bool {
	depth := len(path)
	child := path[depth-1]
	for _, a := range path {
		if bytes.Equal(a.cert.RawSubject, issuer.cert.RawSubject) && bytes.Equal(a.cert.RawSubjectPublicKeyInfo, issuer.cert.RawSubjectPublicKeyInfo) {
			return s.fail(depth, s.refuse(TrustUnknownIssuer, child, "the CAs of the certificate issued each other, none of them is a root"))
		}
	}
	if s.checks++; s.checks > maxPathChecks {
		return s.fail(depth, s.refuse(TrustBadCertificate, child, "there are too many CAs of the issuer's name"))
	}
	if reason := weakKey(issuer.cert); reason != "" { // before it is computed with
		return s.fail(weightOf(issuer)+depth, s.refuse(TrustBadCertificate, issuer, reason))
	}
	if !s.dir.kept.signed(child, issuer) {
		e := s.refuse(TrustSignature, child, "the certificate is not signed by the CA that it names")
		e.File = s.fileOf(issuer)
		return s.fail(weightOf(issuer)+depth, e)
	}
	return true
}

func (s *pathSearch) refuse(reason TrustReason, a anchor, detail string) *TrustError {
	return &TrustError{Reason: reason, File: s.fileOf(a), Subject: subjectText(a.cert), Detail: detail}
}

func (s *pathSearch) fileOf(a anchor) string {
	if a.file == "" {
		return ""
	}
	return s.dir.file(a.file)
}

// certificate checks one certificate of a path by itself.
func (s *pathSearch) certificate(a anchor, isCA bool) *TrustError {
	one := &verifier{chain: []*x509.Certificate{a.cert}, opts: VerifyOptions{Now: s.now, AllowSHA1: s.opts.AllowSHA1}}
	checks := []func(int) *ChainError{one.strength, one.extensions, one.validity}
	if isSelfIssued(a.cert) && a.file != "" {
		checks[0] = one.keyStrength // nobody goes by a root's own signature
	}
	if isCA {
		checks = append(checks, one.ca)
	}
	for _, check := range checks {
		if err := check(0); err != nil {
			e := trustFault(err)
			e.File = s.fileOf(a)
			return e
		}
	}
	return nil
}

// finish checks a complete path as a whole.
func (s *pathSearch) finish(path []anchor) bool {
	for i := range path[:len(path)-1] {
		if e := s.authority(path[i], path[i+1], path[i+2:]); e != nil {
			return s.fail(fromRoot+len(path), e)
		}
	}
	if err := s.standard(path); err != nil {
		return s.fail(fromRoot+len(path), s.refuse(TrustBadCertificate, path[0], "the path to the root breaks a rule: "+err.Error()))
	}
	return true
}

// authority asks the issuer's policy and revocation lists about a certificate.
// Policies do not speak of what a CA issues to itself, as with Globus.
func (s *pathSearch) authority(child, issuer anchor, above []anchor) *TrustError {
	if !isSelfIssued(child.cert) {
		if e := s.dir.checkPolicy(child.cert, issuer, above, s.opts.SigningPolicy); e != nil {
			return e
		}
	}
	return s.dir.checkRevocation(child.cert, issuer, s.now, s.opts.CRL)
}

// constrainsHosts says whether a CA may certify some hosts only. The standard
// library looks for hosts in the alternative names alone.
func constrainsHosts(c *x509.Certificate) bool {
	return len(c.PermittedDNSDomains)+len(c.ExcludedDNSDomains)+len(c.PermittedIPRanges)+len(c.ExcludedIPRanges) > 0
}

// standard judges what concerns the path as a whole. The standard library has
// the last word; it knows no way to accept SHA-1, so where that is allowed and
// there, the CAs' own rules decide (TestOwnRules compares), and what only the
// library understands is refused by it.
func (s *pathSearch) standard(path []anchor) error {
	chain := make([]*x509.Certificate, len(path))
	constrained, sha1 := false, false
	for i, a := range path {
		chain[i] = a.cert
		constrained = constrained || slices.ContainsFunc(a.cert.Extensions, isConstraint)
		sha1 = sha1 || i < len(path)-1 && weakSignature(a.cert, false) != ""
		if s.hostInCN && constrainsHosts(a.cert) {
			return errors.New("a CA on it is bound to certain host names, and the certificate has its own outside the alternative names")
		}
	}
	if err := ownRules(chain); err != nil || sha1 && !constrained {
		return err
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[len(chain)-1])
	for _, c := range chain[:len(chain)-1] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: s.now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}

// ownRules are those for the CAs of a path, their path lengths among them.
func ownRules(chain []*x509.Certificate) error {
	v := verifier{chain: chain}
	for depth := 1; depth < len(chain); depth++ {
		if err := v.ca(depth); err != nil {
			return err
		}
	}
	return nil
}

// constraints are the extensions with which a CA restricts what is below it
// beyond its length: name constraints, policy mappings, policy constraints and
// inhibitAnyPolicy.
var constraints = []asn1.ObjectIdentifier{oidNameConstraints, {2, 5, 29, 33}, {2, 5, 29, 36}, {2, 5, 29, 54}}

func isConstraint(ext pkix.Extension) bool { return slices.ContainsFunc(constraints, ext.Id.Equal) }
