package rcauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

var (
	oidDC    = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
	oidO     = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidCN    = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidEmail = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
)

func element(oid asn1.ObjectIdentifier, v any) pkix.RelativeDistinguishedNameSET {
	return pkix.RelativeDistinguishedNameSET{{Type: oid, Value: v}}
}

func ia5(s string) asn1.RawValue { return asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(s)} }

func utf8String(s string) asn1.RawValue {
	return asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(s)}
}

// The claim cert_subject_dn is written by Java (X500Principal) and by the
// delegation server, whose escapes differ. Every form of one name must fit it,
// and no other name.
func TestMatchSubject(t *testing.T) {
	head := []pkix.RelativeDistinguishedNameSET{element(oidDC, ia5("eu")), element(oidDC, ia5("rcauth"))}
	named := func(more ...pkix.RelativeDistinguishedNameSET) []byte {
		return must(asn1.Marshal(pkix.RDNSequence(append(head[:2:2], more...))))
	}
	for what, c := range map[string]struct {
		subject    []byte
		same, none []string
	}{
		"plain": {named(element(oidO, "Example"), element(oidCN, "Jane Roe AbC")),
			[]string{"CN=Jane Roe AbC,O=Example,DC=rcauth,DC=eu", "CN=Jane Roe AbC, O=Example, DC=rcauth, DC=eu", "cn=Jane Roe AbC,o=Example,dc=rcauth,dc=eu"},
			[]string{
				"", "CN=Jane Roe AbC", "DC=eu,DC=rcauth,O=Example,CN=Jane Roe AbC", "CN=jane roe abc,O=Example,DC=rcauth,DC=eu",
				"CN=Jane Roe AbC,O=Example,DC=rcauth,DC=eu,DC=x", "CN=1234,CN=Jane Roe AbC,O=Example,DC=rcauth,DC=eu",
				"/DC=eu/DC=rcauth/O=Example/CN=Jane Roe AbC", " /DC=eu/DC=rcauth/O=Example/CN=Jane Roe AbC",
				"CN=Jane Roe AbC+O=Example,DC=rcauth,DC=eu", "CN=Jane Roe AbC,O=Example,DC=rcauth,DC=eu,",
			}},
		"escaped comma": {named(element(oidO, "Roe, Doe + Sons; \"Grid\""), element(oidCN, "Roe, Jane")),
			[]string{
				`CN=Roe\, Jane,O=Roe\, Doe \+ Sons\; \"Grid\",DC=rcauth,DC=eu`,
				`CN=Roe\2C Jane,O="Roe, Doe + Sons; \"Grid\"",DC=rcauth,DC=eu`,
			},
			[]string{`CN=Roe, Jane,O=Roe\, Doe \+ Sons\; \"Grid\",DC=rcauth,DC=eu`, `CN=Jane,CN=Roe,O=Roe\, Doe \+ Sons\; \"Grid\",DC=rcauth,DC=eu`}},
		"UTF-8": {named(element(oidO, utf8String("Universität Łódź")), element(oidCN, utf8String("Žofie Nováková"))),
			[]string{"CN=Žofie Nováková,O=Universität Łódź,DC=rcauth,DC=eu", `CN=\C5\BDofie Nov\C3\A1kov\C3\A1,O=Universit\C3\A4t \C5\81\C3\B3d\C5\BA,DC=rcauth,DC=eu`},
			[]string{"CN=Zofie Novakova,O=Universitat Lodz,DC=rcauth,DC=eu", "CN=Zˇofie Nováková,O=Universität Łódź,DC=rcauth,DC=eu"}},
		"emailAddress": {named(element(oidO, "Example"), element(oidCN, "Jane"), element(oidEmail, ia5("jane@example.org"))),
			[]string{
				"emailAddress=jane@example.org,CN=Jane,O=Example,DC=rcauth,DC=eu", "E=jane@example.org,CN=Jane,O=Example,DC=rcauth,DC=eu",
				"EMAILADDRESS=jane@example.org,CN=Jane,O=Example,DC=rcauth,DC=eu",
				"1.2.840.113549.1.9.1=#16106a616e65406578616d706c652e6f7267,CN=Jane,O=Example,DC=rcauth,DC=eu", // Java's RFC 2253
			},
			[]string{"CN=Jane,O=Example,DC=rcauth,DC=eu", "E=joe@example.org,CN=Jane,O=Example,DC=rcauth,DC=eu", "1.2.840.113549.1.9.1=#1610,CN=Jane,O=Example,DC=rcauth,DC=eu"}},
		"an element of two": {named(pkix.RelativeDistinguishedNameSET{{Type: oidO, Value: "Example"}, {Type: oidCN, Value: "Jane"}}),
			[]string{"O=Example+CN=Jane,DC=rcauth,DC=eu", "CN=Jane+O=Example,DC=rcauth,DC=eu"},
			[]string{"CN=Jane,O=Example,DC=rcauth,DC=eu", "O=Example,CN=Jane,DC=rcauth,DC=eu"}},
		"slashes": {named(element(oidO, "Example/CN=Jane")), []string{"O=Example/CN=Jane,DC=rcauth,DC=eu"},
			[]string{"CN=Jane,O=Example,DC=rcauth,DC=eu", "/DC=eu/DC=rcauth/O=Example/CN=Jane"}},
		"equals sign": {named(element(oidCN, "a=b,CN=c")), []string{`CN=a=b\,CN\=c,DC=rcauth,DC=eu`}, []string{"CN=a=b,CN=c,DC=rcauth,DC=eu"}},
	} {
		t.Run(what, func(t *testing.T) {
			eec := certificate(t, c.subject)
			for _, text := range c.same {
				if err := MatchSubject(text, eec); err != nil {
					t.Errorf("%s: %v", text, err)
				}
			}
			for _, text := range c.none {
				err := MatchSubject(text, eec)
				var other *IdentityError
				if !errors.As(err, &other) || other.Subject == "" {
					t.Errorf("%s: got %v", text, err)
				}
			}
		})
	}
}

func certificate(t *testing.T, subject []byte) *x509.Certificate {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), RawSubject: subject, NotBefore: testTime, NotAfter: testTime.Add(time.Hour)}
	cert, err := x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// pemOf writes certificates and a key in any combination.
func pemOf(key any, chain ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	if key != nil {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})...)
	}
	return out
}

// Every way in which a proxy can be wrong is a *CredentialError, and nothing of
// it is returned.
func TestBadProxies(t *testing.T) {
	good := proxyOf(user(), time.Hour)
	other := proxyOf(person("Jane Roe"), time.Hour)
	long := proxyOf(user(), 5*24*time.Hour)
	short := must(user().Derive(good.Key, gsi.IssueOptions{Now: testTime.Add(-2 * time.Hour), Lifetime: time.Hour}))
	early := must(user().Derive(good.Key, gsi.IssueOptions{Now: testTime.Add(2 * time.Hour), Lifetime: time.Hour}))
	for what, c := range map[string]struct {
		body  []byte
		fault gsi.Fault // "" where there is none of the chain
	}{
		"another's key":          {pemOf(other.Key, good.Chain...), gsi.FaultWrongKey},
		"another's chain":        {pemOf(good.Key, good.Chain[0], other.Chain[1]), gsi.FaultSignature},
		"no key":                 {pemOf(nil, good.Chain...), ""},
		"two keys":               {append(pemOf(good.Key, good.Chain...), pemOf(other.Key)...), ""},
		"no user":                {pemOf(good.Key, good.Chain[0]), gsi.FaultIncompleteChain},
		"the user's own":         {pemOf(user().Key, user().Chain...), ""},
		"expired":                {pemOf(short.Key, short.Chain...), gsi.FaultExpired},
		"of tomorrow":            {pemOf(early.Key, early.Chain...), gsi.FaultNotYetValid},
		"a certificate too many": {pemOf(good.Key, good.Chain[0], good.Chain[1], long.Chain[0]), ""},
		"cut off":                {pemOf(good.Key, good.Chain...)[:700], ""},
		"garbage":                {[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), ""},
		"nothing":                {nil, ""},
		"too many":               {append(pemOf(good.Key), []byte(strings.Repeat(string(pemOf(nil, good.Chain...)), 20))...), ""},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.answer("getproxy", w.asText(func() []byte { return c.body }))
			got, err := w.client.GetProxy(context.Background(), ProxyRequest{AccessToken: secret.Secret(testAccess)})
			var bad *CredentialError
			if got != nil || !errors.As(err, &bad) {
				t.Fatalf("got %v, %v", got, err)
			}
			noSecrets(t, err)
			var fault *gsi.ChainError
			if c.fault != "" && (!errors.As(err, &fault) || fault.Fault != c.fault) {
				t.Errorf("got %v, want %s", err, c.fault)
			}
		})
	}
}

// Another user's proxy is a good one; only its name is not the caller's.
func TestAnothersProxy(t *testing.T) {
	w := newWorld(t)
	w.answer("getproxy", w.asText(func() []byte { return must(proxyOf(person("Mallory"), time.Hour).PEM()) }))
	tokens, err := w.client.Exchange(context.Background(), attempt(), testCode)
	if err != nil {
		t.Fatal(err)
	}
	cred, err := w.client.GetProxy(context.Background(), ProxyRequest{AccessToken: tokens.AccessToken})
	if err != nil {
		t.Fatal(err)
	}
	err = MatchSubject(tokens.Claims.DN, cred.Chain[len(cred.Chain)-1])
	if err == nil || !strings.Contains(err.Error(), "CN=Mallory,O=Example") {
		t.Errorf("got %v", err)
	}
}
