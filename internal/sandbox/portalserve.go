package sandbox

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// PortalCall is one request that the portal got.
type PortalCall struct {
	Endpoint string // "token", "getproxy" and so on
	Method   string
	Header   http.Header
	Query    url.Values // of the URL
	Form     url.Values // of the body
}

// maxPortalForm bounds what one request may send.
const maxPortalForm = 1 << 20

// maxPortalCalls is how many requests are remembered.
const maxPortalCalls = 10000

// call is a request while it is answered.
type call struct {
	*http.Request
	endpoint string
	faults   PortalFaults
}

// param is the first value of a parameter, of the body or the URL: to a
// servlet they are one.
func (c *call) param(name string) string { return c.Form.Get(name) }

func (c *call) has(name string) bool { return c.Form.Has(name) }

// doubled says whether a parameter was given twice.
func (c *call) doubled() bool {
	for _, values := range c.Form {
		if len(values) > 1 {
			return true
		}
	}
	return false
}

// ServeHTTP answers one request.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxPortalForm)
	if err := r.ParseForm(); err != nil {
		p.send(w, r, notFound())
		return
	}
	c := &call{Request: r, endpoint: endpointOf(r.URL.Path)}
	c.faults = p.note(c)
	if !c.faults.before(r.Context()) {
		panic(http.ErrAbortHandler)
	}
	a := p.reply(c)
	if c.faults.Answer != nil {
		c.faults.Answer(a)
	}
	if c.faults.CloseAfter {
		panic(http.ErrAbortHandler)
	}
	p.send(w, r, a)
}

// endpointOf names what a path belongs to: "token", or "ready" and "consent"
// outside the portal's own context; "" is nothing.
func endpointOf(path string) string {
	for _, context := range []string{portalContext, portalClientContext, delegationContext} {
		rest, ok := strings.CutPrefix(path, context+"/")
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(rest, "/")
		if context != portalContext {
			return context[1:] + "/" + name
		}
		return name
	}
	return ""
}

// note remembers a request and takes the faults that it gets.
func (p *Portal) note(c *call) PortalFaults {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.calls) == maxPortalCalls {
		p.calls = p.calls[1:]
	}
	p.calls = append(p.calls, PortalCall{
		Endpoint: c.endpoint, Method: c.Method, Header: c.Header.Clone(), Query: c.URL.Query(), Form: c.PostForm,
	})
	return p.takeFaults(c.endpoint)
}

// Calls are the requests to an endpoint ("token", "getproxy" …) until now; ""
// is all endpoints. Only the last 10000 are remembered.
func (p *Portal) Calls(endpoint string) []PortalCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []PortalCall
	for _, c := range p.calls {
		if endpoint == "" || c.Endpoint == endpoint {
			found = append(found, c)
		}
	}
	return found
}

// reply decides about a request. One at a time: the real one locks its store
// in the same way.
func (p *Portal) reply(c *call) *PortalAnswer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget()
	handle := p.handler(c.endpoint)
	if handle == nil {
		return notFound()
	}
	a := handle(c)
	if c.Method == http.MethodGet && strings.HasPrefix(c.URL.Path, portalContext) && a.Header.Get("Cache-Control") == "" {
		a.Header.Set("Cache-Control", "private") // Tomcat's, measured on every GET
	}
	return a
}

func (p *Portal) handler(endpoint string) func(*call) *PortalAnswer {
	handlers := map[string]func(*call) *PortalAnswer{
		".well-known": p.discovery, "certs": p.certs, "register": p.register,
		"authorize": p.authorize, "token": p.token, "userinfo": p.userinfo, "getproxy": p.getproxy,
		"mp-oa2-client/ready": p.ready, "delegation/consent": p.consent,
	}
	if !p.opts.Legacy {
		handlers["revoke"] = p.revoke
		handlers["sshkey"] = p.sshkey
	}
	return handlers[endpoint]
}

// send writes an answer, with what is to go wrong about it.
func (p *Portal) send(w http.ResponseWriter, r *http.Request, a *PortalAnswer) {
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	if a.Header.Get("Content-Type") == "" {
		w.Header()["Content-Type"] = nil // Go would guess one
	}
	w.WriteHeader(a.Status)
	switch {
	case a.Cut > 0:
		_, _ = w.Write(a.Body[:min(a.Cut, len(a.Body))])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case a.Endless:
		for r.Context().Err() == nil {
			if _, err := w.Write(a.Body); err != nil {
				return
			}
		}
	case a.Drip > 0:
		for i := range a.Body {
			if _, err := w.Write(a.Body[i : i+1]); err != nil || !pause(r.Context(), a.Drip) {
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	default:
		_, _ = w.Write(a.Body)
	}
}

// forget drops refresh tokens that have ended, as the real server's cleanup
// does.
func (p *Portal) forget() {
	now := p.s.now()
	for token, session := range p.refresh {
		if now.After(session.refreshEnds) {
			delete(p.refresh, token)
		}
	}
	for cookie, session := range p.attempts {
		if now.Sub(session.begun) > 24*time.Hour {
			delete(p.attempts, cookie)
		}
	}
}
