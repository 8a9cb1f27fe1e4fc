package rcauth

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// calls are all that ask the portal something, by the endpoint whose answer
// decides.
var calls = []struct {
	op, endpoint string
	call         func(context.Context, *Client) (any, error)
}{
	{opDiscovery, "openid-configuration", func(ctx context.Context, c *Client) (any, error) { return nilled(c.Discover(ctx)) }},
	{opKeys, "certs", func(ctx context.Context, c *Client) (any, error) { return nilled(c.Exchange(ctx, attempt(), testCode)) }},
	{opToken, "token", func(ctx context.Context, c *Client) (any, error) { return nilled(c.Exchange(ctx, attempt(), testCode)) }},
	{opRefresh, "token", func(ctx context.Context, c *Client) (any, error) {
		return nilled(c.Refresh(ctx, secret.Secret(testRefresh), "the-nonce", ""))
	}},
	{opUserInfo, "userinfo", func(ctx context.Context, c *Client) (any, error) {
		return nilled(c.UserInfo(ctx, secret.Secret(testAccess)))
	}},
	{opGetProxy, "getproxy", func(ctx context.Context, c *Client) (any, error) {
		return nilled(c.GetProxy(ctx, ProxyRequest{AccessToken: secret.Secret(testAccess), VO: "vo"}))
	}},
	{opInfo, "getproxy", func(ctx context.Context, c *Client) (any, error) {
		return nilled(c.Info(ctx, secret.Secret(testAccess)))
	}},
	{opRevoke, "revoke", func(ctx context.Context, c *Client) (any, error) {
		return nil, c.Revoke(ctx, secret.Secret(testRefresh))
	}},
}

// nilled makes a nil pointer a nil any.
func nilled[T any](v *T, err error) (any, error) {
	if v == nil {
		return nil, err
	}
	return v, err
}

// eachCall runs a test for every call with another answer at its endpoint. Nothing
// but an error may come of it.
func eachCall(t *testing.T, h func(*world) http.HandlerFunc, check func(*testing.T, string, error)) {
	for _, c := range calls {
		t.Run(c.op, func(t *testing.T) {
			w := newWorld(t)
			w.answer(c.endpoint, h(w))
			got, err := c.call(context.Background(), w.client)
			if err == nil || got != nil {
				t.Fatalf("got %v, %v", got, err)
			}
			noSecrets(t, err)
			check(t, c.op, err)
		})
	}
}

func isAnswerError(t *testing.T, op string, err error) {
	t.Helper()
	var bad *AnswerError
	if !errors.As(err, &bad) || bad.Op != op {
		t.Errorf("got %T: %v", err, err)
	}
}

// A redirect would hand the secret, the token and the wish for a private key to
// whomever it names: none is followed, wherever it leads.
func TestRedirectsRefused(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			eachCall(t, func(w *world) http.HandlerFunc {
				return func(out http.ResponseWriter, r *http.Request) {
					http.Redirect(out, r, elsewhere.URL, status)
				}
			}, isAnswerError)
		})
	}
	eachCall(t, func(w *world) http.HandlerFunc { // not even to itself
		return func(out http.ResponseWriter, r *http.Request) {
			http.Redirect(out, r, w.portal+"/userinfo", http.StatusTemporaryRedirect)
		}
	}, isAnswerError)
	if reached.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

// endless writes until nobody reads.
func endless(chunk []byte) func(*world) http.HandlerFunc {
	return func(*world) http.HandlerFunc {
		return func(out http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := out.Write(chunk); err != nil {
					return
				}
			}
		}
	}
}

func TestEndlessAnswers(t *testing.T) {
	for what, chunk := range map[string]string{"JSON": `{"a":"` + strings.Repeat("a", 4000), "blanks": strings.Repeat(" ", 4000), "PEM": strings.Repeat("-----BEGIN CERTIFICATE-----\n", 200)} {
		t.Run(what, func(t *testing.T) { eachCall(t, endless([]byte(chunk)), isAnswerError) })
	}
}

func TestEndlessHeader(t *testing.T) {
	eachCall(t, func(*world) http.HandlerFunc {
		return func(out http.ResponseWriter, _ *http.Request) {
			for i := range 2000 {
				out.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("a", 1000))
			}
		}
	}, func(t *testing.T, op string, err error) {
		var lost *TransportError
		if !errors.As(err, &lost) || lost.Op != op || !lost.Sent {
			t.Errorf("got %T: %v", err, err)
		}
	})
}

// A portal that lets its answer drip is left after the time for one call, however
// regularly it drips.
func TestSlowDrip(t *testing.T) {
	for _, c := range calls {
		t.Run(c.op, func(t *testing.T) {
			w := newWorld(t)
			w.answer(c.endpoint, drip)
			var lost *TransportError
			var err error
			for w.client.limit = 300 * time.Millisecond; w.client.limit < time.Minute; w.client.limit *= 2 {
				_, err = c.call(context.Background(), w.client)
				if errors.As(err, &lost) && lost.Sent && lost.Op == c.op {
					break
				} // else a slow machine did not come to the answer
			}
			if lost == nil || !lost.Timeout() || lost.Op != c.op || !lost.Sent {
				t.Fatalf("got %v", err)
			}
			noSecrets(t, err)
		})
	}
}

func drip(out http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // or the answer would be complete in the end
		case <-tick.C:
			out.Write([]byte(" "))
			out.(http.Flusher).Flush()
		}
	}
}

// The end of the caller's context ends a call in the middle of the answer.
func TestCancelled(t *testing.T) {
	for _, c := range calls {
		t.Run(c.op, func(t *testing.T) {
			w := newWorld(t)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			w.answer(c.endpoint, func(out http.ResponseWriter, r *http.Request) {
				out.Write([]byte("{"))
				out.(http.Flusher).Flush()
				cancel()
				<-r.Context().Done()
				panic(http.ErrAbortHandler) // or the answer would be complete in the end
			})
			if _, err := c.call(ctx, w.client); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A connection that ends in place of the answer is told apart from one that never
// stood: after the first the refresh token may be gone.
func TestLostAnswers(t *testing.T) {
	eachCall(t, func(*world) http.HandlerFunc {
		return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	}, func(t *testing.T, op string, err error) {
		var lost *TransportError
		if !errors.As(err, &lost) || !lost.Sent || lost.Timeout() || lost.Untrusted() {
			t.Errorf("got %v", err)
		}
	})
	w := newWorld(t)
	if _, err := w.client.Discover(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.server.Close()
	w.client.HTTP = NewHTTPClient(w.roots()) // no connection is left over
	_, err := w.client.GetProxy(context.Background(), ProxyRequest{AccessToken: secret.Secret(testAccess)})
	var lost *TransportError
	if !errors.As(err, &lost) || lost.Sent {
		t.Errorf("got %v", err)
	}
}

// Pages with scripts, escape sequences and tokens in them: nothing of that is in
// the error.
func TestUglyPages(t *testing.T) {
	for what, page := range map[string]struct {
		content, body string
	}{
		"script":       {"text/html", "<html><script>alert(1)</script><title>Server Error</title>error: \"server_error\"<br>\nerror_description: \"a<script>alert(2)</script>\"</html>"},
		"encoded":      {"text/html", "error: \"x%1b%5b2J\" error_description: \"%1b%5b2J%e2%80%ae" + strings.Repeat("a", 700) + "\""},
		"bad encoding": {"text/html", "error: \"x\" error_description: \"100%25%zz%1\""},
		"JSON escapes": {"application/json", `{"error":"\u001b[31m","error_description":"\u001b]0;title\u0007\u202e\ufeff two\nlines ` + strings.Repeat("b", 5000) + `"}`},
		"its secret":   {"application/json", `{"error":"x","error_description":"id=` + testAccess + ` ` + clientSecret + ` and ` + testCode[:20] + "\\u200b" + testCode[20:] + ` of ` + testRefresh + `"}`},
		"its code":     {"application/json", `{"error":"` + testRefresh + ` ` + clientSecret + `","error_description":"x"}`},
		"secret split": {"application/json", `{"error":"x","error_description":"` + clientSecret[:5] + "\u200b" + clientSecret[5:] + `"}`},
		"numbers":      {"application/json", `{"error":5,"error_description":{"a":1}}`},
		"nothing":      {"", ""},
		"old":          {"text/html", "error=\"server_error\"<br>error_description=\"Error%3A+old\""},
	} {
		t.Run(what, func(t *testing.T) {
			eachCall(t, func(w *world) http.HandlerFunc {
				return w.raw(http.StatusInternalServerError, page.content, fixedBody(page.body))
			}, func(t *testing.T, op string, err error) {
				var refused *PortalError
				if !errors.As(err, &refused) || refused.Op != op || refused.Status != 500 {
					t.Fatalf("got %T: %v", err, err)
				}
				checkShown(t, refused.Code)
				checkShown(t, refused.Description)
				if what == "old" && refused.Description != "Error: old" {
					t.Errorf("got %q", refused.Description)
				}
			})
		})
	}
}

func checkShown(t *testing.T, s string) {
	t.Helper()
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if len([]rune(s)) > 200 || strings.ContainsFunc(s, odd) || strings.Contains(s, "<") {
		t.Errorf("a terminal would get %q", s)
	}
}

// A page where data belongs, with status 200.
func TestPagesInPlaceOfData(t *testing.T) {
	for _, c := range calls[:len(calls)-1] { // an answer to revoke has no data
		t.Run(c.op, func(t *testing.T) {
			w := newWorld(t)
			w.answer(c.endpoint, w.raw(200, "text/html", fixedBody("<html><script>alert(1)</script>Log in to the hotel's network</html>")))
			got, err := c.call(context.Background(), w.client)
			var bad *AnswerError
			var noProxy *CredentialError
			if got != nil || !errors.As(err, &bad) && !errors.As(err, &noProxy) || strings.Contains(err.Error(), "<") {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// JSON that is none of what was asked for.
func TestOtherJSON(t *testing.T) {
	for _, body := range []string{"{}", "null", "[]", `"x"`, "5", "{}{}"} {
		for _, c := range calls[:len(calls)-1] {
			if c.op == opDiscovery && (body == "{}" || body == "null") {
				continue // the fixed paths stand
			}
			t.Run(body+"/"+c.op, func(t *testing.T) {
				w := newWorld(t)
				w.answer(c.endpoint, w.raw(200, "application/json", fixedBody(body)))
				got, err := c.call(context.Background(), w.client)
				var noProxy *CredentialError
				if c.op == opGetProxy && got == nil && errors.As(err, &noProxy) {
					return
				}
				if got != nil {
					t.Errorf("got %v", got)
				}
				isAnswerError(t, c.op, err)
			})
		}
	}
}

// Nothing is asked of a portal that cannot be trusted.
func TestUntrusted(t *testing.T) {
	w := newWorld(t)
	w.client.HTTP = nil // the system's roots
	_, err := w.client.Discover(context.Background())
	var lost *TransportError
	if !errors.As(err, &lost) || !lost.Untrusted() || lost.Sent || !strings.Contains(err.Error(), "cannot be trusted") {
		t.Errorf("got %v", err)
	}
	other := httptest.NewUnstartedServer(w)
	other.Config.ErrorLog = w.server.Config.ErrorLog
	other.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	other.StartTLS()
	defer other.Close()
	w.client = w.newClient()
	w.client.Portal = other.URL
	if _, err = w.client.Discover(context.Background()); !errors.As(err, &lost) || lost.Sent {
		t.Errorf("TLS 1.1: got %v", err)
	}
	if len(w.heard) > 0 {
		t.Errorf("asked: %v", w.heard)
	}
	w.client = w.newClient()
	if _, err = w.client.Discover(context.Background()); err != nil {
		t.Errorf("with its CA: %v", err)
	}
}

// The last line of defence: whoever made the address, nothing leaves for another
// host or without TLS.
func TestWireGoesToThePortalAlone(t *testing.T) {
	for _, address := range []string{"http://portal.test/token", "https://portal.test:8443/token", "https://evil.test/token"} {
		w := &wire{base: canned{"token": "{}"}, host: "portal.test:443", op: opToken, max: maxJSON}
		req := must(http.NewRequest(http.MethodPost, address, nil))
		resp, err := w.RoundTrip(req)
		if resp != nil {
			resp.Body.Close()
		}
		isAnswerError(t, opToken, err)
	}
}

// What listens there may be no HTTP at all.
func TestNoHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Write(bytes.Repeat([]byte("SSH-2.0 hello\r\n"), 10))
			conn.Close()
		}
	}()
	c := &Client{Portal: "https://" + l.Addr().String(), ClientID: testClient}
	_, err = c.Discover(context.Background())
	var lost *TransportError
	if !errors.As(err, &lost) || lost.Sent {
		t.Errorf("got %v", err)
	}
}

// An answer that is no HTTP is not quoted: it may be what the portal was sent.
func TestEchoInPlaceOfHTTP(t *testing.T) {
	for what, format := range map[string]string{
		"status line":    "%s\r\n\r\n",
		"status":         "HTTP/1.1 %s\r\n\r\n",
		"header":         "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"content length": "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"encoding":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		"chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
	} {
		t.Run(what, func(t *testing.T) {
			eachCall(t, func(w *world) http.HandlerFunc {
				return func(out http.ResponseWriter, _ *http.Request) {
					conn, _, err := http.NewResponseController(out).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					fmt.Fprintf(conn, format, clientSecret+testRefresh+testAccess+testCode)
				}
			}, func(t *testing.T, op string, err error) {
				var lost *TransportError
				if !errors.As(err, &lost) || lost.Op != op || !lost.Sent {
					t.Errorf("got %T: %v", err, err)
				}
			})
		})
	}
}
