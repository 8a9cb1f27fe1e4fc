// Package dn reads distinguished names in DER and writes and compares the two
// text forms that the grid uses for them. It works on raw DER because
// pkix.Name forgets string types and the grouping of attributes.
package dn

import (
	"encoding/asn1"
	"errors"
	"fmt"
)

// Limits of what is read: far above any certificate seen in a grid.
const (
	maxBytes      = 64 << 10
	maxAttributes = 128
)

// Attribute is one attribute of a name.
type Attribute struct {
	OID  asn1.ObjectIdentifier
	Tag  int    // universal tag of the value
	Raw  []byte // the value with its tag and length
	Body []byte // the value's bytes

	// With is set where the attribute shares its relative distinguished name
	// with the attribute before it.
	With bool
}

// Parse reads a name, the outermost element first as it stands in DER.
func Parse(raw []byte) ([]Attribute, error) {
	if len(raw) > maxBytes {
		return nil, fmt.Errorf("distinguished name is longer than %d bytes", maxBytes)
	}
	rdns, err := RDNs(raw)
	if err != nil {
		return nil, err
	}
	var out []Attribute
	for _, rdn := range rdns {
		attrs, err := parseRDN(rdn)
		if err != nil {
			return nil, err
		}
		out = append(out, attrs...)
		if len(out) > maxAttributes {
			return nil, fmt.Errorf("distinguished name has more than %d attributes", maxAttributes)
		}
	}
	return out, nil
}

// RDNs cuts a name into its relative distinguished names, each with its tag
// and length.
func RDNs(raw []byte) ([][]byte, error) {
	var seq asn1.RawValue
	rest, err := asn1.Unmarshal(raw, &seq)
	if err != nil || len(rest) > 0 || seq.Class != asn1.ClassUniversal || seq.Tag != asn1.TagSequence || !seq.IsCompound {
		return nil, errors.New("distinguished name is not a DER sequence")
	}
	var out [][]byte
	for rest = seq.Bytes; len(rest) > 0; {
		var rdn asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &rdn); err != nil {
			return nil, errors.New("distinguished name is cut off")
		}
		if len(out) == maxAttributes {
			return nil, fmt.Errorf("distinguished name has more than %d elements", maxAttributes)
		}
		out = append(out, rdn.FullBytes)
	}
	return out, nil
}

func parseRDN(rdn []byte) ([]Attribute, error) {
	bad := errors.New("distinguished name has a malformed element")
	var set asn1.RawValue
	if _, err := asn1.Unmarshal(rdn, &set); err != nil || set.Class != asn1.ClassUniversal || set.Tag != asn1.TagSet {
		return nil, bad
	}
	var out []Attribute
	for rest := set.Bytes; len(rest) > 0; {
		var pair struct {
			OID   asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		var err error
		if rest, err = asn1.Unmarshal(rest, &pair); err != nil || len(out) == maxAttributes {
			return nil, bad
		}
		out = append(out, Attribute{
			OID: pair.OID, Tag: tagOf(pair.Value), Raw: pair.Value.FullBytes, Body: pair.Value.Bytes, With: len(out) > 0,
		})
	}
	if len(out) == 0 {
		return nil, bad
	}
	return out, nil
}

func tagOf(v asn1.RawValue) int {
	if v.Class != asn1.ClassUniversal || v.IsCompound {
		return -1
	}
	return v.Tag
}

// AppendCN returns the name with one more element CN=cn at its end. Every byte
// of the old name stays as it is: a proxy's subject is its issuer's subject
// and one more CN (RFC 3820 section 3.4), and relying parties compare bytes.
func AppendCN(raw []byte, cn string) ([]byte, error) {
	if _, err := Parse(raw); err != nil {
		return nil, err
	}
	var seq asn1.RawValue
	if _, err := asn1.Unmarshal(raw, &seq); err != nil {
		return nil, err
	}
	value, err := asn1.MarshalWithParams(cn, "printable")
	if err != nil {
		return nil, err
	}
	pair, err := asn1.Marshal(struct {
		OID   asn1.ObjectIdentifier
		Value asn1.RawValue
	}{oidCN, asn1.RawValue{FullBytes: value}})
	if err != nil {
		return nil, err
	}
	set, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: pair})
	if err != nil {
		return nil, err
	}
	body := append(append([]byte(nil), seq.Bytes...), set...)
	return asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: body})
}

// CutCN splits a name into everything before its last element and the value of
// that element. ok is false unless the element is a single CN.
func CutCN(raw []byte) (parent []byte, cn string, ok bool) {
	rdns, err := RDNs(raw)
	if err != nil || len(rdns) == 0 {
		return nil, "", false
	}
	last, err := parseRDN(rdns[len(rdns)-1])
	if err != nil || len(last) != 1 || !last[0].OID.Equal(oidCN) {
		return nil, "", false
	}
	var body []byte
	for _, rdn := range rdns[:len(rdns)-1] {
		body = append(body, rdn...)
	}
	parent, err = asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: body})
	if err != nil {
		return nil, "", false
	}
	return parent, string(last[0].Body), true
}

// CNs returns the values of every CN in the name as UTF-8, "" for one that is
// no text.
func CNs(raw []byte) []string {
	attrs, err := Parse(raw)
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range attrs {
		if !a.OID.Equal(oidCN) {
			continue
		}
		s, ok := a.utf8()
		if !ok {
			s = ""
		}
		out = append(out, s)
	}
	return out
}
