package dn

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const hexDigits = "0123456789ABCDEF"

// OneLine writes the name as OpenSSL's X509_NAME_oneline does: "/DC=org/CN=x",
// bytes outside printable ASCII as \xHH. Unlike OpenSSL 3, and like Globus and
// every gridmap, it leaves '/' and '+' inside a value alone ("CN=host/name"),
// except where the rest would read as another attribute ("a/CN=b"): there they
// get a backslash, so that two names do not share one text. For the same reason
// a backslash of the value itself is written \x5C where it would read as one of
// those marks.
func OneLine(raw []byte) (string, error) {
	attrs, err := Parse(raw)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i := range attrs {
		a := &attrs[i]
		if a.With {
			b.WriteByte('+')
		} else {
			b.WriteByte('/')
		}
		b.WriteString(a.shortName())
		b.WriteByte('=')
		for j, c := range a.Body {
			switch {
			case c < ' ' || c > '~' || looksLikeEscape(a.Body[j:]):
				b.WriteString(`\x`)
				b.WriteByte(hexDigits[c>>4])
				b.WriteByte(hexDigits[c&15])
				continue
			case looksLikeAttribute(a.Body[j:]):
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// looksLikeAttribute reports whether a value's rest would read as the start of
// a new attribute: a separator, a name, an equals sign.
func looksLikeAttribute(rest []byte) bool {
	if rest[0] != '/' && rest[0] != '+' {
		return false
	}
	for i, c := range rest[1:] {
		switch {
		case c == '=':
			return i > 0
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-':
		default:
			return false
		}
	}
	return false
}

// looksLikeEscape reports whether a value's rest begins with a backslash that
// would read as an escape of this text form: before '/' or '+', of this value or
// of the next attribute, and before "x" with two hex digits.
func looksLikeEscape(rest []byte) bool {
	if rest[0] != '\\' {
		return false
	}
	if len(rest) == 1 || rest[1] == '/' || rest[1] == '+' {
		return true
	}
	_, err := hex.DecodeString(string(rest[min(2, len(rest)):min(4, len(rest))]))
	return rest[1] == 'x' && len(rest) >= 4 && err == nil
}

// RFC2253 writes the name as OpenSSL's -nameopt RFC2253 does: the last element
// first, commas without spaces, bytes outside ASCII as \HH of their UTF-8, and
// types it does not know with their value as #hex.
func RFC2253(raw []byte) (string, error) {
	attrs, err := Parse(raw)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i := len(attrs) - 1; i >= 0; i-- {
		a := &attrs[i]
		name := a.shortName()
		b.WriteString(name)
		b.WriteByte('=')
		if s, ok := a.utf8(); ok && name != a.OID.String() {
			escape2253(&b, s)
		} else {
			b.WriteByte('#')
			b.WriteString(strings.ToUpper(hex.EncodeToString(a.Raw)))
		}
		switch {
		case i == 0:
		case a.With:
			b.WriteByte('+')
		default:
			b.WriteByte(',')
		}
	}
	return b.String(), nil
}

// escape2253 writes one value with the escapes of RFC 2253 section 2.4.
func escape2253(b *strings.Builder, s string) {
	for i := range len(s) {
		c := s[i]
		switch {
		case c < ' ' || c > '~':
			b.WriteByte('\\')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
			continue
		case strings.IndexByte(`,+"\<>;`, c) >= 0,
			i == 0 && (c == ' ' || c == '#'),
			i == len(s)-1 && c == ' ':
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
}

// ASN.1 universal tags of the character strings that occur in names.
const (
	tagUTF8      = 12
	tagNumeric   = 18
	tagPrintable = 19
	tagT61       = 20
	tagIA5       = 22
	tagVisible   = 26
	tagUniversal = 28
	tagBMP       = 30
)

// utf8 returns a string value as UTF-8; ok is false for other types and for
// malformed strings. T61 is read as Latin-1, as OpenSSL does.
func (a *Attribute) utf8() (s string, ok bool) {
	switch a.Tag {
	case tagUTF8:
		return string(a.Body), utf8.Valid(a.Body)
	case tagNumeric, tagPrintable, tagT61, tagIA5, tagVisible:
		runes := make([]rune, len(a.Body))
		for i, c := range a.Body {
			runes[i] = rune(c)
		}
		return string(runes), true
	case tagBMP:
		if len(a.Body)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(a.Body)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(a.Body[2*i:])
		}
		runes := utf16.Decode(units)
		return string(runes), slices.Equal(utf16.Encode(runes), units) // no half of a character
	case tagUniversal:
		if len(a.Body)%4 != 0 {
			return "", false
		}
		runes := make([]rune, len(a.Body)/4)
		for i := range runes {
			r := binary.BigEndian.Uint32(a.Body[4*i:])
			if r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
				return "", false
			}
			runes[i] = rune(r)
		}
		return string(runes), true
	}
	return "", false
}
