package gsi

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
)

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// ofUser is a proxy of a user of which certificate something is changed.
func ofUser(change ...func(*x509.Certificate)) func(*world) *Credential {
	return func(w *world) *Credential { return w.proxy(w.eec(rsaKeys()[0], change...)) }
}

func ruleKinds() []kind {
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}
	critical := unknown
	critical.Critical = true
	inheritAll := []byte{6, 8, 0x2b, 6, 1, 5, 5, 7, 21, 1}
	infoValue := func(value ...byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtraExtensions[0].Value = value }
	}
	extUsage := func(u x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{u} }
	}
	return []kind{
		{name: "proxyCertInfo not critical", asked: "yyynnyy-", why: whyNotCritical, cred: proxyWith(func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = false }), want: FaultNotCritical, short: true},
		{name: "no proxyCertInfo, random CN", asked: "nyynnnn-", cred: proxyWith(marked()), want: FaultNotProxy},
		{name: "proxyCertInfo is garbage", asked: "nnyn--n-", cred: proxyWith(infoValue(0x30, 1)), want: FaultProxyInfo},
		{name: "proxyCertInfo with a policy text beside inherit-all", asked: "yyyy--y-", why: whyInfo, cred: proxyWith(infoValue(slices.Concat([]byte{0x30, 15, 0x30, 13}, inheritAll, []byte{4, 1, 'x'})...)), want: FaultProxyInfo},
		{name: "proxyCertInfo with a negative path length", asked: "yyy---y-", why: whyInfo, cred: proxyWith(infoValue(slices.Concat([]byte{0x30, 15, 2, 1, 0xff, 0x30, 10}, inheritAll)...)), want: FaultProxyInfo},
		{name: "proxyCertInfo of RFC 3820 and of the draft", asked: "nyyy--n-", why: whyBoth, cred: func(w *world) *Credential {
			return w.proxy(w.user, with(draftExt(w.t, oidInheritAll, nil)))
		}, want: FaultUnknownCritical},
		{name: "no key usage", asked: "yyyy--y-", cred: proxyWith(usage(0))},
		{name: "key usage of digitalSignature alone", asked: "yyy---y-", cred: proxyWith(usage(x509.KeyUsageDigitalSignature))},
		{name: "key usage without digitalSignature", asked: "nyyyynn-", why: whyKeyUsage, cred: proxyWith(usage(x509.KeyUsageKeyEncipherment)), want: FaultKeyUsage},
		{name: "key usage with keyCertSign", asked: "yyyyyyy-", cred: proxyWith(usage(x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign))},
		{name: "user's certificate without key usage", asked: "yyy---y-", cred: ofUser(usage(0))},
		{name: "user's certificate without digitalSignature", asked: "nyyy--n-", why: whyKeyUsage, cred: ofUser(usage(x509.KeyUsageKeyEncipherment)), want: FaultKeyUsage},
		{name: "extended key usage clientAuth", asked: "yyy---y-", cred: proxyWith(extUsage(x509.ExtKeyUsageClientAuth))},
		{name: "extended key usage serverAuth alone", asked: "nyyyynn-", why: whyPurpose, cred: proxyWith(extUsage(x509.ExtKeyUsageServerAuth))},
		{name: "user's certificate for servers alone", asked: "nyyyynn-", why: whyPurpose, cred: ofUser(extUsage(x509.ExtKeyUsageServerAuth))},
		{name: "alternative name, a host", asked: "nyyyynn-", why: whySAN, cred: proxyWith(func(c *x509.Certificate) { c.DNSNames = []string{"example.org"} }), want: FaultSAN, short: true},
		{name: "alternative name, an address", asked: "nyy---n-", cred: proxyWith(func(c *x509.Certificate) { c.EmailAddresses = []string{"jane@example.org"} }), want: FaultSAN},
		{name: "issuer's alternative name", asked: "nyy---n-", cred: proxyWith(with(pkix.Extension{Id: oidIssuerAltName, Value: []byte{0x30, 6, 0x82, 4, 'h', 'o', 's', 't'}})), want: FaultSAN},
		{name: "user's certificate with an alternative name", asked: "yyyy--y-", cred: ofUser(func(c *x509.Certificate) { c.EmailAddresses = []string{"jane@example.org"} })},
		{name: "basic constraints, no CA", asked: "yyy---y-", cred: proxyWith(func(c *x509.Certificate) { c.BasicConstraintsValid = true })},
		{name: "basic constraints, a CA", asked: "nnynnnn-", cred: proxyWith(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), want: FaultCA},
		{name: "unknown critical extension", asked: "nyyyynn-", why: whyCritical, cred: proxyWith(with(critical)), want: FaultUnknownCritical},
		{name: "unknown extension, not critical", asked: "yyy---y-", cred: proxyWith(with(unknown))},
		{name: "unknown critical extension in the user's certificate", asked: "nyyy--n-", why: whyCritical, cred: ofUser(with(critical)), want: FaultUnknownCritical},
		{name: "serial number of 20 bytes", asked: "yyy---y-", cred: proxyWith(func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 158) })},
	}
}

func nameKinds() []kind {
	jane := func(w *world) []byte { return w.user.Leaf().RawSubject }
	subject := func(make func(*world) []byte) func(*world) *Credential {
		return func(w *world) *Credential { return w.proxy(w.user, named(make(w))) }
	}
	user := func(rdns ...pkix.RelativeDistinguishedNameSET) func(*world) *Credential {
		return func(w *world) *Credential {
			return w.proxy(w.eec(rsaKeys()[0], named(nameOf(w.t, rdns...))))
		}
	}
	c, o := rdn(oidC, "XX"), rdn(oidO, "Lab")
	email := pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1},
		Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte("jane@example.org")}}}
	return []kind{
		{name: "last CN is a word", asked: "yyy---y-", cred: subject(func(w *world) []byte { return withCN(w.t, w.user.Leaf(), "my laptop") })},
		{name: "subject is not the issuer's and one CN", asked: "nnynnnn-", cred: subject(func(w *world) []byte { return labName("Joe") }), want: FaultSubject},
		{name: "subject of another user and one CN", asked: "nny---n-", cred: subject(func(w *world) []byte {
			return withCN(w.t, &x509.Certificate{RawSubject: labName("Joe")}, "1")
		}), want: FaultSubject},
		{name: "subject is the issuer's", asked: "nny---n-", cred: subject(jane), want: FaultSubject},
		{name: "two CNs more than the issuer", asked: "nnynnnn-", cred: subject(func(w *world) []byte {
			name, _ := dn.AppendCN(withCN(w.t, w.user.Leaf(), "1"), "2")
			return name
		}), want: FaultSubject},
		{name: "last element is an OU", asked: "nyy---n-", cred: subject(func(w *world) []byte {
			return nameOf(w.t, c, o, rdn(oidCN, "Jane"), rdn(oidOU, "1"))
		}), want: FaultSubject},
		{name: "last element is a CN and an OU", asked: "nyyy--n-", why: whyLastCN, cred: subject(func(w *world) []byte {
			return nameOf(w.t, c, o, rdn(oidCN, "Jane"), append(rdn(oidCN, "1"), rdn(oidOU, "x")...))
		}), want: FaultSubject},
		{name: "issuer's part in another string type", asked: "yyyyyyy-", why: whyBytes, cred: subject(func(w *world) []byte {
			return withCN(w.t, &x509.Certificate{RawSubject: retyped(w.t, jane(w))}, "1")
		}), want: FaultSubject},
		{name: "issuer's name in another string type", asked: "yyyy--y-", why: whyBytes, cred: func(w *world) *Credential {
			retyped := &x509.Certificate{RawSubject: retyped(w.t, jane(w)), PublicKey: w.user.Leaf().PublicKey}
			forged := w.proxy(&Credential{Chain: []*x509.Certificate{retyped}, Key: w.user.Key})
			return &Credential{Chain: []*x509.Certificate{forged.Leaf(), w.user.Leaf()}, Key: forged.Key}
		}, want: FaultIssuer},
		{name: "user's name with a letter outside ASCII", asked: "yyyyyyy-", cred: user(c, o, rdn(oidCN, "J\u00e4ne"))},
		{name: "user's name with a comma", asked: "yyy---y-", cred: user(c, o, rdn(oidCN, "Jane, Dr."))},
		{name: "user's name ends with an e-mail address", asked: "yyy---y-", cred: user(c, o, rdn(oidCN, "Jane"), email)},
		{name: "user without a name", asked: "nynnnnn-", cred: user(), want: FaultSubject},
	}
}

func timeKinds() []kind {
	userUntil := func(from, until time.Duration, change ...func(*world) func(*x509.Certificate)) func(*world) *Credential {
		return func(w *world) *Credential {
			var changes []func(*x509.Certificate)
			for _, f := range change {
				changes = append(changes, f(w))
			}
			return w.proxy(w.eec(rsaKeys()[0], w.times(from, until)), changes...)
		}
	}
	at := func(from, until time.Duration) func(*world) *Credential {
		return func(w *world) *Credential { return w.proxy(w.user, w.times(from, until)) }
	}
	const day = 24 * time.Hour
	return []kind{
		{name: "expired", asked: "nnnnnnn-", cred: at(-2*time.Hour, -time.Hour), want: FaultExpired, short: true},
		{name: "not yet valid", asked: "nyynnnn-", cred: at(time.Hour, 2*time.Hour), want: FaultNotYetValid},
		{name: "user's certificate expired, the proxy not", asked: "nnynnnn-", cred: userUntil(-2*day, -time.Hour), want: FaultExpired},
		{name: "user's certificate not yet valid", asked: "nyy---n-", cred: userUntil(time.Hour, day), want: FaultNotYetValid},
		{name: "expired below a good proxy", asked: "nnyn--n-", cred: func(w *world) *Credential {
			return w.proxy(w.proxy(w.user, w.times(-2*time.Hour, -time.Hour)))
		}, want: FaultExpired},
		{name: "outlives the user's certificate", asked: "yyyyyyy-", cred: at(-time.Minute, 30*day)},
		{name: "begins before the user's certificate", asked: "yyy---y-", cred: at(-30*day, time.Hour)},
		{name: "valid until 2060", asked: "ynynnyy-", why: why2060, cred: func(w *world) *Credential {
			return w.proxy(w.user, func(c *x509.Certificate) { c.NotAfter = time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC) })
		}},
	}
}
