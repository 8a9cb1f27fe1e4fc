package gsi

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// anchorCheck gathers what TrustDir.Anchors says.
type anchorCheck struct {
	dir   *TrustDir
	now   time.Time
	opts  TrustOptions
	infos map[string]*AnchorInfo // by SHA-1 fingerprint, lower case without colons
}

// readInfos reads every .info file: they are named after the CA's alias, not
// its hash, and only their fingerprint says surely whom they are about.
func (c *anchorCheck) readInfos() {
	c.infos = map[string]*AnchorInfo{}
	names := make([]string, 0, 100)
	for name := range c.dir.names {
		if filepath.Ext(name) == ".info" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		data, err := c.dir.read(c.dir.file(name), maxTrustFile)
		if err != nil {
			continue
		}
		info, err := ParseAnchorInfo(data)
		if err != nil {
			continue // it decides about nothing
		}
		for _, print := range info.SHA1 {
			print = strings.ToLower(strings.ReplaceAll(print, ":", ""))
			if c.infos[print] == nil {
				c.infos[print] = info
			}
		}
	}
}

// describe fills in what the certificate and its .info file say.
func (c *anchorCheck) describe(out *Anchor, a anchor) {
	cert := a.cert
	out.Subject, out.SubjectRaw = subjectText(cert), cert.RawSubject
	hashes := c.dir.kept.stems(cert.RawSubject)
	if out.OldHash = hashes[len(hashes)-1]; len(hashes) > 1 { // else the name cannot be read
		out.Hash = hashes[0]
	}
	out.NotBefore, out.NotAfter, out.Until = cert.NotBefore, cert.NotAfter, cert.NotAfter
	out.Root, out.KeyText = isSelfIssued(cert), keyText(cert.PublicKey)
	print := sha1.Sum(cert.Raw)
	if info := c.infos[hex.EncodeToString(print[:])]; info != nil {
		out.Info, out.Alias = info, info.Alias
	}
}

func keyText(key any) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

// judge adds everything that is wrong with an anchor.
func (c *anchorCheck) judge(out *Anchor, a anchor) {
	c.names(out)
	c.certificate(out, a)
	c.policy(out, a)
	c.crls(out, a)
	if !out.Root {
		c.path(out, a)
	}
}

// names: programs with OpenSSL look a CA up by the hash alone.
func (c *anchorCheck) names(out *Anchor) {
	underHash := false
	for _, file := range out.Files {
		stem := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		if stem == out.Hash && !underHash {
			out.File, underHash = file, true
		}
		if stem != out.Hash && stem != out.OldHash {
			out.add(SeverityWarning, TrustHash, file, "the file's name is not the CA's hash "+out.Hash+", most programs will not find it", "run openssl rehash or rename it to "+out.Hash+".0")
		}
	}
	if !underHash && out.Severity == SeverityOK {
		out.add(SeverityWarning, TrustHash, out.File, "the CA lies there under its old hash only, programs with OpenSSL 1.0 or later look for "+out.Hash, "run openssl rehash or link it to "+out.Hash+".0")
	}
}

// newer is what helps where a certificate itself is at fault.
const newer = "install the CA's new certificate or remove the CA"

// certificate applies the rules of a path to the certificate by itself, all of
// them.
func (c *anchorCheck) certificate(out *Anchor, a anchor) {
	cert := a.cert
	one := &verifier{chain: []*x509.Certificate{cert}, opts: VerifyOptions{Now: c.now}}
	if e := one.keyStrength(0); e != nil {
		out.add(SeverityError, TrustWeakKey, out.File, e.Detail, newer)
	}
	if reason := weakSignature(cert, false); reason != "" && !out.Root {
		severity := SeverityError
		if c.opts.AllowSHA1 && weakSignature(cert, true) == "" {
			severity = SeverityWarning
		}
		out.add(severity, TrustSHA1, out.File, reason, newer)
	}
	if e := one.extensions(0); e != nil {
		out.add(SeverityError, TrustBadCertificate, out.File, e.Detail, newer)
	}
	if e := one.validity(0); e != nil {
		remedy := newer
		if e.Fault == FaultNotYetValid {
			remedy = "wait, or set the clock if it is wrong"
		}
		out.add(SeverityError, trustFault(e).Reason, out.File, e.Detail, remedy)
	}
	switch e := one.ca(0); {
	case e == nil:
	case out.Root:
		out.add(SeverityWarning, TrustBadCertificate, out.File, "the certificate is no CA's, only itself is trusted", "remove it unless that is meant")
	default:
		out.add(SeverityError, TrustBadCertificate, out.File, e.Detail, newer)
	}
}

// policy: what is an error where policies are required is a warning where they
// are not, because other programs require them.
func (c *anchorCheck) policy(out *Anchor, a anchor) {
	severity := SeverityError
	if c.opts.SigningPolicy == PolicyIgnore {
		severity = SeverityWarning
	}
	p, err := c.dir.policyOf(a, c.above(a))
	file := c.dir.file(p.file)
	out.Policy = string(p.kind)
	if p.kind != policyNone {
		out.PolicyFile = file
	}
	switch {
	case err != nil:
		out.add(severity, TrustBadFile, file, "the "+p.kind.text()+" cannot be read ("+err.Error()+"), so the CA may sign nothing", "install it again")
	case p.kind == policyNone && c.opts.SigningPolicy == PolicyIfPresent:
		out.add(SeverityWarning, TrustNoPolicy, file, "the CA has no signing policy: here it may sign everything, elsewhere nothing", "install the file")
	case p.kind == policyNone:
		out.add(severity, TrustNoPolicy, file, "the CA has no signing policy, so it may sign nothing", "install the file")
	case !p.speaks():
		out.add(severity, TrustOtherPolicy, file, "the "+p.kind.text()+" does not speak of the CA, so it may sign nothing", "install the CA's own")
	case p.kind == policyNamespaces:
		out.add(SeverityWarning, TrustNoPolicy, c.dir.file(c.dir.companions(a, ".signing_policy")[0]),
			"the CA has a namespaces policy but no signing policy, without which the Globus tools refuse it", "install the file")
	}
}

// above lists the CAs over one that the directory has, nearest first.
func (c *anchorCheck) above(a anchor) []anchor {
	var out []anchor
	for len(out) < maxPathDepth && !isSelfIssued(a.cert) {
		issuers := c.dir.find(a.cert.RawIssuer)
		if len(issuers) == 0 {
			break
		}
		a = issuers[0]
		out = append(out, a)
	}
	return out
}

// path verifies a sub-CA as if it were somebody's certificate. What was said
// about the file already is not said again.
func (c *anchorCheck) path(out *Anchor, a anchor) {
	s := &pathSearch{dir: c.dir, now: c.now, opts: c.opts}
	if s.climb([]anchor{a}) {
		return
	}
	e := s.best
	file, detail := e.File, e.Detail
	if file == "" {
		file = out.File
	}
	if e.Subject != "" && e.Subject != out.Subject {
		detail += ": " + e.Subject
	}
	for _, p := range out.Problems {
		if p.Severity == SeverityError && (p.File == file || slices.Contains(out.Files, file) && slices.Contains(out.Files, p.File)) {
			return
		}
	}
	remedy := newer
	switch e.Reason {
	case TrustUnknownIssuer:
		remedy = "install that CA, or remove this one"
	case TrustPolicy, TrustNoPolicy:
		remedy = "install that file again"
	case TrustBadFile, TrustCRLExpired, TrustCRLInvalid, TrustCRLNotYetValid:
		remedy = "see the CA above it"
	}
	out.add(SeverityError, e.Reason, file, detail, remedy)
}

// crls reads the CA's revocation lists and says until when they last.
func (c *anchorCheck) crls(out *Anchor, a anchor) {
	seen := map[string]bool{} // signatures
	others := ""              // a list of another CA under this one's name
	for n := '0'; n <= '9'; n++ {
		for _, name := range c.dir.companions(a, ".r"+string(n)) {
			if c.dir.names[name] && !c.crl(out, a, name, seen) {
				others = c.dir.file(name)
			}
		}
	}
	var until time.Time // of the list that lasts longest
	counts, forever := false, false
	for _, s := range out.CRLs {
		switch s.Fault {
		case "", TrustCRLExpired:
			counts = true
			forever = forever || s.NextUpdate.IsZero()
			if s.NextUpdate.After(until) {
				until = s.NextUpdate
			}
		}
	}
	switch {
	case len(out.CRLs) == 0 && others != "":
		out.add(SeverityWarning, TrustCRLInvalid, others, "the revocation list under the CA's name is of another CA or key, so what the CA revoked is not known", "run fetch-crl")
	case len(out.CRLs) == 0:
		out.add(SeverityOK, TrustCRLMissing, c.dir.file(c.dir.companions(a, ".r0")[0]), "the CA has no revocation list, so what it revoked is not known", "run fetch-crl")
	case counts && !forever && c.opts.CRL != CRLIgnore && c.opts.CRL != CRLAllowExpired && until.Before(out.Until):
		out.Until = until
	}
	c.crlProblems(out)
}

// crl adds one list; one that lies there under both hashes counts once, with
// the name that is looked for first. It reports false for a list of another CA
// or another key.
func (c *anchorCheck) crl(out *Anchor, a anchor, name string, seen map[string]bool) bool {
	status := CRLStatus{File: c.dir.file(name)}
	list, e := c.dir.loadCRL(name, a)
	switch {
	case e != nil:
		if c.isLinked(out.CRLs, status.File) {
			return true
		}
		status.Fault, status.Detail = e.Reason, e.Detail
	case list == nil:
		return false
	case seen[string(list.Signature)]:
		return true
	default:
		seen[string(list.Signature)] = true
		status.ThisUpdate, status.NextUpdate = list.ThisUpdate, list.NextUpdate
		status.Entries = len(list.RevokedCertificateEntries)
		status.Fault, status.Detail = freshness(list, c.now)
	}
	out.CRLs = append(out.CRLs, status)
	return true
}

// isLinked reports whether one of the lists is the same file.
func (c *anchorCheck) isLinked(lists []CRLStatus, path string) bool {
	here, err := os.Stat(path)
	return err == nil && slices.ContainsFunc(lists, func(s CRLStatus) bool {
		there, err := os.Stat(s.File)
		return err == nil && os.SameFile(here, there)
	})
}

// crlProblems weighs the lists as checkRevocation does: any that cannot be
// trusted refuses, one that is out of its time only where none is in it.
func (c *anchorCheck) crlProblems(out *Anchor) {
	fresh := slices.ContainsFunc(out.CRLs, func(s CRLStatus) bool { return s.Fault == "" })
	for _, s := range out.CRLs {
		severity := SeverityError
		switch {
		case s.Fault == "":
			continue
		case c.opts.CRL == CRLIgnore, s.Fault == TrustCRLExpired && c.opts.CRL == CRLAllowExpired,
			fresh && (s.Fault == TrustCRLExpired || s.Fault == TrustCRLNotYetValid):
			severity = SeverityWarning
		}
		remedy := "run fetch-crl"
		if s.Fault == TrustCRLNotYetValid {
			remedy = "set the clock if it is wrong, or wait"
		}
		out.add(severity, s.Fault, s.File, s.Detail, remedy)
	}
}
