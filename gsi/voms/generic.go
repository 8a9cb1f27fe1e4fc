package voms

import (
	"encoding/asn1"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxGeneric bounds the generic attributes of one attribute certificate.
const maxGeneric = 1024

// GenericAttribute is a name and a value that a VO gives its member, "nickname"
// and "jdoe" for example. Bytes that are no printable UTF-8 stand as \xHH.
type GenericAttribute struct {
	Name, Value string
	// Qualifier says where it holds: the name of the VO, or a FQAN.
	Qualifier string
}

// String writes "name = value (qualifier)", as voms-proxy-info does.
func (g GenericAttribute) String() string {
	return fmt.Sprintf("%s = %s (%s)", g.Name, g.Value, g.Qualifier)
}

// genericHolder is one provider's attributes, and genericTag one of them
// (the certificate profile of VOMS, section 3.4.2, "tags").
type genericHolder struct {
	Grantor asn1.RawValue // GeneralNames
	Tags    asn1.RawValue // SEQUENCE OF genericTag
}

type genericTag struct{ Name, Value, Qualifier []byte }

// setGeneric reads SEQUENCE { SEQUENCE OF genericHolder }. The list is empty
// in attribute certificates of servers before 1.9.
func (a *Attributes) setGeneric(der []byte) error {
	list, err := only(der)
	if err != nil {
		return err
	}
	return each(list, maxNames, func(v asn1.RawValue) error {
		var holder genericHolder
		if err := whole(v.FullBytes, &holder); err != nil {
			return err
		}
		if err := a.checkGrantor(holder.Grantor); err != nil {
			return err
		}
		return each(holder.Tags, maxGeneric, func(v asn1.RawValue) error {
			var tag genericTag
			if err := whole(v.FullBytes, &tag); err != nil || len(a.Generic) == maxGeneric {
				return errMalformed
			}
			a.Generic = append(a.Generic, GenericAttribute{printable(tag.Name), printable(tag.Value), printable(tag.Qualifier)})
			return nil
		})
	})
}

// checkGrantor: the attributes must be of the VO whose server signed them.
func (a *Attributes) checkGrantor(names asn1.RawValue) error {
	return each(names, maxNames, func(name asn1.RawValue) error {
		vo, _, ok := strings.Cut(string(name.Bytes), "://")
		if !isContext(name, tagURI) || !ok || vo != a.VO {
			a.odd(ReasonVO, "the attribute certificate holds generic attributes of another VO")
		}
		return nil
	})
}

// printable keeps what a terminal shows as it is.
func printable(text []byte) string {
	if s := string(text); utf8.Valid(text) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			b.Write(text[:n])
		} else {
			for _, c := range text[:n] {
				fmt.Fprintf(&b, `\x%02X`, c)
			}
		}
		text = text[n:]
	}
	return b.String()
}
