package voms

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

// fuzzOptions are the same in every process: a fuzzer's workers get the inputs
// of another one. Ed25519 signs the same bytes the same way.
func fuzzOptions(f *testing.F) SignOptions {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	opts, _ := sign(f, func(o *SignOptions) {
		o.Issuer, o.Key, o.Serial = newCert(f, "voms.example.org", key), key, big.NewInt(1)
		o.Holder = newCert(f, "Jane", key)
	})
	return opts
}

// fuzzVerify verifies with the one server that is trusted.
func fuzzVerify(a *Attributes, opts SignOptions) error {
	return Verify(a, VerifyOptions{Now: testTime.Add(time.Minute), Holder: opts.Holder, Trust: func(chain []*x509.Certificate) error {
		if !chain[0].Equal(opts.Issuer) {
			return errors.New("another server")
		}
		return nil
	}})
}

// FuzzParse: whatever comes out of an extension can be shown, and Verify
// believes nothing but the very bytes that were signed.
func FuzzParse(f *testing.F) {
	opts := fuzzOptions(f)
	signed := map[string]bool{}
	for _, change := range []func(*SignOptions){
		func(*SignOptions) {},
		func(o *SignOptions) { o.FQANs = nil },
		func(o *SignOptions) { o.Generic = []GenericAttribute{{"nickname", "jdoe", ""}, {"\xff", "\n", "q"}} },
		func(o *SignOptions) { o.Targets = []string{"a.example.org", "b.example.org"} },
		func(o *SignOptions) { o.FQANs = []string{"/other"} },
		func(o *SignOptions) { o.Host = "noport" },
	} {
		o := opts
		change(&o)
		ext, err := Sign(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ext.Value)
		attrs, err := parseExtension(ext.Value)
		if err != nil {
			f.Fatal(err)
		}
		signed[string(attrs[0].Raw)] = true
	}
	odd, err := SignChanged(opts, crypto.SHA256, func(info *signedInfo) {
		info.Version = 0
		info.Holder.Base.Issuer = append(info.Holder.Base.Issuer, info.Holder.Base.Issuer[0])
		info.Attributes = append(info.Attributes, info.Attributes[0])
		info.Extensions = append(info.Extensions[2:], pkix.Extension{Id: oidTargets, Critical: true, Value: []byte{0x30, 0}})
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(odd.Value)
	f.Add([]byte{0x30, 2, 0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		attrs, err := parseExtension(der)
		if err != nil {
			return
		}
		for i := range attrs {
			a := &attrs[i]
			checkShown(t, a)
			err := fuzzVerify(a, opts)
			if err == nil && !signed[string(a.Raw)] {
				t.Fatalf("forged: %x", a.Raw)
			}
			if err != nil && reasonOf(err) == "" {
				t.Fatalf("no reason: %v", err)
			}
		}
		_ = Satisfies(attrs, []Request{{VO: "labvo"}})
	})
}

func checkShown(t *testing.T, a *Attributes) {
	t.Helper()
	shown := append([]string{a.VO, a.Host, a.Issuer, a.HolderIssuer}, a.FQANs...)
	shown = append(shown, a.Targets...)
	for _, g := range a.Generic {
		shown = append(shown, g.Name, g.Value, g.Qualifier)
	}
	for _, s := range shown {
		if !isClean(s) && len(s) <= maxFQAN {
			t.Fatalf("%q is not clean", s)
		}
	}
}

// FuzzVerify changes one piece of an attribute certificate at a time, which
// keeps lengths right and so gets deeper than FuzzParse.
func FuzzVerify(f *testing.F) {
	opts := fuzzOptions(f)
	opts.Generic = []GenericAttribute{{"nickname", "jdoe", ""}}
	opts.Targets = []string{"a.example.org"}
	ext, err := Sign(opts)
	if err != nil {
		f.Fatal(err)
	}
	for at := range len(ext.Value) {
		if at%16 == 0 {
			f.Add(at, []byte{0xff})
		}
	}
	f.Add(bytes.Index(ext.Value, []byte("production")), []byte("PRODUCTION"))
	f.Fuzz(func(t *testing.T, at int, piece []byte) {
		if at < 0 || at+len(piece) > len(ext.Value) {
			return
		}
		der := bytes.Clone(ext.Value)
		copy(der[at:], piece)
		attrs, err := parseExtension(der)
		if err != nil {
			return
		}
		for i := range attrs {
			if err := fuzzVerify(&attrs[i], opts); err == nil && !bytes.Equal(der, ext.Value) {
				t.Fatalf("forged at %d: %x", at, piece)
			}
		}
	})
}

func FuzzParseLSC(f *testing.F) {
	for _, s := range []string{
		"/DC=ch/DC=cern/OU=computers/CN=voms.cern.ch\n/DC=ch/DC=cern/CN=CERN Trusted Certification Authority\n",
		"/C=XX/CN=voms.example.org\n/C=XX/CN=old\n------ NEXT CHAIN ------\n/C=XX/CN=voms.example.org\n/C=XX/CN=voms.example.org",
		"------NEXT CHAIN------\r\n\"/CN=a\"\r\n# x\r\n/CN=b\r\n", "/CN=a\n", "\"", "/\n/\n",
	} {
		f.Add(s)
	}
	server := fuzzOptions(f).Issuer // self-issued: subject and issuer are /C=XX/CN=voms.example.org
	f.Fuzz(func(t *testing.T, text string) {
		chains, err := ParseLSC([]byte(text))
		if err != nil {
			return
		}
		if len(chains) == 0 {
			t.Fatal("neither chains nor an error")
		}
		for _, chain := range chains {
			if len(chain) == 0 || len(chain)%2 != 0 {
				t.Fatalf("%q", chain)
			}
			for _, name := range chain {
				if !strings.Contains(text, name) || !isClean(name) || name[0] != '/' {
					t.Fatalf("%q", name)
				}
			}
			again, err := ParseLSC([]byte(strings.Join(chain, "\n")))
			if err != nil || len(again) != 1 || strings.Join(again[0], "\n") != strings.Join(chain, "\n") {
				t.Fatalf("%q reads as %q, %v", chain, again, err)
			}
		}
		// A list allows a server only where it writes the server's name.
		if matchesLSC(chains, chainOf(server)) && !strings.Contains(text, "voms.example.org") {
			t.Fatalf("%q allows the server", text)
		}
	})
}
