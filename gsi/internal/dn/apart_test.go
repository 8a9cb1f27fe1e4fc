package dn

import (
	"strings"
	"testing"
)

// TestOneLineIsOfOneName: a value that contains what looks like another
// attribute must not read like one.
func TestOneLineIsOfOneName(t *testing.T) {
	one := build(t, part{cn, tagUTF8, "a/CN=b", false})
	two := build(t, part{cn, tagUTF8, "a", false}, part{cn, tagUTF8, "b", false})
	first, _ := OneLine(one)
	second, _ := OneLine(two)
	if first != `/CN=a\/CN=b` || second != "/CN=a/CN=b" {
		t.Errorf("got %s and %s", first, second)
	}
	if Match(one, second) || Match(two, first) || !Match(one, first) || !Match(two, second) {
		t.Error("the texts match each other's name")
	}
}

// TestNamesApart: names that differ in ways that no honest CA signs do not share
// a text either.
func TestNamesApart(t *testing.T) {
	long := "1.2" + strings.Repeat(".3", 40)
	for why, pair := range map[string][2][]byte{
		"a type of 83 characters":  {build(t, part{cn, tagUTF8, "a/" + long + "=b", false}), build(t, part{cn, tagUTF8, "a", false}, part{long, tagUTF8, "b", false})},
		"UID and uniqueIdentifier": {build(t, part{uid, tagUTF8, "jane", false}), build(t, part{"0.9.2342.19200300.100.1.44", tagUTF8, "jane", false})},
		"halves of a character":    {build(t, part{cn, tagBMP, "\xd8\x00", false}), build(t, part{cn, tagBMP, "\xd8\x01", false})},
		"surrogates":               {build(t, part{cn, tagUniversal, "\x00\x00\xd8\x00", false}), build(t, part{cn, tagUniversal, "\x00\x00\xd8\x01", false})},
	} {
		for _, write := range []func([]byte) (string, error){OneLine, RFC2253} {
			for i, raw := range pair {
				text, err := write(raw)
				if err != nil {
					t.Fatal(err)
				}
				if !Match(raw, text) {
					t.Errorf("%s: %s does not match its own name", why, text)
				}
				if text == "/uid=jane" || text == "uid=jane" {
					continue // everybody but OpenSSL writes UID like that
				}
				if Match(pair[1-i], text) {
					t.Errorf("%s: %s matches the other name", why, text)
				}
			}
		}
	}
}

// TestBackslashes: a backslash in a value must not pass for one that was
// written to mark something.
func TestBackslashes(t *testing.T) {
	var raws [][]byte
	for _, parts := range [][]part{
		{{o, tagUTF8, `a\`, false}, {cn, tagUTF8, "b", false}},
		{{o, tagUTF8, "a/CN=b", false}},
		{{o, tagUTF8, `a\/CN=b`, false}},
		{{o, tagUTF8, "a", false}, {cn, tagUTF8, "b", false}},
		{{o, tagUTF8, "a/b", false}},
		{{o, tagUTF8, `a\/b`, false}},
		{{o, tagUTF8, "a+b", false}},
		{{o, tagUTF8, `a\+b`, false}},
		{{o, tagUTF8, "\xc3", false}},
		{{o, tagUTF8, `\xC3`, false}},
		{{o, tagUTF8, `\xc3`, false}},
		{{o, tagUTF8, `\`, false}},
		{{o, tagUTF8, `\x5C`, false}},
		{{o, tagUTF8, `a\b`, false}},
	} {
		raws = append(raws, build(t, parts...))
	}
	for i, raw := range raws {
		text, err := OneLine(raw)
		if err != nil {
			t.Fatal(err)
		}
		for j, other := range raws {
			if Match(other, text) != (i == j) {
				t.Errorf("%s of name %d matches name %d: %v", text, i, j, i != j)
			}
		}
	}
	if text, _ := OneLine(raws[len(raws)-1]); text != `/O=a\b` {
		t.Errorf("a backslash that misleads nobody is written as %s, OpenSSL leaves it alone", text)
	}
}
