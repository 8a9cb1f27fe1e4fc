package gsi

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// checkPolicy asks the issuer's signing policy whether it may sign the
// certificate. Like Globus it looks for the file by the hash of the issuer's
// name, so a sub-CA that came with the chain needs one, too.
func (t *TrustDir) checkPolicy(c *x509.Certificate, issuer anchor, mode PolicyMode) *TrustError {
	if mode == PolicyIgnore {
		return nil
	}
	refuse := func(reason TrustReason, name, detail string) *TrustError {
		return &TrustError{Reason: reason, File: t.file(name), Subject: subjectText(c), Detail: detail}
	}
	names := t.companions(issuer, ".signing_policy")
	found := ""
	for _, name := range names {
		if t.names[name] {
			found = name
			break
		}
	}
	if found == "" {
		if mode == PolicyIfPresent {
			return nil
		}
		return refuse(TrustNoPolicy, names[0], "the CA "+subjectText(issuer.cert)+" has no signing policy, so it may sign nothing")
	}
	data, err := readBounded(t.file(found), maxTrustFile)
	if err != nil {
		return refuse(TrustBadFile, found, "the signing policy cannot be read: "+causeOf(err))
	}
	policy, err := parsePolicy(data)
	if err != nil {
		return refuse(TrustBadFile, found, "the signing policy cannot be read: "+err.Error())
	}
	ca, err := OneLine(issuer.cert.RawSubject)
	if err == nil {
		var subject string
		if subject, err = OneLine(c.RawSubject); err == nil && policy.allows(ca, subject) {
			return nil
		}
	}
	return refuse(TrustPolicy, found, "the signing policy of the CA "+subjectText(issuer.cert)+" does not allow it to sign the certificate")
}

// companions returns the names that a file about a CA can have, best first.
func (t *TrustDir) companions(ca anchor, ext string) []string {
	all := stems(ca.cert.RawSubject)
	if i := strings.LastIndexByte(ca.file, '.'); i > 0 {
		stem := ca.file[:i]
		if stem != all[0] && stem != all[len(all)-1] {
			all = append(all, stem)
		}
	}
	for i := range all {
		all[i] += ext
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
	for i := range len(s) {
		if c := s[i]; c >= 0x80 {
			fmt.Fprintf(&b, `\x%02x`, c)
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
