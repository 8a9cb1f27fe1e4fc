package myproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

const bootstrapRequest = "VERSION=MYPROXYv2\nCOMMAND=7\nUSERNAME=\nPASSPHRASE=\nLIFETIME=0\nTRUSTED_CERTS=1\n\x00"

// gives the trust roots, and checks that nothing else was sent than the bare
// request.
func givesRoots(t *testing.T) handler {
	return func(f *fake, c *tls.Conn, _ net.Conn) {
		if text := f.request(c); text != bootstrapRequest {
			t.Errorf("the server was told %q", text)
		}
		if n := len(c.ConnectionState().PeerCertificates); n > 0 {
			t.Errorf("it was shown %d client certificates", n)
		}
		_, _ = io.WriteString(c, "VERSION=MYPROXYv2\nRESPONSE=0\nTRUSTED_CERTS=a.0,b\nFILEDATA_a.0="+base64.StdEncoding.EncodeToString([]byte("the file"))+"\nFILEDATA_b=\n\x00")
	}
}

func (w *world) asksForCertificate(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}
}

func TestBootstrap(t *testing.T) {
	w := newWorld(t)
	host := w.host(nil)
	leaf, err := x509.ParseCertificate(host.Certificate[0])
	must(t, err)
	f := w.serve(w.asksForCertificate(host), givesRoots(t))
	alone := host
	alone.Certificate = host.Certificate[:1]
	refuses := errors.New("no, thank you")
	var who ServerChain
	for _, tc := range []struct {
		name    string
		server  *fake
		req     BootstrapRequest
		refused error
	}{
		{name: "fingerprint of the CA", server: f, req: BootstrapRequest{Fingerprint: fingerprint(w.ca)}},
		{name: "of the server, as openssl prints it", server: f, req: BootstrapRequest{Fingerprint: "SHA256:" + colons(fingerprint(leaf))}},
		{name: "a server that sends no CA", server: w.serve(w.asksForCertificate(alone), givesRoots(t)), req: BootstrapRequest{Fingerprint: fingerprint(leaf)}},
		{name: "asked", server: f, req: BootstrapRequest{Confirm: func(_ context.Context, c ServerChain) error { who = c; return nil }}},
		{name: "asked and refused", server: f, req: BootstrapRequest{Confirm: func(context.Context, ServerChain) error { return refuses }}, refused: refuses},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := w.client(tc.server.addr)
			c.Trust, c.Identity = nil, identityOf(w.user("Alice"))
			got, err := c.Bootstrap(t.Context(), tc.req)
			if tc.refused != nil {
				if err != tc.refused || got != nil {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			must(t, err)
			if string(got.Files["a.0"]) != "the file" || len(got.Files) != 2 || got.Server != tc.server.addr || !strings.HasPrefix(got.Fingerprint, "sha256:") {
				t.Errorf("got %+v", got)
			}
		})
	}
	if len(who.Certificates) != 2 || who.Fingerprint != fingerprint(w.ca) || who.LeafFingerprint != fingerprint(leaf) || len(who.Files) != 2 || who.Server != f.addr {
		t.Errorf("asked about %+v", who)
	}
}

func colons(fingerprint string) string {
	digits := strings.ToUpper(strings.TrimPrefix(fingerprint, "sha256:"))
	var parts []string
	for i := 0; i < len(digits); i += 2 {
		parts = append(parts, digits[i:i+2])
	}
	return strings.Join(parts, ":")
}

// Another server than the expected one is asked for nothing at all.
func TestBootstrapRefusals(t *testing.T) {
	w, foreign := newWorld(t), newWorld(t)
	// A stranger who sends the well-known CA behind a certificate of its own.
	forged := foreign.host(nil)
	forged.Certificate = append(forged.Certificate[:1:1], w.ca.Raw)
	elsewhere := w.host(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere.example.org"}, nil })
	expired := w.host(func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(0, 0, 1).Add(-1) })
	yes := func(context.Context, ServerChain) error { return nil }
	for _, tc := range []struct {
		name string
		cert tls.Certificate
		req  BootstrapRequest
		want any
	}{
		{"another CA", foreign.host(nil), BootstrapRequest{Fingerprint: fingerprint(w.ca)}, new(*FingerprintError)},
		{"another CA, and a yes", foreign.host(nil), BootstrapRequest{Fingerprint: fingerprint(w.ca), Confirm: yes}, new(*FingerprintError)},
		{"the right CA behind a foreign certificate", forged, BootstrapRequest{Fingerprint: fingerprint(w.ca)}, new(x509.UnknownAuthorityError)},
		{"the same, and a yes", forged, BootstrapRequest{Confirm: yes}, new(x509.UnknownAuthorityError)},
		{"another host of the same CA", elsewhere, BootstrapRequest{Fingerprint: fingerprint(w.ca)}, new(*gsi.NameError)},
		{"an expired certificate", expired, BootstrapRequest{Fingerprint: fingerprint(w.ca)}, new(x509.CertificateInvalidError)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := w.serve(w.asksForCertificate(tc.cert), givesRoots(t))
			c := w.client(f.addr)
			_, err := c.Bootstrap(t.Context(), tc.req)
			var trust *TrustError
			if !errors.As(err, &trust) || !errors.As(err, tc.want) {
				t.Errorf("got %v (%T)", err, errors.Unwrap(err))
			}
			if _, asked := f.counts(); asked != 0 {
				t.Error("the server was asked all the same")
			}
		})
	}
	for _, bad := range []string{"", "sha256:", "sha1:" + strings.Repeat("0", 40), strings.Repeat("0", 64), "sha256:" + strings.Repeat("0", 62), "sha256:" + strings.Repeat("g", 64)} {
		c := w.client("localhost:1")
		c.Dial = noDial(t)
		var e *RequestError
		if _, err := c.Bootstrap(t.Context(), BootstrapRequest{Fingerprint: bad}); !errors.As(err, &e) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// The user name and the pass phrase of an authenticated call go together, and
// only to a server that was verified.
func TestGetTrustRoots(t *testing.T) {
	w := newWorld(t)
	var told string
	f := w.serve(nil, func(f *fake, c *tls.Conn, _ net.Conn) {
		told = f.request(c)
		_, _ = io.WriteString(c, okResponse)
	})
	c := w.client(f.addr)
	for _, tc := range []struct {
		req  TrustRootsRequest
		want string
	}{
		{TrustRootsRequest{}, bootstrapRequest},
		{TrustRootsRequest{Username: "jane", Passphrase: []byte("secret")}, "VERSION=MYPROXYv2\nCOMMAND=7\nUSERNAME=jane\nPASSPHRASE=secret\nLIFETIME=0\nTRUSTED_CERTS=1\n\x00"},
	} {
		got, err := c.GetTrustRoots(t.Context(), tc.req)
		if err != nil || len(got.Files) != 0 || told != tc.want || got.Fingerprint != fingerprint(w.ca) {
			t.Errorf("got %+v, %v; the server was told %q", got, err, told)
		}
	}
	c.Dial = noDial(t)
	for _, half := range []TrustRootsRequest{{Username: "jane"}, {Passphrase: []byte(canary)}} {
		var e *RequestError
		if _, err := c.GetTrustRoots(t.Context(), half); !errors.As(err, &e) || strings.Contains(err.Error(), canary) {
			t.Errorf("got %v", err)
		}
	}
	stranger := newWorld(t).serve(nil, givesRoots(t))
	var trust *TrustError
	_, err := w.client(stranger.addr).GetTrustRoots(t.Context(), TrustRootsRequest{})
	if _, asked := stranger.counts(); !errors.As(err, &trust) || asked != 0 {
		t.Errorf("got %v, asked %d times", err, asked)
	}
}
