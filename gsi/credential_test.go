package gsi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func keyBlock(t testing.TB, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TestParseCredential: every layout that some tool writes gives the same chain.
func TestParseCredential(t *testing.T) {
	root := newCA(t, "Root", nil)
	user := newEEC(t, root, "Jane")
	cred, err := user.Derive(rsaKeys()[0], proxyTimes(IssueOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	proxy, eec := pemOf(cred.Chain[0]), pemOf(cred.Chain[1])
	pkcs8, err := x509.MarshalPKCS8PrivateKey(cred.Key)
	key := keyBlock(t, "PRIVATE KEY", pkcs8, err)
	pkcs1 := keyBlock(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKeys()[0]), nil)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, text := range map[string][]byte{
		"Globus order":            join(proxy, key, eec),
		"PKCS#1":                  join(proxy, pkcs1, eec),
		"key first":               join(key, proxy, eec),
		"key last":                join(proxy, eec, key),
		"user before proxy":       join(eec, proxy, key),
		"root appended":           join(proxy, key, eec, pemOf(root.cert)),
		"root first":              join(pemOf(root.cert), key, eec, proxy),
		"a certificate twice":     join(proxy, key, proxy, eec),
		"CRLF":                    bytes.ReplaceAll(join(proxy, key, eec), []byte("\n"), []byte("\r\n")),
		"byte order mark":         join([]byte("\ufeff"), proxy, key, eec),
		"marked files in a row":   join([]byte("\ufeff"), proxy, []byte("\ufeff"), key, []byte("\ufeff"), eec),
		"no end of line":          bytes.TrimRight(join(proxy, key, eec), "\n"),
		"text around":             join([]byte("subject=/CN=x\n"), proxy, []byte("# key\n"), key, []byte("bag\n"), eec, []byte("end")),
		"EC parameters before it": join(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 1, 1}}), proxy, key, eec),
	} {
		got, err := ParseCredential(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		same := slices.EqualFunc(got.Chain, cred.Chain, (*x509.Certificate).Equal)
		if !same || !samePublicKey(got.Key.Public(), cred.Key.Public()) {
			t.Errorf("%s: another chain or key", name)
		}
		if _, err := NewRequest(got.Key, false); err != nil {
			t.Errorf("%s: the key cannot sign: %v", name, err) // its bytes were cleared too early
		}
	}
	text, err := (&Credential{Chain: append(slices.Clone(cred.Chain), root.cert), Key: cred.Key}).PEM()
	if err != nil || !bytes.Equal(text, join(proxy, key, eec)) {
		t.Errorf("PEM: want proxy, PKCS#8 key, user and no root; got %v\n%s", err, text)
	}
}

// TestParseCredentialKeys: each kind of key, in PKCS#8 and in SEC 1, and it
// can still sign although the bytes it was read from are cleared.
func TestParseCredentialKeys(t *testing.T) {
	for kind, key := range keyKinds(t) {
		cred := withKey(t, key)
		text, err := cred.PEM()
		if err != nil {
			t.Fatal(err)
		}
		texts := map[string][]byte{"PKCS#8": text}
		if ec, ok := key.(*ecdsa.PrivateKey); ok {
			der, err := x509.MarshalECPrivateKey(ec)
			texts["SEC 1"] = append(keyBlock(t, "EC PRIVATE KEY", der, err), pemOf(cred.Leaf())...)
		}
		for form, text := range texts {
			got, err := ParseCredential(text)
			if err != nil || !samePublicKey(got.Key.Public(), key.Public()) {
				t.Errorf("%s %s: %v", kind, form, err)
				continue
			}
			if _, err := NewRequest(got.Key, false); err != nil {
				t.Errorf("%s %s: cannot sign: %v", kind, form, err)
			}
		}
	}
}

func TestParseCredentialErrors(t *testing.T) {
	user := newEEC(t, newCA(t, "Root", nil), "Jane")
	der, err := x509.MarshalPKCS8PrivateKey(user.Key)
	key := string(keyBlock(t, "PRIVATE KEY", der, err))
	cert := string(pemOf(user.Leaf()))
	encrypted := string(pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: []byte{1},
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
	}))
	for name, tt := range map[string]struct {
		text string
		want error
	}{
		"empty":             {"", ErrNoCertificate},
		"key alone":         {key, ErrNoCertificate},
		"certificate alone": {cert, ErrNoKey},
		"two keys":          {cert + key + key, ErrTwoKeys},
		"encrypted PKCS#1":  {cert + encrypted, ErrEncryptedKey},
		"encrypted PKCS#8":  {cert + "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n", ErrEncryptedKey},
		"garbage as key":    {cert + "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", ErrBadKey},
		"DSA":               {cert + "-----BEGIN DSA PRIVATE KEY-----\nAA==\n-----END DSA PRIVATE KEY-----\n", ErrBadKey},
		// encoding/pem passes over it: half a chain must not pass for a whole.
		"damaged certificate": {cert + key + strings.Replace(cert, "M", "?", 1), ErrBadPEM},
		"a BEGIN in a block":  {cert + key + "-----BEGIN CERTIFICATE-----\n" + cert, ErrBadPEM},
		"OpenSSH":             {cert + "-----BEGIN OPENSSH PRIVATE KEY-----\nAA==\n-----END OPENSSH PRIVATE KEY-----\n", ErrBadKey},
		"key of 20 kB":        {cert + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: make([]byte, 20<<10)})), ErrBadKey},
		"two encrypted keys":  {cert + encrypted + encrypted, ErrTwoKeys},
		"cut off":             {cert + key + cert[:len(cert)/2], ErrBadPEM},
		"17 certificates":     {key + strings.Repeat(cert, 17), ErrTooBig},
		"more than 1 MiB":     {key + cert + strings.Repeat("x", 1<<20), ErrTooBig},
	} {
		if _, err := ParseCredential([]byte(tt.text)); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

// TestCredentialNeverShowsKey: a credential in a log line must not be a leak.
func TestCredentialNeverShowsKey(t *testing.T) {
	user := newEEC(t, newCA(t, "Root", nil), "Jane")
	cred := &Credential{Chain: user.Chain, Key: rsaKeys()[0]}
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		fmt.Fprintf(&b, verb+verb+"\n", cred, *cred)
	}
	js, err := json.Marshal(map[string]any{"a": cred, "b": *cred})
	if err != nil {
		t.Fatal(err)
	}
	b.Write(js)
	text := b.String()
	d := rsaKeys()[0].D
	for _, leak := range []string{d.String(), fmt.Sprintf("%x", d), "Primes", "PrivateKey"} {
		if strings.Contains(text, leak) {
			t.Errorf("shows %.20q", leak)
		}
	}
	if strings.Count(text, "/CN=Jane") != 14 {
		t.Errorf("does not name its subject each time:\n%s", text)
	}
}

// TestParseOptionsNeverShowPassphrase: options end in logs as easily.
func TestParseOptionsNeverShowPassphrase(t *testing.T) {
	opts := ParseOptions{Passphrase: []byte(rightPassphrase)}
	text := ""
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		text += fmt.Sprintf(verb+verb+verb+"\n", opts, &opts, struct{ O ParseOptions }{opts})
	}
	js, err := json.Marshal([]any{opts, &opts})
	if err != nil {
		t.Fatal(err)
	}
	text += string(js)
	raw := []byte(rightPassphrase)
	for _, leak := range []string{rightPassphrase, fmt.Sprintf("%x", raw), fmt.Sprintf("%d", raw), base64.StdEncoding.EncodeToString(raw)} {
		if strings.Contains(text, strings.Trim(leak, "[]")) {
			t.Errorf("shows %.20q", leak)
		}
	}
}

// TestKeyOptional: show must read what has no key, or one that nobody opens.
func TestKeyOptional(t *testing.T) {
	root := newCA(t, "Root", nil)
	user := newEEC(t, root, "Jane")
	first := derive(t, user, IssueOptions{})
	second := derive(t, first, IssueOptions{})
	certs := second.Chain
	for name, text := range map[string][]byte{
		"in order":       pemOf(certs...),
		"reversed":       pemOf(certs[2], certs[1], certs[0]),
		"mixed":          pemOf(certs[1], certs[0], certs[2]),
		"root first":     pemOf(root.cert, certs[2], certs[0], certs[1]),
		"with the CA":    pemOf(certs[0], certs[1], certs[2], root.cert),
		"twice the leaf": pemOf(certs[0], certs[0], certs[1], certs[2]),
	} {
		cred, err := ParseCredentialWith(text, ParseOptions{KeyOptional: true})
		if err != nil || cred.Key != nil || !slices.EqualFunc(cred.Chain, certs, (*x509.Certificate).Equal) {
			t.Errorf("%s: another chain, %v", name, err)
		}
		if _, err := ParseCredential(text); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: got %v, want %v", name, err, ErrNoKey)
		}
	}
	// What is there must be right, optional or not.
	bad := append(pemOf(certs...), "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"...)
	if _, err := ParseCredentialWith(bad, ParseOptions{KeyOptional: true}); !errors.Is(err, ErrBadKey) {
		t.Errorf("damaged key: %v", err)
	}
	cred, err := ParseCredentialWith(pemOf(root.cert), ParseOptions{KeyOptional: true})
	if err != nil || !cred.Leaf().Equal(root.cert) {
		t.Errorf("a root alone: %v", err)
	}
}

// TestRecordedCredentials: files as OpenSSL wrote them.
func TestRecordedCredentials(t *testing.T) {
	dir, _ := readRecordings(t, "get-ok-chain2.json")
	files, err := filepath.Glob(filepath.Join(dir, "credentials", "*.pem"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cred, err := ParseCredential(data)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		} else if !samePublicKey(cred.Leaf().PublicKey, cred.Key.Public()) {
			t.Errorf("%s: the first certificate is not the key's", file)
		}
	}
}
