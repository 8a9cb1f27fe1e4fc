package rcauth

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"strings"
	"time"
)

// State is what a page in the browser is about.
type State int

// The states.
const (
	// LoggedIn: everything was verified and what is to be kept is kept.
	LoggedIn State = iota
	// Failed: Message says why, Hint what to do.
	Failed
	// Declined: the portal came back with access_denied.
	Declined
	// OtherLogin: a redirect that is not of the login that is going on.
	OtherLogin
	// NotHere: not a redirect at all.
	NotHere
)

// Outcome is what became of a login, for the page in the browser and nobody
// else: no field may be secret.
type Outcome struct {
	State    State
	Profile  string
	Identity string    // DN, in one line
	Until    time.Time // end of the proxy
	Next     time.Time // when the next login is due; zero is not known
	Message  string    // one sentence
	Hint     string    // the next step
}

// words are what stands on the page for each state.
var words = map[State]struct{ mark, title, text string }{
	LoggedIn:   {tick, "You are logged in", "You can close this page and go back to the terminal."},
	Failed:     {cross, "The login did not work", "The terminal says the same. You can close this page."},
	Declined:   {cross, "The login was declined", "Nothing was kept. You can close this page and start again in the terminal."},
	OtherLogin: {cross, "This page belongs to another login", "Nothing has changed. Open the address that the terminal shows, or start the login again there."},
	NotHere:    {cross, "There is nothing here", "Only the end of a login comes to this address."},
}

// Page is the whole HTML page: no script, nothing loaded from elsewhere, legible
// in light and dark and to a screen reader, and in a window of any size.
func Page(o Outcome) []byte {
	w := words[o.State]
	class := "bad"
	if o.State == LoggedIn {
		class = "good"
	}
	var b strings.Builder
	b.WriteString("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n" +
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n" +
		"<meta name=\"color-scheme\" content=\"light dark\">\n")
	b.WriteString("<title>" + w.title + " – x509-credential-helper</title>\n<style>" + style + "</style>\n</head>\n")
	b.WriteString("<body>\n<main class=\"" + class + "\">\n" + w.mark + "<h1>" + w.title + "</h1>\n")
	paragraph(&b, "lead", o.Message)
	paragraph(&b, "", o.Hint)
	var facts strings.Builder
	fact(&facts, "You are", html.EscapeString(o.Identity))
	fact(&facts, "Profile", html.EscapeString(o.Profile))
	fact(&facts, "Proxy until", pageTime(o.Until))
	fact(&facts, "Next login by", pageTime(o.Next))
	if facts.Len() > 0 {
		b.WriteString("<dl>\n" + facts.String() + "</dl>\n")
	}
	paragraph(&b, "", w.text)
	b.WriteString("</main>\n<footer>x509-credential-helper</footer>\n</body>\n</html>\n")
	return []byte(b.String())
}

func paragraph(b *strings.Builder, class, text string) {
	if text == "" {
		return
	}
	if class != "" {
		class = " class=\"" + class + "\""
	}
	b.WriteString("<p" + class + ">" + html.EscapeString(text) + "</p>\n")
}

func fact(b *strings.Builder, name, value string) {
	if value != "" {
		b.WriteString("<div><dt>" + name + "</dt><dd>" + value + "</dd></div>\n")
	}
}

func pageTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.UTC()
	return "<time datetime=\"" + t.Format(time.RFC3339) + "\">" + t.Format("2006-01-02 15:04") + " UTC</time>"
}

// pageHeaders keep the page to itself: it runs nothing, loads nothing, is in no
// frame and in no cache, and tells no other site the address with the code.
func pageHeaders(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src '"+styleHash()+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

func styleHash() string {
	sum := sha256.Sum256([]byte(style))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// The signs are drawn, not typed: fonts differ. The title says the same in words.
const (
	tick  = `<svg class="mark" aria-hidden="true" viewBox="0 0 48 48"><circle cx="24" cy="24" r="22"/><path d="M14 25l7 7 13-15"/></svg>` + "\n"
	cross = `<svg class="mark" aria-hidden="true" viewBox="0 0 48 48"><circle cx="24" cy="24" r="22"/><path d="M24 12v15M24 34v2"/></svg>` + "\n"
)

// style has contrasts of at least 7:1 for text in both schemes (WCAG 2.2, AAA).
const style = `
:root{color-scheme:light dark;--back:#f4f5f7;--card:#fff;--text:#1a1f27;--soft:#4a5463;--line:#d5dae1;--good:#0a6b33;--bad:#a3231a}
@media (prefers-color-scheme:dark){:root{--back:#11151b;--card:#1b212a;--text:#eef1f5;--soft:#b5bfcc;--line:#39424f;--good:#6bdc96;--bad:#ff9d92}}
@media (prefers-contrast:more){:root{--soft:var(--text);--line:var(--text)}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:flex;flex-direction:column;align-items:center;justify-content:center;gap:1rem;padding:1.5rem;
background:var(--back);color:var(--text);font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{width:100%;max-width:36rem;padding:2rem;background:var(--card);border:1px solid var(--line);border-top:.3rem solid var(--tone);border-radius:.6rem}
.good{--tone:var(--good)}.bad{--tone:var(--bad)}
.mark{display:block;width:3rem;height:3rem;margin-bottom:1rem;fill:none;stroke:var(--tone);stroke-width:3.5;stroke-linecap:round;stroke-linejoin:round}
h1{margin:0 0 .75rem;font-size:1.6rem;line-height:1.25}
p{margin:0 0 .75rem;overflow-wrap:anywhere}
main>p:last-child{margin-bottom:0}
.lead{font-weight:600}
dl{margin:1.25rem 0;border-top:1px solid var(--line)}
dl div{padding:.6rem 0;border-bottom:1px solid var(--line)}
dt{color:var(--soft);font-size:.9rem}
dd{margin:0;overflow-wrap:anywhere;unicode-bidi:isolate}
footer{color:var(--soft);font-size:.875rem}
@media (min-width:34rem){dl div{display:grid;grid-template-columns:8.5rem 1fr;gap:1rem}dt{font-size:inherit}}
`
