package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// code is the code of an error, or "" for nil.
func code(err error) Code {
	if err == nil {
		return ""
	}
	return AsError(err).Code
}

func TestReadObject(t *testing.T) {
	pad := strings.Repeat(" ", MaxRequest-2)
	tests := []struct {
		name, in, want string
		code           Code
	}{
		{"empty is the empty object", "", "{}", ""},
		{"so are blanks", " \n\t\r ", "{}", ""},
		{"object", `{"a":1}`, `{"a":1}`, ""},
		{"blanks before it", "\n {}", "\n {}", ""},
		{"what follows is not judged", `{}garbage`, `{}`, ""},
		{"a second object is not read", `{"a":{}}{"b":1}`, `{"a":{}}`, ""},
		{"braces in strings do not count", `{"a":"}{\"}"}x`, `{"a":"}{\"}"}`, ""},
		{"largest", "{" + pad + "}", "{" + pad + "}", ""},
		{"one byte more", "{" + pad + " }", "", CodeInvalidRequest},
		{"blanks count too", pad + "   {}", "", CodeInvalidRequest},
		{"array", `[1]`, "", CodeInvalidRequest},
		{"string", `"{}"`, "", CodeInvalidRequest},
		{"number", `1`, "", CodeInvalidRequest},
		{"byte order mark", "\ufeff{}", "", CodeInvalidRequest},
		{"cut", `{"a":`, "", CodeInvalidRequest},
		{"cut in a string", `{"a":"}`, "", CodeInvalidRequest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, r := range []io.Reader{
				strings.NewReader(test.in),
				iotest.OneByteReader(strings.NewReader(test.in)),
				iotest.DataErrReader(strings.NewReader(test.in)),
			} {
				got, err := readObject(t.Context(), r, time.Minute)
				if code(err) != test.code || string(got) != test.want {
					t.Fatalf("got %.40q, %v; want %.40q, code %q", got, err, test.want, test.code)
				}
			}
		})
	}
}

// TestReadObjectDoesNotWait: callers forget to close stdin. The object's end is
// the end; where none comes there is a deadline.
func TestReadObjectDoesNotWait(t *testing.T) {
	open, w := io.Pipe()
	go func() { _, _ = io.WriteString(w, `{"a":1}`) }() // and never close
	got, err := readObject(t.Context(), open, time.Minute)
	if err != nil || string(got) != `{"a":1}` {
		t.Fatalf("got %q, %v", got, err)
	}

	silent, _ := io.Pipe()
	defer silent.Close()
	if _, err := readObject(t.Context(), silent, 10*time.Millisecond); code(err) != CodeInvalidRequest {
		t.Errorf("silence: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readObject(ctx, silent, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestReadObjectFails(t *testing.T) {
	if _, err := readObject(t.Context(), iotest.ErrReader(errors.New("boom")), time.Minute); code(err) != CodeInvalidRequest {
		t.Errorf("a reader that fails: got %v", err)
	}
	if _, err := readObject(t.Context(), panicReader{}, time.Minute); code(err) != CodeInternal {
		t.Errorf("a reader that panics: got %v", err)
	}
}

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("boom") }

func TestParseObject(t *testing.T) {
	tests := []struct {
		name, in, mention string
	}{
		{"duplicate", `{"a":1,"a":2}`, `"a"`},
		{"duplicate inside", `{"a":{"b":1,"c":{"d":1,"d":1}}}`, `"a.c.d"`},
		{"duplicate in a list", `{"a":[{"b":1,"b":1}]}`, `"a.b"`},
		{"the same after unescaping", `{"a":1,"\u0061":2}`, `"a"`},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", "UTF-8"},
		{"deep", `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "nested"},
		{"trailing comma", `{"a":1,}`, "JSON"},
		{"no value", `{"a"}`, "JSON"},
		{"mixed brackets", `{"a":[}`, "JSON"},
		{"control character", "{\"a\":\"\n\"}", "JSON"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseObject([]byte(test.in))
			if code(err) != CodeInvalidRequest || !strings.Contains(err.Error(), test.mention) {
				t.Errorf("got %v, want invalid_request that mentions %s", err, test.mention)
			}
		})
	}
	if f, err := parseObject([]byte(`{"a":{"x":1},"b":[{"x":1},{"x":2}]}`)); err != nil || len(f) != 2 {
		t.Errorf("equal names in different objects: got %v, %v", f, err)
	}
}

// TestParseObjectCost: the names of what is outside are not copied for every
// name inside.
func TestParseObjectCost(t *testing.T) {
	var in strings.Builder
	in.WriteString(`{"` + strings.Repeat("a", MaxRequest/2) + `":{"x":0`)
	for i := range 50_000 {
		fmt.Fprintf(&in, `,"%x":1`, i)
	}
	in.WriteString("}}")
	if in.Len() > MaxRequest {
		t.Fatalf("%d bytes", in.Len())
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := parseObject([]byte(in.String())); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) / uint64(in.Len()); used > 100 {
		t.Errorf("took %d times the memory of the request", used)
	} else {
		t.Logf("%d times the memory of the request", used)
	}
}

// FuzzRequests: no input makes a parser panic, and whatever is accepted is
// within the bounds that the protocol names.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"profile":"atlas","min_lifetime":0,"voms":["atlas:/atlas/Role=production"]}`,
		`{"url":"root://se.example.org//x","limited":true,"client":{"name":"gfal-copy","version":"2.23.1"}}`,
		`{"limitd":true,"optional":["limitd"]}`, `{"version":2}`, `{"a":"\ud800"}`,
		`{"secret":{"kind":"passphrase","value":"x"}}`, `{"what":["all"],"reason":"rejected"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		data, err := scanObject(strings.NewReader(string(in)))
		if err != nil {
			return
		}
		if r, err := parseGet(data); err == nil {
			if r.Timeout < time.Second || r.Timeout > time.Hour || r.MinLifetime < 0 && r.MinLifetime != UsualMinimum || r.MinLifetime > maxSeconds*time.Second || len(r.VOMS) > maxVOMS {
				t.Errorf("out of bounds: %+v", r)
			}
			if r.Profile != "" && !isName(r.Profile) {
				t.Errorf("profile %q", r.Profile)
			}
		}
		if r, err := parseStore(data); err == nil && (len(r.Value) == 0 || strings.ContainsAny(string(r.Value), "\x00\r\n")) {
			t.Error("a secret that cannot be kept was accepted")
		}
		if r, err := parseErase(data); err == nil && r.Rejected && r.Fingerprint == "" {
			t.Error("a rejection without a fingerprint was accepted")
		}
		_ = parseList(data)
	})
}
