package sandbox

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// outcome is what a client makes of a GET: the number of the server's messages
// that it got, the bytes of the last, and how it ended.
type outcome struct {
	messages int
	last     []byte
	end      string // "complete", "end", "silence", or an error's text
}

// When attempt expects silence: never, instead of the TLS handshake, or after
// so many messages.
const (
	never       = 99
	inHandshake = -1
)

// attempt is patient, since the machine may be busy, but only for 200 ms where
// silence is expected.
func attempt(t *testing.T, s *Sandbox, quiet int, csr []byte) (o outcome) {
	t.Helper()
	raw, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	await := func(messages int) {
		d := patience
		if messages == quiet {
			d = 200 * time.Millisecond
		}
		_ = raw.SetDeadline(time.Now().Add(d))
	}
	await(inHandshake)
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12})
	defer func() {
		var timeout net.Error
		switch {
		case err == nil:
			o.end = "complete"
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			o.end = "end"
		case errors.As(err, &timeout) && timeout.Timeout():
			o.end = "silence"
		default:
			o.end = err.Error()
		}
	}()
	if err = conn.Handshake(); err != nil {
		return
	}
	buf := make([]byte, 1<<16)
	for _, message := range [][]byte{[]byte("0"), []byte(getRequest("alice", goodPass)), csr, nil} {
		if message != nil {
			if _, err = conn.Write(message); err != nil {
				return
			}
		}
		if len(message) == 1 {
			continue // no answer to the flag
		}
		await(o.messages)
		var n int
		n, err = conn.Read(buf)
		if n > 0 {
			o.messages++
			o.last = bytes.Clone(buf[:n])
		}
		if err != nil {
			return
		}
	}
	return
}

// Each stage's fault must hit at its stage, not before and not after.
func TestFaultsByStage(t *testing.T) {
	s := start(t, Options{}, User{Name: "alice"})
	csr := testCSR(t, testKey(t), false)
	if o := attempt(t, s, never, csr); o.end != "complete" || o.messages != 3 {
		t.Fatalf("without faults: %+v", o)
	}
	for stage, messages := range map[Stage]int{StageAccept: 0, StageHandshake: 0, StageRequest: 0, StageCSR: 1, StageEnd: 2} {
		quiet := messages
		if stage == StageAccept {
			quiet = inHandshake
		}
		s.Next(Faults{Silent: stage})
		if o := attempt(t, s, quiet, csr); o.end != "silence" || o.messages != messages {
			t.Errorf("silent at stage %d: %+v", stage, o)
		}
		s.Next(Faults{Close: stage})
		if o := attempt(t, s, never, csr); o.end != "end" || o.messages != messages {
			t.Errorf("closed at stage %d: %+v", stage, o)
		}
		s.Next(Faults{Garbage: stage})
		o := attempt(t, s, never, csr)
		inTLS := stage >= StageRequest // there it is one more message, below TLS an error of TLS
		if inTLS && (o.messages != messages+1 || !bytes.Contains(o.last, []byte{0xde, 0xad})) || !inTLS && (o.messages != 0 || !strings.Contains(o.end, "tls")) {
			t.Errorf("garbage at stage %d: %+v", stage, o)
		}
		s.Next(Faults{Delay: 100 * time.Millisecond, DelayAt: stage})
		if begun := time.Now(); attempt(t, s, never, csr).end != "complete" || time.Since(begun) < 100*time.Millisecond {
			t.Errorf("delayed at stage %d: after %s", stage, time.Since(begun))
		}
	}
	for stage, messages := range map[Stage]int{StageRequest: 1, StageCSR: 2, StageEnd: 3} {
		s.Next(Faults{CutAt: stage, CutBytes: 7, CutHang: true})
		o := attempt(t, s, messages, csr)
		if o.messages != messages || len(o.last) != 7 {
			t.Errorf("cut at stage %d: %+v", stage, o)
		}
	}
	if o := attempt(t, s, never, csr); o.end != "complete" {
		t.Errorf("faults of one connection reached the next: %+v", o)
	}
}

func TestFaultsOfCertificates(t *testing.T) {
	s := start(t, Options{}, User{Name: "alice"}, User{Name: "bob"})
	key := testKey(t)
	ask := func(f Faults, limited bool) []byte {
		t.Helper()
		s.Next(f)
		return get(t, s, tls.VersionTLS13, getRequest("alice", goodPass), testCSR(t, key, limited))
	}
	if certs := certificates(t, ask(Faults{WrongKey: true}, false)); key.PublicKey.Equal(certs[0].PublicKey) {
		t.Error("WrongKey: the key is the right one")
	} else if err := certs[1].CheckSignature(certs[0].SignatureAlgorithm, certs[0].RawTBSCertificate, certs[0].Signature); err != nil {
		t.Errorf("WrongKey: only the key should be wrong: %v", err)
	}
	if certs := certificates(t, ask(Faults{BadSignature: true}, false)); certs[1].CheckSignature(certs[0].SignatureAlgorithm, certs[0].RawTBSCertificate, certs[0].Signature) == nil {
		t.Error("BadSignature: the signature is good")
	}
	if m := ask(Faults{CutChain: true}, false); m[0] != 2 || len(certificatesOf(t, m[1:])) != 1 {
		t.Errorf("CutChain: count %d", m[0])
	}
	if m := ask(Faults{CountZero: true}, false); !bytes.Equal(m, []byte{0}) {
		t.Errorf("CountZero: % x", m)
	}
	if certs := certificates(t, ask(Faults{As: "bob"}, false)); certs[1].Subject.CommonName != "bob" {
		t.Errorf("As: %s", certs[1].Subject)
	}
	for _, c := range []struct {
		faults Faults
		ask    bool
		want   string
	}{
		{Faults{}, false, oidInheritAll.String()}, {Faults{}, true, oidLimited.String()},
		{Faults{Limited: true}, false, oidLimited.String()}, {Faults{NotLimited: true}, true, oidInheritAll.String()},
	} {
		certs := certificates(t, ask(c.faults, c.ask))
		if got, err := proxyLanguage(certs[0].Extensions); err != nil || got.String() != c.want {
			t.Errorf("%+v, limited asked %t: policy %s, %v", c.faults, c.ask, got, err)
		}
	}
	ahead := certificates(t, ask(Faults{Skew: time.Hour}, false))[0]
	if until := time.Until(ahead.NotBefore); until < 54*time.Minute {
		t.Errorf("Skew: the proxy begins in %s", until)
	}
	doubled := func(count byte, certs [][]byte) (byte, [][]byte) { return count + 1, append(certs, certs[0]) }
	if m := ask(Faults{Rewrite: doubled}, false); m[0] != 3 || len(certificates(t, m)) != 3 {
		t.Errorf("Rewrite: count %d", m[0])
	}
}

func TestFaultsOfResponses(t *testing.T) {
	s := start(t, Options{}, User{Name: "alice"})
	csr := testCSR(t, testKey(t), false)
	s.SetFaults(Faults{Refuse: "one\ntwo"})
	for range 2 { // SetFaults holds for more than one connection
		if o := attempt(t, s, never, csr); string(o.last) != "VERSION=MYPROXYv2\nRESPONSE=1\nERROR=one\nERROR=two\n\x00" {
			t.Errorf("Refuse: %+v", o)
		}
	}
	s.SetFaults(Faults{RefuseLate: "\x1b[31mno"})
	if o := attempt(t, s, never, csr); o.messages != 2 || !strings.Contains(string(o.last), "ERROR=\x1b[31mno\n") {
		t.Errorf("RefuseLate: %+v", o)
	}
	s.SetFaults(Faults{ClearText: true})
	if o := attempt(t, s, never, csr); o.messages != 0 || !strings.Contains(o.end, "does not look like a TLS") && !strings.Contains(o.end, "version") {
		t.Errorf("ClearText: %+v", o)
	}
	s.SetFaults(Faults{NoNUL: true})
	c := dial(t, s, tls.VersionTLS13, nil)
	c.send("0")
	c.send(getRequest("nobody", goodPass))
	if got := c.record(); !strings.HasPrefix(string(got), "VERSION=") {
		t.Errorf("NoNUL: %q", got)
	}
}

func TestCounters(t *testing.T) {
	s := start(t, Options{}, User{Name: "alice"})
	csr := testCSR(t, testKey(t), false)
	attempt(t, s, never, csr)
	for _, request := range []string{getRequest("alice", wrongPass), getRequest("alice", ""), getRequest("nobody", goodPass),
		strings.Replace(getRequest("alice", ""), "COMMAND=0", "COMMAND=2", 1), "garbage"} {
		c := greeted(t, s, tls.VersionTLS13, nil)
		c.send(request)
		c.record()
	}
	got := [...]int{s.Connections(), s.Requests(0), s.Requests(2), s.Logons(), s.Refused()}
	if want := [...]int{6, 4, 1, 1, 2}; got != want {
		t.Errorf("connections, GETs, INFOs, logons, refused: %v, want %v", got, want)
	}
	if err := s.SetPassphrase("alice", "", wrongPass); err != nil {
		t.Fatal(err)
	}
	get(t, s, tls.VersionTLS13, getRequest("alice", wrongPass), csr)
	s.RemoveUser("alice", "")
	c := greeted(t, s, tls.VersionTLS13, nil)
	c.send(getRequest("alice", wrongPass))
	if got := c.record(); !strings.Contains(string(got), `No credentials exist for username "alice".`) {
		t.Errorf("after RemoveUser: %q", got)
	}
}
