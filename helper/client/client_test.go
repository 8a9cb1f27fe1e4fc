package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// fake is a Runner that notes what it was sent.
type fake struct {
	answer string
	status int
	err    error

	verb, request string
}

func (f *fake) run(_ context.Context, verb string, request []byte) ([]byte, int, error) {
	f.verb, f.request = verb, string(request)
	return []byte(f.answer), f.status, f.err
}

// valid says whether a message is what docs/schema promises of it.
func valid(t *testing.T, schema, message string) error {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "docs", "schema", schema+".json"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(message))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// TestRequests: what is left out is not sent, so that the helper's defaults
// hold; "none" and "nothing said" stay apart; and all that is sent is what the
// schema allows.
func TestRequests(t *testing.T) {
	ctx, no := t.Context(), false
	var f fake
	c, named := &Client{Run: f.run}, &Client{Run: f.run, Name: "gfal-copy", Version: "1.8"}
	calls := []struct {
		call func()
		want string
	}{
		{func() { _, _ = c.Get(ctx, GetRequest{}) }, `get {"version":1}`},
		{func() { _, _ = named.Get(ctx, GetRequest{URL: "root://se.example.org//a?b=<c>&d"}) },
			`get {"version":1,"client":{"name":"gfal-copy","version":"1.8"},"url":"root://se.example.org//a?b=<c>&d"}`},
		{func() { _, _ = c.Get(ctx, GetRequest{MinLifetime: Expiring}) }, `get {"version":1,"min_lifetime":0}`},
		{func() { _, _ = c.Get(ctx, GetRequest{MinLifetime: 1500 * time.Millisecond, Lifetime: time.Hour}) },
			`get {"version":1,"min_lifetime":2,"lifetime":3600}`},
		{func() { _, _ = c.Get(ctx, GetRequest{VOMS: []string{}}) }, `get {"version":1,"voms":[]}`},
		{func() { _, _ = c.Get(ctx, GetRequest{VOMS: []string{"atlas:/atlas/Role=pilot"}, Limited: &no}) },
			`get {"version":1,"voms":["atlas:/atlas/Role=pilot"],"limited":false}`},
		{func() {
			_, _ = c.Get(ctx, GetRequest{Profile: "atlas", Cache: CacheBypass, Output: OutputPath,
				Interactive: InteractiveAuto, Timeout: 90 * time.Second, Optional: []string{"limited"}})
		}, `get {"version":1,"profile":"atlas","cache":"bypass","output":"path","interactive":"auto","timeout":90,"optional":["limited"]}`},
		{func() {
			_, _ = c.Store(ctx, StoreRequest{Profile: "atlas", Kind: "passphrase", Value: Secret(`a "b" ü`)})
		}, `store {"version":1,"profile":"atlas","secret":{"kind":"passphrase","value":"a \"b\" ü"}}`},
		{func() { _, _ = c.Erase(ctx, EraseRequest{What: []string{"all"}}) }, `erase {"version":1,"what":["all"]}`},
		{func() {
			_, _ = c.Erase(ctx, EraseRequest{Fingerprint: "sha256:" + strings.Repeat("0a", 32), Rejected: true})
		}, `erase {"version":1,"fingerprint":"sha256:` + strings.Repeat("0a", 32) + `","reason":"rejected"}`},
		{func() { _, _ = c.List(ctx) }, `list {"version":1}`},
		{func() { _, _ = c.Capabilities(ctx) }, `capabilities {"version":1}`},
	}
	for _, call := range calls {
		call.call()
		if got := f.verb + " " + strings.TrimSuffix(f.request, "\n"); got != call.want {
			t.Errorf("sent     %s\nexpected %s", got, call.want)
		}
		if f.verb == "capabilities" {
			continue // reads no request
		}
		if err := valid(t, f.verb+".request", f.request); err != nil {
			t.Errorf("%s %s: %v", f.verb, f.request, err)
		}
	}
}

// TestSecretNotUTF8: encoding/json would keep another pass phrase, without a
// word.
func TestSecretNotUTF8(t *testing.T) {
	var f fake
	_, err := (&Client{Run: f.run}).Store(t.Context(), StoreRequest{Kind: "passphrase", Value: Secret("caf\xe9 caf")})
	if err == nil || f.request != "" || strings.Contains(err.Error(), "caf") {
		t.Errorf("error %v, sent %q", err, f.request)
	}
}

const good = `{"version":1,"profile":"atlas","backend":"myproxy","source":"cache","stored_in":"keyring","credential":{
	%s"type":"rfc3820","limited":true,"subject":"/CN=Jane/CN=1","identity":"/CN=Jane","identity_rfc2253":"CN=Jane",
	"not_before":"2026-11-21T18:55:00Z","not_after":"2026-11-22T07:00:00Z","expires_in":43021,"refresh_after":"2026-11-22T03:00:00Z",
	"voms":[{"vo":"atlas","fqans":["/atlas"],"not_after":"2026-11-22T06:59:00Z"}],"fingerprint":"sha256:9f","new":{"a":[1]}},
	"warnings":[{"code":"lifetime_clipped","message":"asked for 24 h"}],"newer":true}` + "\n"

// TestGet: every field arrives, and those of a later helper do no harm.
func TestGet(t *testing.T) {
	pem := &fake{answer: fmt.Sprintf(good, `"pem":"-----BEGIN\n",`)}
	a, err := (&Client{Run: pem.run}).Get(t.Context(), GetRequest{})
	if err != nil {
		t.Fatal(err)
	}
	c := a.Credential
	if string(c.PEM) != "-----BEGIN\n" || !c.Limited || c.Identity != "/CN=Jane" || c.ExpiresIn != 43021 || c.VOMS[0].FQANs[0] != "/atlas" ||
		!c.NotAfter.Equal(time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)) || a.Profile != "atlas" || a.Warnings[0].Code != "lifetime_clipped" {
		t.Errorf("%+v", a)
	}
	path := &fake{answer: fmt.Sprintf(good, `"path":"/run/user/1/x.pem",`)}
	if a, err = (&Client{Run: path.run}).Get(t.Context(), GetRequest{Output: OutputPath}); err != nil || a.Credential.Path != "/run/user/1/x.pem" {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestBadAnswers: what is no answer is never taken for a credential, and neither
// for a helper that said no.
func TestBadAnswers(t *testing.T) {
	for _, answer := range []string{
		"", "{", "null", "[]", "no", `{}`, `{"version":2}`, `{"version":"1"}`, `{"version":1}`, `{"version":1} {"version":1}`,
		`{"version":1,"error":{}}`, `{"version":1,"error":{"message":"x"}}`, `{"version":1,"error":{"code":"busy"}}`, `{"version":1,"error":"busy"}`,
		`{"version":1,"credential":{"pem":""}}`, `{"version":1,"credential":{"pem":7}}`, `{"version":1,"credential":{"not_after":"now","pem":"x"}}`,
		fmt.Sprintf(good, `"path":"/x",`), "Warning: permanently added\n" + fmt.Sprintf(good, `"pem":"x",`),
	} {
		f := &fake{answer: answer}
		a, err := (&Client{Run: f.run}).Get(t.Context(), GetRequest{})
		var said *Error
		if !errors.Is(err, ErrBadAnswer) || errors.As(err, &said) || a != nil {
			t.Errorf("%.60q: %v, %v", answer, a, err)
		}
	}
	f := &fake{answer: strings.Replace(fmt.Sprintf(good, `"pem":"x",`), `{"version":1`, `{"version":2`, 1)}
	if _, err := (&Client{Run: f.run}).Get(t.Context(), GetRequest{}); !errors.Is(err, ErrBadAnswer) {
		t.Errorf("an answer of version 2 was understood: %v", err)
	}
	for _, member := range []string{`"pem":"x",`, `"path":"relative",`, `"path":"",`} {
		f := &fake{answer: fmt.Sprintf(good, member)}
		if _, err := (&Client{Run: f.run}).Get(t.Context(), GetRequest{Output: OutputPath}); !errors.Is(err, ErrBadAnswer) {
			t.Errorf("a path was asked for, and %s is %v", member, err)
		}
	}
}

// TestErrors: an error has its code, all that the protocol promises, and a
// sentence that says what to do; a code of a later helper can be told by its
// class.
func TestErrors(t *testing.T) {
	f := &fake{status: 4, answer: `{"version":1,"error":{"code":"interaction_required","message":"no pass phrase is stored",
		"hint":"run: x login atlas","action":{"kind":"login","argv":["/usr/bin/x","login","--","atlas"]},"retryable":false,
		"profile":"atlas","backend":"myproxy","causes":["a"],"new":1}}`}
	_, err := (&Client{Run: f.run}).Get(t.Context(), GetRequest{})
	err = fmt.Errorf("copy: %w", err)
	var said *Error
	if !errors.As(err, &said) || !errors.Is(err, CodeInteractionRequired) || errors.Is(err, CodeNotFound) || errors.Is(err, ErrBadAnswer) {
		t.Fatalf("%#v", err)
	}
	if said.Status != 4 || said.Action.Argv[1] != "login" || said.Profile != "atlas" || said.Retryable || said.Causes[0] != "a" {
		t.Errorf("%+v", said)
	}
	if got := err.Error(); got != "copy: no pass phrase is stored; run: x login atlas" {
		t.Error(got)
	}
	f = &fake{status: 6, answer: `{"version":1,"error":{"code":"full_moon","message":"the moon is full","retryable":true,"retry_after":9}}`}
	_, err = (&Client{Run: f.run}).List(t.Context())
	if !errors.As(err, &said) || !said.Retryable || said.RetryAfter != 9 || said.Status != 6 || err.Error() != "the moon is full" {
		t.Errorf("%+v", err)
	}
}

// TestDeadline: the helper hears of a deadline that comes before its own, with
// time to answer, and of no other.
func TestDeadline(t *testing.T) {
	var auto = GetRequest{Interactive: InteractiveAuto}
	for _, test := range []struct {
		r    GetRequest
		left time.Duration
		want time.Duration
	}{
		{GetRequest{}, time.Hour, 0}, {GetRequest{}, 31 * time.Second, 0}, {GetRequest{}, 30 * time.Second, 29 * time.Second},
		{GetRequest{}, 10 * time.Second, 9 * time.Second}, {GetRequest{}, time.Millisecond, time.Second}, {GetRequest{}, -time.Hour, time.Second},
		{GetRequest{Timeout: time.Minute}, 2 * time.Minute, time.Minute}, {GetRequest{Timeout: time.Minute}, 40 * time.Second, 39 * time.Second},
		{auto, time.Minute, 59 * time.Second}, {auto, time.Hour, 0},
	} {
		if got := shorter(test.r, test.left); got != test.want {
			t.Errorf("%+v with %s left: %s, expected %s", test.r, test.left, got, test.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 29*time.Second)
	defer cancel()
	var f fake
	_, _ = (&Client{Run: f.run}).Get(ctx, GetRequest{})
	var sent struct{ Timeout int }
	if err := json.Unmarshal([]byte(f.request), &sent); err != nil || sent.Timeout < 1 || sent.Timeout > 28 {
		t.Errorf("sent %s, %v", f.request, err)
	}
}

// TestSecretsDoNotShow: requests and answers end up in logs.
func TestSecretsDoNotShow(t *testing.T) {
	s := Secret("canary")
	all := []any{s, &s, StoreRequest{Value: s}, &GetAnswer{Credential: Credential{PEM: s}}}
	for _, v := range all {
		marshalled, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v), fmt.Sprintf("%d %x", v, v), string(marshalled)} {
			if strings.Contains(text, "canary") || strings.Contains(text, "63616e617279") || strings.Contains(text, "99 97 110") {
				t.Errorf("%T shows itself: %s", v, text)
			}
		}
	}
}
