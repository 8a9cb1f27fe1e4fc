package gsi

import (
	"errors"
	"fmt"
	"strings"
)

// namespaces is a file in the language of the EUGridPMA ("Namespaces Format
// Specification" 0.1.4, background in OGF GFD.189), which says whom a CA may
// certify:
//
//	TO Issuer "/C=XX/O=Lab/CN=Lab CA" \
//	  PERMIT Subject "/C=XX/O=Lab/.*"
//	TO Issuer SELF DENY Subject "/C=XX/O=Lab/OU=Closed/.*"
//
// It is used where a CA has no signing policy. The Globus C libraries read
// signing policies only; VOMS and canl-java (dCache, StoRM) know both kinds.
type namespaces []namespaceRule

type namespaceRule struct {
	self    bool   // of the CA whose file it is
	issuer  string // folded by foldDN, "" for self
	deny    bool
	subject nsPattern
}

// speaksOf reports whether a rule is about the CA; own says that the file is
// its own, found by its hash.
func (n namespaces) speaksOf(ca string, own bool) bool {
	ca = foldSubject(ca)
	for i := range n {
		if n[i].about(ca, own) {
			return true
		}
	}
	return false
}

func (r *namespaceRule) about(foldedCA string, own bool) bool {
	if r.self {
		return own
	}
	return r.issuer == foldedCA
}

// allows reports whether the CA may sign the subject, both in one-line form.
// A DENY that matches wins wherever it stands, as with canl-java; VOMS takes
// the first rule that matches, which never refuses more.
func (n namespaces) allows(ca, subject string, own bool) bool {
	ca, subject = foldSubject(ca), foldSubject(subject)
	granted := false
	for i := range n {
		if r := &n[i]; r.about(ca, own) && r.subject.match(subject) {
			if r.deny {
				return false
			}
			granted = true
		}
	}
	return granted
}

// maxNamespaceRules bounds a file; the longest of the IGTF's has ten.
const maxNamespaceRules = 2000

// nsVersion is the comment that can name another version of the language.
const nsVersion = "#NAMESPACES-VERSION:"

// parseNamespaces reads a .namespaces file. A rule that is not understood makes
// the whole file an error: it could be a DENY.
func parseNamespaces(data []byte) (namespaces, error) {
	var out namespaces
	s := nsScanner{text: string(data)}
	for {
		word, _, err := s.next()
		switch {
		case err != nil:
			return nil, err
		case word == "" && len(out) == 0:
			return nil, errors.New("it permits nothing: expected a rule that begins with TO Issuer")
		case word == "":
			return out, nil
		case !strings.EqualFold(word, "TO"):
			return nil, fmt.Errorf("%.40q stands where TO is expected", word)
		case len(out) == maxNamespaceRules:
			return nil, errors.New("it is too long")
		}
		rule, err := s.rule()
		if err != nil {
			return nil, err
		}
		out = append(out, rule)
	}
}

// rule reads what follows TO.
func (s *nsScanner) rule() (rule namespaceRule, err error) {
	if err := s.expect("Issuer"); err != nil {
		return rule, err
	}
	word, quoted, err := s.next()
	switch {
	case err != nil:
		return rule, err
	case quoted:
		rule.issuer = foldDN(word)
	case strings.EqualFold(word, "SELF"):
		rule.self = true
	default:
		return rule, fmt.Errorf("%.40q stands where SELF or the CA's name in quotes is expected", word)
	}
	switch word, quoted, err = s.next(); {
	case err != nil:
		return rule, err
	case !quoted && strings.EqualFold(word, "DENY"):
		rule.deny = true
	case quoted || !strings.EqualFold(word, "PERMIT"):
		return rule, fmt.Errorf("%.40q stands where PERMIT or DENY is expected", word)
	}
	if err := s.expect("Subject"); err != nil {
		return rule, err
	}
	word, quoted, err = s.next()
	if err == nil && !quoted {
		err = fmt.Errorf("%.40q stands where a subject in quotes is expected", word)
	}
	if err != nil {
		return rule, err
	}
	rule.subject, err = parseNSPattern(word)
	return rule, err
}

// nsScanner cuts a text into words and quoted strings. Line ends are white
// space, with or without the backslash that the specification asks for; both
// parsers of VOMS and canl-java agree on what is written that way.
type nsScanner struct{ text string }

func (s *nsScanner) expect(want string) error {
	word, quoted, err := s.next()
	if err == nil && (quoted || !strings.EqualFold(word, want)) {
		err = fmt.Errorf("%.40q stands where %s is expected", word, want)
	}
	return err
}

// next returns "" and no error at the end of the text.
func (s *nsScanner) next() (word string, quoted bool, err error) {
	const space = " \t\r\n\v\f"
	for {
		s.text = strings.TrimLeft(s.text, space)
		switch {
		case strings.HasPrefix(s.text, "#"):
			var line string
			line, s.text, _ = strings.Cut(s.text, "\n")
			if version, ok := strings.CutPrefix(line, nsVersion); ok && strings.Trim(version, space) != "1.0" {
				return "", false, fmt.Errorf("it is written in version %.40q of the language, which is not understood", strings.Trim(version, space))
			}
			continue
		case strings.HasPrefix(s.text, `\`):
			rest := strings.TrimLeft(s.text[1:], " \t\r")
			if rest != "" && rest[0] != '\n' {
				return "", false, errors.New("a backslash stands before something other than the end of the line")
			}
			s.text = rest
			continue
		case s.text == "":
			return "", false, nil
		}
		break
	}
	if c := s.text[0]; c == '"' || c == '\'' {
		word, err = s.quoted(c)
		return word, true, err
	}
	end := strings.IndexAny(s.text, space+`"'#`)
	if end < 0 {
		end = len(s.text)
	}
	word, s.text = s.text[:end], s.text[end:]
	return word, false, nil
}

// quoted reads up to the closing quote and keeps backslashes: what follows is
// a pattern or a name, which have their own use for them.
func (s *nsScanner) quoted(quote byte) (string, error) {
	text := s.text[1:]
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case quote:
			s.text = text[i+1:]
			if i == 0 {
				return "", errors.New("there is nothing between two quotes")
			}
			return text[:i], nil
		case '\n':
			return "", errors.New("a quote is not closed")
		case '\\':
			i++
		}
	}
	return "", errors.New("a quote is not closed")
}
