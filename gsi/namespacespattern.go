package gsi

import (
	"errors"
	"fmt"
	"strings"
)

// nsPattern is the regular expression of a rule, for whole names in one-line
// form, folded. VOMS reads it as a POSIX basic one, canl-java as Java's. Only
// what both read alike is understood: a character, '.', a set in brackets, each
// with or without '*', and a backslash before punctuation. The rest ("+", "?",
// "|", "(", "{" and the like) is an error, [+] says it clearly.
type nsPattern []nsAtom

type nsAtom struct {
	any  bool
	star bool
	char byte
	set  *nsSet
}

// nsSet holds one bit for each byte.
type nsSet [256 / 8]byte

func (s *nsSet) add(c byte)      { s[c/8] |= 1 << (c % 8) }
func (s *nsSet) has(c byte) bool { return s[c/8]&(1<<(c%8)) != 0 }

func (a *nsAtom) accepts(c byte) bool {
	switch {
	case a.any:
		return true
	case a.set != nil:
		return a.set.has(c)
	}
	return a.char == c
}

// maxNSPattern bounds a pattern: matching takes its length times the name's.
const maxNSPattern = 2000

func parseNSPattern(text string) (nsPattern, error) {
	if len(text) > maxNSPattern {
		return nil, fmt.Errorf("a subject is longer than %d characters", maxNSPattern)
	}
	// As for names, so that their letters mean the same; '\/' becomes '/' and
	// bytes outside ASCII the \xHH that names have for them.
	p := foldDN(text)
	p = strings.TrimPrefix(p, "^")
	if strings.HasSuffix(p, "$") && !strings.HasSuffix(p, `\$`) {
		p = p[:len(p)-1]
	}
	out := make(nsPattern, 0, len(p))
	for p != "" {
		c := p[0]
		p = p[1:]
		switch c {
		case '*':
			if len(out) == 0 || out[len(out)-1].star {
				return nil, errors.New("a '*' of a subject follows nothing that can be repeated")
			}
			out[len(out)-1].star = true
		case '.':
			out = append(out, nsAtom{any: true})
		case '[':
			set, rest, err := parseNSSet(p)
			if err != nil {
				return nil, err
			}
			out, p = append(out, nsAtom{set: set}), rest
		case '\\':
			n := escapeLength(p)
			if n == 0 {
				return nil, fmt.Errorf("a subject has \"\\%.1s\", which is not understood", p)
			}
			if n == 3 { // \xHH stands for itself
				out = append(out, nsAtom{char: '\\'})
			}
			for _, c := range []byte(p[:n]) {
				out = append(out, nsAtom{char: c})
			}
			p = p[n:]
		case '+', '?', '|', '(', ')', '{', '}', '^', '$':
			return nil, fmt.Errorf("a subject has %q, which VOMS and Java read differently; write [%c]", c, c)
		default:
			out = append(out, nsAtom{char: c})
		}
	}
	return out, nil
}

// escapeLength is how much a backslash makes literal: one mark, or xHH.
func escapeLength(rest string) int {
	switch {
	case rest == "":
		return 0
	case strings.IndexByte(`.*[]\$^/"'-=:,@_#&%~;!<> `, rest[0]) >= 0:
		return 1
	case len(rest) >= 3 && rest[0] == 'x' && isHex(rest[1]) && isHex(rest[2]):
		return 3
	}
	return 0
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

// parseNSSet reads a set after its '['. Brackets, backslashes and '&' inside
// are left out, in Java they mean more than themselves.
func parseNSSet(p string) (*nsSet, string, error) {
	end := strings.IndexByte(p, ']')
	if end <= 0 || p[:end] == "^" {
		return nil, "", errors.New("a set in brackets of a subject is empty or not closed")
	}
	body, rest := p[:end], p[end+1:]
	if strings.ContainsAny(body, `[\&`) {
		return nil, "", errors.New("a set in brackets of a subject has a mark that is not understood")
	}
	body, negated := strings.CutPrefix(body, "^")
	var set nsSet
	for i := 0; i < len(body); i++ {
		from, to := body[i], body[i]
		if i+2 < len(body) && body[i+1] == '-' {
			to = body[i+2]
			i += 2
		}
		if from > to {
			return nil, "", errors.New("a range in brackets of a subject ends before it begins")
		}
		for c := int(from); c <= int(to); c++ {
			set.add(byte(c))
		}
	}
	if negated {
		for i := range set {
			set[i] = ^set[i]
		}
	}
	return &set, rest, nil
}

// match follows all ways through the pattern at once, so that no pattern can
// make it slow: its time is the pattern's length times the name's.
func (p nsPattern) match(name string) bool {
	now, next := make([]bool, len(p)+1), make([]bool, len(p)+1)
	p.reach(now, 0)
	for i := range len(name) {
		clear(next)
		for at := range p {
			if !now[at] || !p[at].accepts(name[i]) {
				continue
			}
			if p[at].star {
				p.reach(next, at)
			} else {
				p.reach(next, at+1)
			}
		}
		now, next = next, now
	}
	return now[len(p)]
}

// reach marks a place and those behind it that need no character.
func (p nsPattern) reach(places []bool, at int) {
	for ; !places[at]; at++ {
		places[at] = true
		if at == len(p) || !p[at].star {
			return
		}
	}
}
