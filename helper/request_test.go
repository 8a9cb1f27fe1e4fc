package helper

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseGet(t *testing.T) {
	yes := true
	with := func(change func(*GetRequest)) *GetRequest {
		r := DefaultGetRequest()
		change(r)
		return r
	}
	tests := []struct {
		in   string
		want *GetRequest
	}{
		{`{}`, with(func(r *GetRequest) {})},
		{`{"version":1}`, with(func(r *GetRequest) {})},
		{`{"profile":"atlas","min_lifetime":0}`, with(func(r *GetRequest) { r.Profile = "atlas"; r.MinLifetime = 0 })},
		{`{"lifetime":86400,"limited":true}`, with(func(r *GetRequest) { r.Lifetime = 24 * time.Hour; r.Limited = &yes })},
		{`{"voms":[]}`, with(func(r *GetRequest) { r.VOMS = []string{} })},
		{`{"voms":["atlas","cms:/cms/Role=x"]}`, with(func(r *GetRequest) { r.VOMS = []string{"atlas", "cms:/cms/Role=x"} })},
		{`{"interactive":"auto"}`, with(func(r *GetRequest) { r.Interactive = "auto"; r.Timeout = 300 * time.Second })},
		{`{"interactive":"auto","timeout":5}`, with(func(r *GetRequest) { r.Interactive = "auto"; r.Timeout = 5 * time.Second })},
		{`{"cache":"only","output":"path"}`, with(func(r *GetRequest) { r.Cache = "only"; r.Output = "path" })},
		{`{"url":"root://se.example.org//x"}`, with(func(r *GetRequest) { r.URL = "root://se.example.org//x" })},
		{`{"client":{"name":"gfal-copy","version":"2.23.1"}}`, with(func(r *GetRequest) { r.Client = Client{"gfal-copy", "2.23.1"} })},
		{`{"limitd":true,"optional":["limitd"]}`, with(func(r *GetRequest) {})},
		{`{"output":"xml","optional":["output"]}`, with(func(r *GetRequest) {})},
	}
	for _, test := range tests {
		got, err := parseGet([]byte(test.in))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v; want %+v", test.in, got, err, test.want)
		}
	}
}

// TestParseGetRefuses: what is not understood is refused by name, never
// dropped; a helper that ignored "Limited":true would hand out more power than
// was asked for.
func TestParseGetRefuses(t *testing.T) {
	tests := []struct {
		in      string
		code    Code
		mention string
	}{
		{`{"Limited":true}`, CodeUnsupportedFeature, `"Limited"`},
		{`{"limitd":true}`, CodeUnsupportedFeature, `"limitd"`},
		{`{"output":"xml"}`, CodeUnsupportedFeature, `"output"`},
		{`{"cache":"maybe"}`, CodeUnsupportedFeature, `"cache"`},
		{`{"interactive":"always"}`, CodeUnsupportedFeature, `"interactive"`},
		{`{"client":{"pid":1}}`, CodeUnsupportedFeature, `"client.pid"`},
		{`{"version":2}`, CodeUnsupportedVersion, "version"},
		{`{"version":2,"unheard_of":1}`, CodeUnsupportedVersion, "version"},
		{`{"version":"1"}`, CodeInvalidRequest, `"version"`},
		{`{"version":1.0}`, CodeInvalidRequest, `"version"`},
		{`{"version":1e0}`, CodeInvalidRequest, `"version"`},
		{`{"profile":1}`, CodeInvalidRequest, `"profile"`},
		{`{"profile":null}`, CodeInvalidRequest, `"profile"`},
		{`{"profile":""}`, CodeInvalidRequest, `"profile"`},
		{`{"profile":"../../x"}`, CodeInvalidRequest, `"profile"`},
		{`{"profile":"Atlas"}`, CodeInvalidRequest, `"profile"`},
		{`{"min_lifetime":-1}`, CodeInvalidRequest, `"min_lifetime"`},
		{`{"min_lifetime":31536001}`, CodeInvalidRequest, `"min_lifetime"`},
		{`{"min_lifetime":"1h"}`, CodeInvalidRequest, `"min_lifetime"`},
		{`{"min_lifetime":300.5}`, CodeInvalidRequest, `"min_lifetime"`},
		{`{"lifetime":0}`, CodeInvalidRequest, `"lifetime"`},
		{`{"lifetime":99999999999999999999}`, CodeInvalidRequest, `"lifetime"`},
		{`{"timeout":0}`, CodeInvalidRequest, `"timeout"`},
		{`{"timeout":3601}`, CodeInvalidRequest, `"timeout"`},
		{`{"limited":"true"}`, CodeInvalidRequest, `"limited"`},
		{`{"limited":null}`, CodeInvalidRequest, `"limited"`},
		{`{"voms":"atlas"}`, CodeInvalidRequest, `"voms"`},
		{`{"voms":null}`, CodeInvalidRequest, `"voms"`},
		{`{"voms":[1]}`, CodeInvalidRequest, `"voms"`},
		{`{"voms":["a\nb"]}`, CodeInvalidRequest, `"voms"`},
		{`{"client":"gfal"}`, CodeInvalidRequest, `"client"`},
		{`{"client":{"name":"\u001b[31m"}}`, CodeInvalidRequest, `"client.name"`},
		{`{"url":"root://user@se.example.org/x"}`, CodeInvalidRequest, `"url"`},
		{`{"url":"https://se.example.org/a/%2e%2e/b"}`, CodeInvalidRequest, `"url"`},
		{`{"profile":"a\ud800"}`, CodeInvalidRequest, `"profile"`},
	}
	for _, test := range tests {
		_, err := parseGet([]byte(test.in))
		if code(err) != test.code || !strings.Contains(err.Error(), test.mention) {
			t.Errorf("%s: got %v (%s); want %s that mentions %s", test.in, err, code(err), test.code, test.mention)
		}
	}
	_, err := parseGet([]byte(`{"version":7}`))
	if got := AsError(err).Supported; !reflect.DeepEqual(got, []int{1}) {
		t.Errorf("supported versions: got %v", got)
	}
}

func TestParseStore(t *testing.T) {
	r, err := parseStore([]byte(`{"profile":"atlas","secret":{"kind":"passphrase","value":"correct horse"}}`))
	if err != nil || r.Profile != "atlas" || r.Kind != "passphrase" || string(r.Value) != "correct horse" {
		t.Fatalf("got %+v, %v", r, err)
	}
	const canary = "canary-canary"
	long := strings.Repeat("x", maxSecret+1)
	tests := []struct {
		in   string
		code Code
	}{
		{`{}`, CodeInvalidRequest},
		{`{"secret":"` + canary + `"}`, CodeInvalidRequest},
		{`{"secret":{"value":"` + canary + `"}}`, CodeInvalidRequest},
		{`{"secret":{"kind":"passphrase"}}`, CodeInvalidRequest},
		{`{"secret":{"kind":"passphrase","value":""}}`, CodeInvalidRequest},
		{`{"secret":{"kind":"passphrase","value":["` + canary + `"]}}`, CodeInvalidRequest},
		{`{"secret":{"kind":"passphrase","value":"` + canary + `\n"}}`, CodeInvalidRequest},
		{`{"secret":{"kind":"passphrase","value":"` + canary + `\u0000"}}`, CodeInvalidRequest},
		{`{"secret":{"kind":"passphrase","value":"` + canary + `\ud800"}}`, CodeInvalidRequest},
		{`{"secret":{"kind":"passphrase","value":"` + long + `"}}`, CodeInvalidRequest},
		{`{"secret":{"kind":"pin","value":"` + canary + `"}}`, CodeUnsupportedFeature},
		{`{"secret":{"kind":"passphrase","value":"` + canary + `","hint":"x"}}`, CodeUnsupportedFeature},
	}
	for _, test := range tests {
		_, err := parseStore([]byte(test.in))
		if code(err) != test.code {
			t.Errorf("%.80s: got %v; want %s", test.in, err, test.code)
		} else if strings.Contains(string(EncodeError(AsError(err))), canary) {
			t.Errorf("%.80s: the answer holds the secret", test.in)
		}
	}
}

func TestParseErase(t *testing.T) {
	fp := "sha256:" + strings.Repeat("0a", 32)
	good := map[string]EraseRequest{
		`{}`:                                   {What: []string{"credential"}},
		`{"what":["all"],"profile":"x"}`:       {Selection: Selection{Profile: "x"}, What: []string{"all"}},
		`{"what":["credential","passphrase"]}`: {What: []string{"credential", "passphrase"}},
		`{"fingerprint":"` + fp + `","reason":"rejected"}`: {What: []string{"credential"}, Fingerprint: fp, Rejected: true},
	}
	for in, want := range good {
		if got, err := parseErase([]byte(in)); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: got %+v, %v", in, got, err)
		}
	}
	bad := map[string]Code{
		`{"what":"all"}`:                CodeInvalidRequest,
		`{"what":["everything"]}`:       CodeUnsupportedFeature,
		`{"reason":"rejected"}`:         CodeInvalidRequest,
		`{"reason":"bored"}`:            CodeUnsupportedFeature,
		`{"reason":""}`:                 CodeUnsupportedFeature,
		`{"fingerprint":"sha1:00"}`:     CodeInvalidRequest,
		`{"fingerprint":""}`:            CodeInvalidRequest, // not: every credential
		`{"fingerprint":"sha256:ZZ"}`:   CodeInvalidRequest,
		`{"min_lifetime":1}`:            CodeUnsupportedFeature,
		`{"version":1,"version":1}`:     CodeInvalidRequest,
		`{"optional":"x"}`:              CodeInvalidRequest,
		`{"profile":"x","profile":"y"}`: CodeInvalidRequest,
	}
	bad[`{"what":["passphrase"],"fingerprint":"`+fp+`"}`] = CodeInvalidRequest // it would be dropped
	for in, want := range bad {
		if _, err := parseErase([]byte(in)); code(err) != want {
			t.Errorf("%s: got %v; want %s", in, err, want)
		}
	}
}

func TestWords(t *testing.T) {
	long := strings.Repeat("a", 64)
	for s, want := range map[string]bool{
		"a": true, "0": true, "atlas-prod_1.x": true, long: true, long + "a": false,
		"": false, ".a": false, "-a": false, "_a": false, "A": false, "a/b": false, "a b": false, "é": false, "a\n": false,
	} {
		if got := isName(s); got != want {
			t.Errorf("isName(%q) = %v", s, got)
		}
	}
	for s, want := range map[string]bool{"gfal-copy 2.23.1+x_y": true, long: true, long + "a": false, "": false, "a\tb": false, "<a>": false} {
		if got := isClient(s); got != want {
			t.Errorf("isClient(%q) = %v", s, got)
		}
	}
	hex := strings.Repeat("0af9", 16)
	for s, want := range map[string]bool{
		"sha256:" + hex: true, "sha256:" + hex[1:]: false, "sha256:" + hex + "0": false, hex: false,
		"sha256:" + strings.ToUpper(hex): false, "sha256:" + strings.Repeat("g", 64): false,
	} {
		if got := isFingerprint(s); got != want {
			t.Errorf("isFingerprint(%q) = %v", s, got)
		}
	}
}
