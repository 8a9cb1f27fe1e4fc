package myproxy

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// What servers do for the owner alone is refused here without a certificate,
// before a connection is made.
func TestNoIdentity(t *testing.T) {
	c := &Client{Hosts: []string{"localhost:1"}, Dial: noDial(t)}
	pass := []byte(canary)
	for command, call := range map[string]func(context.Context) error{
		"put": func(ctx context.Context) error {
			_, err := c.Put(ctx, PutRequest{Username: "jane", Passphrase: pass})
			return err
		},
		"info":    func(ctx context.Context) error { _, err := c.Info(ctx, InfoRequest{Username: "jane"}); return err },
		"destroy": func(ctx context.Context) error { return c.Destroy(ctx, DestroyRequest{Username: "jane"}) },
		"change": func(ctx context.Context) error {
			return c.ChangePassphrase(ctx, ChangeRequest{Username: "jane", Old: pass, New: pass})
		},
	} {
		var e *RequestError
		if err := call(t.Context()); !errors.As(err, &e) || !errors.Is(err, ErrNoIdentity) || !strings.Contains(err.Error(), "needs a client certificate") {
			t.Errorf("%s: got %v", command, err)
		}
	}
	c.Identity = new(tls.Certificate)
	if err := c.Destroy(t.Context(), DestroyRequest{Username: "jane"}); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("an empty certificate: got %v", err)
	}
}

// The owner is who authenticates, with a proxy or without, and not what is
// stored.
func TestOwner(t *testing.T) {
	w := newWorld(t)
	alice := w.user("Alice")
	proxy, err := alice.Derive(newKey(t), gsi.IssueOptions{Now: w.now, Lifetime: time.Hour})
	must(t, err)
	for _, cred := range []*gsi.Credential{alice, proxy} {
		got, err := ownerOf(identityOf(cred))
		if err != nil || got != (Owner{OneLine: "/C=XX/CN=Alice", RFC2253: "CN=Alice,C=XX"}) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	text, err := w.user("Bob").TraditionalPEM([]byte(canary))
	must(t, err)
	for _, identity := range []*tls.Certificate{identityOf(proxy), nil} {
		c := &Client{Hosts: []string{"localhost:1"}, Identity: identity, open: openOver(strings.NewReader(okResponse + okResponse))}
		got, err := c.Store(t.Context(), StoreRequest{Username: "jane", Passphrase: []byte(canary), Certificate: text, Key: text, MaxLifetime: time.Hour})
		must(t, err)
		want := "/C=XX/CN=Alice"
		if identity == nil { // nobody else is there
			want = "/C=XX/CN=Bob"
		}
		if got.Owner.OneLine != want || got.MaxLifetime != time.Hour || got.NotAfter.IsZero() || got.Server == "" {
			t.Errorf("got %+v", got)
		}
	}
}

// The pass phrase of the private key does not go to the server with it, and must
// be one that a logon can send.
func TestStoreKeepsPassphrase(t *testing.T) {
	w := newWorld(t)
	alice := w.user("Alice")
	told := make(chan string, 2)
	f := w.serve(nil, func(f *fake, c *tls.Conn, _ net.Conn) {
		told <- f.request(c)
		_, _ = io.WriteString(c, okResponse)
		buf := make([]byte, 64<<10)
		n, _ := c.Read(buf)
		told <- string(buf[:n])
		_, _ = io.WriteString(c, okResponse)
	})
	for pass, good := range map[string]bool{canary: true, "xLIFETIME=5": false} {
		text, err := alice.TraditionalPEM([]byte(pass))
		must(t, err)
		_, err = w.client(f.addr).Store(t.Context(), StoreRequest{Username: "jane", Passphrase: []byte(pass), Certificate: text, Key: text})
		var refused *RequestError
		if good != (err == nil) || !good && (!errors.As(err, &refused) || refused.Field != fieldPassphrase) {
			t.Errorf("%s: got %v", pass, err)
		}
	}
	if request, text := <-told, <-told; !strings.Contains(request, "\nPASSPHRASE=\n") || strings.Contains(request+text, canary) {
		t.Errorf("the server was told %q, %q", request, text)
	}
}

// New pass phrases have to be of 6 to 1023 bytes, before a connection is made.
func TestNewPassphrases(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat(canary, 100)
	for _, tc := range []struct {
		pass string
		ok   bool
	}{{"", false}, {"fünf", false}, {long[:minPassphrase-1], false}, {long[:minPassphrase], true}, {long[:maxPassphrase], true}, {long[:maxPassphrase+1], false}, {canary + "\n", false}} {
		c := &Client{Hosts: []string{"localhost:1"}, Identity: identityOf(w.user("Alice")), Dial: noDial(t)}
		if tc.ok {
			c.Dial = nil
			c.open = openOver(strings.NewReader(badPass))
		}
		put, err := c.Put(t.Context(), PutRequest{Username: "jane", Passphrase: []byte(tc.pass)})
		change := c.ChangePassphrase(t.Context(), ChangeRequest{Username: "jane", Old: []byte("x"), New: []byte(tc.pass)})
		for _, err := range []error{err, change} {
			var e *RequestError
			if errors.As(err, &e) == tc.ok || !tc.ok && (e.Field != fieldNewPassphrase || strings.Contains(err.Error(), canary)) {
				t.Errorf("%d bytes: got %v, %v", len(tc.pass), put, err)
			}
		}
	}
	c := &Client{Hosts: []string{"localhost:1"}, Identity: identityOf(w.user("Alice")), Dial: noDial(t)}
	for _, req := range []PutRequest{
		{Username: "jane", NoPassphrase: true, Passphrase: []byte(canary)},
		{Username: "jane", Passphrase: []byte(canary), Policy: Policy{KeyRetriever: "*"}},
		{Username: "jane", Passphrase: []byte(canary), Credential: &gsi.Credential{}},
		{Username: "jane", Passphrase: []byte(canary), MaxLifetime: -1},
		{Username: "jane", Passphrase: []byte(canary), DelegationLifetime: -time.Hour},
	} {
		var e *RequestError
		if _, err := c.Put(t.Context(), req); !errors.As(err, &e) || strings.Contains(err.Error(), canary) {
			t.Errorf("%+v: got %v", req, err)
		}
	}
}

// A credential that nobody can fetch is stored if that is wanted, but not
// without a word.
func TestPutUnreachable(t *testing.T) {
	for name, tc := range map[string]struct {
		policy Policy
		warned bool
	}{
		"nobody": {Policy{}, true}, "retrievers need a pass phrase": {Policy{Retriever: "*"}, true},
		"a renewer": {Policy{Renewer: "*"}, false}, "a trusted retriever": {Policy{TrustedRetriever: "*"}, false},
	} {
		w := newWorld(t)
		f := w.serve(nil, func(f *fake, c *tls.Conn, _ net.Conn) {
			const ok = "VERSION=MYPROXYv2\nRESPONSE=0\n\x00"
			f.request(c)
			csr, _ := gsi.NewRequest(newKey(t), false)
			_, _ = c.Write(append([]byte(ok), csr...))
			_, _ = c.Read(make([]byte, 1<<16))
			_, _ = io.WriteString(c, ok)
		})
		c := w.client(f.addr)
		c.Identity = identityOf(w.user("Alice"))
		got, err := c.Put(t.Context(), PutRequest{Username: "jane", NoPassphrase: true, Policy: tc.policy})
		must(t, err)
		if slices.Contains(got.Warnings, unreachableWarning) != tc.warned {
			t.Errorf("%s: %q", name, got.Warnings)
		}
	}
}

// Put signs nothing that ends at once, and says so before it connects.
func TestPutExpired(t *testing.T) {
	w := newWorld(t)
	c := &Client{Hosts: []string{"localhost:1"}, Identity: identityOf(w.user("Alice")), Dial: noDial(t), Clock: func() time.Time { return w.now.AddDate(1, 0, 0) }}
	var e *RequestError
	if _, err := c.Put(t.Context(), PutRequest{Username: "jane", Passphrase: []byte(canary)}); !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
}

// Store finds out by itself what the server would not say, or too late.
func TestStoreChecks(t *testing.T) {
	w := newWorld(t)
	alice := w.user("Alice")
	text, err := alice.EncryptedPEM([]byte(canary))
	must(t, err)
	open, err := alice.PEM()
	must(t, err)
	other := w.user("Bob")
	other.Key = newKey(t) // of no certificate
	foreign, err := (&gsi.Credential{Chain: other.Chain, Key: other.Key}).EncryptedPEM([]byte(canary))
	must(t, err)
	_, key := halves(t, foreign)
	for _, tc := range []struct {
		name      string
		cert, key string
		pass      string
		field     string
		is        error
	}{
		{"the wrong pass phrase", string(text), string(text), "wrong" + canary, fieldPassphrase, gsi.ErrWrongPassphrase},
		{"no pass phrase", string(text), string(text), "", fieldPassphrase, gsi.ErrEncryptedKey},
		{"a key that is not encrypted", string(text), string(open), canary, fieldKey, nil},
		{"a foreign key", string(text), key, canary, fieldKey, nil},
		{"no key", string(text), "", canary, fieldKey, gsi.ErrNoKey},
		{"two keys", string(text), string(text) + key, canary, fieldKey, gsi.ErrTwoKeys},
		{"no certificate", "", string(text), canary, fieldCertificate, gsi.ErrNoCertificate},
		{"a pass phrase that cannot be sent", string(text), string(text), "LIFETIME=5 " + canary, fieldPassphrase, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &Client{Hosts: []string{"localhost:1"}, Dial: noDial(t)}
			_, err := c.Store(t.Context(), StoreRequest{Username: "jane", Passphrase: []byte(tc.pass), Certificate: []byte(tc.cert), Key: []byte(tc.key)})
			var e *RequestError
			if !errors.As(err, &e) || e.Field != tc.field || tc.is != nil && !errors.Is(err, tc.is) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// halves splits a PEM text into certificates and key.
func halves(t testing.TB, text []byte) (certs, key string) {
	t.Helper()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			key += string(pem.EncodeToMemory(block))
		} else {
			certs += string(pem.EncodeToMemory(block))
		}
	}
	return certs, key
}

// What is sent is the chain and the encrypted key; whatever else is in the files
// stays here.
func TestStoreSendsNothingElse(t *testing.T) {
	w := newWorld(t)
	alice := w.user("Alice")
	text, err := alice.EncryptedPEM([]byte("short"))
	must(t, err)
	certs, key := halves(t, text)
	open, err := alice.PEM() // has the open key in it
	must(t, err)
	got := make(chan string, 1)
	f := w.serve(nil, func(f *fake, c *tls.Conn, _ net.Conn) {
		f.request(c)
		_, _ = io.WriteString(c, okResponse)
		buf := make([]byte, 64<<10)
		n, _ := c.Read(buf)
		got <- string(buf[:n])
		_, _ = io.WriteString(c, okResponse)
	})
	res, err := w.client(f.addr).Store(t.Context(), StoreRequest{Username: "jane", Passphrase: []byte("short"),
		Certificate: append([]byte("Certificate:\n    Data:\n"), open...), Key: []byte("Bag Attributes\n" + key)})
	must(t, err)
	if sent := <-got; sent != certs+key+"\x00" {
		t.Errorf("the server got %q", sent)
	}
	if len(res.Warnings) != 2 { // a short pass phrase, an ECDSA signature
		t.Errorf("warnings %q", res.Warnings)
	}
}

// With NoOverwrite Info is asked first, with the same identity, and nothing is
// sent where there is something.
func TestNoOverwrite(t *testing.T) {
	w := newWorld(t)
	text, err := w.user("Alice").EncryptedPEM([]byte(canary))
	must(t, err)
	for _, tc := range []struct {
		info, name string
		exists     bool
	}{
		{okHead + "CRED_OWNER=/CN=x\n\x00", "", true},
		{okHead + "CRED_OWNER=/CN=x\n\x00", "second", false},
		{okHead + "CRED_OWNER=/CN=x\nCRED_second_OWNER=/CN=x\nADDL_CREDS=second\n\x00", "second", true},
		{"VERSION=MYPROXYv2\nRESPONSE=1\nERROR=no credentials found for user jane, owner \"x\"\n\x00", "", false},
	} {
		var said []string
		f := w.serve(w.asksForCertificate(w.host(nil)), func(f *fake, c *tls.Conn, _ net.Conn) {
			text := f.request(c)
			said = append(said, strings.Split(text, "\n")[1])
			if n := len(c.ConnectionState().PeerCertificates); n == 0 {
				t.Error("no client certificate")
			}
			if strings.Contains(text, "COMMAND=2\n") {
				_, _ = io.WriteString(c, tc.info)
				return
			}
			_, _ = io.WriteString(c, okResponse+okResponse)
			_, _ = c.Read(make([]byte, 64<<10))
		})
		dead := closedPort(t)
		got, err := w.client(dead, f.addr).Store(t.Context(), StoreRequest{Username: "jane", CredentialName: tc.name, Passphrase: []byte(canary), Certificate: text, Key: text, NoOverwrite: true})
		want := "COMMAND=2 COMMAND=5"
		if tc.exists {
			want = "COMMAND=2"
		}
		if errors.Is(err, ErrCredentialsExist) != tc.exists || !tc.exists && err != nil || strings.Join(said, " ") != want {
			t.Errorf("%q: got %v, the server was told %q", tc.info, err, said)
		}
		if err == nil && (len(got.Unanswered) != 1 || got.Unanswered[0].Host != dead) {
			t.Errorf("%q: unanswered were %v", tc.info, got.Unanswered)
		}
	}
}

// What a server sends as a stored credential is taken apart without a panic, and
// what is returned has a certificate and a key.
func FuzzRetrieved(f *testing.F) {
	w := newWorld(f)
	text, err := w.user("Alice").TraditionalPEM([]byte(canary))
	must(f, err)
	f.Add(text)
	certs, key := halves(f, text)
	f.Add([]byte(certs))
	f.Add([]byte(key + certs + key))
	f.Add([]byte(strings.ReplaceAll(string(text), "4,ENCRYPTED", "4,CLEAR")))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := RetrieveResult{PEM: data}
		err := got.check([]byte(canary))
		var bad *CertificateError
		if err != nil {
			if !errors.As(err, &bad) || strings.Contains(err.Error(), canary) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		if len(got.Certificates) == 0 || len(got.KeyPEM) == 0 {
			t.Fatalf("%d certificates, %d bytes of a key", len(got.Certificates), len(got.KeyPEM))
		}
	})
}

// A stored credential must hold together: a foreign key, a wrong pass phrase,
// nothing at all are errors.
func TestRetrieveChecks(t *testing.T) {
	w := newWorld(t)
	alice := w.user("Alice")
	text, err := alice.TraditionalPEM([]byte(canary))
	must(t, err)
	certs, _ := halves(t, text)
	other, err := (&gsi.Credential{Chain: alice.Chain, Key: newKey(t)}).EncryptedPEM([]byte(canary))
	must(t, err)
	_, foreign := halves(t, other)
	for name, blob := range map[string]string{
		"good": string(text), "no key": certs, "a foreign key": certs + foreign, "two keys": string(text) + foreign, "no certificate": foreign, "empty": "",
	} {
		c := &Client{Hosts: []string{"localhost:1"}, open: openOver(strings.NewReader(okResponse + blob + "\x00" + okResponse))}
		got, err := c.Retrieve(t.Context(), RetrieveRequest{Username: "jane", Passphrase: []byte(canary)})
		var bad *CertificateError
		if name == "good" {
			if err != nil || string(got.PEM) != string(text) || len(got.Certificates) != 1 {
				t.Errorf("got %v, %v", got, err)
			}
			continue
		}
		if got != nil || !isTyped(err) || name != "empty" && !errors.As(err, &bad) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	c := &Client{Hosts: []string{"localhost:1"}, open: openOver(strings.NewReader(okResponse + string(text) + "\x00" + okResponse))}
	if _, err := c.Retrieve(t.Context(), RetrieveRequest{Username: "jane", Passphrase: []byte("another")}); !errors.Is(err, gsi.ErrWrongPassphrase) {
		t.Errorf("another pass phrase: got %v", err)
	}
}
