package rcauth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// hs256 signs with what is no secret of the portal alone, as a portal does not:
// whoever knows the secret of a client, or the portal's public key, could make
// id_tokens.
func hs256(key []byte, claims map[string]any) string {
	text := b64([]byte(`{"alg":"HS256"}`)) + "." + b64(must(json.Marshal(claims)))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}

// Every way in which an id_token can be wrong, at the login and at a refresh.
func TestIDTokens(t *testing.T) {
	type doc = map[string]any
	for what, c := range map[string]struct {
		token func(claims doc) any
		fault IDTokenFault
	}{
		"none at all":    {func(doc) any { return nil }, FaultMissing},
		"a number":       {func(doc) any { return 5 }, FaultMissing},
		"alg none":       {func(c doc) any { return jwt("none", nil, c) }, FaultMalformed},
		"no signature":   {func(c doc) any { return jwt("RS256", nil, c) }, FaultSignature},
		"alg HS256":      {func(c doc) any { return hs256([]byte(clientSecret), c) }, FaultMalformed},
		"the public key": {func(c doc) any { return hs256(publicPEM(), c) }, FaultMalformed},
		"brings its key": {func(c doc) any {
			own := jwks(&otherSigner().PublicKey)["keys"].([]any)[0]
			return jwtWith(doc{"alg": "RS256", "kid": "k", "jwk": own}, otherSigner(), must(json.Marshal(c)))
		}, FaultSignature},
		"critical header": {func(c doc) any {
			return jwtWith(doc{"alg": "RS256", "crit": []string{"x"}, "x": 1}, signer(), must(json.Marshal(c)))
		}, FaultSignature},
		"audience an object": {func(c doc) any { return signed(with(c, "aud", doc{testClient: testClient})) }, FaultMalformed},
		"empty audience":     {func(c doc) any { return signed(with(c, "aud", []string{})) }, FaultAudience},
		"alg PS256":          {func(c doc) any { return jwt("PS256", signer(), c) }, FaultMalformed},
		"alg of another":     {func(c doc) any { return jwt("RS512", signer(), c) }, FaultSignature},
		"JSON":               {func(c doc) any { return inJSON(signed(c)) }, FaultMalformed},
		"JSON after blanks":  {func(c doc) any { return " \n" + inJSON(signed(c)) }, FaultMalformed},
		"blanks in it":       {func(c doc) any { return strings.Replace(signed(c), ".", " .", 1) }, FaultMalformed},
		"JSON sans header":   {func(c doc) any { return `{"payload":"e30","signature":"e30"}` }, FaultMalformed},
		"JSON, null header": {func(c doc) any {
			return `{"payload":"e30","protected":"bnVsbA","header":{"alg":"RS256"},"signature":"e30"}`
		}, FaultMalformed},
		"no JWT":            {func(doc) any { return "a.b" }, FaultMalformed},
		"not even base64":   {func(doc) any { return "!.!.!" }, FaultMalformed},
		"somebody's key":    {func(c doc) any { return jwt("RS256", otherSigner(), c) }, FaultSignature},
		"changed":           {func(c doc) any { return forged(jwt("RS256", signer(), c)) }, FaultSignature},
		"wrong issuer":      {func(c doc) any { return signed(with(c, "iss", "https://evil.example.org")) }, FaultIssuer},
		"issuer with slash": {func(c doc) any { return signed(with(c, "iss", c["iss"].(string)+"/")) }, FaultIssuer},
		"no issuer":         {func(c doc) any { return signed(with(c, "iss", nil)) }, FaultIssuer},
		"wrong audience":    {func(c doc) any { return signed(with(c, "aud", "myproxy:oa4mp,2012:/client_id/other")) }, FaultAudience},
		"no audience":       {func(c doc) any { return signed(with(c, "aud", nil)) }, FaultAudience},
		"two, no azp":       {func(c doc) any { return signed(with(c, "aud", []string{testClient, "b"})) }, FaultAudience},
		"azp of another":    {func(c doc) any { return signed(with(c, "azp", "b")) }, FaultAudience},
		"wrong nonce":       {func(c doc) any { return signed(with(c, "nonce", "of-yesterday")) }, FaultNonce},
		"no nonce":          {func(c doc) any { return signed(with(c, "nonce", nil)) }, FaultNonce},
		"expired":           {func(c doc) any { return signed(with(c, "exp", testTime.Add(-time.Second).Unix())) }, FaultExpired},
		"without end":       {func(c doc) any { return signed(with(c, "exp", nil)) }, FaultMalformed},
		"not yet":           {func(c doc) any { return signed(with(c, "nbf", testTime.Add(time.Hour).Unix())) }, FaultExpired},
		"old, wrong issuer": {func(c doc) any { return signed(with(old(c), "iss", "https://evil.example.org")) }, FaultIssuer},
		// A wrong clock or issuer excuses nothing else: the token of such a refresh is not kept.
		"issuer and audience": {func(c doc) any { return signed(with(with(c, "iss", "https://evil.example.org"), "aud", "another")) }, FaultAudience},
		"issuer and nonce": {func(c doc) any {
			return signed(with(with(c, "iss", "https://evil.example.org"), "nonce", "of-yesterday"))
		}, FaultNonce},
		"issuer and no end":   {func(c doc) any { return signed(with(with(c, "iss", "https://evil.example.org"), "exp", nil)) }, FaultMalformed},
		"issuer and key":      {func(c doc) any { return jwt("RS256", otherSigner(), with(c, "iss", "https://evil.example.org")) }, FaultSignature},
		"old, wrong audience": {func(c doc) any { return signed(with(old(c), "aud", "another")) }, FaultAudience},
		"old, wrong nonce":    {func(c doc) any { return signed(with(old(c), "nonce", "of-yesterday")) }, FaultNonce},
		"old, of nobody":      {func(c doc) any { return signed(with(old(c), "sub", nil)) }, FaultMalformed},
		"old, somebody's key": {func(c doc) any { return jwt("RS256", otherSigner(), old(c)) }, FaultSignature},
		"of nobody":           {func(c doc) any { return signed(with(c, "sub", nil)) }, FaultMalformed},
		"long sub":            {func(c doc) any { return signed(with(c, "sub", strings.Repeat("a", maxSubject+1))) }, FaultMalformed},
		"DN has a newline":    {func(c doc) any { return signed(with(c, "cert_subject_dn", "CN=a\nb")) }, FaultMalformed},
		"sub is a number":     {func(c doc) any { return signed(with(c, "sub", 5)) }, FaultMalformed},
		"sub has a newline":   {func(c doc) any { return signed(with(c, "sub", "a\nb")) }, FaultMalformed},
		"DN is a list":        {func(c doc) any { return signed(with(c, "cert_subject_dn", []string{"CN=x"})) }, FaultMalformed},
		"long DN":             {func(c doc) any { return signed(with(c, "cert_subject_dn", strings.Repeat("a", maxDN+1))) }, FaultMalformed},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.answer("token", w.asJSON(func() any { return with(w.tokens(w.claims()), "id_token", c.token(w.claims())) }))
			got, err := w.client.Exchange(context.Background(), attempt(), testCode)
			checkFault(t, err, c.fault)
			if got != nil {
				t.Error("tokens came with the error")
			}
			if err != nil {
				noSecrets(t, err)
			}
			again, err := w.client.Refresh(context.Background(), secret.Secret(testRefresh), "the-nonce", "")
			if c.fault == FaultMissing { // OpenID Connect Core 1.0 section 12.2: it may be left out
				if err != nil || again.Claims != (Claims{}) {
					t.Errorf("refresh: got %v, %v", again, err)
				}
				return
			}
			checkFault(t, err, c.fault)
			// An end that has passed may be the fault of the clock here, another
			// issuer that of the configuration, which must not cost the session.
			harmless := c.fault == FaultExpired || c.fault == FaultIssuer
			if kept := again != nil && again.RefreshToken != nil; kept != harmless || kept && again.Claims != (Claims{}) {
				t.Errorf("with the error of the refresh came %v", again)
			}
		})
	}
}

// TestOtherSubject: a refresh brings tokens of the user who logged in, or nothing
// that is kept (OpenID Connect Core 1.0 section 12.2).
func TestOtherSubject(t *testing.T) {
	w := newWorld(t)
	for subject, fault := range map[string]IDTokenFault{"": "", "jane": "", "Jane": FaultSubject, "joe": FaultSubject} {
		got, err := w.client.Refresh(t.Context(), secret.Secret(testRefresh), "the-nonce", subject)
		if fault == "" && err == nil && got.Claims.Subject == "jane" {
			continue
		}
		checkFault(t, err, fault)
		if got != nil {
			t.Errorf("%q: %v came with the error", subject, got)
		}
	}
}

func publicPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(&signer().PublicKey))})
}

// old is of an hour ago.
func old(claims map[string]any) map[string]any {
	return with(claims, "exp", testTime.Add(-time.Hour).Unix())
}

func signed(claims map[string]any) string { return jwt("RS256", signer(), claims) }

// inJSON is a JWS that is no JWT: those are compact (RFC 7519 section 3).
func inJSON(token string) string {
	parts := strings.Split(token, ".")
	return `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`
}

// forged changes what a token says and leaves its signature.
func forged(token string) string {
	parts := strings.Split(token, ".")
	return parts[0] + "." + b64([]byte(`{"sub":"root"}`)) + "." + parts[2]
}

func TestGoodIDTokens(t *testing.T) {
	w := newWorld(t)
	claims := w.claims()
	for what, change := range map[string]func() map[string]any{
		"as it is":      func() map[string]any { return claims },
		"two audiences": func() map[string]any { return with(with(claims, "aud", []string{"b", testClient}), "azp", testClient) },
		"odd display":   func() map[string]any { return with(with(claims, "email", 5), "name", []string{"a"}) },
		"no auth_time":  func() map[string]any { return with(claims, "auth_time", "yesterday") },
		"number":        func() map[string]any { return with(claims, "auth_time", testTime.Unix()) },
		"no DN":         func() map[string]any { return with(claims, "cert_subject_dn", nil) },
		"just begun":    func() map[string]any { return with(claims, "nbf", testTime.Add(4*time.Minute).Unix()) },
		"just ending":   func() map[string]any { return with(claims, "exp", testTime.Unix()) },
		"unknown kid":   func() map[string]any { return claims },
		"two names":     func() map[string]any { return with(with(claims, "given_name", "Jane"), "family_name", "R\x1boe") },
	} {
		t.Run(what, func(t *testing.T) {
			w.answer("token", w.asJSON(func() any {
				if what == "unknown kid" { // the keys are few, and all are the portal's
					return with(w.tokens(claims), "id_token", jwtWith(map[string]any{"alg": "RS256", "kid": "x"}, signer(), must(json.Marshal(claims))))
				}
				return w.tokens(change())
			}))
			got, err := w.client.Exchange(context.Background(), attempt(), testCode)
			if err != nil {
				t.Fatal(err)
			}
			if c := got.Claims; c.Subject != "jane" || c.Email != "" || what == "two names" && c.Name != "Jane Roe" || (c.DN == "") != (what == "no DN") || c.AuthTime.IsZero() != (what == "no auth_time") {
				t.Errorf("got %+v", c)
			}
		})
	}
}

// A portal behind a port whose issuer is not configured leaves the port out; one
// with another issuer for this client must be configured here.
func TestIssuers(t *testing.T) {
	w := newWorld(t)
	portless := "https://127.0.0.1/mp-oa2-server"
	for what, c := range map[string]struct {
		discovered, signed, configured string
		absent                         bool // the portal has no discovery document
		good                           bool
	}{
		"without port":           {portless, portless, "", false, true},
		"discovered one counts":  {portless, w.portal, "", false, false},
		"none discovered":        {"", portless, "", false, true},
		"no document":            {"", w.portal, "", true, true},
		"no document, port left": {"", portless, "", true, true},
		"none, a suffix of it":   {"", portless + "x", "", false, false},
		"no document, another":   {"", "https://localhost/mp-oa2-server", "", true, false},
		"another":                {"https://evil.example.org", "https://evil.example.org", "", false, false},
		"configured":             {"https://id.example.org", "https://id.example.org", "https://id.example.org", false, true},
		"configured per client":  {w.portal, "https://id.example.org", "https://id.example.org", false, true},
		"configured, not so":     {w.portal, w.portal, "https://id.example.org", false, false},
	} {
		t.Run(what, func(t *testing.T) {
			w.client = w.newClient()
			w.client.Issuer = c.configured
			doc := w.asJSON(func() any { return with(w.discovery(), "issuer", c.discovered) })
			if c.absent {
				doc = nil
			}
			w.answer("openid-configuration", doc)
			w.answer("token", w.asJSON(func() any { return w.tokens(with(w.claims(), "iss", c.signed)) }))
			_, err := w.client.Exchange(context.Background(), attempt(), testCode)
			if (err == nil) != c.good {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The keys are asked before the token is used up, and once more where the portal
// has changed them in between.
func TestChangedKeys(t *testing.T) {
	w := newWorld(t)
	next := w.asJSON(func() any { return jwks(&signer().PublicKey) })
	changing := func(then http.HandlerFunc) {
		w.client = w.newClient()
		asked := 0
		w.answer("certs", func(out http.ResponseWriter, r *http.Request) {
			asked++
			if asked == 1 {
				w.asJSON(func() any { return jwks(&otherSigner().PublicKey) })(out, r)
				return
			}
			then(out, r)
		})
	}
	changing(next)
	if got, err := w.client.Refresh(context.Background(), secret.Secret(testRefresh), "", ""); err != nil || got.Claims.Subject != "jane" {
		t.Errorf("got %v, %v", got, err)
	}
	// The answer to the refresh came, only its check did not work out: what it
	// brought is the one thing that keeps the session.
	changing(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	got, err := w.client.Refresh(context.Background(), secret.Secret(testRefresh), "", "")
	var lost *TransportError
	if !errors.As(err, &lost) || lost.Op != opKeys || got == nil || string(got.RefreshToken) != newRefresh || got.Claims != (Claims{}) {
		t.Errorf("got %v, %v", got, err)
	}
	changing(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if got, err := w.client.Exchange(context.Background(), attempt(), testCode); err == nil || got != nil {
		t.Errorf("a login: got %v, %v", got, err)
	}
}

// Without keys nothing is used up.
func TestNoKeysNoRefresh(t *testing.T) {
	w := newWorld(t)
	weak := with(jwks(&signer().PublicKey)["keys"].([]any)[0].(map[string]any), "n", b64(signer().N.Bytes()[:128]))
	for what, body := range map[string]any{
		"none":       map[string]any{"keys": []any{}},
		"weak":       map[string]any{"keys": []any{weak}},
		"exponent 1": map[string]any{"keys": []any{with(jwks(&signer().PublicKey)["keys"].([]any)[0].(map[string]any), "e", "AQ")}},
		"encryption": map[string]any{"keys": []any{with(jwks(&signer().PublicKey)["keys"].([]any)[0].(map[string]any), "use", "enc")}},
		"symmetric":  map[string]any{"keys": []any{map[string]any{"kty": "oct", "k": "c2VjcmV0"}}},
		"too many":   map[string]any{"keys": slices.Repeat(jwks(&signer().PublicKey)["keys"].([]any), maxKeys+1)},
		"even":       map[string]any{"keys": []any{with(jwks(&signer().PublicKey)["keys"].([]any)[0].(map[string]any), "n", b64(append(signer().N.Bytes(), 0)))}},
		"too long":   map[string]any{"keys": []any{with(jwks(&signer().PublicKey)["keys"].([]any)[0].(map[string]any), "n", b64(bytes.Repeat(signer().N.Bytes(), 5)))}},
		"a list":     []any{1},
	} {
		w.answer("certs", w.asJSON(func() any { return body }))
		_, err := w.client.Refresh(context.Background(), secret.Secret(testRefresh), "", "")
		isAnswerError(t, opKeys, err)
		if n := len(w.requests("token")); n > 0 {
			t.Fatalf("%s: the refresh token was used up", what)
		}
	}
}
