package gsi

import (
	"crypto/x509"
	"encoding/asn1"
)

func (w *world) info(language asn1.ObjectIdentifier, pathLen *int) func(*x509.Certificate) {
	return marked(proxyExt(w.t, language, pathLen))
}

// levels makes one proxy below the other, each with its own proxyCertInfo.
func levels(infos ...func(*world) func(*x509.Certificate)) func(*world) *Credential {
	return func(w *world) *Credential {
		cred := w.user
		for _, info := range infos {
			cred = w.proxy(cred, info(w))
		}
		return cred
	}
}

func rights(language asn1.ObjectIdentifier, pathLen *int) func(*world) func(*x509.Certificate) {
	return func(w *world) func(*x509.Certificate) { return w.info(language, pathLen) }
}

func rightsKinds() []kind {
	full, limited, independent := rights(oidInheritAll, nil), rights(oidLimited, nil), rights(oidIndependent, nil)
	other := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 0} // id-ppl-anyLanguage
	atMost := func(n int) func(*world) func(*x509.Certificate) { return rights(oidInheritAll, limit(n)) }
	return []kind{
		{name: "limited", asked: "yyyyyyy-", cred: levels(limited), short: true},
		{name: "independent", asked: "yyyyyyy-", cred: levels(independent)},
		{name: "restricted in another language", asked: "yyyyyyy-", why: whyLanguage, cred: levels(rights(other, nil)), want: FaultProxyInfo},
		{name: "two levels", asked: "yyyyyyy-", cred: levels(full, full)},
		{name: "three levels", asked: "yyyy--y-", cred: levels(full, full, full)},
		{name: "eight levels", asked: "yyyy--y-", cred: levels(full, full, full, full, full, full, full, full)},
		{name: "limited below full", asked: "yyyy--y-", cred: levels(full, limited)},
		{name: "limited below limited", asked: "yyy---y-", cred: levels(limited, limited)},
		{name: "full below limited", asked: "yyyyyyy-", why: whyLimited, cred: levels(limited, full), want: FaultLimitedLost},
		{name: "independent below limited", asked: "yyyy--y-", cred: levels(limited, independent)},
		{name: "full below independent", asked: "yyy---y-", cred: levels(independent, full)},
		{name: "path length 0", asked: "yyyyyyy-", cred: levels(atMost(0))},
		{name: "path length 1, used up", asked: "yyy---y-", cred: levels(atMost(1), atMost(0))},
		{name: "path length 0 exceeded", asked: "nyyyynn-", why: whyPathLength, cred: levels(atMost(0), full), want: FaultPathLength},
		{name: "path length 1 exceeded two levels below", asked: "nyyy--n-", why: whyPathLength, cred: levels(atMost(1), full, full), want: FaultPathLength},
		{name: "path length 2 below path length 0", asked: "nyy---n-", cred: levels(atMost(0), atMost(2)), want: FaultPathLength},
	}
}

func legacyKinds() []kind {
	old := func(cn string) func(*world, *Credential) *Credential {
		return func(w *world, issuer *Credential) *Credential {
			return w.proxy(issuer, named(withCN(w.t, issuer.Leaf(), cn)), marked())
		}
	}
	draft := func(language asn1.ObjectIdentifier, pathLen []byte) func(*world, *Credential) *Credential {
		return func(w *world, issuer *Credential) *Credential {
			return w.proxy(issuer, marked(draftExt(w.t, language, pathLen)))
		}
	}
	rfc := func(w *world, issuer *Credential) *Credential { return w.proxy(issuer) }
	chain := func(links ...func(*world, *Credential) *Credential) func(*world) *Credential {
		return func(w *world) *Credential {
			cred := w.user
			for _, link := range links {
				cred = link(w, cred)
			}
			return cred
		}
	}
	full, limited := old("proxy"), old("limited proxy")
	return []kind{
		{name: "legacy", asked: "nyyyynn-", why: whyOld, cred: chain(full), want: FaultLegacy, short: true},
		{name: "limited legacy", asked: "nyyy--n-", why: whyOld, cred: chain(limited), want: FaultLegacy},
		{name: "two levels of legacy", asked: "nyy---n-", cred: chain(full, full), want: FaultLegacy},
		{name: "full below limited legacy", asked: "nyy---n-", cred: chain(limited, full), want: FaultLegacy},
		{name: "draft", asked: "nyyyynn-", why: whyOld, cred: chain(draft(oidInheritAll, nil)), want: FaultLegacy},
		{name: "limited draft", asked: "nyy---n-", cred: chain(draft(oidLimited, nil)), want: FaultLegacy},
		{name: "draft with a path length", asked: "nyy---n-", cred: chain(draft(oidInheritAll, []byte{0xa1, 3, 2, 1, 1})), want: FaultLegacy},
		{name: "RFC 3820 below legacy", asked: "nyyyynn-", why: whyMixed, cred: chain(full, rfc), want: FaultMixedTypes},
		{name: "legacy below RFC 3820", asked: "nyyy--n-", why: whyOld, cred: chain(rfc, full), want: FaultLegacy},
		{name: "RFC 3820 below draft", asked: "nyy---n-", cred: chain(draft(oidInheritAll, nil), rfc), want: FaultMixedTypes},
	}
}
