package myproxy

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// adapt changes what this client never sends: a lifetime of zero or less for a proxy, and
// SHA-1 where the server offers SHA-256. What the server answered then stays.
func (r *recording) adapt() {
	sha1 := false
	for i := range r.Messages {
		m := &r.Messages[i]
		if raw, err := base64.StdEncoding.DecodeString(m.Base64); err == nil && r.Renewal != "" && m.From == "client" && m.Text == nil {
			sha1 = sha1 || raw[0] == proofSHA1
		}
		if m.From == "client" && m.Text != nil && strings.Contains(*m.Text, "\nCOMMAND=0\n") {
			s := regexp.MustCompile("\nLIFETIME=(0|-[0-9]+)\n").ReplaceAllString(*m.Text, "\nLIFETIME=43200\n")
			m.Text = &s
		}
	}
	for i := range r.Messages {
		if m := &r.Messages[i]; sha1 && m.Text != nil {
			s := regexp.MustCompile("AUTHORIZATION_DATA=X509_certificate_SHA256:.*\n").ReplaceAllString(*m.Text, "")
			m.Text = &s
		}
	}
}

// cut is how a replay server cuts what it says into TLS records.
type cut string

const (
	asRecorded cut = "as recorded"
	byteByByte cut = "byte by byte"
	joined     cut = "joined"
)

// replay is a server that says what was recorded and notes what it is told.
type replay struct {
	addr string
	told chan error // nil: exactly the client messages of the recording
}

func (r *recording) replay(t testing.TB, how cut, strict bool) *replay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := &replay{addr: net.JoinHostPort("localhost", port), told: make(chan error, 1)}
	config := r.serverConfig(t)
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)) // a client that never comes
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := l.Accept()
		if err != nil {
			p.told <- err
			return
		}
		defer raw.Close()
		_ = raw.SetDeadline(time.Now().Add(patience))
		p.told <- r.talk(t, tls.Server(raw, config), raw, how, strict)
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return p
}

func (r *recording) serverConfig(t testing.TB) *tls.Config {
	t.Helper()
	host := filepath.Join(r.dir, "credentials", "replay-server.pem")
	cert, err := tls.LoadX509KeyPair(host, host)
	must(t, err)
	version := uint16(tls.VersionTLS13)
	if r.TLS == "1.2" {
		version = tls.VersionTLS12
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version,
		ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
		Time: func() time.Time { return r.RecordedAt },
	}
	if len(r.Messages) == 0 { // the server does not accept the client's certificate
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		cas, err := filepath.Glob(filepath.Join(r.dir, "trust", "*.0"))
		must(t, err)
		for _, ca := range cas {
			config.ClientCAs.AppendCertsFromPEM(readFile(t, ca))
		}
	}
	return config
}

// talk walks through the messages. In strict mode every record of the client
// must be byte for byte what the recorded client sent.
func (r *recording) talk(t testing.TB, c *tls.Conn, raw net.Conn, how cut, strict bool) error {
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	buf := make([]byte, 64<<10)
	var pending []byte
	for i := range r.Messages {
		m := &r.Messages[i]
		data := m.bytes(t)
		if m.From == "client" {
			n, err := c.Read(buf)
			if err != nil {
				return fmt.Errorf("message %d: %w", i, err)
			}
			if strict && !r.says(buf[:n], data) {
				return fmt.Errorf("message %d is\n%q, recorded was\n%q", i, buf[:n], data)
			}
			continue
		}
		pending = append(pending, data...)
		last := i+1 == len(r.Messages) || r.Messages[i+1].From == "client" || r.Messages[i+1].Layer != ""
		if how == joined && !last {
			continue
		}
		if err := write(c, raw, m.Layer, how, pending); err != nil {
			return err
		}
		pending = nil
	}
	if strings.HasPrefix(r.End, endSilence) {
		_, _ = io.Copy(io.Discard, c)
	}
	if !strict { // unread bytes would make the end a reset, which eats the text
		_ = raw.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, raw)
	}
	return nil
}

func write(c *tls.Conn, raw net.Conn, layer string, how cut, data []byte) error {
	var to interface{ Write([]byte) (int, error) } = c
	if layer == "tcp" {
		to = raw
	}
	if how != byteByByte {
		_, err := to.Write(data)
		return err
	}
	for i := range data {
		if _, err := to.Write(data[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

// client is one that trusts the recorded CAs at the time of the recording.
func (r *recording) client(t testing.TB, addr string) *Client {
	c := &Client{
		Hosts: []string{addr}, DialTimeout: patience, IOTimeout: patience,
		Trust: func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir(filepath.Join(r.dir, "trust")) },
		Clock: func() time.Time { return r.RecordedAt },
	}
	if name, proxy := strings.CutSuffix(r.ClientCert, "-proxy"); name != "none" {
		text, err := os.ReadFile(filepath.Join(r.dir, "credentials", name+".pem"))
		must(t, err)
		cred, err := gsi.ParseCredential(text)
		must(t, err)
		if proxy {
			cred, err = cred.Derive(newRSAKey(t), gsi.IssueOptions{Now: r.RecordedAt, Lifetime: time.Hour})
			must(t, err)
		}
		c.Identity = identityOf(cred)
	}
	return c
}

func (r *recording) key(t testing.TB) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode([]byte(r.ClientKey))
	if block == nil {
		t.Fatal("no client_key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(t, err)
	return key.(crypto.Signer)
}

// outcome is what the last message of the server was, if it was a refusal.
func (r *recording) outcome(t testing.TB) (texts []string, refused bool) {
	t.Helper()
	last := ""
	for i := range r.Messages {
		if m := &r.Messages[i]; m.From == "server" {
			last = string(m.bytes(t))
		}
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(last, "\x00"), "\n") {
		if text, ok := strings.CutPrefix(line, "ERROR="); ok && strings.TrimSpace(text) != "" {
			texts = append(texts, text)
		}
	}
	return texts, strings.Contains(last, "RESPONSE=1\n")
}

// unanswered says that the server closed where the client waited for a word.
func (r *recording) unanswered() bool {
	return r.insideTLS() && r.Messages[len(r.Messages)-1].From == "client" && r.End == endClosed
}

// insideTLS says that the conversation got through the handshake and stayed
// there; the others have tests of their own.
func (r *recording) insideTLS() bool {
	for i := range r.Messages {
		if r.Messages[i].Layer == "tcp" {
			return false
		}
	}
	return len(r.Messages) > 0
}

// Every recorded conversation ends as it did with the real server, however its
// answers are cut into records, and what the client says is what was recorded.
// What this client refuses to say is sent as it was recorded.
func TestRecordedConversations(t *testing.T) {
	for _, r := range recordings(t, "*.json") {
		if !r.insideTLS() {
			continue
		}
		for _, how := range []cut{asRecorded, byteByByte, joined} {
			t.Run(r.Name+"/"+string(how), func(t *testing.T) { r.test(t, how) })
		}
	}
}

func (r *recording) test(t *testing.T, how cut) {
	p := r.replay(t, how, true)
	c := r.client(t, p.addr)
	var dialed atomic.Bool
	c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialed.Store(true)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	var err error
	_, canonical := r.asked()
	if proof := r.clientData(t, 0); r.Renewal != "" && proof != nil && !r.proves(proof) {
		canonical = false // a wrong signature, which this client would never send
	}
	if canonical {
		err = r.call(t, c)
	}
	if !canonical || err != nil && !dialed.Load() {
		err = r.raw(t, c)
	}
	if told := <-p.told; told != nil {
		t.Errorf("what the server was told: %v", told)
	}
	r.checkEnd(t, err)
}

func (r *recording) checkEnd(t *testing.T, err error) {
	t.Helper()
	texts, refused := r.outcome(t)
	var said *ServerError
	var late *TimeoutError
	var lost *LostError
	switch {
	case r.unanswered():
		if !errors.As(err, &lost) {
			t.Errorf("got %v of a server that closed without a word", err)
		}
	case strings.HasPrefix(r.End, endSilence):
		if !errors.As(err, &late) {
			t.Errorf("got %v", err)
		}
	case refused && len(texts) == 1 && strings.HasPrefix(texts[0], "no credentials found for user"):
		// Nothing stored is no error, unless it was asked for with raw bytes.
		if err != nil && (!errors.As(err, &said) || said.Words() != strings.TrimSpace(texts[0])) {
			t.Errorf("got %v", err)
		}
	case refused:
		if !errors.As(err, &said) || strings.Join(said.Texts, "|") != strings.Join(texts, "|") || said.Stage == "" {
			t.Errorf("got %v, recorded was %q", err, texts)
		}
	case err != nil:
		t.Error(err)
	}
}

// A server that could not set up GSI answers outside TLS; TLS shows that as a
// record of version 0x4552.
func TestRecordedClearText(t *testing.T) {
	for _, r := range recordings(t, "*.json") {
		if !strings.HasPrefix(r.End, endClearText) {
			continue
		}
		for _, how := range []cut{asRecorded, byteByByte} {
			t.Run(r.Name+"/"+string(how), func(t *testing.T) {
				p := r.replay(t, how, false)
				_, err := r.client(t, p.addr).Logon(t.Context(), r.request(t))
				var said *ServerError
				if !errors.Is(err, ErrClearText) || !errors.As(err, &said) || said.Words() != "authentication failed" {
					t.Errorf("got %v", err)
				}
				if said != nil && said.Kind != KindRefused {
					t.Errorf("words that anybody could have written decided: %s", said.Kind)
				}
			})
		}
	}
}

// A certificate that the server does not accept: with TLS 1.2 the alert comes in
// the handshake, with 1.3 at the first read.
func TestRecordedClientCertificateRefused(t *testing.T) {
	for _, r := range recordings(t, "*.json") {
		seen, refused := strings.CutPrefix(r.End, endAlert)
		if !refused {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			p := r.replay(t, asRecorded, true)
			req := r.request(t)
			_, err := r.client(t, p.addr).Logon(t.Context(), req)
			var alert *AlertError
			if !errors.As(err, &alert) || !strings.Contains(err.Error(), strings.TrimPrefix(seen, "tls: ")) {
				t.Errorf("got %v", err)
			}
			if told := <-p.told; told == nil {
				t.Error("the server accepted the certificate")
			}
		})
	}
}

// The pass phrase that no client can send is refused here; the server's words
// about it, from a client that did send it, are a refusal.
func TestRecordedFieldNameInPassphrase(t *testing.T) {
	for _, r := range recordings(t, "*.json") {
		f, _ := r.asked()
		if !slices.ContainsFunc(tokens[:], func(token string) bool { return strings.Contains(f.get("PASSPHRASE"), token) }) {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			c := r.client(t, "localhost:1")
			c.Dial = noDial(t)
			var e *RequestError
			if _, err := c.Logon(t.Context(), r.request(t)); !errors.As(err, &e) || e.Field != fieldPassphrase {
				t.Errorf("got %v", err)
			}
			if texts, _ := r.outcome(t); classify(texts) != KindRefused {
				t.Errorf("%q is no plain refusal", texts)
			}
		})
	}
}
