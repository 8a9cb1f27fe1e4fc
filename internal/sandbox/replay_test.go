package sandbox

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/vectors"
)

// recording is one conversation with the real server.
type recording struct {
	Name       string `json:"name"`
	Server     string `json:"server"`
	TLS        string `json:"tls"`
	Client     string `json:"client_certificate"`
	RecordedAt string `json:"recorded_at"`
	Messages   []struct {
		From   string  `json:"from"`
		Layer  string  `json:"layer"`
		Text   *string `json:"text"`
		Base64 string  `json:"base64"`
	} `json:"messages"`
	End string `json:"end"`
}

const normalEnd = "server closed the TCP connection without close_notify"

// recordedServers are the configurations of the recordings.
func recordedServers() map[string]Options {
	return map[string]Options{
		"repository":             {VOMS: VOMSUnreachable},
		"repository-no-cert-dir": {NoTrustRoots: true},
		"repository-tls12-only":  {MaxTLS: tls.VersionTLS12},
		"repository-tls13-only":  {MinTLS: tls.VersionTLS13},
		"strict":                 {Retrievers: []string{"*/CN=portal"}, MaxLifetime: 2 * time.Hour},
		"ca":                     {Mode: CA, MaxLifetime: 12 * time.Hour},
		"ca-min-keylen-3072":     {Mode: CA, MinKeyBits: 3072},
	}
}

func recordedUsers(server string) []User {
	if strings.HasPrefix(server, "ca") {
		return []User{{Name: "alice", CommonName: "Alice Example", Passphrase: "example-login-password-not-real"}}
	}
	return []User{
		{Name: "alice", Kind: Proxy}, {Name: "alice", CredentialName: "second", Kind: Proxy},
		{Name: "bob"}, {Name: "portal"}, {Name: "eve", Kind: Proxy, P256: true},
		{Name: "alicestore"}, {Name: "alicedeep", Kind: DeepProxy},
		{Name: "alicelimit", Kind: Proxy, Limit: time.Hour}, {Name: "alicenear", Kind: Proxy, EndsIn: 1797 * time.Second},
		{Name: "alicelock", Kind: Proxy, Locked: "account under review"}, {Name: "aliceexp", Kind: Proxy, Expired: true},
		{Name: "alicenopw", Kind: Proxy, Unencrypted: true},
		{Name: "alicechange", Kind: Proxy, Passphrase: "example-new-passphrase-not-real"},
	}
}

// Every recorded GET and every recorded refusal of a request is held again,
// with the client's bytes of the recording. The server must answer the same
// text in the same TLS records; certificates must be as many, of the same kind
// and length of life, with the same extensions in the same order.
func TestReplay(t *testing.T) {
	dir := vectors.Dir(t, "myproxy")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	servers := map[string]*Sandbox{}
	played := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		kind, _, _ := strings.Cut(name, "-")
		if !slices.Contains([]string{"get", "malformed", "clear", "zero"}, kind) {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r recording
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		s := servers[r.Server]
		if s == nil {
			o, known := recordedServers()[r.Server]
			if !known {
				t.Fatalf("%s: unknown server %q", name, r.Server)
			}
			o.Clock = func() time.Time { return now }
			s = start(t, o, recordedUsers(r.Server)...)
			servers[r.Server] = s
		}
		played++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replay(t, s, &r)
		})
	}
	if played < 50 {
		t.Errorf("only %d conversations found in %s", played, dir)
	}
}

func replay(t *testing.T, s *Sandbox, r *recording) {
	version := uint16(tls.VersionTLS13)
	if r.TLS == "1.2" {
		version = tls.VersionTLS12
	}
	c := dial(t, s, version, identity(t, s, r.Client))
	tap := c.raw
	wantRecords := 0
	for i, m := range r.Messages {
		data := []byte(nil)
		if m.Text != nil {
			data = []byte(*m.Text)
		} else {
			var err error
			if data, err = base64.StdEncoding.DecodeString(m.Base64); err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case m.From == "client":
			if i > 0 && r.Messages[i-1].From == "client" {
				time.Sleep(50 * time.Millisecond) // so that they are two writes for the kernel too
			}
			c.send(string(data))
		case m.Layer == "tcp":
			tap.compareRaw(t, data)
		default:
			wantRecords++
			compare(t, s, r, c.record(), data)
		}
	}
	if r.End == normalEnd {
		if got := c.record(); len(got) != 0 {
			t.Fatalf("after the last message: %q", got)
		}
		if got := tap.records(t); got != wantRecords {
			t.Errorf("%d TLS records from the server, recorded were %d: a close_notify?", got, wantRecords)
		}
	}
	if strings.HasPrefix(r.End, "no further bytes") {
		_ = c.raw.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		var timeout net.Error
		if n, err := c.tls.Read(make([]byte, 10)); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("the server should wait in vain, but: %d bytes, %v", n, err)
		}
	}
}

func identity(t *testing.T, s *Sandbox, name string) *tls.Certificate {
	t.Helper()
	if name == "none" {
		return nil
	}
	cred := s.Credential(name, "")
	if cred == nil {
		t.Fatalf("the sandbox has no user %s", name)
	}
	return &tls.Certificate{Certificate: [][]byte{cred.Chain[0].Raw}, PrivateKey: cred.Key}
}

// compare checks one answer against the recorded one.
func compare(t *testing.T, s *Sandbox, r *recording, got, want []byte) {
	t.Helper()
	switch {
	case bytes.Contains(want, []byte("\nTRUSTED_CERTS=")):
		compareRoots(t, string(got))
	case bytes.HasPrefix(want, []byte("VERSION")) || len(want) == 1:
		if !bytes.Equal(got, want) {
			t.Fatalf("the server said\n%q\nrecorded was\n%q", got, want)
		}
	default:
		compareCertificates(t, s, r, got, want)
	}
}

// compareRoots: the files are others, so only the form is compared.
func compareRoots(t *testing.T, got string) {
	t.Helper()
	rest, ok := strings.CutPrefix(got, "VERSION=MYPROXYv2\nRESPONSE=0\nTRUSTED_CERTS=")
	lines := strings.Split(rest, "\n")
	if !ok || lines[len(lines)-1] != "\x00" {
		t.Fatalf("not the form of a response with trust roots: %q", got)
	}
	names := strings.Split(lines[0], ",")
	if len(names) != 8 || len(lines) != len(names)+2 {
		t.Fatalf("%d names, %d lines: %q", len(names), len(lines), got)
	}
	for i, name := range names {
		text, ok := strings.CutPrefix(lines[i+1], "FILEDATA_"+name+"=")
		if _, err := base64.StdEncoding.DecodeString(text); !ok || err != nil || text == "" {
			t.Errorf("line for %s: %q", name, lines[i+1])
		}
	}
}

func compareCertificates(t *testing.T, s *Sandbox, r *recording, got, want []byte) {
	t.Helper()
	if bytes.HasPrefix(got, []byte("VERSION")) {
		t.Fatalf("%q in place of certificates", got)
	}
	mine, theirs := certificates(t, got), certificates(t, want)
	if len(mine) != len(theirs) {
		t.Fatalf("%d certificates, recorded were %d", len(mine), len(theirs))
	}
	leaf, recorded := mine[0], theirs[0]
	if !bytes.Equal(leaf.RawSubjectPublicKeyInfo, recorded.RawSubjectPublicKeyInfo) {
		t.Error("the new certificate is for another key than the recorded one, though the request is the same")
	}
	if leaf.SignatureAlgorithm != recorded.SignatureAlgorithm {
		t.Errorf("signed with %s, recorded was %s", leaf.SignatureAlgorithm, recorded.SignatureAlgorithm)
	}
	at, err := time.Parse(time.RFC3339, r.RecordedAt)
	if err != nil {
		t.Fatal(err)
	}
	now := s.now()
	const near = 2 * time.Second // whole seconds, and the recording took its time
	if a, b := leaf.NotAfter.Sub(now), recorded.NotAfter.Sub(at); (a - b).Abs() > near {
		t.Errorf("the certificate ends in %s, recorded were %s", a, b)
	}
	if a, b := leaf.NotBefore.Sub(now), recorded.NotBefore.Sub(at); (a - b).Abs() > near {
		t.Errorf("the certificate begins in %s, recorded were %s", a, b)
	}
	// In a CA's certificate OpenSSL and Go have their own order.
	a, b := extensionList(leaf), extensionList(recorded)
	if strings.HasPrefix(r.Server, "ca") {
		slices.Sort(a)
		slices.Sort(b)
	}
	if !slices.Equal(a, b) {
		t.Errorf("extensions %v, recorded were %v", a, b)
	}
	for i := 1; i < len(mine); i++ {
		if err := mine[i].CheckSignature(mine[i-1].SignatureAlgorithm, mine[i-1].RawTBSCertificate, mine[i-1].Signature); err != nil {
			t.Errorf("certificate %d is not signed by the next: %v", i-1, err)
		}
	}
}

// extensionList has the extensions' identifiers; a proxy's policy is part of
// it, other values are their issuer's business.
func extensionList(cert *x509.Certificate) []string {
	var list []string
	for _, ext := range cert.Extensions {
		text := ext.Id.String()
		if ext.Critical {
			text += " critical"
		}
		if ext.Id.Equal(oidProxyCertInfo) || ext.Id.Equal(oidKeyUsage) || ext.Id.Equal(oidExtKeyUsage) {
			text += " " + base64.StdEncoding.EncodeToString(ext.Value)
		}
		list = append(list, text)
	}
	return list
}

// records counts the TLS records that carry application data, or in TLS 1.3
// anything encrypted, since the handshake.
func (p *tap) records(t *testing.T) int {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for rest := p.seen; len(rest) > 0; n++ {
		if len(rest) < 5 || (rest[0] != 23 && rest[0] != 21) {
			t.Fatalf("no TLS record: % x", rest[:min(len(rest), 10)])
		}
		size := 5 + int(rest[3])<<8 + int(rest[4])
		if size > len(rest) {
			t.Fatalf("half a TLS record")
		}
		rest = rest[size:]
	}
	return n
}

// compareRaw reads up to the end below TLS.
func (p *tap) compareRaw(t *testing.T, want []byte) {
	t.Helper()
	got := make([]byte, len(want)+1)
	n := 0
	for {
		k, err := p.Conn.Read(got[n:])
		n += k
		if err != nil || n == len(got) {
			break
		}
	}
	if !bytes.Equal(got[:n], want) {
		t.Errorf("below TLS the server said %q, recorded was %q", got[:n], want)
	}
}

// A client certificate that has ended is an alert: in the handshake of TLS
// 1.2, at the first read in TLS 1.3, as recorded. (Which alert differs.)
func TestReplayExpiredClient(t *testing.T) {
	s := start(t, Options{}, User{Name: "old"})
	key := testKey(t)
	now := time.Now()
	cert, err := s.ca.user("old", key.Public(), now.Add(-3*time.Hour), now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			raw, err := net.Dial("tcp", s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			conn := tls.Client(raw, &tls.Config{
				InsecureSkipVerify: true, MinVersion: version, MaxVersion: version,
				Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
			})
			err = conn.Handshake()
			if version == tls.VersionTLS13 {
				if err != nil {
					t.Fatalf("in TLS 1.3 the client's handshake is over before the alert: %v", err)
				}
				_, err = conn.Read(make([]byte, 1))
			}
			var alert *net.OpError
			if !errors.As(err, &alert) || alert.Op != "remote error" {
				t.Errorf("want an alert, got %v", err)
			}
		})
	}
}
