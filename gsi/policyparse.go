package gsi

import (
	"errors"
	"fmt"
	"strings"
)

// maxPolicyTokens bounds a policy; the longest of the IGTF's has some dozens.
const maxPolicyTokens = 10000

// parsePolicy reads a signing policy: one or more entries of principals,
// rights and conditions.
func parsePolicy(data []byte) (signingPolicy, error) {
	tokens, err := policyTokens(string(data))
	if err != nil {
		return nil, err
	}
	var out signingPolicy
	for len(tokens) > 0 {
		var line policyTriple
		if line, tokens, err = policyLine(tokens); err != nil {
			return nil, err
		}
		if out, err = out.add(line); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 || len(out[len(out)-1].rights) == 0 {
		return nil, errors.New("it grants nothing: expected access_id_CA, pos_rights and cond_subjects")
	}
	return out, nil
}

// policyLine takes one kind with its authority and value from the tokens. The
// principal ANYBODY has neither.
func policyLine(tokens []string) (policyTriple, []string, error) {
	kind := tokens[0]
	if kind == "access_id_ANYBODY" {
		return policyTriple{kind: kind}, tokens[1:], nil
	}
	if len(tokens) < 3 {
		return policyTriple{}, nil, fmt.Errorf("%.40q needs an authority and a value", kind)
	}
	return policyTriple{kind, tokens[1], tokens[2]}, tokens[3:], nil
}

// add appends a line: principals open an entry or join one that has no rights
// yet, rights go to the entry, conditions to the last right.
func (p signingPolicy) add(line policyTriple) (signingPolicy, error) {
	last := len(p) - 1
	switch line.kind {
	case "access_id_CA", "access_id_ANYBODY", "access_id_USER", "access_id_GROUP", "access_id_HOST", "access_id_APPLICATION":
		if last < 0 || len(p[last].rights) > 0 {
			p, last = append(p, policyEntry{}), last+1
		}
		p[last].principals = append(p[last].principals, line)
		return p, nil
	case "pos_rights", "neg_rights":
		if last < 0 {
			return nil, fmt.Errorf("%s stands before any access_id", line.kind)
		}
		p[last].rights = append(p[last].rights, policyRight{policyTriple: line})
		return p, nil
	}
	if !strings.HasPrefix(line.kind, "cond_") {
		return nil, fmt.Errorf("unknown word %.40q", line.kind)
	}
	if last < 0 || len(p[last].rights) == 0 {
		return nil, fmt.Errorf("%.40q stands before any right", line.kind)
	}
	if line.kind == "cond_subjects" {
		if _, err := splitPatterns(line.value); err != nil {
			return nil, err
		}
	}
	right := &p[last].rights[len(p[last].rights)-1]
	right.conditions = append(right.conditions, line)
	return p, nil
}

// policyTokens cuts a text at white space. A token that begins with a quote
// goes to the next one; '#' at the start of a token begins a comment.
func policyTokens(text string) ([]string, error) {
	var out []string
	for {
		text = strings.TrimLeft(text, " \t\r\n\v\f")
		if text == "" {
			return out, nil
		}
		if len(out) == maxPolicyTokens {
			return nil, errors.New("it is too long")
		}
		var token string
		switch c := text[0]; c {
		case '#':
			_, text, _ = strings.Cut(text, "\n")
			continue
		case '\'', '"':
			var ok bool
			if token, text, ok = quotedToken(text[1:], c); !ok {
				return nil, errors.New("a quote is not closed")
			}
		default:
			end := strings.IndexAny(text, " \t\r\n\v\f")
			if end < 0 {
				end = len(text)
			}
			token, text = text[:end], text[end:]
		}
		out = append(out, token)
	}
}

// quotedToken reads up to an unescaped quote. A backslash takes the quote and
// itself literally; before anything else it stays, for "\xC3" and "\/".
func quotedToken(text string, quote byte) (token, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == quote:
			return b.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text) && (text[i+1] == quote || text[i+1] == '\\'):
			i++
			c = text[i]
		}
		b.WriteByte(c)
	}
	return "", "", false
}
