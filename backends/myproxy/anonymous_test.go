package myproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A server that refuses the client's certificate is asked again without, if the
// caller wants that, and the caller learns why.
func TestAnonymousRetry(t *testing.T) {
	w := newWorld(t)
	stranger := newWorld(t).user("Alice") // of a CA that the server does not know
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, retry := range []bool{true, false} {
			t.Run(tls.VersionName(version), func(t *testing.T) {
				f := w.serve(&tls.Config{
					Certificates: []tls.Certificate{w.host(nil)}, MinVersion: version, MaxVersion: version,
					ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: x509.NewCertPool(),
				}, grants)
				c := w.client(f.addr)
				c.Identity = identityOf(stranger)
				req, _ := logon(t)
				req.AnonymousRetry = retry
				got, err := c.Logon(t.Context(), req)
				dialled, asked := f.counts()
				var alert *AlertError
				if !retry {
					if !errors.As(err, &alert) || dialled != 1 || asked != 0 {
						t.Errorf("got %v; %d connections, %d requests", err, dialled, asked)
					}
					return
				}
				must(t, err)
				if !errors.As(got.Anonymous, &alert) || dialled != 2 || asked != 1 || len(got.Unanswered) != 0 {
					t.Errorf("got %+v; %d connections, %d requests", got, dialled, asked)
				}
			})
		}
	}
}

// alertAfter is a server whose alert comes after it has said its part.
type alertAfter struct {
	said io.Reader
	text string
}

func (a *alertAfter) Read(p []byte) (int, error) {
	if n, _ := a.said.Read(p); n > 0 {
		return n, nil
	}
	return 0, &net.OpError{Op: "remote error", Err: errors.New("tls: " + a.text)}
}

// A pass phrase is never sent a second time: an alert that comes after the
// request, or is about something else, ends the matter.
func TestNoAnonymousRetry(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		name, said, alert string
		null              time.Duration
		tries             int
	}{
		{"before the request", "", "expired certificate", nullWait, 2},
		{"before the request, about TLS", "", "internal error", nullWait, 1},
		{"after the request", "\x00", "expired certificate", nullWait, 1},
		{"after the request, TLS 1.2", "", "expired certificate", 0, 1},
		{"after the answer", okResponse, "expired certificate", 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tries := 0
			c := &Client{Hosts: []string{"localhost:1"}, Identity: identityOf(w.user("Alice"))}
			c.open = func(ctx context.Context, addr string, x *exchange) (*session, error) {
				if tries++; (x.identity == nil) != (tries == 2) {
					t.Errorf("try %d with the identity %v", tries, x.identity)
				}
				s, err := openOver(&alertAfter{strings.NewReader(tc.said), tc.alert})(ctx, addr, x)
				s.null = tc.null
				return s, err
			}
			req, _ := logon(t)
			req.AnonymousRetry = true
			_, err := c.Logon(t.Context(), req)
			var alert *AlertError
			if !errors.As(err, &alert) || tries != tc.tries {
				t.Errorf("got %v after %d tries", err, tries)
			}
			// Of the second try's error the first one's is a part.
			var twice *AnonymousError
			if errors.As(err, &twice) != (tries == 2) || tries == 2 && strings.Count(err.Error(), "expired certificate") != 2 {
				t.Errorf("got %v", err)
			}
		})
	}
}
