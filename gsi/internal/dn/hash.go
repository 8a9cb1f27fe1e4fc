package dn

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Hash is the name of a CA's files since OpenSSL 1.0: the first four bytes,
// little-endian, of the SHA-1 of the canonical encoding (crypto/x509/x_name.c,
// x509_name_canon). SHA-1 is no security here, only a file name.
func Hash(raw []byte) (string, error) {
	attrs, err := Parse(raw)
	if err != nil {
		return "", err
	}
	var canon []byte
	for start := 0; start < len(attrs); {
		end := start + 1
		for end < len(attrs) && attrs[end].With {
			end++
		}
		set, err := canonicalElement(attrs[start:end])
		if err != nil {
			return "", err
		}
		canon = append(canon, set...)
		start = end
	}
	sum := sha1.Sum(canon)
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:])), nil
}

// HashOld is the name of a CA's files before OpenSSL 1.0: MD5 over the DER.
func HashOld(raw []byte) string {
	sum := md5.Sum(raw)
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:]))
}

func canonicalElement(attrs []Attribute) ([]byte, error) {
	var pairs [][]byte
	for i := range attrs {
		value := attrs[i].Raw
		if attrs[i].isText() {
			s, ok := attrs[i].utf8()
			if !ok {
				return nil, errors.New("distinguished name has a malformed string")
			}
			der, err := asn1.Marshal(asn1.RawValue{Tag: tagUTF8, Bytes: foldText(s)})
			if err != nil {
				return nil, err
			}
			value = der
		}
		pair, err := asn1.Marshal(struct {
			OID   asn1.ObjectIdentifier
			Value asn1.RawValue
		}{attrs[i].OID, asn1.RawValue{FullBytes: value}})
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair)
	}
	slices.SortFunc(pairs, bytes.Compare) // DER: a SET OF is sorted
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: bytes.Join(pairs, nil)})
}

// isText is OpenSSL's ASN1_MASK_CANON; numeric strings are not in it.
func (a *Attribute) isText() bool {
	switch a.Tag {
	case tagUTF8, tagPrintable, tagT61, tagIA5, tagVisible, tagUniversal, tagBMP:
		return true
	}
	return false
}

// foldText drops spaces at both ends, makes runs of spaces one and letters of
// ASCII small; other bytes stay.
func foldText(s string) []byte {
	out := make([]byte, 0, len(s))
	space := false
	for i := range len(s) {
		c := s[i]
		switch {
		case c == ' ' || c >= '\t' && c <= '\r':
			space = len(out) > 0
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		if space {
			out = append(out, ' ')
			space = false
		}
		out = append(out, c)
	}
	return out
}
