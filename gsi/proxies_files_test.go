package gsi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// globusOrder is what Globus and MyProxy write: proxy, key, issuers.
func globusOrder(w *world, cred *Credential) []byte {
	return slices.Concat(pemOf(cred.Chain[0]), pkcs8(w, cred), pemOf(cred.Chain[1:]...))
}

func pkcs8(w *world, cred *Credential) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(cred.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func pkcs1(w *world, cred *Credential) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(cred.Key.(*rsa.PrivateKey))})
}

func sec1(w *world, cred *Credential) []byte {
	der, err := x509.MarshalECPrivateKey(cred.Key.(*ecdsa.PrivateKey))
	if err != nil {
		w.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// keyAs is Globus' order with another form of the key.
func keyAs(form func(*world, *Credential) []byte) func(*world, *Credential) []byte {
	return func(w *world, cred *Credential) []byte {
		return slices.Concat(pemOf(cred.Chain[0]), form(w, cred), pemOf(cred.Chain[1:]...))
	}
}

// edited is Globus' order with the text changed.
func edited(change func(string) string) func(*world, *Credential) []byte {
	return func(w *world, cred *Credential) []byte { return []byte(change(string(globusOrder(w, cred)))) }
}

// encrypted lets openssl encrypt the key, with its usual parameters.
func encrypted(args ...string) func(*world, *Credential) []byte {
	return keyAs(func(w *world, cred *Credential) []byte {
		openssl := needTool(w.t, "openssl", "openssl")
		cmd := exec.Command(openssl, append(args, "-passout", "pass:correct horse")...)
		cmd.Stdin = bytes.NewReader(pkcs8(w, cred))
		out, err := cmd.Output()
		if err != nil {
			w.t.Fatalf("openssl %s: %v", args, err)
		}
		return out
	})
}

// oneLine puts the base64 of every block on one line of its own.
func oneLine(w *world, cred *Credential) []byte {
	var out bytes.Buffer
	for rest := globusOrder(w, cred); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return out.Bytes()
		}
		out.WriteString("-----BEGIN " + b.Type + "-----\n" + base64.StdEncoding.EncodeToString(b.Bytes) + "\n-----END " + b.Type + "-----\n")
	}
}

func fileKinds() []kind {
	good := proxyWith()
	ec := func(w *world) *Credential { return w.proxy(w.user, keyed(newECKey(w.t))) }
	all := func(make func(key []byte, certs []*x509.Certificate) []byte) func(*world, *Credential) []byte {
		return func(w *world, cred *Credential) []byte { return make(pkcs8(w, cred), cred.Chain) }
	}
	replace := func(from, to string) func(*world, *Credential) []byte {
		return edited(func(s string) string { return strings.ReplaceAll(s, from, to) })
	}
	return []kind{
		{name: "key first", asked: "yyyyyyy-", cred: good, text: all(func(key []byte, c []*x509.Certificate) []byte { return slices.Concat(key, pemOf(c...)) })},
		{name: "key last", asked: "yyyyyyy-", cred: good, text: all(func(key []byte, c []*x509.Certificate) []byte { return slices.Concat(pemOf(c...), key) })},
		{name: "CA appended", asked: "yyyyyyy-", cred: good, text: func(w *world, cred *Credential) []byte {
			return slices.Concat(globusOrder(w, cred), pemOf(w.root.cert))
		}},
		{name: "reversed: user, proxy, key", asked: "yyyynnn-", why: whyOrder, cred: good, text: all(func(key []byte, c []*x509.Certificate) []byte {
			return slices.Concat(pemOf(c[1], c[0]), key)
		}), short: true},
		{name: "issuers in the wrong order", asked: "yyyy--y-", cred: func(w *world) *Credential { return w.proxy(w.proxy(w.user)) },
			text: all(func(key []byte, c []*x509.Certificate) []byte {
				return slices.Concat(pemOf(c[0]), key, pemOf(c[2], c[1]))
			})},
		{name: "the issuers twice", asked: "yyynnyy-", why: whyOrder, cred: good, text: all(func(key []byte, c []*x509.Certificate) []byte {
			return slices.Concat(pemOf(c[0]), key, pemOf(c[1], c[1]))
		})},
		{name: "another user's certificate appended", asked: "yyyn--y-", why: whyForeign, cred: good, text: func(w *world, cred *Credential) []byte {
			return slices.Concat(globusOrder(w, cred), pemOf(w.eec(rsaKeys()[1], named(labName("Joe"))).Leaf()))
		}, want: FaultIssuer},
		{name: "key as PKCS#1", asked: "yyyyyyy-", cred: good, text: keyAs(pkcs1)},
		{name: "key as SEC 1", asked: "ynynnyy-", why: whyRSA, cred: ec, text: keyAs(sec1)},
		{name: "key encrypted, PKCS#8", asked: "ynynnnn-", why: whyKey, cred: good, text: encrypted("pkcs8", "-topk8"), want: ErrEncryptedKey},
		{name: "key encrypted, Proc-Type", asked: "ynyn--n-", why: whyKey, cred: good, text: encrypted("rsa", "-traditional", "-aes256"), want: ErrEncryptedKey},
		{name: "no key", asked: "ynyn--n-", why: whyKey, cred: good, text: keyAs(func(*world, *Credential) []byte { return nil }), want: ErrNoKey},
		{name: "two keys", asked: "yyyy--y-", why: whyTwoKeys, cred: good, text: keyAs(func(w *world, cred *Credential) []byte {
			return slices.Concat(pkcs8(w, cred), pkcs8(w, w.user))
		}), want: ErrTwoKeys},
		{name: "lines end with CR LF", asked: "yyyyyyy-", cred: good, text: replace("\n", "\r\n")},
		{name: "lines end with CR", asked: "nnn---n-", cred: good, text: replace("\n", "\r"), want: ErrBadPEM},
		{name: "no end of the last line", asked: "yyyyyyy-", cred: good, text: edited(func(s string) string { return strings.TrimSuffix(s, "\n") })},
		{name: "text before", asked: "yyyyyyy-", cred: good, text: edited(func(s string) string { return "subject=/C=XX/O=Lab/CN=Jane/CN=1\nissuer=/C=XX/O=Lab/CN=Jane\n" + s })},
		{name: "text between", asked: "yyy---y-", cred: good, text: replace("-----\n-----", "-----\n\nsubject=/C=XX/O=Lab/CN=Jane\n\n-----")},
		{name: "byte order mark", asked: "yyyy--y-", cred: good, text: edited(func(s string) string { return "\ufeff" + s })},
		{name: "spaces after every line", asked: "yyy---y-", cred: good, text: replace("\n", "  \n")},
		{name: "base64 in one line", asked: "yyy---y-", cred: good, text: oneLine},
		{name: "block called X509 CERTIFICATE", asked: "yyy---y-", cred: good, text: replace(" CERTIFICATE", " X509 CERTIFICATE")},
		{name: "block called TRUSTED CERTIFICATE", asked: "ynnx--n-", why: whyTrusted, cred: good, text: replace(" CERTIFICATE", " TRUSTED CERTIFICATE"), want: ErrNoCertificate},
		{name: "cut in the last certificate", asked: "nynnnnn-", cred: good, text: edited(func(s string) string { return s[:len(s)-100] }), want: ErrBadPEM},
		{name: "cut in the key", asked: "nnn---n-", cred: good, text: edited(func(s string) string { return s[:strings.Index(s, "-----END PRIVATE")-100] }), want: ErrBadPEM},
		{name: "DER", asked: "nnn---n-", cred: good, text: func(w *world, cred *Credential) []byte { return cred.Leaf().Raw }, want: ErrNoCertificate},
		{name: "empty", asked: "nnnxnnn-", cred: good, text: func(*world, *Credential) []byte { return nil }, want: ErrNoCertificate},
	}
}

// TestKeysAreWhatTheyAreCalled: the keys of testdata have the sizes of their
// names.
func TestKeysAreWhatTheyAreCalled(t *testing.T) {
	for name, bits := range map[string]int{"rsa512": 512, "rsa1024": 1024, "rsa3072": 3072, "rsa4096": 4096} {
		if key := testKey(t, name).(*rsa.PrivateKey); key.N.BitLen() != bits {
			t.Errorf("%s has %d bits", name, key.N.BitLen())
		}
	}
}
