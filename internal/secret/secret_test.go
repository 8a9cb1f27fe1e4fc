package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestNeverShown plants a canary and looks for it, plain, in hex and in
// decimal, in everything that can print a value.
func TestNeverShown(t *testing.T) {
	const canary = "canary-pass-phrase"
	s := Secret(canary)
	holder := struct {
		Name string
		Pass Secret
	}{"jane", s}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "% x"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", holder)
		fmt.Fprintf(&out, verb+"\n", &holder)
	}
	js, err := json.Marshal(map[string]any{"s": s, "h": holder})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(js)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "h", holder)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "h", holder)
	out.Write(log.Bytes())
	fmt.Fprint(&out, fmt.Errorf("wrapped %v", s))

	text := out.String()
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprint([]byte(canary)), "Y2FuYXJ5"} {
		if strings.Contains(text, form) {
			t.Errorf("the secret shows as %q in:\n%s", form, text)
		}
	}
	if !strings.Contains(text, Redacted) {
		t.Error("nothing was redacted, so nothing was tested")
	}
}

func TestWipe(t *testing.T) {
	s := Secret("abc")
	s.Wipe()
	if !bytes.Equal(s, []byte{0, 0, 0}) {
		t.Errorf("left %x", []byte(s))
	}
}
