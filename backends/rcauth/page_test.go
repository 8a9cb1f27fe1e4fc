package rcauth

import (
	"encoding/xml"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func everyPage() map[string]Outcome {
	at := time.Date(2026, 11, 22, 21, 5, 0, 0, time.UTC)
	return map[string]Outcome{
		"good":     {State: LoggedIn, Profile: "egi", Identity: "/DC=eu/DC=rcauth/O=Example/CN=Jane Roe AbCdEf", Until: at, Next: at.Add(264 * time.Hour)},
		"failed":   {State: Failed, Profile: "egi", Message: "the portal has no VO \"atals\"", Hint: "check voms in the profile"},
		"declined": {State: Declined},
		"other":    {State: OtherLogin},
		"nowhere":  {State: NotHere},
	}
}

// TestPage: every page has what a screen reader and a narrow window need, and
// nothing that a browser would run or fetch.
func TestPage(t *testing.T) {
	for name, o := range everyPage() {
		text := string(Page(o))
		for _, want := range []string{"<!doctype html>", `<html lang="en">`, `<meta charset="utf-8">`, `name="viewport"`, "<main", "<h1>", "<title>"} {
			if strings.Count(text, want) != 1 {
				t.Errorf("%s: %s occurs %d times", name, want, strings.Count(text, want))
			}
		}
		for _, bad := range []string{"<script", "javascript:", "src=", "href=", "url(", "@import", "onload", "http-equiv"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: the page has %s", name, bad)
			}
		}
		_, body, _ := strings.Cut(text, "<body>") // the head has elements without an end
		if err := xml.Unmarshal([]byte("<body>"+strings.TrimSuffix(body, "</html>\n")), new(struct{})); err != nil {
			t.Errorf("%s: an element has no end: %v", name, err)
		}
	}
	good := string(Page(everyPage()["good"]))
	for _, want := range []string{"CN=Jane Roe AbCdEf", "egi", `<time datetime="2026-11-22T21:05:00Z">2026-11-22 21:05 UTC</time>`, "2026-12-03 21:05 UTC"} {
		if !strings.Contains(good, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

// TestPageEscapes: a certificate's name and a portal's words are no markup.
func TestPageEscapes(t *testing.T) {
	const nasty = `</dd><script>alert("1")</script>&'`
	text := string(Page(Outcome{State: Failed, Profile: nasty, Identity: nasty, Message: nasty, Hint: nasty}))
	if strings.Contains(text, "<script") || strings.Count(text, "&lt;script&gt;alert(&#34;1&#34;)") != 4 {
		t.Errorf("the page:\n%s", text)
	}
}

// TestPageHeaders: the policy lets the style of this page in and nothing else.
func TestPageHeaders(t *testing.T) {
	h := http.Header{}
	pageHeaders(h)
	policy := h.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") {
		t.Error(policy)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"} {
		if h.Get(name) != want {
			t.Errorf("%s: %q", name, h.Get(name))
		}
	}
}

// TestContrast computes WCAG 2.2's contrast ratio (its "relative luminance") of
// every text colour on both backgrounds in both schemes: 7:1 is level AAA. The
// sign needs 3:1.
func TestContrast(t *testing.T) {
	schemes := regexp.MustCompile(`:root\{([^}]*--back[^}]*)\}`).FindAllStringSubmatch(style, -1)
	if len(schemes) != 2 {
		t.Fatalf("%d schemes", len(schemes))
	}
	for _, scheme := range schemes {
		colors := map[string]string{}
		for _, m := range regexp.MustCompile(`--(\w+):#([0-9a-f]+)`).FindAllStringSubmatch(scheme[1], -1) {
			colors[m[1]] = m[2]
		}
		for _, pair := range []struct {
			front, back string
			least       float64
		}{{"text", "card", 7}, {"soft", "card", 7}, {"soft", "back", 7}, {"good", "card", 3}, {"bad", "card", 3}, {"good", "back", 3}, {"bad", "back", 3}} {
			if got := contrast(t, colors[pair.front], colors[pair.back]); got < pair.least {
				t.Errorf("%s on %s in %s: %.1f, expected %.1f", pair.front, pair.back, scheme[1], got, pair.least)
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func luminance(t *testing.T, color string) float64 {
	t.Helper()
	if len(color) == 3 {
		color = fmt.Sprintf("%[1]c%[1]c%[2]c%[2]c%[3]c%[3]c", color[0], color[1], color[2])
	}
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(color[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
