package gsi

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"slices"
	"testing"
)

// fuzzCost lets a fuzzer try every parameter without waiting for it.
var fuzzCost = keyCost{Iterations: 100, Memory: 1 << 20, Parallel: 2}

// encryptedSeeds are keys in both encrypted forms, with their certificate.
func encryptedSeeds(f *testing.F) [][]byte {
	f.Helper()
	key := newECKey(f)
	cred := withKey(f, key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	old, err := cred.TraditionalPEM([]byte(rightPassphrase))
	if err != nil {
		f.Fatal(err)
	}
	scrypt := encryptFast(f, der, rightPassphrase, func(p *encryptedParts) {
		p.Scrypt = &scryptParams{Salt: []byte("salt"), Cost: 16, Block: 1, Thread: 1}
	})
	return [][]byte{
		append(pem.EncodeToMemory(encryptFast(f, der, rightPassphrase, nil)), pemOf(cred.Leaf())...),
		append(pem.EncodeToMemory(scrypt), pemOf(cred.Leaf())...),
		old,
	}
}

func FuzzParseCredential(f *testing.F) {
	fuzzSeeds(f)
	for _, seed := range encryptedSeeds(f) {
		f.Add(seed)
		f.Add(append([]byte("\ufeff"), seed...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cred, err := parseCredential(data, ParseOptions{Passphrase: []byte(rightPassphrase)}, fuzzCost)
		lax, laxErr := parseCredential(data, ParseOptions{KeyOptional: true}, fuzzCost)
		if err != nil {
			return
		}
		if laxErr != nil || len(lax.Chain) != len(cred.Chain) {
			t.Fatalf("read with a key, but not without one: %v", laxErr)
		}
		out, err := cred.PEM()
		if err != nil {
			t.Fatalf("parsed but not written: %v", err)
		}
		if _, err := ParseCredential(out); err != nil {
			t.Fatalf("written but not parsed: %v", err)
		}
		_ = cred.Verify(VerifyOptions{Now: testTime, AllowLegacy: true, AllowSHA1: true})
	})
}

// FuzzEncryptedKey gets behind PEM's base64: parameters and encrypted bytes.
func FuzzEncryptedKey(f *testing.F) {
	for _, seed := range encryptedSeeds(f) {
		for b, rest := pem.Decode(seed); b != nil; b, rest = pem.Decode(rest) {
			f.Add(b.Bytes, b.Headers["DEK-Info"], []byte(rightPassphrase))
			f.Add(b.Bytes, b.Headers["DEK-Info"], []byte(wrongPassphrase))
		}
	}
	f.Add(mustMarshal(f, encryptedKeyInfo{Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidPBES2}}), "DES-CBC,0011223344556677", []byte{0})
	f.Fuzz(func(t *testing.T, data []byte, dekInfo string, passphrase []byte) {
		blocks := []*pem.Block{{Type: "ENCRYPTED PRIVATE KEY", Bytes: data}}
		for _, kind := range []string{"RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"} {
			blocks = append(blocks, &pem.Block{Type: kind, Headers: map[string]string{"DEK-Info": dekInfo}, Bytes: data})
		}
		for _, b := range blocks {
			before := bytes.Clone(data)
			key, err := openKey(b, passphrase, fuzzCost)
			known := slices.ContainsFunc([]error{ErrBadKey, ErrEncryptedKey, ErrWrongPassphrase, ErrKeyEncryption, ErrKeyCost},
				func(want error) bool { return errors.Is(err, want) })
			if (err == nil) != (key != nil) || err != nil && !known {
				t.Fatalf("%s: key %v, error %v", b.Type, key != nil, err)
			}
			if !bytes.Equal(before, data) {
				t.Fatalf("%s: the encrypted bytes changed", b.Type)
			}
		}
	})
}

// FuzzExamine: Examine and Verify must agree on every chain.
func FuzzExamine(f *testing.F) {
	user := newEEC(f, newCA(f, "Root", nil), "Jane")
	first := derive(f, user, IssueOptions{PathLen: limit(1)})
	second := derive(f, first, IssueOptions{Rights: RightsLimited})
	f.Add(second.Leaf().Raw, first.Leaf().Raw, user.Leaf().Raw)
	f.Add(user.Leaf().Raw, first.Leaf().Raw, second.Leaf().Raw)
	f.Add(legacy(f, user, "proxy").Leaf().Raw, draft(f, user, nil).Leaf().Raw, user.Leaf().Raw)
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		var chain []*x509.Certificate
		for _, der := range [][]byte{a, b, c} {
			if cert, err := x509.ParseCertificate(der); err == nil {
				chain = append(chain, cert)
			}
		}
		opts := VerifyOptions{Now: testTime, RefuseOutliving: true}
		err := VerifyChain(chain, opts)
		all := Examine(&Credential{Chain: chain}, opts)
		var want *ChainError
		if errors.As(err, &want) != (len(all) > 0) || want != nil && *want != *all[0] {
			t.Fatalf("Verify: %v, Examine: %v", err, all)
		}
		info, err := Inspect(chain)
		if err != nil || info.Type == TypeEEC {
			return
		}
		if info.TypeText() == "" || info.Rights == "" || info.PathLen < -1 {
			t.Fatalf("%+v", info)
		}
	})
}

// FuzzDelegate: a request, and a proxyCertInfo in a request that is good
// otherwise, since nobody guesses a signature. What comes out must verify, and
// never be more than was asked for.
func FuzzDelegate(f *testing.F) {
	user := newEEC(f, newCA(f, "Root", nil), "Jane")
	key := newECKey(f)
	for _, ext := range []pkix.Extension{proxyExt(f, oidInheritAll, limit(1)), proxyExt(f, oidLimited, nil), proxyExt(f, oidIndependent, limit(0))} {
		f.Add(request(f, key, ext), ext.Value, false)
		f.Add(mustRequest(f, key, true), ext.Value, true)
	}
	f.Fuzz(func(t *testing.T, csr, info []byte, limited bool) {
		opts := proxyTimes(IssueOptions{})
		if limited {
			opts.Rights = RightsLimited
		}
		for i, der := range [][]byte{csr, request(t, key, pkix.Extension{Id: oidProxyCertInfo, Critical: true, Value: info})} {
			chain, err := Delegate(user, der, opts)
			if err != nil {
				continue
			}
			if err := VerifyChain(chain, VerifyOptions{Now: testTime}); err != nil {
				t.Fatalf("issued, but not valid: %v", err)
			}
			got, err := Inspect(chain)
			if err != nil {
				t.Fatal(err)
			}
			if limited && got.Rights != RightsLimited {
				t.Fatalf("limited was to be given, %s came out", got.Rights)
			}
			if i == 0 {
				continue
			}
			asked := proxyInfo{PathLen: -1}
			if err := asked.parseRFC(info); err != nil {
				t.Fatal("a malformed proxyCertInfo was passed over")
			}
			if asked.limited() && got.Rights != RightsLimited || asked.PathLen >= 0 && (got.PathLen < 0 || got.PathLen > asked.PathLen) {
				t.Fatalf("asked for %x, got %s and path length %d", info, got.Rights, got.PathLen)
			}
		}
	})
}
