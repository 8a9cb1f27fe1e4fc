package rcauth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// Bounds of what a portal may send and how long it may take.
const (
	// maxJSON is for every answer but a proxy; real ones are below 4 KiB.
	maxJSON = 256 << 10
	// maxProxy is what gsi reads at most.
	maxProxy = gsi.MaxCredentialBytes
	// maxHeaders is for the header of an answer.
	maxHeaders = 64 << 10
	// callLimit is for one request and its answer: a portal may have to ask its
	// CA and its MyProxy server, and makes an RSA key.
	callLimit = 60 * time.Second
	// dialLimit and handshakeLimit are parts of it.
	dialLimit      = 15 * time.Second
	handshakeLimit = 15 * time.Second
)

// NewHTTPClient returns a client for portals: TLS 1.2 or newer, verified with
// these roots; nil are the system's. It honours HTTPS_PROXY, which sees nothing
// but the portal's name.
func NewHTTPClient(roots *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialLimit}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    handshakeLimit,
		MaxResponseHeaderBytes: maxHeaders,
		IdleConnTimeout:        time.Minute,
		// A small packed answer could be a huge one; nothing here is worth it.
		DisableCompression: true,
	}}
}

// answer is what came, whole.
type answer struct {
	status  int
	content string // Content-Type
	body    []byte
}

// wire is the transport of one call: it lets requests go to the portal alone,
// follows no redirect and reads the whole answer within its bounds, so that
// everything that can go wrong on the way is a typed error of this package.
type wire struct {
	base http.RoundTripper
	host string // host:port that may be asked
	op   string
	max  int64
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" || !sameHost(req.URL, w.host) {
		return nil, &AnswerError{Op: w.op, Reason: "names an address that is not the portal's own"}
	}
	// The body leaves after WroteHeaders: who has the whole request has it after
	// that. WroteRequest may be called after the answer came. net/http tries a
	// POST again, from GetConn on, only if not a byte of it has left.
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn:      func(string) { sent.Store(false) },
		WroteHeaders: func() { sent.Store(true) },
	}
	resp, err := w.base.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		return nil, &TransportError{Host: w.host, Op: w.op, Sent: sent.Load(), Err: err}
	}
	defer resp.Body.Close()
	// The request has secrets in it, and a proxy's answer a private key: neither
	// is for whoever a redirect names.
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return nil, &AnswerError{Op: w.op, Reason: "is a redirect to another address, which is not followed"}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, w.max+1))
	if err != nil {
		return nil, &TransportError{Host: w.host, Op: w.op, Sent: true, Err: err}
	}
	if int64(len(body)) > w.max {
		return nil, &AnswerError{Op: w.op, Reason: "is far too long"}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// client is for one call, see wire.
func (c *Client) client(base *url.URL, op string, most int64) *http.Client {
	return &http.Client{Transport: &wire{base: c.transport(), host: hostPort(base), op: op, max: most}}
}

func (c *Client) transport() http.RoundTripper {
	if c.HTTP != nil {
		if c.HTTP.Transport == nil {
			return http.DefaultTransport
		}
		return c.HTTP.Transport
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own == nil {
		c.own = NewHTTPClient(nil)
	}
	return c.own.Transport
}

// freshen makes the next request begin with a connection of its own. One that
// is idle may have been closed at the other end, by a restart or a time limit,
// and a request that is lost with it looks like one that arrived.
func (c *Client) freshen() {
	if t, ok := c.transport().(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// within gives one call its time.
func (c *Client) within(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := c.limit
	if limit == 0 {
		limit = callLimit
	}
	return context.WithTimeout(ctx, limit)
}

// get asks for one of the portal's public documents.
func (c *Client) get(ctx context.Context, op, address string) (*answer, error) {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, &RequestError{Field: "portal", Reason: "is not a URL that can be asked"}
	}
	return c.send(ctx, op, req, maxJSON)
}

// post sends a form. Always POST: servers write the query of a GET into their
// logs.
func (c *Client) post(ctx context.Context, op, address string, form url.Values, most int64) (*answer, error) {
	req, err := newPost(address, form)
	if err != nil {
		return nil, err
	}
	return c.send(ctx, op, req, most)
}

func newPost(address string, form url.Values) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &RequestError{Field: "portal", Reason: "is not a URL that can be asked"}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, nil
}

// send makes one request. Whatever the status, the answer is returned.
func (c *Client) send(ctx context.Context, op string, req *http.Request, most int64) (*answer, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.within(ctx)
	defer cancel()
	resp, err := c.client(base, op, most).Do(req.WithContext(ctx))
	if err != nil {
		return nil, typed(op, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &AnswerError{Op: op, Reason: "cannot be read", Err: err}
	}
	return &answer{status: resp.StatusCode, content: resp.Header.Get("Content-Type"), body: body}, nil
}

// typed takes our own error out of what net/http has put around it, which
// has the URL in its text.
func typed(op string, err error) error {
	var lost *TransportError
	if errors.As(err, &lost) {
		return lost
	}
	var bad *AnswerError
	if errors.As(err, &bad) {
		return bad
	}
	return &AnswerError{Op: op, Reason: "is not HTTP that can be understood"}
}

// hostPort is where a URL leads, with the port written out.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func sameHost(u *url.URL, host string) bool { return hostPort(u) == host }
