package helper

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// countingWriter notes how often it was written to.
type countingWriter struct {
	bytes.Buffer
	writes int
}

func (c *countingWriter) Write(p []byte) (int, error) { c.writes++; return c.Buffer.Write(p) }

// serve calls a verb and checks what holds for every input: one write of one
// JSON object and a newline, version 1, an error or a result but not both.
func serve(t testing.TB, h *Helper, ctx context.Context, verb string, in io.Reader) (map[string]json.RawMessage, *Error, int) {
	t.Helper()
	var out countingWriter
	status := h.Serve(ctx, verb, in, &out)
	if out.writes != 1 {
		t.Errorf("%d writes", out.writes)
	}
	text := out.String()
	if !strings.HasSuffix(text, "}\n") || strings.Count(text, "\n") != 1 {
		t.Fatalf("not one object and a newline: %.200q", text)
	}
	var answer map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%v: %.200q", err, text)
	}
	if string(answer["version"]) != "1" {
		t.Errorf("version %s", answer["version"])
	}
	raw, failed := answer["error"]
	message := verb + ".answer"
	if failed {
		message = "error.answer"
	}
	if err := conforms(t, message, []byte(text)); err != nil {
		t.Errorf("%s: %v", message, err)
	}
	if !failed {
		if status != 0 || len(answer) < 2 {
			t.Errorf("status %d of %.200q", status, text)
		}
		return answer, nil, status
	}
	var e Error
	if err := json.Unmarshal(raw, &e); err != nil || e.Message == "" || len(answer) != 2 {
		t.Errorf("%v: %.200q", err, text)
	}
	if status != e.Code.ExitStatus() || status == 0 {
		t.Errorf("status %d for %s", status, e.Code)
	}
	return answer, &e, status
}

func TestServeAnswersEverything(t *testing.T) {
	inputs := map[string]struct {
		in   string
		code Code // what get says
	}{
		"nothing":         {"", CodeInteractionRequired},
		"empty object":    {"{}", CodeInteractionRequired},
		"garbage":         {"\x00\xff\xfe", CodeInvalidRequest},
		"half an object":  {`{"profile":`, CodeInvalidRequest},
		"not JSON":        {`{"profile"}`, CodeInvalidRequest},
		"array":           {`[]`, CodeInvalidRequest},
		"1 MiB and one":   {"{" + strings.Repeat(" ", MaxRequest) + "}", CodeInvalidRequest},
		"duplicate":       {`{"profile":"p","profile":"p"}`, CodeInvalidRequest},
		"unknown field":   {`{"limitd":true}`, CodeUnsupportedFeature},
		"unknown version": {`{"version":2}`, CodeUnsupportedVersion},
		"unknown profile": {`{"profile":"q"}`, CodeNotConfigured},
		"escape sequence": {`{"profile":"\u001b[31m"}`, CodeInvalidRequest},
	}
	w := newWorld(t, "")
	for name, input := range inputs {
		for _, verb := range Verbs() {
			t.Run(verb+" "+name, func(t *testing.T) {
				answer, e, _ := serve(t, w.Helper, t.Context(), verb, strings.NewReader(input.in))
				if verb == "get" && (e == nil || e.Code != input.code) {
					t.Errorf("got %v, want %s", e, input.code)
				}
				if verb == "capabilities" && answer["helper"] == nil {
					t.Errorf("got %v", e)
				}
			})
		}
	}
}

func TestServeUnknownVerb(t *testing.T) {
	w := newWorld(t, "")
	for _, verb := range []string{"", "GET", "got", "\x1b[31m", strings.Repeat("x", 500)} {
		_, e, status := serve(t, w.Helper, t.Context(), verb, strings.NewReader("{}"))
		if e == nil || e.Code != CodeUnsupportedVerb || status != 2 || strings.Contains(e.Message, "\x1b") {
			t.Errorf("%.20q: got %v", verb, e)
		}
	}
}

func TestServeTerminal(t *testing.T) {
	w := newWorld(t, "")
	w.StdinIsTerminal = true
	silent, _ := io.Pipe()
	for _, verb := range Verbs() {
		_, e, _ := serve(t, w.Helper, t.Context(), verb, silent)
		if refused := verb != "list" && verb != "capabilities"; refused != (e != nil) || refused && e.Hint == "" {
			t.Errorf("%s: got %v", verb, e)
		}
		if e != nil && verb != "get" && strings.Contains(e.Hint, "{}") { // erase {} erases, store {} is an error
			t.Errorf("%s: whoever does what the hint says regrets it: %s", verb, e.Hint)
		}
	}
}

// TestServePanic: a defect in a backend is an answer, not a dead process.
func TestServePanic(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	w.issuer.during = func(context.Context) { panic("a secret") }
	_, e, status := serve(t, w.Helper, t.Context(), "get", strings.NewReader("{}"))
	if e == nil || e.Code != CodeInternal || status != 1 || strings.Contains(e.Message, "secret") {
		t.Errorf("got %v", e)
	}
}

// TestServeCancelled: a signal is answered at once, even while a backend does
// not listen.
func TestServeCancelled(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		w := newWorld(t, "")
		w.storePass(t, "right")
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		w.issuer.err = context.Canceled
		w.issuer.during = func(inner context.Context) {
			cancel()
			if deaf {
				<-release
			}
			<-inner.Done()
		}
		start := time.Now()
		_, e, status := serve(t, w.Helper, ctx, "get", strings.NewReader("{}"))
		if e == nil || e.Code != CodeCancelled || status != 130 {
			t.Errorf("deaf %v: got %v", deaf, e)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("deaf %v: took %v", deaf, took)
		}
	}
}

// TestServeVerbs: the other verbs' good answers, as their schemas say.
func TestServeVerbs(t *testing.T) {
	w := newWorld(t, "")
	for _, call := range []struct{ verb, request string }{
		{"store", `{"secret":{"kind":"passphrase","value":"right"}}`}, {"get", `{"output":"path"}`}, {"get", `{"lifetime":86400}`},
		{"list", ``}, {"erase", `{"what":["all"]}`}, {"list", `{}`}, {"capabilities", ``},
	} {
		if _, e, _ := serve(t, w.Helper, t.Context(), call.verb, strings.NewReader(call.request)); e != nil {
			t.Errorf("%s %s: %v", call.verb, call.request, e)
		}
	}
}

func TestServeAnswer(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	answer, e, _ := serve(t, w.Helper, t.Context(), "get", strings.NewReader("{}"))
	if e != nil {
		t.Fatal(e)
	}
	var c map[string]any
	if err := json.Unmarshal(answer["credential"], &c); err != nil {
		t.Fatal(err)
	}
	if p, _ := c["pem"].(string); !strings.HasPrefix(p, "-----BEGIN CERTIFICATE-----\n") || !strings.Contains(p, "PRIVATE KEY") {
		t.Errorf("pem %.40q", p)
	}
	for _, key := range []string{"not_before", "not_after", "refresh_after"} {
		s, _ := c[key].(string)
		if at, err := time.Parse("2006-01-02T15:04:05Z", s); err != nil || at.Nanosecond() != 0 {
			t.Errorf("%s is %q: not UTC in whole seconds", key, s)
		}
	}
	if s := string(answer["credential"]); strings.Contains(s, `\u003c`) || strings.Contains(s, `"path"`) {
		t.Errorf("escaped or superfluous: %.200s", s)
	}
}

// TestOneLine: what several stores say alike is said once.
func TestOneLine(t *testing.T) {
	same := errors.New("no home")
	for _, tc := range []struct {
		err  error
		want string
	}{
		{same, "it: no home"}, {errors.Join(same, same), "it: no home"},
		{errors.Join(same, errors.New("no disk"), same), "it: no home; no disk; no home"},
	} {
		if got := Errorf(CodeStorageError, "it: %w", tc.err).Message; got != tc.want {
			t.Errorf("%q, expected %q", got, tc.want)
		}
	}
}

func TestCleanText(t *testing.T) {
	tests := map[string]string{
		"plain":                          "plain",
		" two\n\tlines \r\n":             "two lines",
		"\x1b[31mred\x1b[0m":             "[31mred[0m",
		"a\u202eb\u2066c\u200bd":         "abcd",
		"nul\x00bell\x07del\x7f":         "nulbelldel",
		"bad\xff\xfeutf8":                "badutf8",
		"Grüße 世界":                       "Grüße 世界",
		strings.Repeat("x", 300):         strings.Repeat("x", 199) + "…",
		strings.Repeat("ab ", 100):       strings.Repeat("ab ", 66) + "a…",
		strings.Repeat("abcd ", 100):     strings.Repeat("abcd ", 39) + "abcd…", // no room for the blank and what follows
		strings.Repeat("x", 198) + " yz": strings.Repeat("x", 198) + "…",
	}
	for in, want := range tests {
		got := CleanText(in)
		if got != want {
			t.Errorf("%.40q: got %q, want %q", in, got, want)
		}
		if n := len([]rune(got)); n > maxServerText {
			t.Errorf("%.40q: %d characters", in, n)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 1 s", time.Hour: "1 h",
		12*time.Hour - time.Second: "12 h", 25 * time.Hour: "25 h", 11*24*time.Hour + 3*time.Hour: "11 d 3 h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
