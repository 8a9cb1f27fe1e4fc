package rcauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// testTime is the clock of all tests but those of recordings.
var testTime = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// Secrets that must not appear in any error.
const (
	clientSecret = "s3cr3t/with+odd&chars"
	testCode     = "https://portal.test/mp-oa2-server/authzGrant/c0ffee/1795291792758"
	testAccess   = "https://portal.test/mp-oa2-server/accessToken/abad1dea/1795291792813"
	testRefresh  = "https://portal.test/mp-oa2-server/refreshToken/deadbeef/1795291792813"
	newRefresh   = "https://portal.test/mp-oa2-server/refreshToken/0ddba11/1795291799999"
	testClient   = "myproxy:oa4mp,2012:/client_id/test"
	callback     = "http://127.0.0.1:8180/callback"
)

// signer is the portal's key, made once: RSA keys are slow to make.
var signer = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

// otherSigner is somebody else's.
var otherSigner = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

// user is a person's certificate with its key.
var user = sync.OnceValue(func() *gsi.Credential { return person("Jane Roe") })

func person(cn string) *gsi.Credential {
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	ca := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	issuer := &x509.Certificate{RawSubject: name("Example", "CA")}
	eec := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: testTime.Add(-24 * time.Hour), NotAfter: testTime.Add(13 * 24 * time.Hour),
		RawSubject: name("Example", cn), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der := must(x509.CreateCertificate(rand.Reader, eec, issuer, key.Public(), ca))
	return &gsi.Credential{Chain: []*x509.Certificate{must(x509.ParseCertificate(der))}, Key: key}
}

func name(o, cn string) []byte {
	return must(asn1.Marshal(pkix.RDNSequence{
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: o}}, {{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: cn}},
	}))
}

// proxyOf is what a portal makes of a user's credential.
func proxyOf(c *gsi.Credential, lifetime time.Duration) *gsi.Credential {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	return must(c.Derive(key, gsi.IssueOptions{Now: testTime, Lifetime: lifetime}))
}

// heard is one request that came to the portal.
type heard struct {
	method, path, body, authorization, contentType string
}

// world is a portal that answers well, but for what a test replaces.
type world struct {
	t      testing.TB
	portal string
	server *httptest.Server
	client *Client

	mu      sync.Mutex
	answers map[string]http.HandlerFunc // by the last element of the path
	heard   []heard
}

func newWorld(t testing.TB) *world {
	w := &world{t: t}
	w.server = httptest.NewUnstartedServer(w)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what is tested
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	w.portal = w.server.URL + "/mp-oa2-server"
	w.answers = map[string]http.HandlerFunc{
		"openid-configuration": w.asJSON(func() any { return w.discovery() }),
		"certs":                w.asJSON(func() any { return jwks(&signer().PublicKey) }),
		"token":                w.asJSON(func() any { return w.tokens(w.claims()) }),
		"userinfo":             w.asJSON(func() any { return map[string]any{"sub": "jane", "cert_subject_dn": "CN=Jane Roe,O=Example"} }),
		"getproxy":             w.asText(func() []byte { return must(proxyOf(user(), time.Hour).PEM()) }),
		"revoke":               func(http.ResponseWriter, *http.Request) {},
	}
	w.client = w.newClient()
	return w
}

func (w *world) newClient() *Client {
	return &Client{
		Portal: w.portal, ClientID: testClient, ClientSecret: secret.Secret(clientSecret), RedirectURI: callback, PKCE: true,
		HTTP: NewHTTPClient(w.roots()), Clock: func() time.Time { return testTime },
	}
}

// roots trust the portal's TLS certificate.
func (w *world) roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(w.server.Certificate())
	return roots
}

// ServeHTTP implements http.Handler.
func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Error(err)
	}
	element := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	w.mu.Lock()
	w.heard = append(w.heard, heard{r.Method, r.URL.RequestURI(), string(body), r.Header.Get("Authorization"), r.Header.Get("Content-Type")})
	answer := w.answers[element]
	w.mu.Unlock()
	if answer == nil {
		http.NotFound(out, r)
		return
	}
	answer(out, r)
}

// answer replaces what the portal does at one endpoint; nil takes it away.
func (w *world) answer(endpoint string, h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[endpoint] = h
}

// requests are those to one endpoint.
func (w *world) requests(endpoint string) []heard {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []heard
	for _, h := range w.heard {
		if strings.HasSuffix(h.path, "/"+endpoint) {
			out = append(out, h)
		}
	}
	return out
}

func (w *world) asJSON(v func() any) http.HandlerFunc {
	return w.raw(http.StatusOK, "application/json;charset=UTF-8", func() []byte { return must(json.Marshal(v())) })
}

func (w *world) asText(v func() []byte) http.HandlerFunc {
	return w.raw(http.StatusOK, "text/plain", v)
}

func (w *world) raw(status int, content string, body func() []byte) http.HandlerFunc {
	return func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", content)
		out.WriteHeader(status)
		out.Write(body())
	}
}

func fixedBody(s string) func() []byte { return func() []byte { return []byte(s) } }

func (w *world) discovery() map[string]any {
	doc := map[string]any{"issuer": w.portal, "jwks_uri": w.portal + "/certs", "registration_endpoint": w.portal + "/register"}
	for _, name := range []string{"authorization", "token", "userinfo", "getproxy"} {
		path := name
		if name == "authorization" {
			path = "authorize"
		}
		doc[name+"_endpoint"] = w.portal + "/" + path
	}
	return doc
}

func (w *world) claims() map[string]any {
	return map[string]any{
		"iss": w.portal, "aud": testClient, "sub": "jane", "nonce": "the-nonce", "cert_subject_dn": "CN=Jane Roe,O=Example",
		"iat": testTime.Unix(), "exp": testTime.Add(15 * time.Minute).Unix(), "auth_time": fmt.Sprint(testTime.Unix()),
	}
}

func (w *world) tokens(claims map[string]any) map[string]any {
	return map[string]any{
		"access_token": testAccess, "refresh_token": newRefresh, "token_type": "Bearer",
		"expires_in": 900, "refresh_token_expires_in": 1296000, "id_token": jwt("RS256", signer(), claims),
	}
}

// with is a copy of a JSON object with something else in it; nil takes out.
func with(doc map[string]any, name string, value any) map[string]any {
	doc = maps.Clone(doc)
	doc[name] = value
	if value == nil {
		delete(doc, name)
	}
	return doc
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwt signs by hand: no library would write what some tests need.
func jwt(alg string, key *rsa.PrivateKey, claims map[string]any) string {
	return jwtOf(alg, key, must(json.Marshal(claims)))
}

func jwtOf(alg string, key *rsa.PrivateKey, claims []byte) string {
	return jwtWith(map[string]any{"alg": alg, "typ": "JWT", "kid": "k"}, key, claims)
}

func jwtWith(header map[string]any, key *rsa.PrivateKey, claims []byte) string {
	text := b64(must(json.Marshal(header))) + "." + b64(claims)
	if key == nil {
		return text + "."
	}
	sum := sha256.Sum256([]byte(text))
	return text + "." + b64(must(rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])))
}

func jwks(keys ...*rsa.PublicKey) map[string]any {
	var list []any
	for _, k := range keys {
		// The leading zero is as real portals write it.
		list = append(list, map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k", "e": "AQAB", "n": b64(append([]byte{0}, k.N.Bytes()...))})
	}
	return map[string]any{"keys": list}
}

// attempt is one that was begun with a nonce the world's id_tokens have.
func attempt() *Attempt {
	return &Attempt{State: "the-state", Nonce: "the-nonce", Verifier: "the-verifier"}
}

// noSecrets fails where an error says more than it may.
func noSecrets(t *testing.T, err error) {
	t.Helper()
	for _, shown := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		for _, hidden := range []string{clientSecret, testCode, testAccess, testRefresh, newRefresh, "the-verifier", "-----BEGIN"} {
			if strings.Contains(shown, hidden) || strings.Contains(shown, url.QueryEscape(hidden)) {
				t.Errorf("the error %s has a secret in it", shown)
			}
		}
	}
}
