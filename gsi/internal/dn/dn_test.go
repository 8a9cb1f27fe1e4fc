package dn

import (
	"encoding/asn1"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type part struct {
	oid   string
	tag   int
	value string
	with  bool
}

// build makes a name, string types included, which pkix.Name cannot.
func build(t testing.TB, parts ...part) []byte {
	t.Helper()
	var rdns, pairs [][]byte
	flush := func() {
		if len(pairs) > 0 {
			slices.SortFunc(pairs, slices.Compare)
			rdns = append(rdns, tlv(t, asn1.TagSet, pairs...))
		}
		pairs = nil
	}
	for _, p := range parts {
		var oid asn1.ObjectIdentifier
		for _, n := range strings.Split(p.oid, ".") {
			v := 0
			for _, d := range n {
				v = 10*v + int(d-'0')
			}
			oid = append(oid, v)
		}
		if !p.with {
			flush()
		}
		der, err := asn1.Marshal(struct {
			OID   asn1.ObjectIdentifier
			Value asn1.RawValue
		}{oid, asn1.RawValue{Tag: p.tag, Bytes: []byte(p.value)}})
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, der)
	}
	flush()
	return tlv(t, asn1.TagSequence, rdns...)
}

func tlv(t testing.TB, tag int, parts ...[]byte) []byte {
	t.Helper()
	der, err := asn1.Marshal(asn1.RawValue{Tag: tag, IsCompound: true, Bytes: slices.Concat(parts...)})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

const (
	c, o, cn, ou = "2.5.4.6", "2.5.4.10", "2.5.4.3", "2.5.4.11"
	dc           = "0.9.2342.19200300.100.1.25"
	uid          = "0.9.2342.19200300.100.1.1"
	email        = "1.2.840.113549.1.9.1"
)

// names are the cases of all tests: the text forms are what OpenSSL 3.0.19
// prints with -nameopt compat and RFC2253, but for '/' and '+' in values.
func names(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"plain":          build(t, part{c, tagPrintable, "XX", false}, part{o, tagUTF8, "Lab", false}, part{cn, tagPrintable, "Jane Doe", false}),
		"domains":        build(t, part{dc, tagIA5, "org", false}, part{dc, tagIA5, "example", false}, part{uid, tagUTF8, "jane", false}, part{email, tagIA5, "jane@example.org", false}),
		"service":        build(t, part{c, tagPrintable, "XX", false}, part{cn, tagUTF8, "host/a.example.org", false}),
		"latin and utf8": build(t, part{o, tagT61, "M\xfcnchen", false}, part{cn, tagUTF8, "Jürgen", false}),
		"bmp":            build(t, part{cn, tagBMP, "\x00J\x20\xac", false}),
		"universal":      build(t, part{cn, tagUniversal, "\x00\x00\x00J\x00\x01\xf6\x00", false}),
		"specials":       build(t, part{o, tagUTF8, `a,b+c"d\e<f>g;h=i`, false}, part{cn, tagUTF8, "# x ", false}),
		"spaces":         build(t, part{o, tagUTF8, " A  b ", false}, part{cn, tagUTF8, " ", false}),
		"controls":       build(t, part{cn, tagUTF8, "a\n\x00\x7fb", false}),
		"multi":          build(t, part{c, tagPrintable, "XX", false}, part{ou, tagUTF8, "Unit", false}, part{cn, tagUTF8, "Jane", true}),
		"unknown type":   build(t, part{"1.2.3.4", tagUTF8, "x", false}, part{cn, tagUTF8, "y", false}),
		"no string":      build(t, part{cn, 2, "\x05", false}),
		"empty value":    build(t, part{o, tagUTF8, "", false}, part{cn, tagUTF8, "x", false}),
		"empty":          build(t),
	}
}

func TestTexts(t *testing.T) {
	for name, want := range map[string][2]string{
		"plain":          {"/C=XX/O=Lab/CN=Jane Doe", "CN=Jane Doe,O=Lab,C=XX"},
		"domains":        {"/DC=org/DC=example/UID=jane/emailAddress=jane@example.org", "emailAddress=jane@example.org,UID=jane,DC=example,DC=org"},
		"service":        {"/C=XX/CN=host/a.example.org", "CN=host/a.example.org,C=XX"},
		"latin and utf8": {`/O=M\xFCnchen/CN=J\xC3\xBCrgen`, `CN=J\C3\BCrgen,O=M\C3\BCnchen`},
		"bmp":            {`/CN=\x00J \xAC`, `CN=J\E2\82\AC`},
		"specials":       {`/O=a,b+c"d\e<f>g;h=i/CN=# x `, `CN=\# x\ ,O=a\,b\+c\"d\\e\<f\>g\;h=i`},
		"controls":       {`/CN=a\x0A\x00\x7Fb`, `CN=a\0A\00\7Fb`},
		"multi":          {"/C=XX/CN=Jane+OU=Unit", "OU=Unit+CN=Jane,C=XX"},
		"unknown type":   {"/1.2.3.4=x/CN=y", "CN=y,1.2.3.4=#0C0178"},
		"no string":      {`/CN=\x05`, "CN=#020105"},
		"empty":          {"", ""},
	} {
		raw := names(t)[name]
		if got, err := OneLine(raw); got != want[0] || err != nil {
			t.Errorf("%s: OneLine %q, %v; want %q", name, got, err, want[0])
		}
		if got, err := RFC2253(raw); got != want[1] || err != nil {
			t.Errorf("%s: RFC2253 %q, %v; want %q", name, got, err, want[1])
		}
	}
}

func TestMatch(t *testing.T) {
	n := names(t)
	for _, tt := range []struct {
		name, text string
		want       bool
	}{
		{"plain", "/C=XX/O=Lab/CN=Jane Doe", true},
		{"plain", "/c=XX/o=Lab/cn=Jane Doe", true},
		{"plain", "/C=XX/O=Lab/CN=jane doe", false},
		{"plain", "/C=XX/O=Lab", false},
		{"plain", "/C=XX/O=Lab/CN=Jane Doe/CN=proxy", false},
		{"plain", "/C=XX/O=Lab/CN=Jane Doe ", false},
		{"plain", "CN=Jane Doe,O=Lab,C=XX", true},
		{"plain", "CN=Jane Doe, O=Lab , C = XX", true},
		{"plain", `CN="Jane Doe"; O=Lab; C=XX`, true},
		{"plain", `cn=Jane\20Doe,o=Lab,c=XX`, true},
		{"plain", "C=XX,O=Lab,CN=Jane Doe", false},
		{"plain", "CN=Jane Doe,O=Lab", false},
		{"plain", "CN=Jane Doe,O=Lab,C=XX,", false},
		{"plain", "CN=Jane Doe+O=Lab,C=XX", false},
		{"plain", "OID.2.5.4.3=Jane Doe,2.5.4.10=Lab,C=XX", true},
		{"plain", "", false},
		{"domains", "/DC=org/DC=example/UID=jane/emailAddress=jane@example.org", true},
		{"domains", "/DC=org/DC=example/USERID=jane/Email=jane@example.org", true},
		{"domains", "E=jane@example.org, UserId=jane, DC=example, DC=org", true},
		{"domains", "DC=org, DC=example", false},
		{"service", "/C=XX/CN=host/a.example.org", true},
		{"service", `/C=XX/CN=host\/a.example.org`, true},
		{"service", `/C=XX/CN=host\a.example.org`, false},
		{"service", "CN=host/a.example.org,C=XX", true},
		{"latin and utf8", `/O=M\xFCnchen/CN=J\xc3\xbcrgen`, true},
		{"latin and utf8", "CN=Jürgen,O=München", true},
		{"latin and utf8", `CN=J\C3\BCrgen,O=M\c3\bcnchen`, true},
		{"bmp", "CN=J€", true},
		{"specials", `CN=\# x\ ,O=a\,b\+c\"d\\e\<f\>g\;h=i`, true},
		{"specials", `CN="# x ",O="a,b+c\"d\\e<f>g;h=i"`, true},
		{"specials", `CN=\# x,O=a\,b\+c\"d\\e\<f\>g\;h=i`, false},
		{"multi", "/C=XX/CN=Jane+OU=Unit", true},
		{"multi", "/C=XX/CN=Jane/OU=Unit", true},
		{"multi", "OU=Unit+CN=Jane,C=XX", true},
		{"multi", "CN=Jane + OU=Unit, C=XX", true},
		{"multi", "CN=Jane,OU=Unit,C=XX", false},
		{"unknown type", "CN=y,1.2.3.4=#0c0178", true},
		{"unknown type", "CN=y,1.2.3.4=x", true},
		{"unknown type", "CN=y,1.2.3.4=#0c0179", false},
		{"unknown type", "/=x/CN=y", false},
		{"unknown type", "CN=y,=x", false},
		{"empty", "", false},
		{"empty", "/", false},
	} {
		if got := Match(n[tt.name], tt.text); got != tt.want {
			t.Errorf("%s: Match %q is %v", tt.name, tt.text, got)
		}
	}
}

// TestOwnTextsMatch: each name is known by both of its texts, and no other.
func TestOwnTextsMatch(t *testing.T) {
	all := names(t)
	for name, raw := range all {
		for _, write := range []func([]byte) (string, error){OneLine, RFC2253} {
			text, err := write(raw)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for other, raw := range all {
				if got := Match(raw, text); got != (name == other && name != "empty") {
					t.Errorf("%q of %q matches %q: %v", text, name, other, got)
				}
			}
		}
	}
}

func TestAppendAndCut(t *testing.T) {
	for name, raw := range names(t) {
		longer, err := AppendCN(raw, "4711")
		if err != nil {
			t.Fatal(err)
		}
		parent, value, ok := CutCN(longer)
		if !ok || value != "4711" || !slices.Equal(parent, raw) {
			t.Errorf("%s: cut into %x and %q", name, parent, value)
		}
	}
	n := names(t)
	if got := CNs(n["multi"]); !slices.Equal(got, []string{"Jane"}) {
		t.Errorf("CNs: %q", got)
	}
	// A CN that cannot be read must not let the one before it pass for the last.
	if got := CNs(build(t, part{cn, tagUTF8, "a", false}, part{cn, tagUTF8, "\xff", false})); !slices.Equal(got, []string{"a", ""}) {
		t.Errorf("CNs: %q", got)
	}
	if _, _, ok := CutCN(n["multi"]); ok {
		t.Error("a CN that shares its element with an OU was cut off")
	}
	if _, _, ok := CutCN(n["domains"]); ok {
		t.Error("an e-mail address was cut off as a CN")
	}
}

func TestMalformed(t *testing.T) {
	good := names(t)["plain"]
	for why, raw := range map[string][]byte{
		"nothing":        nil,
		"cut off":        good[:len(good)-1],
		"trailing byte":  append(slices.Clone(good), 0),
		"a set":          tlv(t, asn1.TagSet),
		"empty element":  tlv(t, asn1.TagSequence, tlv(t, asn1.TagSet)),
		"text inside":    tlv(t, asn1.TagSequence, []byte{12, 1, 'x'}),
		"too many":       tlv(t, asn1.TagSequence, slices.Repeat(good[2:15], maxAttributes+1)),
		"far too long":   make([]byte, maxBytes+1),
		"value missing":  tlv(t, asn1.TagSequence, tlv(t, asn1.TagSet, tlv(t, asn1.TagSequence, []byte{6, 1, 42}))),
		"element is raw": tlv(t, asn1.TagSequence, []byte{0x31}),
	} {
		if text, err := OneLine(raw); err == nil {
			t.Errorf("%s: %q", why, text)
		}
		if Match(raw, "/C=XX") {
			t.Errorf("%s matches", why)
		}
	}
}

// TestAgainstOpenSSL asks openssl for texts and hashes of the same names.
func TestAgainstOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("X509CH_LAB") == "require" {
			t.Fatal("openssl is not installed (Debian: openssl)")
		}
		t.Skip("openssl is not installed (Debian: openssl)")
	}
	all := names(t)
	delete(all, "empty")
	delete(all, "no string") // OpenSSL does not load such a certificate
	var types []part
	for oid := range shortNames {
		types = append(types, part{oid, tagUTF8, "x", false})
	}
	all["all types"] = build(t, types...)
	for name, raw := range all {
		file := filepath.Join(t.TempDir(), "c.pem")
		if err := os.WriteFile(file, certificateOf(t, raw), 0o600); err != nil {
			t.Fatal(err)
		}
		ask := func(args ...string) []string {
			out, err := exec.Command("openssl", append([]string{"x509", "-noout", "-in", file}, args...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: openssl %v: %v\n%s", name, args, err, out)
			}
			return strings.Split(strings.TrimPrefix(string(out), "subject="), "\n")
		}
		oneLine, err := OneLine(raw)
		if err != nil {
			t.Fatal(err)
		}
		want := ask("-nameopt", "compat", "-subject", "-subject_hash", "-subject_hash_old")
		// OpenSSL 3 escapes every '/' and '+' of a value, older ones none.
		if strings.NewReplacer(`\/`, "/", `\+`, "+").Replace(want[0]) != oneLine {
			t.Errorf("%s: OneLine %q, openssl %q", name, oneLine, want[0])
		} else if !Match(raw, want[0]) {
			t.Errorf("%s: does not match openssl's %q", name, want[0])
		}
		hash, err := Hash(raw)
		if err != nil {
			t.Fatal(err)
		}
		if hash != want[1] || HashOld(raw) != want[2] {
			t.Errorf("%s: hashes %s and %s, openssl %s and %s", name, hash, HashOld(raw), want[1], want[2])
		}
		rfc, err := RFC2253(raw)
		if err != nil {
			t.Fatal(err)
		}
		if want := ask("-nameopt", "RFC2253", "-subject")[0]; want != rfc {
			t.Errorf("%s: RFC2253 %q, openssl %q", name, rfc, want)
		}
	}
}

// certificateOf wraps a name into what openssl takes for a certificate; its
// signature is nonsense, nobody looks.
func certificateOf(t testing.TB, subject []byte) []byte {
	t.Helper()
	algorithm := tlv(t, asn1.TagSequence, []byte{6, 3, 0x2b, 0x65, 0x70}) // Ed25519
	validity := tlv(t, asn1.TagSequence, []byte("\x17\x0d260101000000Z"), []byte("\x17\x0d360101000000Z"))
	key := tlv(t, asn1.TagSequence, algorithm, append([]byte{3, 33, 0}, make([]byte, 32)...))
	tbs := tlv(t, asn1.TagSequence, []byte{0xa0, 3, 2, 1, 2}, []byte{2, 1, 1}, algorithm, subject, validity, subject, key)
	der := tlv(t, asn1.TagSequence, tbs, algorithm, append([]byte{3, 65, 0}, make([]byte, 64)...))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func FuzzTexts(f *testing.F) {
	for _, raw := range names(f) {
		text, _ := OneLine(raw)
		f.Add(raw, text)
		text, _ = RFC2253(raw)
		f.Add(raw, text)
	}
	f.Fuzz(func(t *testing.T, raw []byte, text string) {
		Match(raw, text)
		_, _, _ = CutCN(raw)
		_ = CNs(raw)
		_, _ = Hash(raw)
		attrs, err := Parse(raw)
		if err != nil || len(attrs) == 0 {
			return
		}
		for _, write := range []func([]byte) (string, error){OneLine, RFC2253} {
			own, err := write(raw)
			if err != nil {
				t.Fatalf("parsed but not written: %v", err)
			}
			if strings.IndexFunc(own, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
				t.Fatalf("%q is not printable ASCII", own)
			}
			if !Match(raw, own) {
				t.Fatalf("does not match its own text %q", own)
			}
		}
	})
}
