package myproxy

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// A server that cannot be verified gets nothing: no request arrives.
func TestUntrustedServer(t *testing.T) {
	day := 24 * time.Hour
	for _, tc := range []struct {
		name   string
		spoil  func(*world)
		host   func(*x509.Certificate)
		client func(*Client)
		reason gsi.TrustReason // "" is a name
	}{
		{name: "wrong name", host: func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere.example.org"}, nil }},
		{name: "wrong DN", client: func(c *Client) { c.ServerDN = "/C=XX/CN=other" }},
		{name: "expired host certificate", host: func(c *x509.Certificate) { c.NotBefore, c.NotAfter = c.NotBefore.Add(-day), c.NotBefore }, reason: gsi.TrustExpired},
		{name: "host certificate of tomorrow", host: func(c *x509.Certificate) {
			c.NotBefore = c.NotBefore.Add(3 * day)
			c.NotAfter = c.NotAfter.Add(3 * day)
		}, reason: gsi.TrustNotYetValid},
		{name: "the clock of the client counts", client: func(c *Client) { c.Clock = func() time.Time { return time.Now().Add(3 * day) } }, reason: gsi.TrustExpired},
		{name: "no signing policy", spoil: func(w *world) { must(w.t, os.Remove(w.path(".signing_policy"))) }, reason: gsi.TrustNoPolicy},
		{name: "signing policy forbids", host: func(c *x509.Certificate) { c.Subject = pkix.Name{Country: []string{"YY"}, CommonName: "localhost"} }, reason: gsi.TrustPolicy},
		{name: "revoked", spoil: func(w *world) { w.crl(w.now.Add(day), hostSerial) }, reason: gsi.TrustRevoked},
		{name: "CRL expired", spoil: func(w *world) { w.crl(w.now.Add(-day)) }, reason: gsi.TrustCRLExpired},
		{name: "CA unknown", spoil: func(w *world) {
			other := *w
			other.ca = foreignCA(w)
			other.write(".0", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.ca.Raw}))
			must(w.t, os.Remove(w.path(".0")))
		}, reason: gsi.TrustUnknownIssuer},
		{name: "no directory", client: func(c *Client) { c.Trust = nil }, reason: gsi.TrustNoDirectory},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.spoil != nil {
				tc.spoil(w)
			}
			f := w.serve(&tls.Config{Certificates: []tls.Certificate{w.host(tc.host)}}, grants)
			c := w.client(f.addr)
			if tc.client != nil {
				tc.client(c)
			}
			req, _ := logon(t)
			req.Sending = func(context.Context) error { t.Error("the pass phrase was about to be sent"); return nil }
			_, err := c.Logon(t.Context(), req)
			var outer *TrustError
			var trust *gsi.TrustError
			var name *gsi.NameError
			switch {
			case !errors.As(err, &outer):
				t.Errorf("got %v, want a TrustError", err)
			case tc.reason == "" && !errors.As(err, &name):
				t.Errorf("got %v, want a name error", err)
			case tc.reason != "" && (!errors.As(err, &trust) || trust.Reason != tc.reason):
				t.Errorf("got %v, want %s", err, tc.reason)
			}
			if _, asked := f.counts(); asked != 0 {
				t.Error("the request was sent")
			}
		})
	}
}

// Sending is called once, before the request; its error ends the attempt.
func TestSending(t *testing.T) {
	w := newWorld(t)
	f := w.serve(&tls.Config{Certificates: []tls.Certificate{w.host(nil)}}, grants)
	req, _ := logon(t)
	calls := 0
	req.Sending = func(context.Context) error {
		calls++
		if _, asked := f.counts(); asked != 0 {
			t.Error("the request was sent before")
		}
		return nil
	}
	if _, err := w.client(f.addr).Logon(t.Context(), req); err != nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	_, before := f.counts()
	stop := errors.New("stop")
	req, _ = logon(t)
	req.Sending = func(context.Context) error { return stop }
	if _, err := w.client(f.addr).Logon(t.Context(), req); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if _, asked := f.counts(); asked != before {
		t.Error("the request was sent all the same")
	}
}

// A negative serial number is refused by crypto/x509 itself before anybody can
// look at the certificate.
func TestUnreadableHostCertificate(t *testing.T) {
	w := newWorld(t)
	cert := w.host(nil)
	cert.Certificate = [][]byte{{0x30, 3, 2, 1, 0}}
	cert.Leaf = nil
	f := w.serve(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, grants)
	req, _ := logon(t)
	_, err := w.client(f.addr).Logon(t.Context(), req)
	var e *TrustError
	if !errors.As(err, &e) {
		t.Errorf("got %v, want a TrustError", err)
	}
}

func TestServerDN(t *testing.T) {
	w := newWorld(t)
	cert := w.host(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere.example.org"}, nil })
	for _, dn := range []string{"/C=XX/CN=localhost", "CN=localhost,C=XX"} {
		c := w.client(w.serve(&tls.Config{Certificates: []tls.Certificate{cert}}, grants).addr)
		c.ServerDN = dn
		req, _ := logon(t)
		if _, err := c.Logon(t.Context(), req); err != nil {
			t.Errorf("%s: %v", dn, err)
		}
	}
}

// foreignCA is a CA of another name.
func foreignCA(w *world) *x509.Certificate {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(9), Subject: pkix.Name{Country: []string{"XX"}, CommonName: "Another CA"},
		NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, w.key.Public(), w.key)
	must(w.t, err)
	ca, err := x509.ParseCertificate(der)
	must(w.t, err)
	return ca
}
