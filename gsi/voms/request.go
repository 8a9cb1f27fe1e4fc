package voms

import (
	"errors"
	"fmt"
	"strings"
)

// maxVO is the longest name of a VO, in bytes.
const maxVO = 255

// Request is a wish for attributes of one VO.
type Request struct {
	VO   string
	FQAN string // "/vo/group/Role=x"; empty: whatever the VO gives by default
}

// isName says whether s may name a VO or a group:
// ^[A-Za-z0-9_][A-Za-z0-9_.-]*$, the characters of VOMS
// (org.italiangrid.voms.util.VOMSFQANNamingScheme). A regular expression would
// cost every start of the program a millisecond.
func isName(s string) bool {
	return isWord(s) && s[0] != '.' && s[0] != '-'
}

// isWord says whether s may be a role or a capability: ^[A-Za-z0-9_.-]+$.
func isWord(s string) bool {
	for _, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return s != ""
}

// isFQAN says whether s is /vo/group/Role=x/Capability=y, the last two
// optional.
func isFQAN(s string) bool {
	parts := strings.Split(s, "/")
	if parts[0] != "" {
		return false
	}
	parts = parts[1:]
	for _, prefix := range []string{"Capability=", "Role="} {
		if len(parts) > 1 {
			if word, ok := strings.CutPrefix(parts[len(parts)-1], prefix); ok {
				if !isWord(word) {
					return false
				}
				parts = parts[:len(parts)-1]
			}
		}
	}
	for _, group := range parts {
		if !isName(group) {
			return false
		}
	}
	return len(parts) > 0
}

// ParseRequest reads "vo" or "vo:/vo/group/Role=x", the syntax of
// voms-proxy-init. The FQAN's first group must be the VO; a Role=NULL or
// Capability=NULL is dropped.
func ParseRequest(s string) (Request, error) {
	vo, fqan, hasFQAN := strings.Cut(s, ":")
	if len(s) > maxFQAN {
		return Request{}, errors.New("VOMS request is too long: write vo or vo:/vo/group/Role=x")
	}
	if !isName(vo) || len(vo) > maxVO {
		return Request{}, fmt.Errorf("VOMS request %q does not begin with the name of a VO: write vo or vo:/vo/group/Role=x", s)
	}
	if !hasFQAN {
		return Request{VO: vo}, nil
	}
	if !isFQAN(fqan) {
		return Request{}, fmt.Errorf("VOMS request %q has no FQAN after the colon: write vo:/vo/group/Role=x", s)
	}
	if fqan != "/"+vo && !strings.HasPrefix(fqan, "/"+vo+"/") {
		return Request{}, fmt.Errorf("VOMS request %q asks one VO for the group of another: the FQAN must begin with /%s", s, vo)
	}
	return Request{VO: vo, FQAN: canonical(fqan)}, nil
}

// String writes the request as ParseRequest reads it, the same text for the
// same wish.
func (r Request) String() string {
	if r.FQAN == "" {
		return r.VO
	}
	return r.VO + ":" + canonical(r.FQAN)
}

// canonical drops what means nothing: servers write "/vo/Role=NULL/Capability=NULL"
// for "/vo".
func canonical(fqan string) string {
	return strings.TrimSuffix(strings.TrimSuffix(fqan, "/Capability=NULL"), "/Role=NULL")
}

// MissingError says which wish attributes do not fulfil.
type MissingError struct {
	Want  Request
	First bool     // the wish was to have it as the first
	Got   []string // all FQANs there are
}

// Error implements error.
func (e *MissingError) Error() string {
	got := "none"
	if len(e.Got) > 0 {
		got = summary(e.Got)
	}
	if e.First {
		return fmt.Sprintf("the proxy does not have the VOMS attribute %s as its first; it has: %s", e.Want, got)
	}
	return fmt.Sprintf("the proxy lacks the VOMS attribute %s; it has: %s", e.Want, got)
}

// maxShown bounds the list of FQANs in an error text; a server may send
// megabytes of them.
const maxShown = 500

func summary(fqans []string) string {
	var b strings.Builder
	for i, fqan := range fqans {
		if b.Len()+len(fqan) > maxShown {
			fmt.Fprintf(&b, "and %d more", len(fqans)-i)
			break
		}
		b.WriteString(fqan)
		if i < len(fqans)-1 {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// Satisfies checks attributes against wishes: each FQAN must be there, the
// first wish as the first attribute of all, because servers go by that one. A
// wish for a VO alone needs any FQAN of it. Errors are *MissingError.
func Satisfies(got []Attributes, want []Request) error {
	for i, w := range want {
		present, first := false, false
		for j := range got {
			for k, fqan := range got[j].FQANs {
				if !w.fulfilledBy(got[j].VO, fqan) {
					continue
				}
				present = true
				first = first || j == 0 && k == 0
			}
		}
		if !present || i == 0 && !first {
			return &MissingError{Want: w, First: present, Got: allFQANs(got)}
		}
	}
	return nil
}

func (r Request) fulfilledBy(vo, fqan string) bool {
	return vo == r.VO && (r.FQAN == "" || canonical(fqan) == canonical(r.FQAN))
}

func allFQANs(got []Attributes) []string {
	var out []string
	for _, a := range got {
		out = append(out, a.FQANs...)
	}
	return out
}
