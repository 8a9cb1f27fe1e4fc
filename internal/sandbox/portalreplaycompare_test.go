package sandbox

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Members of JSON answers whose values are our own: what is compared is that
// they are there, and are of the same kind.
var ownValues = map[string]string{
	"cert_subject_dn": "the sandbox's CA has a name space of its own",
	"n":               "every portal has a key of its own",
	"kid":             "and a name for it",
	"iat":             "compared by the distance to exp",
	"exp":             "compared by the distance to iat",
	"auth_time":       "a string, compared by its kind",
}

// ourToken is an identifier as both portals make it.
var ourToken = regexp.MustCompile(`https://localhost:[0-9]+/mp-oa2-server/(authzGrant|accessToken|refreshToken)/[0-9a-f]{16,32}/[0-9]{13}`)

func (w *replayWorld) compare(t *testing.T, e *exchange, response *http.Response, body string) {
	t.Helper()
	if response.StatusCode != e.Response.Status {
		t.Fatalf("status %d, recorded %d; body %.300s", response.StatusCode, e.Response.Status, body)
	}
	w.compareHeaders(t, e, response.Header)
	recorded := e.Response.Body
	if strings.Contains(recorded, "Apache Tomcat") {
		return // the page is not the portal's, and has its style sheet in it
	}
	switch {
	case strings.HasPrefix(recorded, "{"):
		w.compareJSON(t, e, body)
	case strings.HasPrefix(recorded, "-----BEGIN"):
		w.compareBundle(t, e, body)
	case body != strings.ReplaceAll(recorded, url.QueryEscape(recordedOrigin), url.QueryEscape(w.p.origin())):
		t.Errorf("body\n%s\nrecorded\n%s", body, recorded)
	}
}

// compareHeaders compares all headers that the recordings keep, values
// included; tokens and cookies have their own.
func (w *replayWorld) compareHeaders(t *testing.T, e *exchange, got http.Header) {
	t.Helper()
	recorded := http.Header{}
	for _, pair := range e.Response.Headers {
		value := pair[1]
		if pair[0] == "Location" {
			value = w.location(value)
		}
		recorded.Add(pair[0], value)
	}
	got = got.Clone()
	for _, name := range []string{"Date", "Connection", "Content-Length"} {
		got.Del(name)
	}
	if location := got.Get("Location"); location != "" {
		w.learn(e.header("Location"), location)
		got.Set("Location", w.location(location))
	}
	if cookie := got.Get("Set-Cookie"); cookie != "" {
		name, rest, _ := strings.Cut(cookie, "=")
		_, attributes, _ := strings.Cut(rest, ";")
		got.Set("Set-Cookie", name+"=...;"+attributes)
	}
	if !reflect.DeepEqual(recorded, got) {
		t.Errorf("headers\n%v\nrecorded\n%v", got, recorded)
	}
}

// location is a redirect with the kind of the token in place of the token.
func (w *replayWorld) location(value string) string {
	plain, err := url.QueryUnescape(value)
	if err != nil || !ourToken.MatchString(plain) {
		return value
	}
	return ourToken.ReplaceAllString(plain, "$1")
}

// learn notes which of our tokens answers to which recorded one.
func (w *replayWorld) learn(recorded, got string) {
	unescape := func(text string) string {
		if plain, err := url.QueryUnescape(text); err == nil && strings.Contains(text, "%2F") {
			return plain
		}
		return text
	}
	theirs, ours := recordedToken.FindString(unescape(recorded)), ourToken.FindString(unescape(got))
	if theirs != "" && ours != "" {
		w.ours[theirs] = ours
	}
}

// compareJSON compares member by member; their order means nothing.
func (w *replayWorld) compareJSON(t *testing.T, e *exchange, body string) {
	t.Helper()
	var recorded, got map[string]any
	if err := json.Unmarshal([]byte(e.Response.Body), &recorded); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for _, name := range []string{"access_token", "refresh_token"} {
		theirs, _ := recorded[name].(string)
		ours, _ := got[name].(string)
		w.learn(theirs, ours)
	}
	w.compareMembers(t, recorded, got)
	if theirs, ok := recorded["id_token"].(string); ok {
		ours, _ := got["id_token"].(string)
		w.compareMembers(t, jwtPart(t, theirs, 0), jwtPart(t, ours, 0))
		w.compareMembers(t, jwtPart(t, theirs, 1), jwtPart(t, ours, 1))
	}
}

func (w *replayWorld) compareMembers(t *testing.T, recorded, got map[string]any) {
	t.Helper()
	names := slices.Sorted(maps.Keys(recorded))
	if ours := slices.Sorted(maps.Keys(got)); !slices.Equal(names, ours) {
		t.Errorf("members %v, recorded %v", ours, names)
	}
	for _, name := range names {
		theirs, ours := recorded[name], got[name]
		if reflect.TypeOf(theirs) != reflect.TypeOf(ours) {
			t.Errorf("%s is %T, recorded %T", name, ours, theirs)
			continue
		}
		if keys, ok := theirs.([]any); ok && name == "keys" {
			w.compareMembers(t, keys[0].(map[string]any), ours.([]any)[0].(map[string]any))
			continue
		}
		if !w.alike(name, theirs, ours) {
			t.Errorf("%s is %v, recorded %v", name, ours, theirs)
		}
	}
	if recorded["exp"] != nil && got["exp"] != nil && got["exp"].(float64)-got["iat"].(float64) != recorded["exp"].(float64)-recorded["iat"].(float64) {
		t.Errorf("the id_token lives from %v to %v", got["iat"], got["exp"])
	}
	if n, ok := got["n"].(string); ok && !strings.HasPrefix(n, "A") {
		t.Errorf("the modulus %s does not begin with a zero byte", n)
	}
}

// alike compares one value: tokens by their kind, the time left within what
// passed between two recordings.
func (w *replayWorld) alike(name string, theirs, ours any) bool {
	switch {
	case ownValues[name] != "":
		return true
	case name == "timeleft":
		distance := theirs.(float64) - ours.(float64)
		return distance > -120 && distance < 120
	case name == "id_token":
		return strings.Count(ours.(string), ".") == 2
	}
	text, ok := theirs.(string)
	if !ok {
		return reflect.DeepEqual(theirs, ours)
	}
	if kind := ourToken.ReplaceAllString(text, "$1"); kind != text {
		return ourToken.ReplaceAllString(ours.(string), "$1") == kind
	}
	for theirs, ours := range w.ours {
		text = strings.ReplaceAll(text, theirs, ours)
	}
	return strings.ReplaceAll(text, recordedOrigin, w.p.origin()) == ours ||
		text == ours // a token that was never issued is repeated as it came
}

func jwtPart(t *testing.T, token string, part int) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[part])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// compareBundle compares a proxy with the recorded one: blocks in their order,
// and each proxy's length of life, kind and extensions. The end-entity
// certificate is its CA's business.
func (w *replayWorld) compareBundle(t *testing.T, e *exchange, body string) {
	t.Helper()
	theirs, ours := blocksOf(e.Response.Body), blocksOf(body)
	if len(theirs) != len(ours) {
		t.Fatalf("%d blocks, recorded %d", len(ours), len(theirs))
	}
	if theirs, ours := longestLine(e.Response.Body), longestLine(body); theirs != ours {
		t.Errorf("lines of %d characters, recorded %d", ours, theirs)
	}
	for i := range theirs {
		if theirs[i].Type != ours[i].Type {
			t.Fatalf("block %d is %s, recorded %s", i, ours[i].Type, theirs[i].Type)
		}
		if theirs[i].Type == "PRIVATE KEY" {
			if key, err := x509.ParsePKCS8PrivateKey(ours[i].Bytes); err != nil || key.(*rsa.PrivateKey).N.BitLen() != keyBits {
				t.Errorf("the key is no RSA key of %d bits (%v)", keyBits, err)
			}
			continue
		}
		if i == len(theirs)-1 {
			continue
		}
		compareProxies(t, i == 0, certificatesOf(t, theirs[i].Bytes)[0], certificatesOf(t, ours[i].Bytes)[0])
	}
}

// compareProxies compares kind and extensions of two proxies, and of the leafs
// the length of life: the long-lived ones were made at other times.
func compareProxies(t *testing.T, leaf bool, theirs, ours *x509.Certificate) {
	t.Helper()
	if len(theirs.Extensions) != len(ours.Extensions) {
		t.Fatalf("%d extensions, recorded %d", len(ours.Extensions), len(theirs.Extensions))
	}
	for i, ext := range theirs.Extensions {
		if other := ours.Extensions[i]; !reflect.DeepEqual(ext, other) {
			t.Errorf("extension %d is %v, recorded %v", i, other, ext)
		}
	}
	if theirs.SignatureAlgorithm != ours.SignatureAlgorithm {
		t.Errorf("signed with %v, recorded %v", ours.SignatureAlgorithm, theirs.SignatureAlgorithm)
	}
	if !leaf {
		return
	}
	life, recorded := ours.NotAfter.Sub(ours.NotBefore), theirs.NotAfter.Sub(theirs.NotBefore)
	if distance := life - recorded; distance > 2*time.Minute || distance < -2*time.Minute {
		t.Errorf("the proxy lives %v, recorded %v", life, recorded)
	}
}

func longestLine(text string) int {
	longest := 0
	for line := range strings.Lines(text) {
		longest = max(longest, len(line)-1)
	}
	return longest
}

func blocksOf(text string) []*pem.Block {
	var blocks []*pem.Block
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return blocks
		}
		blocks = append(blocks, block)
	}
}
