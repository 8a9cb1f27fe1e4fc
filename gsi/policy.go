package gsi

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/files"
)

// checkPolicy asks the policy of the issuer whether it may sign the
// certificate: its signing policy or, where it has none, its .namespaces, and
// where it has neither the .namespaces of the CAs above it on the path, nearest
// first (they may speak of their sub-CAs; canl-java looks there, too). Like
// Globus it looks for the files by the hash of the issuer's name, so a sub-CA
// that came with the chain needs one as well.
func (t *TrustDir) checkPolicy(c *x509.Certificate, issuer anchor, above []anchor, mode PolicyMode) *TrustError {
	if mode == PolicyIgnore {
		return nil
	}
	refuse := func(reason TrustReason, name, detail string) *TrustError {
		return &TrustError{Reason: reason, File: t.file(name), Subject: subjectText(c), Detail: detail}
	}
	p, err := t.policyOf(issuer, above)
	switch {
	case err != nil:
		return refuse(TrustBadFile, p.file, "the "+p.kind.text()+" cannot be read: "+err.Error())
	case p.kind == policyNone && mode == PolicyIfPresent:
		return nil
	case p.kind == policyNone:
		return refuse(TrustNoPolicy, p.file, "the CA "+subjectText(issuer.cert)+" has no signing policy, so it may sign nothing")
	}
	subject, err := OneLine(c.RawSubject)
	if err == nil && p.allows(subject) {
		return nil
	}
	return refuse(TrustPolicy, p.file, "the "+p.kind.text()+" of the CA "+subjectText(issuer.cert)+" does not allow it to sign the certificate")
}

// policyKind is which language says what a CA may sign.
type policyKind string

const (
	policySigning    policyKind = "signing_policy"
	policyNamespaces policyKind = "namespaces"
	policyNone       policyKind = "none"
)

func (k policyKind) text() string {
	if k == policyNamespaces {
		return "namespaces policy"
	}
	return "signing policy"
}

// caPolicy is what the directory says about one CA.
type caPolicy struct {
	kind   policyKind
	file   string // base name; of policyNone the one that is missing
	ca     string // one-line form
	signed signingPolicy
	spaces namespaces
	own    bool // the namespaces file is the CA's own
}

func (p *caPolicy) allows(subject string) bool {
	if p.kind == policySigning {
		return p.signed.allows(p.ca, subject)
	}
	return p.spaces.allows(p.ca, subject, p.own)
}

// speaks reports whether the file is about the CA at all.
func (p *caPolicy) speaks() bool {
	if p.kind == policySigning {
		return p.signed.speaksOf(p.ca)
	}
	return p.spaces.speaksOf(p.ca, p.own)
}

// policyOf reads the policy of a CA. With an error it says which file, and of
// which kind, could not be read.
func (t *TrustDir) policyOf(ca anchor, above []anchor) (p caPolicy, err error) {
	name, err := OneLine(ca.cert.RawSubject)
	p = caPolicy{kind: policyNone, ca: name, file: t.companions(ca, ".signing_policy")[0]}
	if err != nil {
		return p, err
	}
	if file := t.companion(ca, ".signing_policy"); file != "" {
		p.kind, p.file = policySigning, file
		p.signed, err = readPolicy(t, file, kindSigningPolicy, parsePolicy)
		return p, err
	}
	for i, c := range append([]anchor{ca}, above...) {
		file := t.companion(c, ".namespaces")
		if file == "" {
			continue
		}
		q := caPolicy{kind: policyNamespaces, ca: name, file: file, own: i == 0}
		q.spaces, err = readPolicy(t, file, kindNamespaces, parseNamespaces)
		switch {
		case err != nil || q.speaks():
			return q, err
		case p.kind == policyNone && q.own:
			p = q // its own file is silent about it: it counts unless one above speaks
		}
	}
	return p, nil
}

func readPolicy[T any](t *TrustDir, name string, kind trustKind, parse func([]byte) (T, error)) (none T, err error) {
	data, err := t.read(t.file(name), maxTrustFile)
	if err != nil {
		return none, errors.New(files.Cause(err))
	}
	return parseOnce(&t.kept, kind, nil, data, parse)
}

// companion returns the file about a CA that counts, "" where there is none.
func (t *TrustDir) companion(ca anchor, ext string) string {
	for _, name := range t.companions(ca, ext) {
		if t.names[name] {
			return name
		}
	}
	return ""
}

// companions returns the names that a file about a CA can have, best first.
func (t *TrustDir) companions(ca anchor, ext string) []string {
	known := t.kept.stems(ca.cert.RawSubject)
	all := make([]string, 0, len(known)+1)
	for _, stem := range known {
		all = append(all, stem+ext)
	}
	if i := strings.LastIndexByte(ca.file, '.'); i > 0 && !slices.Contains(known, ca.file[:i]) {
		all = append(all, ca.file[:i]+ext)
	}
	return all
}

// signingPolicy is a file in the EACL language of Globus (oldgaa):
//
//	access_id_CA   X509    '/C=XX/O=Lab/CN=Lab CA'
//	pos_rights     globus  CA:sign
//	cond_subjects  globus  '"/C=XX/O=Lab/*" "/C=XX/O=Lab2/*"'
type signingPolicy []policyEntry

type policyEntry struct {
	principals []policyTriple
	rights     []policyRight
}

type policyRight struct {
	policyTriple
	conditions []policyTriple
}

// policyTriple is a line: kind, authority, value.
type policyTriple struct{ kind, authority, value string }

// allows reports whether the CA may sign the subject, both in one-line form.
// A negative right that could apply wins; a condition that is not understood
// grants nothing.
func (p signingPolicy) allows(ca, subject string) bool {
	granted := false
	for _, entry := range p {
		if !entry.speaksOf(ca) {
			continue
		}
		for _, r := range entry.rights {
			if r.authority != "globus" || r.value != "CA:sign" {
				continue
			}
			yes, maybe := r.applies(subject)
			switch {
			case r.kind == "pos_rights" && yes:
				granted = true
			case r.kind == "neg_rights" && (yes || maybe):
				return false
			}
		}
	}
	return granted
}

// speaksOf reports whether the file is about the CA at all.
func (p signingPolicy) speaksOf(ca string) bool {
	for i := range p {
		if p[i].speaksOf(ca) {
			return true
		}
	}
	return false
}

func (e *policyEntry) speaksOf(ca string) bool {
	for _, p := range e.principals {
		if p.kind == "access_id_ANYBODY" {
			return true
		}
		if p.kind == "access_id_CA" && p.authority == "X509" && foldDN(p.value) == foldSubject(ca) {
			return true
		}
	}
	return false
}

// applies evaluates the conditions, all of which must hold.
func (r *policyRight) applies(subject string) (yes, maybe bool) {
	yes = true
	for _, c := range r.conditions {
		if c.kind != "cond_subjects" || c.authority != "globus" {
			yes, maybe = false, true
			continue
		}
		if !matchesAny(c.value, foldSubject(subject)) {
			return false, false
		}
	}
	return yes, maybe
}

// foldSubject makes names comparable: Globus compares them without case and
// takes /E=, /Email= and /emailAddress= for one, as /UID= and /USERID=.
func foldSubject(s string) string {
	return foldTypes.Replace(strings.ToLower(s))
}

// foldDN does so for a name as a policy has it, where '/' may be escaped and
// bytes outside ASCII may stand as they are.
func foldDN(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		if c := s[i]; c >= 0x80 {
			const hex = "0123456789abcdef"
			b.WriteString(`\x`)
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return foldSubject(strings.ReplaceAll(b.String(), `\/`, "/"))
}

var foldTypes = strings.NewReplacer("/e=", "/emailaddress=", "/email=", "/emailaddress=", "/userid=", "/uid=")

// matchesAny tries the patterns of one condition. They stand in quotes, or it
// is a single one without.
func matchesAny(value, subject string) bool {
	patterns, err := splitPatterns(value)
	if err != nil {
		return false
	}
	for _, p := range patterns {
		if matchPattern(foldDN(p), subject) {
			return true
		}
	}
	return false
}

var errPatterns = errors.New("text between the quoted subjects of a condition")

func splitPatterns(value string) ([]string, error) {
	quote := `"`
	if !strings.Contains(value, quote) {
		quote = `'`
	}
	parts := strings.Split(value, quote)
	if len(parts) == 1 {
		return []string{strings.TrimSpace(value)}, nil
	}
	if len(parts)%2 == 0 {
		return nil, errors.New("unpaired quote in a condition")
	}
	var out []string
	for i, part := range parts {
		switch {
		case i%2 == 1:
			out = append(out, part)
		case strings.Trim(part, " \t\r\n") != "":
			return nil, errPatterns
		}
	}
	return out, nil
}

// matchPattern: each '*' stands for one or more characters, as in Globus
// (oldgaa_regex_matches_string; that knows only the last one).
func matchPattern(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	for star {
		var part string
		part, rest, star = strings.Cut(rest, "*")
		if s == "" {
			return false
		}
		s = s[1:]
		if !star {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return s == ""
}
