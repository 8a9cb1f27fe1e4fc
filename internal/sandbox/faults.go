package sandbox

import "time"

// Stage is a point in a conversation.
type Stage int

// The stages, in their order. "At" a stage means: instead of what the server
// does next.
const (
	StageNone      Stage = iota
	StageAccept          // TCP stands, not a byte of TLS yet
	StageHandshake       // TLS stands, neither 00 sent nor "0" read
	StageChallenge       // a renewal is asked for, the challenge is due
	StageRequest         // the request is read, the first response is due; INFO, DESTROY, CHANGE and the trust roots have no other
	StageCSR             // the second message is due: GET's certificates, PUT's certificate request, RETRIEVE's file
	StageEnd             // the last response of GET, PUT, STORE or RETRIEVE is due
)

// Faults is what goes wrong on a connection. The zero value is the real
// server's behaviour.
type Faults struct {
	// Silent stops at a stage: the connection stays open and nothing more is
	// said, until the client goes or the sandbox closes.
	Silent Stage
	// Close ends the TCP connection at a stage.
	Close Stage
	// Garbage sends bytes that mean nothing at a stage, then closes.
	Garbage Stage
	// CutAt sends only the first CutBytes bytes of a stage's message. Then it
	// closes the connection or, with CutHang, says nothing more.
	CutAt    Stage
	CutBytes int
	CutHang  bool
	// Delay waits before the messages of DelayAt, or of every stage if that is
	// StageNone.
	Delay   time.Duration
	DelayAt Stage

	// ClearText answers "authentication failed" outside TLS after the "0".
	ClearText bool
	// NoNUL leaves out the lone 00 after a TLS 1.3 handshake.
	NoNUL bool
	// Refuse answers the request with this text, one ERROR line per line;
	// RefuseLate comes in place of the certificates or RETRIEVE's file, or of
	// the last response of PUT and STORE, which then store nothing.
	Refuse, RefuseLate string
	// Message changes any message of the server at will before it is sent. It
	// is called in the connection's goroutine.
	Message func(stage Stage, message []byte) []byte

	// WrongKey certifies another key than the one asked for.
	WrongKey bool
	// BadSignature spoils the signature of the new certificate.
	BadSignature bool
	// CutChain sends the right count, but only the first certificate.
	CutChain bool
	// CountZero sends the count 0 and no certificate.
	CountZero bool
	// As signs with the default credential of this other user.
	As string
	// Limited makes a limited proxy that nobody asked for; NotLimited ignores
	// that one was asked for.
	Limited, NotLimited bool
	// NoVOMS ignores VONAME, whatever Options.VOMS says.
	NoVOMS bool
	// Skew is how far the server's clock is ahead when it signs.
	Skew time.Duration
	// Rewrite changes the message of certificates at will: count byte and DER.
	Rewrite func(count byte, certificates [][]byte) (byte, [][]byte)
}

// SetFaults makes the faults of every connection from now on; the zero value
// heals the server.
func (s *Sandbox) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Next queues the faults of the next connections, one each; the ones after
// them have those of SetFaults.
func (s *Sandbox) Next(f ...Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, f...)
}

func (s *Sandbox) takeFaults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.next) == 0 {
		return s.faults
	}
	f := s.next[0]
	s.next = s.next[1:]
	return f
}
