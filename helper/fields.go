package helper

import (
	"encoding/json"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// fields takes a request apart, one field after the other, and remembers the
// first thing that is wrong. Names are case-sensitive: whatever is left in the
// end was not known.
type fields struct {
	path     string
	raw      map[string]json.RawMessage
	optional []string
	err      *Error
}

// take removes a field and returns its text.
func (f *fields) take(name string) (json.RawMessage, bool) {
	raw, ok := f.raw[name]
	delete(f.raw, name)
	return raw, ok && f.err == nil
}

func (f *fields) fail(code Code, format string, args ...any) {
	if f.err == nil {
		f.err = Errorf(code, format, args...)
	}
}

func (f *fields) name(name string) string { return quoteName(join(f.path, name)) }

// str takes a string field. Lone surrogates, which encoding/json turns into
// U+FFFD, are refused: a secret must arrive as it was written.
func (f *fields) str(name string) (string, bool) {
	raw, ok := f.take(name)
	if !ok {
		return "", false
	}
	s, ok := decodeString(raw)
	if !ok {
		f.fail(CodeInvalidRequest, "field %s must be a string", f.name(name))
	}
	return s, ok
}

func decodeString(raw json.RawMessage) (string, bool) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil || strings.ContainsRune(*s, utf8.RuneError) {
		return "", false
	}
	return *s, true
}

// enum takes a string field with a fixed set of values, the first of which is
// the default; "" as the first is none of them. An unknown value of an optional field counts as absent.
func (f *fields) enum(name string, values ...string) string {
	s, ok := f.str(name)
	if !ok {
		return values[0]
	}
	known := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	if !slices.Contains(known, s) {
		if !slices.Contains(f.optional, name) {
			f.fail(CodeUnsupportedFeature, "field %s has no value %s: this helper knows %s",
				f.name(name), quoteName(s), strings.Join(known, ", "))
		}
		return values[0]
	}
	return s
}

// integer takes an integer field within bounds; absent is def.
func (f *fields) integer(name string, def, low, high int64) int64 {
	raw, ok := f.take(name)
	if !ok {
		return def
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	switch {
	case err == nil && n >= low && n <= high:
		return n
	case isNumber(raw):
		f.fail(CodeInvalidRequest, "field %s must be an integer from %d to %d", f.name(name), low, high)
	default:
		f.fail(CodeInvalidRequest, "field %s must be an integer", f.name(name))
	}
	return def
}

func isNumber(raw json.RawMessage) bool {
	return len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9')
}

// boolean takes a bool field; absent is nil.
func (f *fields) boolean(name string) *bool {
	raw, ok := f.take(name)
	if !ok {
		return nil
	}
	switch string(raw) {
	case "true", "false":
		b := string(raw) == "true"
		return &b
	}
	f.fail(CodeInvalidRequest, "field %s must be true or false", f.name(name))
	return nil
}

// strings takes a list of strings; absent is nil, [] is not.
func (f *fields) strings(name string, most int) []string {
	raw, ok := f.take(name)
	if !ok {
		return nil
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil || items == nil {
		f.fail(CodeInvalidRequest, "field %s must be a list of strings", f.name(name))
		return nil
	}
	if len(items) > most {
		f.fail(CodeInvalidRequest, "field %s has more than %d items", f.name(name), most)
		return nil
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		s, ok := decodeString(item)
		if !ok {
			f.fail(CodeInvalidRequest, "field %s must be a list of strings", f.name(name))
			return nil
		}
		list = append(list, s)
	}
	return list
}

// object takes a field that is an object; nil if it is absent or wrong.
func (f *fields) object(name string) *fields {
	raw, ok := f.take(name)
	if !ok {
		return nil
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(raw, &inner) != nil || inner == nil {
		f.fail(CodeInvalidRequest, "field %s must be an object", f.name(name))
		return nil
	}
	return &fields{path: join(f.path, name), raw: inner}
}

// inner takes over the first error of an object's fields.
func (f *fields) inner(o *fields) {
	if err := o.rest(); err != nil && f.err == nil {
		f.err = err
	}
}

// rest returns what is wrong: the first fault, else the first field that
// nobody took and that the caller cannot live without. Ignoring it could hand
// out more power than was asked for.
func (f *fields) rest() *Error {
	if f.err != nil {
		return f.err
	}
	unknown := make([]string, 0, len(f.raw))
	for name := range f.raw {
		if !slices.Contains(f.optional, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	sort.Strings(unknown)
	return Errorf(CodeUnsupportedFeature, "this helper does not know the field %s", f.name(unknown[0])).
		WithHint("a caller that can live without a field lists it in \"optional\"")
}

// quoteName makes a caller's or a file's word fit for a sentence.
func quoteName(s string) string {
	const most = 80
	s = CleanText(s)
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}
