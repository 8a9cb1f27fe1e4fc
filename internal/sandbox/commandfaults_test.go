package sandbox

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// faultyClient is alice, who says what is next whatever the server says; it
// returns the server's messages and how it ended. After quiet messages of the
// server she expects silence, or never.
func faultyClient(t *testing.T, s *Sandbox, quiet int, messages ...func(heard []byte) []byte) (heard [][]byte, end error) {
	t.Helper()
	alice := s.Credential("alice", "")
	identity := &tls.Certificate{Certificate: [][]byte{alice.Chain[0].Raw}, PrivateKey: alice.Key}
	conn := tls.Client(rawDial(t, s), clientConfig(tls.VersionTLS12, identity))
	_ = conn.SetDeadline(time.Now().Add(patience))
	if err := conn.Handshake(); err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte("0")); err != nil {
		return nil, err
	}
	buf := make([]byte, 1<<16)
	var last []byte
	for _, message := range messages {
		if message != nil {
			if _, err := conn.Write(message(last)); err != nil {
				return heard, err
			}
		}
		if len(heard) == quiet {
			_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		}
		n, err := conn.Read(buf)
		if n > 0 {
			last = bytes.Clone(buf[:n])
			heard = append(heard, last)
		}
		if err != nil {
			return heard, err
		}
	}
	return heard, nil
}

// Every command has the faults of its stages: INFO, DESTROY, CHANGE and the
// trust roots of the first response, STORE of the last one too, PUT and
// RETRIEVE also of what comes between, a renewal of its challenge.
func TestFaultsOfCommands(t *testing.T) {
	say := func(text string) func([]byte) []byte { return func([]byte) []byte { return []byte(text) } }
	file := func(s *Sandbox) func([]byte) []byte {
		return func([]byte) []byte { return storedForm(t, s.Credential("alice", ""), goodPass) }
	}
	delegate := func(s *Sandbox) func([]byte) []byte {
		return func(heard []byte) []byte {
			csr, err := x509.ParseCertificateRequest(heard)
			if err != nil {
				return []byte("the server's certificate request was spoilt")
			}
			alice := s.Credential("alice", "")
			leaf, err := signProxy(alice, csr.PublicKey, proxyOptions{language: oidInheritAll, now: time.Now(), lifetime: time.Hour, byClient: true})
			if err != nil {
				t.Fatal(err)
			}
			return counted([]*x509.Certificate{leaf, alice.Chain[0]})
		}
	}
	for name, c := range map[string]struct {
		messages func(s *Sandbox) []func([]byte) []byte
		stages   []Stage
	}{
		"info": {func(*Sandbox) []func([]byte) []byte {
			return []func([]byte) []byte{say(ask(commandInfo, "alice", "", 0))}
		}, []Stage{StageRequest}},
		"destroy": {func(*Sandbox) []func([]byte) []byte {
			return []func([]byte) []byte{say(ask(commandDestroy, "alice", "", 0))}
		}, []Stage{StageRequest}},
		"change": {func(*Sandbox) []func([]byte) []byte {
			return []func([]byte) []byte{say(ask(commandChange, "alice", goodPass, 0, "NEW_PHRASE="+goodPass+"\n"))}
		}, []Stage{StageRequest}},
		"trust roots": {func(*Sandbox) []func([]byte) []byte {
			return []func([]byte) []byte{say(ask(commandTrustRoots, "", "", 0))}
		}, []Stage{StageRequest}},
		"store": {func(s *Sandbox) []func([]byte) []byte {
			return []func([]byte) []byte{say(ask(commandStore, "new", goodPass, 0)), file(s)}
		}, []Stage{StageRequest, StageEnd}},
		"put": {func(s *Sandbox) []func([]byte) []byte {
			return []func([]byte) []byte{say(ask(commandPut, "new", goodPass, 0)), nil, delegate(s)}
		}, []Stage{StageRequest, StageCSR, StageEnd}},
		"retrieve": {func(*Sandbox) []func([]byte) []byte {
			return []func([]byte) []byte{say(ask(commandRetrieve, "alice", goodPass, 0)), nil, nil}
		}, []Stage{StageRequest, StageCSR, StageEnd}},
		"renewal": {func(*Sandbox) []func([]byte) []byte {
			return []func([]byte) []byte{say(ask(commandGet, "renewable", "", 0)), say("\x09 no such method")}
		}, []Stage{StageChallenge, StageRequest}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Options{})
			fill := func() {
				for _, u := range []User{
					{Name: "alice", Passphrase: goodPass, Kind: Proxy, KeyRetriever: "*"},
					{Name: "renewable", Unencrypted: true, Renewer: "*"},
				} {
					if err := s.AddUser(u); err != nil {
						t.Fatal(err)
					}
				}
			}
			fill()
			if heard, err := faultyClient(t, s, never, c.messages(s)...); err != nil || len(heard) != len(c.stages) {
				t.Fatalf("without faults: %q, %v", heard, err)
			}
			for i, stage := range c.stages {
				fill()
				faultsAt(t, s, stage, i, c.messages(s))
			}
			fill()
			s.Next(Faults{Refuse: "out of order"})
			if heard, err := faultyClient(t, s, never, c.messages(s)[:1]...); err != nil || !strings.Contains(string(heard[0]), "ERROR=out of order\n") {
				t.Errorf("refused: %q, %v", heard, err)
			}
		})
	}
}

// faultsAt makes a stage go wrong in each way; before messages are heard
// before it.
func faultsAt(t *testing.T, s *Sandbox, stage Stage, before int, messages []func([]byte) []byte) {
	t.Helper()
	s.Next(Faults{Close: stage})
	if heard, err := faultyClient(t, s, never, messages...); len(heard) != before || err != io.EOF && err != io.ErrUnexpectedEOF {
		t.Errorf("closed at stage %d: %q, %v", stage, heard, err)
	}
	s.Next(Faults{Silent: stage})
	heard, err := faultyClient(t, s, before, messages...)
	if timeout, ok := err.(net.Error); len(heard) != before || !ok || !timeout.Timeout() {
		t.Errorf("silent at stage %d: %q, %v", stage, heard, err)
	}
	s.Next(Faults{CutAt: stage, CutBytes: 5})
	if heard, _ := faultyClient(t, s, never, messages...); len(heard) <= before || len(heard[before]) != 5 {
		t.Errorf("cut at stage %d: %q", stage, heard)
	}
	s.Next(Faults{Garbage: stage})
	if heard, _ := faultyClient(t, s, never, messages...); len(heard) <= before || !bytes.Contains(heard[before], []byte{0xde, 0xad, 0xbe, 0xef}) {
		t.Errorf("garbage at stage %d: %q", stage, heard)
	}
	s.Next(Faults{Message: func(at Stage, message []byte) []byte {
		if at == stage {
			return []byte("something else")
		}
		return message
	}})
	if heard, _ := faultyClient(t, s, never, messages...); len(heard) <= before || string(heard[before]) != "something else" {
		t.Errorf("changed at stage %d: %q", stage, heard)
	}
}

// A refusal at the end of PUT and STORE means that nothing was stored.
func TestRefuseLate(t *testing.T) {
	s := start(t, Options{}, User{Name: "alice", KeyRetriever: "*"})
	s.Next(Faults{RefuseLate: "disk full"}, Faults{RefuseLate: "disk full"})
	heard, err := faultyClient(t, s, never,
		func([]byte) []byte { return []byte(ask(commandStore, "new", goodPass, 0)) },
		func([]byte) []byte { return storedForm(t, s.Credential("alice", ""), goodPass) })
	if err != nil || len(heard) != 2 || !strings.Contains(string(heard[1]), "ERROR=disk full\n") {
		t.Errorf("store: %q, %v", heard, err)
	}
	if got := s.Stored(); len(got) != 1 || got[0] != "alice" {
		t.Errorf("stored: %q", got)
	}
	heard, err = faultyClient(t, s, never, func([]byte) []byte { return []byte(ask(commandRetrieve, "alice", goodPass, 0)) }, nil)
	if err != nil || len(heard) != 2 || !strings.Contains(string(heard[1]), "ERROR=disk full\n") {
		t.Errorf("retrieve: %q, %v", heard, err)
	}
}

// What an administrator does to a credential, and what is there to see.
func TestAdministrator(t *testing.T) {
	s := start(t, Options{}, User{Name: "alice"}, User{Name: "alice", CredentialName: "second", Description: "a second one"})
	if got := strings.Join(s.Stored(), " "); got != "alice alice-second" {
		t.Errorf("stored: %q", got)
	}
	if !bytes.HasPrefix(s.StoredPEM("alice", "second"), []byte("-----BEGIN CERTIFICATE-----")) || s.StoredPEM("bob", "") != nil {
		t.Error("StoredPEM: not what is there")
	}
	if err := s.Lock("alice", "second", "under review"); err != nil {
		t.Fatal(err)
	}
	c := greeted(t, s, tls.VersionTLS13, nil)
	c.send(ask(commandGet, "alice", goodPass, 0, "CRED_NAME=second\n"))
	if got := string(c.record()); !strings.Contains(got, "ERROR=credential locked\nERROR=under review\n") {
		t.Errorf("locked: %q", got)
	}
	if err := s.Unlock("alice", "second"); err != nil {
		t.Fatal(err)
	}
	get(t, s, tls.VersionTLS13, ask(commandGet, "alice", goodPass, 0, "CRED_NAME=second\n"), testCSR(t, testKey(t), false))
	if err := s.SetPassphrase("alice", "second", wrongPass); err != nil {
		t.Fatal(err)
	}
	get(t, s, tls.VersionTLS13, ask(commandGet, "alice", wrongPass, 0, "CRED_NAME=second\n"), testCSR(t, testKey(t), false))
	for what, err := range map[string]error{
		"lock of nothing": s.Lock("bob", "", "x"), "lock without message": s.Lock("alice", "", ""),
		"unlock of nothing": s.Unlock("bob", ""), "pass phrase of nothing": s.SetPassphrase("bob", "", goodPass),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	s.RemoveUser("alice", "second")
	if got := strings.Join(s.Stored(), " "); got != "alice" {
		t.Errorf("stored after RemoveUser: %q", got)
	}
}
