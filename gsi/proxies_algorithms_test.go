package gsi

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
)

// proxyWith is a proxy of the world's user's with something changed.
func proxyWith(change ...func(*x509.Certificate)) func(*world) *Credential {
	return func(w *world) *Credential { return w.proxy(w.user, change...) }
}

// proxyKeyed is a proxy with one of the keys of testdata.
func proxyKeyed(name string) func(*world) *Credential {
	return func(w *world) *Credential { return w.proxy(w.user, keyed(testKey(w.t, name))) }
}

// proxyOf is a good proxy of a user with a certificate of that key.
func proxyOf(key func(*world) crypto.Signer, change ...func(*x509.Certificate)) func(*world) *Credential {
	return func(w *world) *Credential { return w.proxy(w.eec(key(w), change...)) }
}

func algorithmKinds() []kind {
	rsa2048 := func(*world) crypto.Signer { return rsaKeys()[0] }
	p256 := func(w *world) crypto.Signer { return ecKey(w.t, elliptic.P256()) }
	p384 := func(w *world) crypto.Signer { return ecKey(w.t, elliptic.P384()) }
	ed := func(w *world) crypto.Signer { return edKey(w.t) }
	return []kind{
		{name: "RSA 2048, SHA-256", asked: "yyyyyyy-", cred: proxyWith(), short: true},
		{name: "RSA 3072", asked: "yyyyyyy-", cred: proxyKeyed("rsa3072")},
		{name: "RSA 4096", asked: "yyyyyyy-", cred: proxyKeyed("rsa4096")},
		{name: "RSA 1024", asked: "nyyynnn-", why: whyWeak, cred: proxyKeyed("rsa1024"), want: FaultWeakKey, short: true},
		{name: "RSA 512", asked: "nyyynnn-", why: whyWeak, cred: proxyKeyed("rsa512"), want: FaultWeakKey},
		{name: "signed with SHA-384", asked: "yyyy--y-", cred: proxyWith(signedWith(x509.SHA384WithRSA))},
		{name: "signed with SHA-512", asked: "yyyy--y-", cred: proxyWith(signedWith(x509.SHA512WithRSA))},
		{name: "signed with RSA-PSS, SHA-256", asked: "yyyyyyy-", cred: proxyWith(signedWith(x509.SHA256WithRSAPSS))},
		{name: "signed with SHA-1", asked: "nyyynnn-", why: whyWeak, cred: proxyWith(signedWith(x509.SHA1WithRSA)), want: FaultSHA1},
		{name: "signed with MD5", asked: "nyyy--n-", why: whyWeak, cred: func(w *world) *Credential { return signedWithMD5(w, w.proxy(w.user)) }, want: FaultSHA1},
		{name: "proxy key P-256", asked: "yyynnyy-", why: whyRSA, cred: func(w *world) *Credential { return w.proxy(w.user, keyed(p256(w))) }, short: true},
		{name: "proxy key P-384", asked: "yyyn--y-", why: whyRSA, cred: func(w *world) *Credential { return w.proxy(w.user, keyed(p384(w))) }},
		{name: "proxy key Ed25519", asked: "yyynnyy-", why: whyRSA, cred: func(w *world) *Credential { return w.proxy(w.user, keyed(ed(w))) }},
		{name: "user's certificate P-256, proxy RSA", asked: "yyyyyyy-", cred: proxyOf(p256)},
		{name: "user's certificate P-384, proxy RSA", asked: "yyy---y-", cred: proxyOf(p384)},
		{name: "user's certificate Ed25519, proxy RSA", asked: "yyyy--y-", cred: proxyOf(ed)},
		{name: "user's certificate and proxy P-256", asked: "yyyn--y-", why: whyRSA, cred: func(w *world) *Credential { return w.proxy(w.eec(p256(w)), keyed(p256(w))) }},
		{name: "user's certificate RSA 4096", asked: "yyy---y-", cred: proxyOf(func(w *world) crypto.Signer { return testKey(w.t, "rsa4096") })},
		{name: "user's certificate RSA 1024", asked: "nyyyynn-", why: whyWeak, cred: proxyOf(func(w *world) crypto.Signer { return testKey(w.t, "rsa1024") }), want: FaultWeakKey},
		{name: "user's certificate signed with SHA-1", asked: "nyyyynn-", why: whyWeak, cred: proxyOf(rsa2048, signedWith(x509.SHA1WithRSA)), want: FaultSHA1},
	}
}

// signedWithMD5 signs a proxy of the world's user's anew: crypto/x509 does not
// make such a signature.
func signedWithMD5(w *world, cred *Credential) *Credential {
	sha256WithRSA := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	return w.resigned(cred, w.user.Key, crypto.MD5, func(tbs []byte) []byte {
		from, to := marshal(w.t, sha256WithRSA), marshal(w.t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 4})
		return bytes.Replace(tbs, from, to, 1)
	}, func(tbs []byte) []byte { sum := md5.Sum(tbs); return sum[:] })
}

// resigned changes the bytes of a leaf and signs them with key.
func (w *world) resigned(cred *Credential, key crypto.Signer, hash crypto.Hash, change, digest func([]byte) []byte) *Credential {
	w.t.Helper()
	var outer struct{ TBS, Algorithm, Signature asn1.RawValue }
	if _, err := asn1.Unmarshal(cred.Leaf().Raw, &outer); err != nil {
		w.t.Fatal(err)
	}
	tbs := change(outer.TBS.FullBytes)
	signature, err := key.Sign(rand.Reader, digest(tbs), hash)
	if err != nil {
		w.t.Fatal(err)
	}
	der := marshal(w.t, struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}{
		asn1.RawValue{FullBytes: tbs}, asn1.RawValue{FullBytes: change(outer.Algorithm.FullBytes)},
		asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return &Credential{Chain: append([]*x509.Certificate{cert}, cred.Chain[1:]...), Key: cred.Key}
}
