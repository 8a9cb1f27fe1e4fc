package gsi

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	rightPassphrase = "example-passphrase-not-real"
	wrongPassphrase = "example-wrong-passphrase"
)

// keyKinds is one key of each kind that the grid uses.
func keyKinds(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"RSA": rsaKeys()[0], "ECDSA": newECKey(t), "Ed25519": ed}
}

// withKey is a credential of one certificate for the key.
func withKey(t testing.TB, key crypto.Signer) *Credential {
	t.Helper()
	ca := newCA(t, "Root", nil)
	cert := issue(t, ca, key, &x509.Certificate{RawSubject: labName("Jane"), KeyUsage: x509.KeyUsageDigitalSignature})
	return &Credential{Chain: []*x509.Certificate{cert}, Key: key}
}

// wantKey checks what pass phrases make of a text with an encrypted key.
func wantKey(t *testing.T, text []byte, want *Credential) {
	t.Helper()
	got, err := ParseCredentialWith(text, ParseOptions{Passphrase: []byte(rightPassphrase)})
	if err != nil {
		t.Errorf("right pass phrase: %v", err)
	} else if !samePublicKey(got.Key.Public(), want.Key.Public()) || len(got.Chain) != len(want.Chain) {
		t.Error("right pass phrase: another key or chain")
	} else if _, err := NewRequest(got.Key, false); err != nil {
		t.Errorf("the key cannot sign: %v", err) // its bytes were cleared too early
	}
	for _, passphrase := range []string{wrongPassphrase, rightPassphrase + " "} {
		if _, err := ParseCredentialWith(text, ParseOptions{Passphrase: []byte(passphrase), KeyOptional: true}); !errors.Is(err, ErrWrongPassphrase) {
			t.Errorf("%q: got %v, want %v", passphrase, err, ErrWrongPassphrase)
		}
	}
	for _, none := range [][]byte{nil, {}} {
		if _, err := ParseCredentialWith(text, ParseOptions{Passphrase: none}); !errors.Is(err, ErrEncryptedKey) {
			t.Errorf("no pass phrase: got %v, want %v", err, ErrEncryptedKey)
		}
	}
	if got, err = ParseCredentialWith(text, ParseOptions{KeyOptional: true}); err != nil || got.Key != nil || len(got.Chain) != len(want.Chain) {
		t.Errorf("key optional: %v", err)
	}
}

// TestOpenSSLEncryptsKeys: every way in which OpenSSL 3 encrypts a key.
func TestOpenSSLEncryptsKeys(t *testing.T) {
	needTool(t, "openssl", "openssl")
	pkcs8 := []string{"openssl", "pkcs8", "-topk8"}
	ways := map[string][]string{
		"pkey default":            {"openssl", "pkey", "-aes256"},
		"pkcs8 default":           pkcs8,
		"triple DES":              append(pkcs8[:3:3], "-v2", "des3"),
		"AES-128":                 append(pkcs8[:3:3], "-v2", "aes-128-cbc"),
		"AES-192":                 append(pkcs8[:3:3], "-v2", "aes-192-cbc"),
		"AES-256, HMAC-SHA1":      append(pkcs8[:3:3], "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1"),
		"HMAC-SHA224":             append(pkcs8[:3:3], "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA224"),
		"HMAC-SHA384":             append(pkcs8[:3:3], "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA384"),
		"HMAC-SHA512":             append(pkcs8[:3:3], "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"),
		"10000 iterations":        append(pkcs8[:3:3], "-v2", "aes-256-cbc", "-iter", "10000"),
		"scrypt":                  append(pkcs8[:3:3], "-scrypt"),
		"traditional AES-256":     {"openssl", "pkey", "-traditional", "-aes256"},
		"traditional AES-192":     {"openssl", "pkey", "-traditional", "-aes192"},
		"traditional AES-128":     {"openssl", "pkey", "-traditional", "-aes128"},
		"traditional triple DES":  {"openssl", "pkey", "-traditional", "-des3"},
		"what myproxy-store does": {"openssl", "rsa", "-traditional", "-aes256"},
	}
	// The cipher does not see what it encrypts: one kind of key goes all ways.
	everyKind := []string{"pkey default", "traditional AES-256", "what myproxy-store does"}
	for kind, key := range keyKinds(t) {
		cred := withKey(t, key)
		plain, err := cred.PEM()
		if err != nil {
			t.Fatal(err)
		}
		file := write(t, filepath.Join(t.TempDir(), "key.pem"), plain)
		for name, command := range ways {
			traditional := command[1] == "rsa" || command[2] == "-traditional"
			if command[1] == "rsa" && kind != "RSA" || traditional && kind == "Ed25519" || kind != "ECDSA" && !slices.Contains(everyKind, name) {
				continue
			}
			t.Run(kind+" "+name, func(t *testing.T) {
				out := run(t, nil, command[0], append(command[1:len(command):len(command)], "-in", file, "-passout", "pass:"+rightPassphrase)...)
				if !strings.Contains(out, "ENCRYPTED") {
					t.Fatalf("openssl did not encrypt:\n%s", strings.SplitN(out, "\n", 2)[0])
				}
				wantKey(t, append([]byte(out), pemOf(cred.Leaf())...), cred)
			})
		}
	}
}

// TestEncryptedPEM: OpenSSL opens what we encrypt, with the right pass phrase
// only, and so do we.
func TestEncryptedPEM(t *testing.T) {
	needTool(t, "openssl", "openssl")
	root := newCA(t, "Root", nil)
	for kind, key := range keyKinds(t) {
		proxy, err := newEEC(t, root, "Jane").Derive(key, proxyTimes(IssueOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		proxy.Chain = append(proxy.Chain, root.cert)
		want := &Credential{Chain: proxy.Chain[:2], Key: key} // without the root
		type form struct {
			write    func([]byte) ([]byte, error)
			commands []string
			mark     string
		}
		forms := map[string]form{
			"PKCS#8": {func(passphrase []byte) ([]byte, error) { return proxy.encryptedPEM(passphrase, 2048) }, []string{"pkey", "pkcs8"}, "ENCRYPTED PRIVATE KEY"},
		}
		switch kind {
		case "RSA":
			if !testing.Short() { // 600000 rounds, six times
				forms["PKCS#8"] = form{proxy.EncryptedPEM, []string{"pkey", "pkcs8"}, "ENCRYPTED PRIVATE KEY"}
			}
			forms["traditional"] = form{proxy.TraditionalPEM, []string{"rsa", "pkey"}, "RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,"}
		case "ECDSA":
			forms["traditional"] = form{proxy.TraditionalPEM, []string{"ec", "pkey"}, "EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,"}
		default:
			if _, err := proxy.TraditionalPEM([]byte(rightPassphrase)); err == nil {
				t.Error("an Ed25519 key in the traditional form, which has none")
			}
		}
		for name, f := range forms {
			t.Run(kind+" "+name, func(t *testing.T) {
				text, err := f.write([]byte(rightPassphrase))
				if err != nil {
					t.Fatal(err)
				}
				if strings.Count(string(text), "BEGIN CERTIFICATE") != 2 || !strings.Contains(string(text), f.mark) {
					t.Fatalf("not two certificates and %q", f.mark)
				}
				wantKey(t, text, want)
				file := write(t, filepath.Join(t.TempDir(), "key.pem"), text)
				der, err := x509.MarshalPKIXPublicKey(key.Public())
				if err != nil {
					t.Fatal(err)
				}
				public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
				for _, command := range f.commands {
					args := []string{command, "-in", file, "-passin", "pass:" + rightPassphrase}
					if command == "pkcs8" {
						if out := run(t, nil, "openssl", args...); !strings.Contains(out, "BEGIN PRIVATE KEY") {
							t.Error("openssl pkcs8 gives no key")
						}
						continue
					}
					if out := run(t, nil, "openssl", append(args, "-pubout")...); !strings.Contains(out, public) {
						t.Errorf("openssl %s finds another key", command)
					}
				}
				if _, err := f.write(nil); err == nil {
					t.Error("written without a pass phrase")
				}
			})
		}
	}
	if _, err := new(Credential).EncryptedPEM([]byte("x")); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("nothing to write: %v", err)
	}
}

// TestWrongPassphraseIsNoDamage: the padding of one wrong pass phrase in 256
// is right by chance, and what comes out then is no key. To say that the key
// is damaged would send people off to look for another copy.
func TestWrongPassphraseIsNoDamage(t *testing.T) {
	key := newECKey(t)
	cred := withKey(t, key)
	old, err := cred.TraditionalPEM([]byte(rightPassphrase))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := encryptFast(t, der, rightPassphrase, nil)
	for name, text := range map[string][]byte{
		"traditional": old,
		"PKCS#8":      append(pem.EncodeToMemory(block), pemOf(cred.Leaf())...),
	} {
		for i := range 2000 {
			_, err := ParseCredentialWith(text, ParseOptions{Passphrase: fmt.Appendf(nil, "wrong %d", i)})
			if !errors.Is(err, ErrWrongPassphrase) {
				t.Fatalf("%s, pass phrase %d: %v", name, i, err)
			}
		}
	}
}

// encryptFast encrypts with one iteration; change may spoil the parameters.
func encryptFast(t testing.TB, der []byte, passphrase string, change func(*encryptedParts)) *pem.Block {
	t.Helper()
	good, err := encryptPKCS8(der, []byte(passphrase), 1)
	if err != nil {
		t.Fatal(err)
	}
	var p encryptedParts
	p.read(t, good)
	if change != nil {
		change(&p)
	}
	return &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: p.marshal(t)}
}

// encryptedParts is an EncryptedPrivateKeyInfo of PBKDF2 in its parts.
type encryptedParts struct {
	Info   encryptedKeyInfo
	Params pbes2Params
	KDF    pbkdf2Params
	Scrypt *scryptParams // in place of KDF
	IV     []byte
}

func (p *encryptedParts) read(t testing.TB, der []byte) {
	t.Helper()
	if !unmarshalAll(der, &p.Info) || !unmarshalAll(p.Info.Algorithm.Parameters.FullBytes, &p.Params) ||
		!unmarshalAll(p.Params.KDF.Parameters.FullBytes, &p.KDF) || !unmarshalAll(p.Params.Scheme.Parameters.FullBytes, &p.IV) {
		t.Fatal("cannot read what was written")
	}
}

func (p *encryptedParts) marshal(t testing.TB) []byte {
	t.Helper()
	if p.Scrypt != nil {
		p.Params.KDF.Algorithm = oidScrypt
		p.Params.KDF.Parameters = asn1.RawValue{FullBytes: mustMarshal(t, *p.Scrypt)}
	} else {
		p.Params.KDF.Parameters = asn1.RawValue{FullBytes: mustMarshal(t, p.KDF)}
	}
	p.Params.Scheme.Parameters = asn1.RawValue{FullBytes: mustMarshal(t, p.IV)}
	p.Info.Algorithm.Parameters = asn1.RawValue{FullBytes: mustMarshal(t, p.Params)}
	return mustMarshal(t, p.Info)
}

func mustMarshal(t testing.TB, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestRecordedEncryptedKeys: the credentials that went over the wire in
// MyProxy's STORE and RETRIEVE.
func TestRecordedEncryptedKeys(t *testing.T) {
	_, recordings := readRecordings(t, "store-ok*.json", "retrieve-ok*.json")
	if len(recordings) == 0 {
		t.Fatal("no recordings")
	}
	for _, r := range recordings {
		found := 0
		for _, m := range r.Messages {
			text := strings.TrimRight(m.Text, "\x00")
			if !strings.Contains(text, "DEK-Info") {
				if strings.Contains(text, "PRIVATE KEY-----") { // stored without a pass phrase
					found++
				}
				continue
			}
			found++
			cred, err := ParseCredentialWith([]byte(text), ParseOptions{Passphrase: []byte(rightPassphrase)})
			if err != nil {
				t.Errorf("%s: %v", r.Name, err)
				continue
			}
			if err := cred.Verify(VerifyOptions{Now: r.RecordedAt}); err != nil {
				t.Errorf("%s: %v", r.Name, err)
			}
			wantKey(t, []byte(text), cred)
			again, err := cred.TraditionalPEM([]byte(rightPassphrase))
			if err != nil {
				t.Fatal(err)
			}
			wantKey(t, again, cred)
			if got, want := blockTypes(again), blockTypes([]byte(text)); got != want {
				t.Errorf("%s: TraditionalPEM writes %s, on the wire it was %s", r.Name, got, want)
			}
		}
		if found != 1 {
			t.Errorf("%s: %d private keys", r.Name, found)
		}
	}
}

func blockTypes(text []byte) string {
	var out []string
	for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
		cipher, _, _ := strings.Cut(b.Headers["DEK-Info"], ",")
		out = append(out, b.Type+" "+b.Headers["Proc-Type"]+" "+cipher)
	}
	return strings.Join(out, "; ")
}

// TestLooksLikeKey: a wrong pass phrase is told from a key of some other type
// by this alone.
func TestLooksLikeKey(t *testing.T) {
	ec := newECKey(t)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		der  []byte
		want bool
	}{
		"SEC 1":            {sec1, true},
		"PKCS#1":           {x509.MarshalPKCS1PrivateKey(rsaKeys()[0]), true},
		"nothing":          {nil, false},
		"something after":  {append(bytes.Clone(sec1), 0), false},
		"cut off":          {sec1[:len(sec1)-1], false},
		"empty sequence":   {[]byte{0x30, 0}, false},
		"no version":       {mustMarshal(t, pkix.AlgorithmIdentifier{Algorithm: oidPBES2}), false},
		"damaged in there": {[]byte{0x30, 5, 2, 1, 0, 4, 9}, false},
	} {
		if got := looksLikeKey(tt.der); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
