package voms

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"slices"
	"testing"
)

// TestOddForms: what other software has written, or never will, is read as far
// as it can be shown to somebody, and never verified.
func TestOddForms(t *testing.T) {
	_, v1, err := parseChanged(t, func(info *signedInfo) {
		info.Holder.Base.Issuer = info.Holder.Base.Issuer[:0]
	})
	if err != nil || v1[0].HolderSerial != nil || v1[0].HolderIssuer != "" {
		t.Errorf("a holder without a name: %+v, %v", v1, err)
	}
	opts, two, err := parseChanged(t, func(info *signedInfo) { info.Attributes = append(info.Attributes, info.Attributes[0]) })
	if err != nil || len(two[0].FQANs) != len(opts.FQANs) {
		t.Errorf("two lists of FQANs: %q, %v", two[0].FQANs, err)
	}
	if err := Verify(&two[0], VerifyOptions{Now: testTime, Holder: opts.Holder}); reasonOf(err) != ReasonMalformed {
		t.Errorf("two lists of FQANs: %v", err)
	}
	if err := Verify(&Attributes{VO: "labvo", Host: "a.b:1"}, VerifyOptions{}); reasonOf(err) != ReasonMalformed {
		t.Errorf("made by hand: %v", err)
	}
	if err := Verify(&two[0], VerifyOptions{}); reasonOf(err) != ReasonMalformed {
		t.Errorf("no options: %v", err)
	}
}

// Places of the elements of AttributeCertificateInfo.
const (
	atHolder = iota + 1
	atIssuer
	atAlgorithm
	atSerial
	atValidity
	atAttributes
	atExtensions
)

// signElements signs an info whose elements a test has changed, and adds more
// behind the signature.
func signElements(t testing.TB, opts SignOptions, change func([]asn1.RawValue) []asn1.RawValue, behind ...byte) []byte {
	t.Helper()
	info, err := newInfo(opts)
	if err != nil {
		t.Fatal(err)
	}
	var elements []asn1.RawValue
	if _, err := asn1.Unmarshal(marshal(t, *info), &elements); err != nil {
		t.Fatal(err)
	}
	der := marshal(t, change(elements))
	signature, err := signBytes(opts.Key, crypto.SHA256, der)
	if err != nil {
		t.Fatal(err)
	}
	bits := marshal(t, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)})
	return marshal(t, seq(marshal(t, seq(marshal(t, seq(der, marshal(t, info.Signature), bits, behind))))))
}

func context(tag int, body ...[]byte) []byte {
	der, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: bytes.Join(body, nil)})
	if err != nil {
		panic(err)
	}
	return der
}

// TestOddElements: what the types of asn1.go leave open. All of it is signed by
// the right server; none of it is what a server writes.
func TestOddElements(t *testing.T) {
	opts, _ := sign(t)
	raw := func(der []byte) asn1.RawValue { return asn1.RawValue{FullBytes: der} }
	set := func(at int, der func(old asn1.RawValue) []byte) func([]asn1.RawValue) []asn1.RawValue {
		return func(e []asn1.RawValue) []asn1.RawValue {
			e[at] = raw(der(e[at]))
			return e
		}
	}
	fqans := func(authority, values []byte) func(asn1.RawValue) []byte {
		return func(asn1.RawValue) []byte {
			syntax := marshal(t, seq(authority, marshal(t, seq(values))))
			attr := seq(marshal(t, oidFQANs), marshal(t, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: syntax}))
			return marshal(t, seq(marshal(t, attr)))
		}
	}
	uri := marshal(t, authorityURI(opts)[0])
	fqan := marshal(t, []byte("/labvo"))
	same := func(e []asn1.RawValue) []asn1.RawValue { return e }
	for _, tt := range []struct {
		why  string
		der  []byte
		want Reason // "-": Parse refuses
	}{
		{"nothing odd", signElements(t, opts, same), ""},
		{"FQANs as they should be", signElements(t, opts, set(atAttributes, fqans(context(0, uri), fqan))), ""},
		{"one more element", signElements(t, opts, func(e []asn1.RawValue) []asn1.RawValue {
			return append(e, raw([]byte{5, 0}))
		}), ReasonMalformed},
		{"one more element that is not signed", signElements(t, opts, same, 5, 0), ReasonMalformed},
		{"a unique ID of the issuer", signElements(t, opts, func(e []asn1.RawValue) []asn1.RawValue {
			return slices.Insert(e, atExtensions, raw([]byte{3, 2, 0, 1}))
		}), ""},
		{"no extensions", signElements(t, opts, func(e []asn1.RawValue) []asn1.RawValue { return e[:atExtensions] }), ReasonMalformed},
		{"extensions of another type", signElements(t, opts, set(atExtensions, func(asn1.RawValue) []byte { return []byte{12, 1, 'x'} })), "-"},
		{"holder's digest", signElements(t, opts, set(atHolder, func(old asn1.RawValue) []byte {
			return marshal(t, seq(old.Bytes, context(2, []byte{5, 0})))
		})), ReasonHolder},
		{"holder's unique ID", signElements(t, opts, set(atHolder, func(old asn1.RawValue) []byte {
			var base asn1.RawValue
			if _, err := asn1.Unmarshal(old.Bytes, &base); err != nil {
				t.Fatal(err)
			}
			return marshal(t, seq(context(0, base.Bytes, []byte{3, 2, 0, 1})))
		})), ReasonHolder},
		{"holder's name only", signElements(t, opts, set(atHolder, func(asn1.RawValue) []byte {
			return marshal(t, seq(context(1, marshal(t, directoryName(opts.Holder.RawSubject)[0]))))
		})), ReasonHolder},
		{"nobody as the holder", signElements(t, opts, set(atHolder, func(asn1.RawValue) []byte { return []byte{0x30, 0} })), ReasonHolder},
		{"issuer in the form of version 1", signElements(t, opts, set(atIssuer, func(asn1.RawValue) []byte {
			return marshal(t, directoryName(opts.Issuer.RawSubject))
		})), ReasonMalformed},
		{"issuer with more than a name", signElements(t, opts, set(atIssuer, func(old asn1.RawValue) []byte {
			return context(0, old.Bytes, []byte{5, 0})
		})), ReasonMalformed},
		{"issuer in another form", signElements(t, opts, set(atIssuer, func(old asn1.RawValue) []byte { return context(1, old.Bytes) })), ReasonMalformed},
		{"issuer without a name", signElements(t, opts, set(atIssuer, func(asn1.RawValue) []byte { return context(0, []byte{0x30, 0}) })), "-"},
		{"FQAN as a text", signElements(t, opts, set(atAttributes, fqans(context(0, uri), []byte("\x0c\x06/labvo")))), ReasonMalformed},
		{"FQAN as an OID", signElements(t, opts, set(atAttributes, fqans(context(0, uri), []byte{6, 1, 42}))), ReasonMalformed},
		{"no name of the VO", signElements(t, opts, set(atAttributes, fqans(nil, fqan))), ReasonMalformed},
		{"two names of the VO", signElements(t, opts, set(atAttributes, fqans(context(0, uri, uri), fqan))), ReasonMalformed},
		{"name of the VO without a server", signElements(t, opts, set(atAttributes, fqans(context(0, []byte("\x86\x05labvo")), fqan))), ReasonMalformed},
		{"a list as an attribute's value", signElements(t, opts, set(atAttributes, func(asn1.RawValue) []byte {
			return marshal(t, seq(marshal(t, seq(marshal(t, oidFQANs), []byte{0x30, 0}))))
		})), "-"},
	} {
		got, err := parseExtension(tt.der)
		if (err != nil) != (tt.want == "-") {
			t.Errorf("%s: %v", tt.why, err)
		}
		if err != nil {
			continue
		}
		err = Verify(&got[0], VerifyOptions{Now: testTime, Holder: opts.Holder})
		if reasonOf(err) != tt.want || (err == nil) != (tt.want == "") {
			t.Errorf("%s: got %v, want %s", tt.why, err, tt.want)
		}
	}
}

// TestOddSignature: bits that are no bytes.
func TestOddSignature(t *testing.T) {
	_, ext := sign(t)
	ac := firstAC(t, ext)
	bits := marshal(t, asn1.BitString{Bytes: ac.Signature.Bytes, BitLength: 8 * len(ac.Signature.Bytes)})
	at := bytes.LastIndex(ext.Value, bits)
	for unused := byte(0); unused < 8; unused++ {
		der := bytes.Clone(ext.Value)
		der[at+2], der[len(der)-1] = unused, der[len(der)-1]>>unused<<unused // DER wants zeros there
		got, err := parseExtension(der)
		if err != nil {
			t.Fatal(err)
		}
		if d := got[0].defect; (d != nil) != (unused > 0) {
			t.Errorf("%d unused bits: %v", unused, d)
		}
	}
}
