package gsi

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"testing"
	"time"
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
