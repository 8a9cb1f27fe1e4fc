package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// PortalAnswer is what the portal is about to send. PortalFaults.Answer may
// change it at will.
type PortalAnswer struct {
	Status int
	Header http.Header
	Body   []byte
	// Cut sends so many bytes of the body, then ends the connection.
	Cut int
	// Drip sends the body byte by byte, with this time between two of them.
	Drip time.Duration
	// Endless sends the body again and again until the client goes.
	Endless bool
}

func answer(status int, contentType, body string) *PortalAnswer {
	a := &PortalAnswer{Status: status, Header: http.Header{}, Body: []byte(body)}
	if contentType != "" {
		a.Header.Set("Content-Type", contentType)
	}
	return a
}

// document is a JSON answer. The real server does not escape < and & either.
func document(status int, v any) *PortalAnswer {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return answer(http.StatusInternalServerError, "", "")
	}
	return answer(status, "application/json;charset=UTF-8", strings.TrimSuffix(b.String(), "\n"))
}

// failure is an error as the endpoints for programs mostly send it.
func (p *Portal) failure(status int, code, description string) *PortalAnswer {
	return document(status, map[string]string{"error": code, "error_description": description})
}

// page is an error as the portal shows it in a browser, and now and then to
// programs. Its status is the only thing that RFC 6749 would know.
func (p *Portal) page(status int, code, description string) *PortalAnswer {
	if p.opts.Legacy {
		return answer(status, "", "error=\""+javaEscape(code)+"\"\nerror_description=\""+javaEscape(description)+"\"\n")
	}
	return answer(status, "text/html;charset=UTF-8", "<html>\n<title>Server Error</title>\n<h1>Server Error</h1>\nerror: \""+
		javaEscape(code)+"\"\n<br>\nerror_description: \""+javaEscape(description)+"\"\n<br>\n</html>\n")
}

// javaEscape is java.net.URLEncoder, which differs from Go's in two letters.
func javaEscape(text string) string {
	return strings.NewReplacer("%2A", "*", "~", "%7E").Replace(url.QueryEscape(text))
}

// redirect sends the browser on, without a body as Tomcat does it.
func redirect(to string) *PortalAnswer {
	a := answer(http.StatusFound, "", "")
	a.Header.Set("Location", to)
	return a
}

// refuse sends the browser back to the client with an error.
func refuse(to, code, description, state string) *PortalAnswer {
	return redirect(to + "?error=" + code + "&error_description=" + javaEscape(description) + "&state=" + javaEscape(state))
}

func (a *PortalAnswer) with(name, value string) *PortalAnswer {
	a.Header.Set(name, value)
	return a
}

// unframed is what the portal sets where it got as far as a transaction.
func (a *PortalAnswer) unframed() *PortalAnswer { return a.with("X-Frame-Options", "DENY") }

// notFound is Tomcat's page.
func notFound() *PortalAnswer {
	return answer(http.StatusNotFound, "text/html;charset=utf-8", `<!doctype html><html lang="en"><head><title>HTTP Status 404 – Not Found</title></head>`+
		`<body><h1>HTTP Status 404 – Not Found</h1><hr class="line" /><p><b>Type</b> Status Report</p><p><b>Description</b> `+
		`The origin server did not find a current representation for the target resource or is not willing to disclose that one exists.</p>`+
		`<hr class="line" /><h3>Apache Tomcat/9.0.70 (Debian)</h3></body></html>`).with("Content-Language", "en")
}
