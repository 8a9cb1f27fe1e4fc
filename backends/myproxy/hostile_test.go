package myproxy

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// user makes an end-entity certificate of the world's CA.
func (w *world) user(cn string) *gsi.Credential {
	w.t.Helper()
	key := newRSAKey(w.t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(9), Subject: pkix.Name{Country: []string{"XX"}, CommonName: cn},
		NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.Add(240 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, w.ca, key.Public(), w.key)
	must(w.t, err)
	cert, err := x509.ParseCertificate(der)
	must(w.t, err)
	return &gsi.Credential{Chain: []*x509.Certificate{cert}, Key: key}
}

// commands are all of this client, each as somebody would call it.
func commands(t testing.TB, w *world) map[string]func(*Client) error {
	alice := w.user("Alice")
	text, err := alice.TraditionalPEM([]byte(canary))
	must(t, err)
	ctx, pass := t.Context(), []byte(canary)
	as := func(c *Client) *Client { c.Identity = identityOf(alice); return c }
	return map[string]func(*Client) error{
		"logon": func(c *Client) error { req, _ := logon(t); _, err := c.Logon(ctx, req); return err },
		"logon with trust roots": func(c *Client) error {
			req, _ := logon(t)
			req.TrustRoots = true
			_, err := c.Logon(ctx, req)
			return err
		},
		"renewal": func(c *Client) error {
			req, _ := logon(t)
			req.Passphrase, req.Renew = nil, alice
			_, err := c.Logon(ctx, req)
			return err
		},
		"put": func(c *Client) error {
			_, err := as(c).Put(ctx, PutRequest{Username: "jane", Passphrase: pass})
			return err
		},
		"store": func(c *Client) error {
			_, err := as(c).Store(ctx, StoreRequest{Username: "jane", Passphrase: pass, Certificate: text, Key: text})
			return err
		},
		"retrieve": func(c *Client) error {
			_, err := c.Retrieve(ctx, RetrieveRequest{Username: "jane", Passphrase: pass})
			return err
		},
		"info":    func(c *Client) error { _, err := as(c).Info(ctx, InfoRequest{Username: "jane"}); return err },
		"destroy": func(c *Client) error { return as(c).Destroy(ctx, DestroyRequest{Username: "jane"}) },
		"change": func(c *Client) error {
			return as(c).ChangePassphrase(ctx, ChangeRequest{Username: "jane", Old: pass, New: []byte("another " + canary)})
		},
		"trust roots": func(c *Client) error { _, err := c.GetTrustRoots(ctx, TrustRootsRequest{}); return err },
		"bootstrap": func(c *Client) error {
			_, err := c.Bootstrap(ctx, BootstrapRequest{Confirm: func(context.Context, ServerChain) error { return nil }})
			return err
		},
	}
}

// endless is a server that says begin and then more without an end.
type endless struct {
	begin, more string
	n           int // bytes that were read
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		if e.n < len(e.begin) {
			p[i] = e.begin[e.n]
		} else {
			p[i] = e.more[(e.n-len(e.begin))%len(e.more)]
		}
		e.n++
	}
	return len(p), nil
}

// openOver opens sessions that read from r; writes go to w, or nowhere.
func openOver(r io.Reader) func(context.Context, string, *exchange) (*session, error) {
	return func(ctx context.Context, addr string, x *exchange) (*session, error) {
		conn := &brokenConn{in: r}
		if x.verify != nil && x.request.command == commandTrustRoots && x.identity == nil {
			// Bootstrap looks at the certificates in there.
			_ = x.verify(ctx, addr, tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}})
		}
		return &session{
			ctx: ctx, server: addr, raw: &watchedConn{Conn: conn}, conn: conn, in: bufio.NewReaderSize(conn, readBuffer),
			timeout: time.Second, release: func() bool { return true },
			peer: []*x509.Certificate{{}}, wantRoots: x.request.trustRoots,
		}, nil
	}
}

// Whatever a server sends without an end, every command stops reading at its
// limit, with a typed error.
func TestEndlessAnswers(t *testing.T) {
	w := newWorld(t)
	ok := "VERSION=MYPROXYv2\nRESPONSE=0\n"
	der := "\x30\x83\x0f\xff\xff" // claims less than the limit
	for name, e := range map[string]endless{
		"a response":                {begin: ok, more: "X=y\n"},
		"a line":                    {begin: ok + "CRED_OWNER=", more: "x"},
		"fields of INFO":            {begin: ok, more: "CRED_OWNER=x\n"},
		"errors":                    {begin: "VERSION=MYPROXYv2\nRESPONSE=1\n", more: "ERROR=no\n"},
		"trust roots":               {begin: ok + "TRUSTED_CERTS=a\nFILEDATA_a=", more: "QUJD"},
		"a list of trust roots":     {begin: ok + "TRUSTED_CERTS=", more: "a,"},
		"NULs":                      {more: "\x00"},
		"no MyProxy":                {more: "HTTP/1.1 200 OK\r\n"},
		"OKs":                       {more: ok + "\x00"},
		"challenges":                {more: "VERSION=MYPROXYv2\nRESPONSE=2\nAUTHORIZATION_DATA=X509_certificate_SHA256:0123456789abcdef\n\x00"},
		"certificates":              {begin: ok + "\x00\x10", more: der},
		"one certificate":           {begin: ok + "\x00\x01" + der, more: "x"},
		"a certificate request":     {begin: ok + "\x00" + der, more: "x"},
		"a stored credential":       {begin: ok + "\x00", more: "-----BEGIN CERTIFICATE-----\n"},
		"255 certificates":          {begin: ok + "\x00\xff", more: string(w.ca.Raw)},
		"good certificates":         {begin: ok + "\x00\x10", more: string(w.ca.Raw)},
		"a credential without keys": {begin: ok + "\x00", more: "A"},
	} {
		for command, call := range commands(t, w) {
			t.Run(name+"/"+command, func(t *testing.T) {
				e := e
				c := &Client{Hosts: []string{"localhost:1"}, open: openOver(&e)}
				err := call(c)
				// What one answer is enough for may like it.
				once := map[string]bool{"store": true, "info": true, "destroy": true, "change": true, "trust roots": true, "bootstrap": true}
				if answered := once[command] && strings.Contains(e.begin+e.more, ok+"\x00"); !isTyped(err) && (err != nil || !answered) {
					t.Errorf("got %v", err)
				}
				if limit := maxTrustRoots + 2*readBuffer; e.n > limit || !strings.Contains(command, "trust roots") && command != "bootstrap" && e.n > maxTextResponse+maxCertificates+2*readBuffer {
					t.Errorf("%d bytes were read", e.n)
				}
			})
		}
	}
}

// No refusal of any command reaches people with what a terminal would obey, and
// none repeats a secret.
func TestHostileWords(t *testing.T) {
	w := newWorld(t)
	for _, words := range []string{"\x1b]0;owned\x07bad \x1b[31mred\u202e", "you said " + canary + ", wrong", "\x9b31m\xff\xfe\r\rgone"} {
		for command, call := range commands(t, w) {
			data := "VERSION=MYPROXYv2\nRESPONSE=1\nERROR=" + words + "\n\x00"
			c := &Client{Hosts: []string{"localhost:1"}, open: openOver(strings.NewReader(data))}
			err := call(c)
			var said *ServerError
			if !errors.As(err, &said) {
				t.Errorf("%s: got %v", command, err)
				continue
			}
			if s := fmt.Sprintf("%v", err); strings.ContainsAny(s, "\x1b\x07\u202e\r\u009b") || !strings.Contains(s, "refused") {
				t.Errorf("%s: %q", command, s)
			}
			secret := strings.Contains(fmt.Sprintf("%v %#v", err, said), canary)
			if asked := command != "trust roots" && command != "bootstrap" && command != "renewal" && command != "info" && command != "destroy"; asked && secret {
				t.Errorf("%s: the pass phrase is in %v", command, err)
			}
		}
	}
}

// A server that sends a byte now and then gets no more time for it, whatever the
// command.
func TestByteByByteForEver(t *testing.T) {
	w := newWorld(t)
	slow := w.serve(nil, func(f *fake, c *tls.Conn, _ net.Conn) {
		f.request(c)
		for _, b := range []byte("VERSION=MYPROXYv2\nRESPONSE=0\n" + strings.Repeat("X=y\n", 1000)) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	for command, call := range commands(t, w) {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			c := w.client(slow.addr)
			c.IOTimeout = 200 * time.Millisecond
			err := call(c) // one that waits for more hears the server close
			var late *TimeoutError
			if !errors.As(err, &late) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Every command tries the next server only where not a byte came from the one
// before, and says which one that was.
func TestFailOverOfEveryCommand(t *testing.T) {
	w := newWorld(t)
	for command, call := range commands(t, w) {
		t.Run(command, func(t *testing.T) {
			dead, refuses, never := closedPort(t), w.serve(nil, says(badPass)), w.serve(nil, grants)
			err := call(w.client(dead, refuses.addr, never.addr))
			var over *FailoverError
			var said *ServerError
			if !errors.As(err, &over) || len(over.Earlier) != 1 || over.Earlier[0].Host != dead || !errors.As(err, &said) || said.Server != refuses.addr {
				t.Errorf("got %v", err)
			}
			if n, _ := never.counts(); n != 0 {
				t.Error("a server was asked after one that had refused")
			}
		})
	}
}

// What servers are asked to sign proxies for must be a request with a key that
// is good enough.
func TestPutRefusesBadRequests(t *testing.T) {
	w := newWorld(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak)
	must(t, err)
	good, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, newKey(t))
	must(t, err)
	spoilt := append([]byte{}, good...)
	spoilt[len(spoilt)-1] ^= 1
	for name, data := range map[string]string{
		"a weak key": string(csr), "a broken signature": string(spoilt), "garbage": "\x30\x03\x02\x01\x00", "another type": "\x04\x00",
		"an OK in its place": okResponse, "longer than any": "\x30\x83\x01\x00\x01",
	} {
		c := &Client{Hosts: []string{"localhost:1"}, open: openOver(strings.NewReader(okResponse + data + okResponse))}
		var bad *CertificateError
		if err := commands(t, w)["put"](c); !errors.As(err, &bad) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	c := &Client{Hosts: []string{"localhost:1"}, open: openOver(strings.NewReader(okResponse + string(good) + okResponse))}
	must(t, commands(t, w)["put"](c))
}

// bigCertificate makes a certificate of exactly that many bytes of DER.
func (w *world) bigCertificate(size int) string {
	w.t.Helper()
	fill := size - 1000
	for range 20 {
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "big"}, NotBefore: w.now, NotAfter: w.now.Add(time.Hour),
			ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3, 4}, Value: make([]byte, fill)}},
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, w.ca, w.key.Public(), w.key)
		must(w.t, err)
		if len(der) == size { // the length of an ECDSA signature varies
			return string(der)
		}
		fill += size - len(der)
	}
	w.t.Fatalf("no certificate of %d bytes", size)
	return ""
}
