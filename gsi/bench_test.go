package gsi

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// benchCredential is what MyProxy gives: a proxy of a proxy, RSA-2048.
func benchCredential(b *testing.B) *Credential {
	root := newCA(b, "Root", nil)
	keys := rsaKeys()
	user := newEEC(b, root, "Jane")
	cred, err := user.Derive(keys[0], proxyTimes(IssueOptions{}))
	if err != nil {
		b.Fatal(err)
	}
	if cred, err = cred.Derive(keys[1], proxyTimes(IssueOptions{})); err != nil {
		b.Fatal(err)
	}
	return cred
}

func BenchmarkInspect(b *testing.B) {
	cred := benchCredential(b)
	for b.Loop() {
		if _, err := Inspect(cred.Chain); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseCredential(b *testing.B) {
	text, err := benchCredential(b).PEM()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := ParseCredential(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	cred := benchCredential(b)
	for b.Loop() {
		if err := cred.Verify(VerifyOptions{Now: testTime}); err != nil {
			b.Fatal(err)
		}
	}
}

// vomsCredential is a proxy of a proxy with VOMS attributes, every key of
// RSA-2048, as most of the grid has them.
func vomsCredential(b *testing.B) *Credential {
	b.Helper()
	keys := rsaKeys()
	root := &authority{key: keys[0]}
	root.cert = issue(b, nil, keys[0], &x509.Certificate{
		RawSubject: labName("Root"), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	person := func(cn string, key crypto.Signer) *Credential {
		cert := issue(b, root, key, &x509.Certificate{RawSubject: labName(cn), KeyUsage: x509.KeyUsageDigitalSignature})
		return &Credential{Chain: []*x509.Certificate{cert}, Key: key}
	}
	server, cred := person("voms.example.org", keys[1]), person("Jane", keys[0])
	ac, err := voms.Sign(voms.SignOptions{
		Issuer: server.Leaf(), Key: server.Key, Holder: cred.Leaf(), VO: "labvo", Host: "voms.example.org:15000",
		FQANs: []string{"/labvo/Role=NULL/Capability=NULL"}, NotBefore: testTime.Add(-Backdate), NotAfter: testTime.Add(12 * time.Hour),
	})
	if err != nil {
		b.Fatal(err)
	}
	for i, extensions := range [][]pkix.Extension{{ac}, nil} {
		if cred, err = cred.Derive(keys[1-i], proxyTimes(IssueOptions{Extensions: extensions})); err != nil {
			b.Fatal(err)
		}
	}
	return cred
}

// BenchmarkParseAndVerifyVOMS is all that is done with a proxy file but for the
// trust directory, the key and the signature of the attributes included: at most
// one millisecond.
func BenchmarkParseAndVerifyVOMS(b *testing.B) {
	text, err := vomsCredential(b).PEM()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		cred, err := ParseCredential(text)
		if err != nil {
			b.Fatal(err)
		}
		if err := cred.Verify(VerifyOptions{Now: testTime}); err != nil {
			b.Fatal(err)
		}
		info, err := Inspect(cred.Chain)
		if err != nil || len(info.VOMS) != 1 {
			b.Fatal(err)
		}
		if err := voms.Verify(&info.VOMS[0], voms.VerifyOptions{Now: testTime, Holder: cred.Chain[info.Depth]}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpenTrustDir is the IGTF's directory of 83 CAs: opened, and one
// certificate verified in it.
func BenchmarkOpenTrustDir(b *testing.B) {
	dir := openIGTF(b)
	dir.scan()
	var leaf anchor
	for _, a := range dir.scanned {
		if !isSelfIssued(a.cert) && dir.Verify([]*x509.Certificate{a.cert}, time.Now(), TrustOptions{}) == nil {
			leaf = a
			break
		}
	}
	if leaf.cert == nil {
		b.Skip("no sub-CA is valid")
	}
	b.Run("open and verify", func(b *testing.B) {
		for b.Loop() {
			dir, err := OpenTrustDir(igtfDir)
			if err != nil {
				b.Fatal(err)
			}
			if err := dir.Verify([]*x509.Certificate{leaf.cert}, time.Now(), TrustOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read every CA", func(b *testing.B) {
		for b.Loop() {
			dir, err := OpenTrustDir(igtfDir)
			if err != nil {
				b.Fatal(err)
			}
			dir.scan()
		}
	})
}

// BenchmarkGenerateKey shows what racing two generators is worth.
func BenchmarkGenerateKey(b *testing.B) {
	b.Run("race", func(b *testing.B) {
		for b.Loop() {
			if _, err := GenerateKey(b.Context(), KeyRSA2048); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if _, err := rsa.GenerateKey(rand.Reader, 2048); err != nil {
				b.Fatal(err)
			}
		}
	})
}
