package main

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"
	"unicode"
)

// FuzzShow: whatever a file holds, no page panics, none has anything in it that
// a terminal would obey, and the JSON is what the schema says.
func FuzzShow(f *testing.F) {
	g := newProxyLab(f, showTime)
	for _, data := range samples(g) {
		first, rest := pem.Decode(data)
		f.Add(first.Bytes, rest)
	}
	f.Add([]byte{}, []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	schema := compileSchema(f, "show")
	asked := map[string]bool{}
	for _, list := range [][]valueFlag{proxyValues, acValues} {
		for _, v := range list {
			asked[v.name] = true
		}
	}
	o := &showOptions{all: true, chain: true, exists: true, acexists: []string{"labvo"}, asked: asked}
	f.Fuzz(func(t *testing.T, der, rest []byte) {
		data := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), rest...)
		s, err := parseProxy(&proxyFile{path: "-", stdin: true}, data, showTime)
		if err != nil {
			return
		}
		for _, p := range []page{{}, {width: 40}} {
			checkPlain(t, p.proxy(s, false))
		}
		var b strings.Builder
		v := values{s, o, &b}
		v.page()
		for name := range asked {
			v.ofProxy(name)
			for _, a := range s.acs {
				v.ofAC(name, a)
			}
		}
		if why := v.whyNot(); (why == "") && !s.good() {
			t.Error("status 0 for what is not good")
		}
		checkPlain(t, b.String())
		var out bytes.Buffer
		if err := writeJSON(&out, s.json(false)); err != nil {
			t.Fatal(err)
		}
		if err := validate(schema, out.Bytes()); err != nil {
			t.Errorf("%v\n%s", err, &out)
		}
	})
}

func checkPlain(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%U in %q", r, text)
			return
		}
	}
}
