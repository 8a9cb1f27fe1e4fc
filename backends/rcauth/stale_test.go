package rcauth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"slices"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// TestFreshConnection: what a code or a refresh token is sent on has not been
// idle. A portal that was restarted in between would not hear it, and nobody
// could tell that from an answer that was lost.
func TestFreshConnection(t *testing.T) {
	w := newWorld(t)
	var before, at []string // addresses of our end
	noting := func(list *[]string, endpoint string) {
		answer := w.answers[endpoint]
		w.answer(endpoint, func(out http.ResponseWriter, r *http.Request) {
			*list = append(*list, r.RemoteAddr)
			answer(out, r)
		})
	}
	noting(&before, "certs")
	noting(&before, "openid-configuration")
	noting(&at, "token")
	if _, err := w.client.Exchange(t.Context(), attempt(), testCode); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Refresh(t.Context(), secret.Secret(testRefresh), "", ""); err != nil {
		t.Fatal(err)
	}
	if len(at) != 2 || len(before) != 3 || slices.Contains(before[:2], at[0]) || slices.Contains(before, at[1]) {
		t.Errorf("the tokens were asked for from %q, everything else from %q", at, before)
	}
}

// closedIdle is a transport that finds its idle connection closed before a byte
// has left, as net/http does, and cannot have another.
type closedIdle struct{ err error }

func (c closedIdle) RoundTrip(req *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(req.Context())
	began := func() {
		if trace.GetConn != nil {
			trace.GetConn("")
		}
	}
	began()
	trace.WroteHeaders() // into a buffer
	began()
	return nil, c.err
}

// TestNothingSent: a request that is repeated because nothing of it has left is
// no request that may have arrived.
func TestNothingSent(t *testing.T) {
	w := newWorld(t)
	w.client.HTTP.Transport = mixed{token: closedIdle{errors.New("connection refused")}, other: w.client.HTTP.Transport}
	_, err := w.client.Refresh(context.Background(), secret.Secret(testRefresh), "", "")
	var lost *TransportError
	if !errors.As(err, &lost) || lost.Sent || lost.Op != opRefresh {
		t.Errorf("got %v", err)
	}
	if _, over := breach(err); over {
		t.Error("the session counts as broken")
	}
}

// mixed has one transport for the tokens and one for everything else.
type mixed struct{ token, other http.RoundTripper }

func (m mixed) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost {
		return m.token.RoundTrip(req)
	}
	return m.other.RoundTrip(req)
}
