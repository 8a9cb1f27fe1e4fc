package dn

import (
	"bytes"
	"encoding/hex"
	"strings"
)

// Match reports whether text is the name, in the one-line form or in that of
// RFC 2253. Values are compared exactly, names of attribute types by their
// aliases and without case.
func Match(raw []byte, text string) bool {
	attrs, err := Parse(raw)
	if err != nil || len(attrs) == 0 || len(text) > maxBytes {
		return false
	}
	if strings.HasPrefix(text, "/") {
		return matchOneLine(attrs, text)
	}
	return match2253(attrs, text)
}

// matchOneLine walks along the name, which knows where its values end; the
// text does not. '/' and '+' inside a value may stand with a backslash (as
// OpenSSL 3 prints them) or without (as Globus wants them), but must have it
// where they would read as another attribute. Attributes of one element are
// joined with '+' (OpenSSL 3) or '/' (before).
func matchOneLine(attrs []Attribute, text string) bool {
	for i := range attrs {
		a := &attrs[i]
		if text == "" || text[0] != '/' && !(a.With && text[0] == '+') {
			return false
		}
		name, rest, ok := strings.Cut(text[1:], "=")
		if !ok || !a.isNamed(name) {
			return false
		}
		if text, ok = cutValue(a.Body, rest); !ok {
			return false
		}
	}
	return text == ""
}

// cutValue takes one value from the front of a one-line text.
func cutValue(value []byte, text string) (rest string, ok bool) {
	for i, c := range value {
		if text == "" {
			return "", false
		}
		escaped := len(text) > 1 && text[0] == '\\' && text[1] == c
		switch {
		case (c == '/' || c == '+') && escaped:
			text = text[2:]
		case looksLikeAttribute(value[i:]):
			return "", false
		case (c < ' ' || c > '~' || looksLikeEscape(value[i:])) && isHexEscape(text, c):
			text = text[len(`\xHH`):]
		case looksLikeEscape(value[i:]):
			return "", false
		case text[0] == c:
			text = text[1:]
		default:
			return "", false
		}
	}
	return text, true
}

func isHexEscape(text string, c byte) bool {
	if len(text) < 4 || text[:2] != `\x` {
		return false
	}
	b, err := hex.DecodeString(text[2:4])
	return err == nil && b[0] == c
}

// match2253 compares with RFC 2253's form, tolerating spaces around
// separators and ';' for ',' as RFC 2253 section 4 asks of readers.
func match2253(attrs []Attribute, text string) bool {
	pairs, ok := split2253(text)
	if !ok || len(pairs) != len(attrs) {
		return false
	}
	// The text has the last element first; the attributes of one element may
	// come in either order, DER sorts them.
	for end := len(attrs); end > 0; {
		start := end - 1
		for attrs[start].With {
			start--
		}
		n := end - start
		if !sameElement(attrs[start:end], pairs[:n]) {
			return false
		}
		pairs, end = pairs[n:], start
	}
	return true
}

func sameElement(attrs []Attribute, pairs []pair2253) bool {
	used := make([]bool, len(pairs))
	for i := range attrs {
		found := false
		for j := range pairs {
			if !used[j] && pairs[j].is(&attrs[i]) {
				used[j], found = true, true
				break
			}
		}
		if !found {
			return false
		}
	}
	for j := range pairs {
		if pairs[j].with != (j > 0) {
			return false
		}
	}
	return true
}

// pair2253 is one type=value of a text.
type pair2253 struct {
	name  string
	value []byte // unescaped UTF-8, or DER
	der   bool
	with  bool // joined to the one before by '+'
}

func (p *pair2253) is(a *Attribute) bool {
	if !a.isNamed(p.name) {
		return false
	}
	if p.der {
		return bytes.Equal(p.value, a.Raw)
	}
	s, ok := a.utf8()
	return ok && s == string(p.value)
}

func split2253(text string) ([]pair2253, bool) {
	var out []pair2253
	with := false
	for {
		name, rest, ok := strings.Cut(text, "=")
		if !ok || len(out) == maxAttributes {
			return nil, false
		}
		p := pair2253{name: strings.TrimSpace(name), with: with}
		rest = strings.TrimLeft(rest, " ")
		switch {
		case strings.HasPrefix(rest, "#"):
			rest, ok = p.readHex(rest[1:])
		case strings.HasPrefix(rest, `"`):
			rest, ok = p.readQuoted(rest[1:])
		default:
			rest, ok = p.readPlain(rest)
		}
		if !ok {
			return nil, false
		}
		out = append(out, p)
		rest = strings.TrimLeft(rest, " ")
		if rest == "" {
			return out, true
		}
		switch rest[0] {
		case ',', ';':
			with = false
		case '+':
			with = true
		default:
			return nil, false
		}
		text = rest[1:]
	}
}

func (p *pair2253) readHex(s string) (rest string, ok bool) {
	end := strings.IndexAny(s, ",;+ ")
	if end < 0 {
		end = len(s)
	}
	der, err := hex.DecodeString(s[:end])
	p.value, p.der = der, true
	return s[end:], err == nil && len(der) > 0
}

func (p *pair2253) readQuoted(s string) (rest string, ok bool) {
	for s != "" {
		switch s[0] {
		case '"':
			return s[1:], true
		case '\\':
			if s, ok = p.unescape(s); !ok {
				return "", false
			}
		default:
			p.value = append(p.value, s[0])
			s = s[1:]
		}
	}
	return "", false
}

func (p *pair2253) readPlain(s string) (rest string, ok bool) {
	keep := 0 // trailing spaces count only where they are escaped
loop:
	for s != "" {
		switch s[0] {
		case ',', ';', '+':
			break loop
		case '"':
			return "", false
		case '\\':
			if s, ok = p.unescape(s); !ok {
				return "", false
			}
			keep = len(p.value)
		default:
			p.value = append(p.value, s[0])
			if s[0] != ' ' {
				keep = len(p.value)
			}
			s = s[1:]
		}
	}
	p.value = p.value[:keep]
	return s, true
}

// unescape reads "\HH" or "\c".
func (p *pair2253) unescape(s string) (rest string, ok bool) {
	if len(s) >= 3 {
		if b, err := hex.DecodeString(s[1:3]); err == nil {
			p.value = append(p.value, b[0])
			return s[3:], true
		}
	}
	if len(s) < 2 {
		return "", false
	}
	p.value = append(p.value, s[1])
	return s[2:], true
}
