package gsi

import (
	"crypto/x509"
	"slices"
)

func chainKinds() []kind {
	noCA := func(w *world, change ...func(*x509.Certificate)) *Credential {
		puppet := w.authority(&authority{w.user.Leaf(), w.user.Key}, "Puppet CA")
		joe := w.eecOf(puppet, rsaKeys()[0], change...)
		return &Credential{Chain: append(joe.Chain, puppet.cert, w.user.Leaf()), Key: joe.Key}
	}
	swap := func(cred *Credential, depth int, cert *x509.Certificate) *Credential {
		chain := slices.Clone(cred.Chain)
		chain[depth] = cert
		return &Credential{Chain: chain, Key: cred.Key}
	}
	cut := func(cred *Credential, n int) *Credential { return &Credential{Chain: cred.Chain[:n], Key: cred.Key} }
	below := func(w *world, cred *Credential, cas ...*authority) *Credential {
		chain := slices.Clone(cred.Chain)
		for _, ca := range cas {
			chain = append(chain, ca.cert)
		}
		return &Credential{Chain: chain, Key: cred.Key}
	}
	return []kind{
		{name: "user's certificate without a proxy", asked: "yyynnyy-", why: whyNoProxy, cred: func(w *world) *Credential { return w.user }},
		{name: "user's certificate without a proxy, P-256", asked: "yyy---y-", cred: func(w *world) *Credential { return w.eec(newECKey(w.t)) }},
		{name: "signed by another key", asked: "nyynnnn-", cred: func(w *world) *Credential {
			other := testKey(w.t, "rsa3072")
			impostor := &x509.Certificate{RawSubject: w.user.Leaf().RawSubject, PublicKey: other.Public()}
			return swap(w.proxy(&Credential{Chain: []*x509.Certificate{impostor}, Key: other}), 1, w.user.Leaf())
		}, want: FaultSignature, short: true},
		{name: "signature with one bit changed", asked: "nyyn--n-", cred: func(w *world) *Credential {
			cred := w.proxy(w.user)
			der := slices.Clone(cred.Leaf().Raw)
			der[len(der)-1] ^= 1
			leaf, err := x509.ParseCertificate(der)
			if err != nil {
				w.t.Fatal(err)
			}
			return swap(cred, 0, leaf)
		}, want: FaultSignature},
		{name: "user's certificate with one bit of its signature changed", asked: "nyyn--n-", cred: func(w *world) *Credential {
			cred := w.proxy(w.user)
			der := slices.Clone(w.user.Leaf().Raw)
			der[len(der)-1] ^= 1
			user, err := x509.ParseCertificate(der)
			if err != nil {
				w.t.Fatal(err)
			}
			return swap(cred, 1, user)
		}, want: TrustSignature},
		{name: "key of another proxy", asked: "yyynnnn-", why: whyKey, cred: func(w *world) *Credential {
			return &Credential{Chain: w.proxy(w.user).Chain, Key: testKey(w.t, "rsa3072")}
		}, want: FaultWrongKey},
		{name: "without the user's certificate", asked: "nynnnnn-", cred: func(w *world) *Credential { return cut(w.proxy(w.user), 1) }, want: FaultIncompleteChain},
		{name: "without the proxy between", asked: "nyyn--n-", cred: func(w *world) *Credential {
			two := w.proxy(w.proxy(w.user))
			return &Credential{Chain: []*x509.Certificate{two.Chain[0], two.Chain[2]}, Key: two.Key}
		}, want: FaultIssuer},
		{name: "another certificate of the same user", asked: "nyy---n-", cred: func(w *world) *Credential {
			return swap(w.proxy(w.user), 1, w.eec(testKey(w.t, "rsa3072")).Leaf())
		}, want: FaultSignature},
		{name: "certificate of another user", asked: "nyyn--n-", cred: func(w *world) *Credential {
			return swap(w.proxy(w.user), 1, w.eec(testKey(w.t, "rsa3072"), named(labName("Joe"))).Leaf())
		}, want: FaultIssuer},
		{name: "user of a CA made by another user", asked: "nnyn--n-", cred: func(w *world) *Credential { return noCA(w) }, want: FaultCA},
		{name: "proxy of a user of a CA made by another user", asked: "nyynnnn-", cred: func(w *world) *Credential { return w.proxy(noCA(w)) }, want: FaultCA},
		{name: "proxy of a CA", asked: "nyyn--n-", cred: func(w *world) *Credential {
			ca := w.authority(w.root, "Jane", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature })
			return w.proxy(&Credential{Chain: []*x509.Certificate{ca.cert}, Key: ca.key})
		}, want: FaultCA},
		{name: "unknown CA", asked: "nyynnnn-", cred: func(w *world) *Credential {
			return w.proxy(w.eecOf(w.authority(nil, "Nobody's CA"), rsaKeys()[0]))
		}, want: TrustUnknownIssuer},
		{name: "unknown CA of a known name", asked: "nyyn--n-", cred: func(w *world) *Credential {
			impostor := w.authority(nil, "", named(w.root.cert.RawSubject), keyed(testKey(w.t, "rsa3072")))
			return w.proxy(w.eecOf(impostor, rsaKeys()[0]))
		}, want: TrustSignature},
		{name: "sub-CA, sent and in the trust directory", asked: "yyyyyyy-", cred: func(w *world) *Credential {
			return w.proxy(below(w, w.eecOf(w.sub, rsaKeys()[0]), w.sub))
		}},
		{name: "sub-CA, in the trust directory alone", asked: "yyyy--y-", cred: func(w *world) *Credential {
			return w.proxy(w.eecOf(w.sub, rsaKeys()[0]))
		}},
		{name: "sub-CA, sent alone", asked: "yyynnyy-", why: whySubCA, cred: func(w *world) *Credential {
			sub := w.authority(w.root, "Sent CA")
			return w.proxy(below(w, w.eecOf(sub, rsaKeys()[0]), sub))
		}, want: TrustNoPolicy},
		{name: "sub-CA, neither sent nor in the trust directory", asked: "nyy---n-", cred: func(w *world) *Credential {
			return w.proxy(w.eecOf(w.authority(w.root, "Unsent CA"), rsaKeys()[0]))
		}, want: TrustUnknownIssuer},
		{name: "sub-CA below one that allows none", asked: "nyyn--n-", cred: func(w *world) *Credential {
			short := w.authority(w.root, "Short CA", func(c *x509.Certificate) { c.MaxPathLenZero = true })
			sub := w.authority(short, "Sent CA")
			return w.proxy(below(w, w.eecOf(sub, rsaKeys()[0]), sub, short))
		}, want: FaultPathLength},
		{name: "revoked user", asked: "yyyyyyy-", why: whyRevoked, cred: func(w *world) *Credential { return w.proxy(w.revoked) }, want: TrustRevoked, short: true},
		{name: "user outside the CA's signing policy", asked: "yyyyyyy-", why: whySigningPolicy, cred: func(w *world) *Credential {
			return w.proxy(w.eec(rsaKeys()[0], named(nameOf(w.t, rdn(oidC, "XX"), rdn(oidO, "Elsewhere"), rdn(oidCN, "Jane")))))
		}, want: TrustPolicy},
	}
}
