package rcauth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"math/bits"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// canned answers every request to an endpoint with the same text, without a
// network.
type canned map[string]string

// RoundTrip implements http.RoundTripper.
func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	path := req.URL.Path
	body, ok := c[path[strings.LastIndex(path, "/")+1:]]
	status := http.StatusOK
	if !ok {
		status = http.StatusNotFound
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

const fuzzPortal = "https://portal.test/mp-oa2-server"

func cannedClient(answers canned) *Client {
	return &Client{
		Portal: fuzzPortal, ClientID: testClient, ClientSecret: secret.Secret(clientSecret), RedirectURI: callback,
		HTTP: &http.Client{Transport: answers}, Clock: func() time.Time { return testTime },
	}
}

// typedError holds that an error is one of those that the package documents.
func typedError(t *testing.T, err error) {
	t.Helper()
	var refused *PortalError
	var bad *AnswerError
	var token *IDTokenError
	var cred *CredentialError
	if !errors.As(err, &refused) && !errors.As(err, &bad) && !errors.As(err, &token) && !errors.As(err, &cred) {
		t.Errorf("%T: %v", err, err)
	}
	for _, hidden := range []string{clientSecret, testRefresh} {
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("%q has a secret in it", err)
		}
	}
}

// cheapKey signs as RSA of 2048 bits does, with 33 primes of one word in place of
// two long ones: no key for anybody to use, but its signatures verify like any
// other, and cost a fuzzer little.
type cheapKey struct {
	n                 *big.Int
	primes, exponents []uint64
	basis             []*big.Int // basis[i] is 1 modulo primes[i] and 0 modulo the others
}

var cheapSigner = sync.OnceValue(func() *cheapKey {
	k, e, one := &cheapKey{n: big.NewInt(1)}, big.NewInt(65537), big.NewInt(1)
	for len(k.primes) < 33 {
		p := must(rand.Prime(rand.Reader, 64))
		d := new(big.Int).ModInverse(e, new(big.Int).Sub(p, one))
		if d == nil || new(big.Int).GCD(nil, nil, p, k.n).Cmp(one) != 0 {
			continue
		}
		k.primes, k.exponents, k.n = append(k.primes, p.Uint64()), append(k.exponents, d.Uint64()), k.n.Mul(k.n, p)
	}
	for _, p := range k.primes {
		p := new(big.Int).SetUint64(p)
		rest := new(big.Int).Div(k.n, p)
		k.basis = append(k.basis, rest.Mul(rest, new(big.Int).ModInverse(rest, p)))
	}
	return k
})

// jwt is RS256 (RFC 8017 section 8.2.1) by the Chinese remainder theorem.
func (k *cheapKey) jwt(claims []byte) string {
	text := b64([]byte(`{"alg":"RS256"}`)) + "." + b64(claims)
	sum := sha256.Sum256([]byte(text))
	prefix := must(hex.DecodeString("003031300d060960864801650304020105000420")) // DigestInfo of SHA-256
	size := (k.n.BitLen() + 7) / 8
	padded := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-2-len(prefix)-len(sum))...)
	message := new(big.Int).SetBytes(append(append(padded, prefix...), sum[:]...))
	signature, part := new(big.Int), new(big.Int)
	for i, p := range k.primes {
		rest := part.Mod(message, new(big.Int).SetUint64(p)).Uint64()
		signature.Add(signature, part.Mul(part.SetUint64(power(rest, k.exponents[i], p)), k.basis[i]))
	}
	return text + "." + b64(signature.Mod(signature, k.n).FillBytes(make([]byte, size)))
}

// power is base^exponent modulo p, base less than p.
func power(base, exponent, p uint64) uint64 {
	times := func(a, b uint64) uint64 {
		high, low := bits.Mul64(a, b)
		return bits.Rem64(high, low, p)
	}
	result := uint64(1)
	for ; exponent > 0; exponent >>= 1 {
		if exponent&1 == 1 {
			result = times(result, base)
		}
		base = times(base, base)
	}
	return result
}

// FuzzTokens: whatever the token endpoint says, and signs as the claims of $ID,
// tokens come only with an id_token that was signed, or from a refresh without one.
func FuzzTokens(f *testing.F) {
	keys := `{"keys":[{"kty":"RSA","e":"AQAB","n":"` + b64(cheapSigner().n.Bytes()) + `"}]}`
	f.Fuzz(func(t *testing.T, body, claims []byte) {
		// Signed here: every process of the fuzzer has another key.
		body = bytes.ReplaceAll(body, []byte("$ID"), []byte(cheapSigner().jwt(claims)))
		c := cannedClient(canned{"certs": keys, "token": string(body)})
		got, err := c.Exchange(context.Background(), attempt(), testCode)
		if (got == nil) != (err != nil) {
			t.Fatalf("got %v, %v", got, err)
		}
		if err != nil {
			typedError(t, err)
		} else if got.Claims.Subject == "" || !goodToken(string(got.AccessToken)) || got.AccessExpires.After(testTime.Add(accessLife)) {
			t.Errorf("got %+v", got)
		}
		got, err = c.Refresh(context.Background(), secret.Secret(testRefresh), "the-nonce", "")
		var id *IDTokenError
		harmless := errors.As(err, &id) && (id.Fault == FaultIssuer || id.Fault == FaultExpired) // see Refresh
		if (got == nil) != (err != nil && !harmless) || harmless && got.Claims != (Claims{}) {
			t.Fatalf("refresh: got %v, %v", got, err)
		}
		if err != nil {
			typedError(t, err)
		}
		if got == nil {
			return
		}
		if !goodToken(string(got.RefreshToken)) || got.RefreshExpires.After(testTime.Add(maxLife)) {
			t.Errorf("refresh: got %+v", got)
		}
	})
}

// FuzzRefusal: what is left of any page can be shown, and has nothing in it that
// was sent.
func FuzzRefusal(f *testing.F) {
	c := cannedClient(nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		err := c.refusal(opRefresh, &answer{status: 400, body: body}, testRefresh)
		for _, s := range []string{err.Code, err.Description} {
			for _, hidden := range []string{clientSecret, testRefresh, "/refreshToken/", "/accessToken/", "/authzGrant/"} {
				if strings.Contains(s, hidden) {
					t.Errorf("%q has a secret in it", s)
				}
			}
			if len([]rune(s)) > 200 || strings.ContainsAny(s, "\x00\x07\x1b\n\r\u202e") {
				t.Errorf("a terminal would get %q", s)
			}
		}
		if err.Kind == "" || err.Error() == "" {
			t.Errorf("got %+v", err)
		}
	})
}

// FuzzDiscovery: every endpoint is https on the portal's host, or nothing is.
func FuzzDiscovery(f *testing.F) {
	base := must(url.Parse(fuzzPortal))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parseDiscovery(body, base, "")
		if err != nil {
			typedError(t, err)
			return
		}
		for _, address := range []string{p.Authorization, p.Token, p.UserInfo, p.GetProxy, p.Register, p.JWKS} {
			u, err := url.Parse(address)
			if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Hostname(), "portal.test") || u.Port() != "" && u.Port() != "443" || u.User != nil {
				t.Errorf("%q came through", address)
			}
		}
		if p.Issuer != "" && p.Issuer != fuzzPortal {
			t.Errorf("the issuer %q came through", p.Issuer)
		}
	})
}

// FuzzKeys: a key that is taken can verify.
func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"RSA","e":"AQAB","n":"` + b64(signer().N.Bytes()) + `"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseKeys(body)
		if err != nil {
			typedError(t, err)
			return
		}
		for _, k := range keys {
			if k := k.(*rsa.PublicKey); k.N.BitLen() < minKeyBits || k.N.BitLen() > maxKeyBits || k.E < 3 {
				t.Errorf("a key of %d bits with exponent %d", k.N.BitLen(), k.E)
			}
		}
	})
}

// FuzzUserInfo: whoever it is can be named.
func FuzzUserInfo(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := parseUserInfo(body)
		if err != nil {
			return
		}
		if c.Subject == "" || hasControl(c.Subject) || hasControl(c.DN) || len(c.DN) > maxDN {
			t.Errorf("got %+v", c)
		}
		for _, s := range []string{c.Email, c.Name, c.IdP, c.IdPName} {
			if strings.ContainsAny(s, "\x1b\n\u202e") {
				t.Errorf("a terminal would get %q", s)
			}
		}
	})
}

// FuzzInfo: times are none, or make sense.
func FuzzInfo(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseInfo(body)
		if err != nil {
			typedError(t, err)
			return
		}
		for _, d := range []time.Duration{got.TimeLeft, got.Tolerance, got.MaxLifetime, got.DefaultLifetime} {
			if d < 0 || d > maxLife {
				t.Errorf("got %+v", got)
			}
		}
	})
}

// FuzzProxy: what comes out verifies, and is a proxy.
func FuzzProxy(f *testing.F) {
	good := must(proxyOf(user(), time.Hour).PEM())
	f.Add(good)
	f.Add(bytes.Repeat(good, 2))
	f.Add(pemOf(user().Key, user().Chain...))
	f.Fuzz(func(t *testing.T, body []byte) {
		cred, err := parseProxy(body, testTime)
		if err != nil {
			typedError(t, err)
			return
		}
		info, err := gsi.Inspect(cred.Chain)
		if err != nil || info.Depth == 0 || cred.Verify(gsi.VerifyOptions{Now: testTime}) != nil || info.NotAfter.Before(testTime) {
			t.Errorf("got %+v, %v", info, err)
		}
	})
}

// FuzzRedirect: a code comes out only of a URL with the state in it, and only of
// the registered one.
func FuzzRedirect(f *testing.F) {
	f.Fuzz(func(t *testing.T, raw, redirect string) {
		a := &Attempt{State: "the-state"}
		code, err := a.ParseRedirect(raw, redirect)
		if err != nil {
			if code != "" || err.Error() == "" {
				t.Errorf("code %q with %v", code, err)
			}
			return
		}
		u, err := url.Parse(redirect)
		if err != nil || u.Host == "" || code == "" || hasControl(code) || len(code) > maxCode {
			t.Errorf("code %q from %q for %q", code, raw, redirect)
		}
		if _, err := (&Attempt{State: "another"}).ParseRedirect(raw, redirect); !errors.Is(err, ErrWrongState) {
			t.Errorf("another attempt takes it, too: %v", err)
		}
	})
}
