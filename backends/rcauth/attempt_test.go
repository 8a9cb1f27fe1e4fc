package rcauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestParseRedirect(t *testing.T) {
	const state = "the-state"
	good := "?code=" + url.QueryEscape(testCode) + "&state=" + state
	for what, c := range map[string]struct {
		raw, redirect string
		want          any // the code, an error, or what the error says
	}{
		"as it is":             {callback + good, callback, testCode},
		"pasted with blanks":   {"  " + callback + good + "\r\n", callback, testCode},
		"in quotes":            {`"` + callback + good + `"`, callback, testCode},
		"in brackets":          {"<" + callback + good + ">", callback, testCode},
		"without scheme":       {strings.TrimPrefix(callback, "http://") + good, callback, testCode},
		"as a listener has it": {"/callback" + good, callback, testCode},
		"other order":          {callback + "?state=" + state + "&code=abc&scope=openid", callback, "abc"},
		"https":                {"https://gw.example.org/cb" + good, "https://gw.example.org/cb", testCode},
		"host in capitals":     {"https://GW.example.org/cb" + good, "https://gw.example.org/cb", testCode},
		"query of its own":     {"https://gw.example.org/cb?tenant=a&" + good[1:], "https://gw.example.org/cb?tenant=a", testCode},
		"no path":              {"http://127.0.0.1:8180/" + good, "http://127.0.0.1:8180", testCode},
		"IPv6":                 {"http://[::1]:8180/cb" + good, "http://[::1]:8180/cb", testCode},
		"fragment":             {callback + good + "#_=_", callback, testCode},

		"wrong state":        {callback + "?code=a&state=other", callback, ErrWrongState},
		"longer state":       {callback + "?code=a&state=" + state + "x", callback, ErrWrongState},
		"no state":           {callback + "?code=a", callback, ErrWrongState},
		"error, wrong state": {callback + "?error=access_denied&state=other", callback, ErrWrongState},
		"nothing":            {callback, callback, ErrWrongState},

		"denied":            {callback + "?error=access_denied&state=" + state, callback, "the portal ended the login: access_denied"},
		"denied, in words":  {callback + "?error=invalid_scope&error_description=Unrecognized+scope&state=" + state, callback, "the portal ended the login: Unrecognized scope (invalid_scope)"},
		"denied, with code": {callback + "?code=a&error=x&state=" + state, callback, "the portal ended the login: x"},
		"denied in colours": {callback + "?error=%1b[31mx&state=" + state, callback, "the portal ended the login: [31mx"},

		"denied in red": {callback + "?error=x&error_description=%1b[31my&state=" + state, callback, "the portal ended the login: [31my (x)"},

		"no code":           {callback + "?state=" + state, callback, "the URL has no code in it"},
		"two codes":         {callback + "?code=a&code=b&state=" + state, callback, "the parameter code more than once"},
		"two states":        {callback + "?code=a&state=" + state + "&state=x", callback, "the parameter state more than once"},
		"two errors":        {callback + "?error=a&error=b&state=" + state, callback, "the parameter error more than once"},
		"long code":         {callback + "?code=" + strings.Repeat("a", maxCode+1) + "&state=" + state, callback, "none that a portal gives"},
		"code with newline": {callback + "?code=a%0ab&state=" + state, callback, "none that a portal gives"},

		"other port":      {"http://127.0.0.1:8181/callback" + good, callback, "it begins with http://127.0.0.1:8180/callback"},
		"other name":      {"http://localhost:8180/callback" + good, callback, "it begins with"},
		"other path":      {"http://127.0.0.1:8180/callback/" + good, callback, "it begins with"},
		"other scheme":    {"https://127.0.0.1:8180/callback" + good, callback, "it begins with"},
		"user":            {"http://a@127.0.0.1:8180/callback" + good, callback, "it begins with"},
		"the first URL":   {"https://portal.test/mp-oa2-server/authorize?client_id=a&state=" + state, callback, "it begins with"},
		"empty":           {"", callback, "it begins with"},
		"a word":          {"code", callback, "it begins with"},
		"only a query":    {good, callback, "it begins with"},
		"bad escape":      {callback + "?code=%zz&state=" + state, callback, "it begins with"},
		"semicolons":      {callback + "?code=a;state=" + state, callback, "it begins with"},
		"line in it":      {callback + "?code=a\n&state=" + state, callback, "it begins with"},
		"far too long":    {callback + good + strings.Repeat("&a=b", maxRedirect), callback, "it begins with"},
		"no redirect URI": {callback + good, "", "is not an absolute URL"},
	} {
		t.Run(what, func(t *testing.T) {
			a := &Attempt{State: state, Nonce: "n"}
			code, err := a.ParseRedirect(c.raw, c.redirect)
			switch want := c.want.(type) {
			case error:
				if !errors.Is(err, want) || code != "" {
					t.Errorf("got %q, %v", code, err)
				}
			case string:
				if err == nil && code != want || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, %v; want %q", code, err, want)
				}
			}
		})
	}
	if _, err := new(Attempt).ParseRedirect(callback+"?code=a&state=", callback); !errors.Is(err, ErrWrongState) {
		t.Errorf("an attempt without state: %v", err)
	}
}

// Two attempts have nothing in common, and neither prints its values.
func TestAttempts(t *testing.T) {
	w := newWorld(t)
	a, err := w.client.Begin(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.client.Begin(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	if a.State == b.State || a.Nonce == b.Nonce || a.Verifier == b.Verifier {
		t.Errorf("%s, %s", a.URL, b.URL)
	}
	for _, shown := range []string{fmt.Sprint(a), fmt.Sprintf("%+v", *a), fmt.Sprintf("%#v", a), fmt.Sprintf("%s", a)} {
		if strings.Contains(shown, a.State) || strings.Contains(shown, a.Verifier) {
			t.Errorf("it prints as %s", shown)
		}
	}
}
