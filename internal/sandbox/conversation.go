package sandbox

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// anonymous is how the real server names a client without a certificate.
const anonymous = "<anonymous>"

// Sizes of what a client sends: a record's plain text at most, and a message
// (the real server's request_size_limit).
const (
	recordSize  = 16384
	messageSize = 1 << 20
)

// errOver ends a conversation that is over in the way that was wanted.
var errOver = errors.New("the conversation is over")

// conversation is one connection of a client.
type conversation struct {
	s      *Sandbox
	raw    net.Conn
	tls    *tls.Conn
	faults Faults
	peer   peer   // the client; anonymous without a certificate
	rest   []byte // what came with a request behind its NUL
}

// run holds the conversation and closes the connection the way the real server
// does: without close_notify.
func (c *conversation) run() error {
	defer c.hangUp()
	_ = c.raw.SetDeadline(time.Now().Add(timeout)) // the kernel's clock, not the injected one
	if err := c.start(); err != nil {
		return err
	}
	data, err := c.readOrEnd()
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return c.answer(StageRequest, errorResponse("Error in myproxy_recv_ex()"))
	}
	r, err := parseRequest(data)
	if err != nil {
		return c.answer(StageRequest, errorResponse("error parsing request"))
	}
	c.s.count(r.command)
	refusal := ""
	switch {
	case r.command < commandGet || r.command > commandLast:
		refusal = textUnknownCommand
	case r.version != "MYPROXYv2":
		refusal = "Invalid version number received."
	case r.username == "" && r.command != commandTrustRoots:
		refusal = "Invalid username received."
	default:
		refusal = c.faults.Refuse
	}
	if refusal != "" {
		return c.answer(StageRequest, errorResponse(refusal))
	}
	return c.serve(r)
}

// serve does what a well-formed request asks for.
func (c *conversation) serve(r *request) error {
	stored := c.s.lookup(r.username, r.credName)
	refusal, err := c.authorize(r, stored)
	if err != nil {
		return err
	}
	if fetch := r.command == commandGet || r.command == commandRetrieve; fetch && refusal == "" && stored != nil {
		if stored.lock == nil && allProxies(stored.file.certificates) {
			return errCrash
		}
		refusal = c.usable(stored)
	}
	if refusal != "" {
		return c.answer(StageRequest, errorResponse(refusal))
	}
	switch r.command {
	case commandGet:
		return c.get(r, stored)
	case commandPut:
		return c.put(r)
	case commandInfo:
		return c.info(r)
	case commandDestroy:
		return c.destroy(r)
	case commandChange:
		return c.change(r, stored)
	case commandStore:
		return c.storeFile(r)
	case commandRetrieve:
		return c.retrieve(r, stored)
	}
	return c.sendRoots()
}

// start does what comes before the request: TLS, the server's lone 00 (TLS 1.3
// only: GSI wants something said after a handshake that the client ended), and
// the client's delegation flag, "0" for none. The flag must be a record of its
// own: the rest of its record is never looked at, so a request in it is waited
// for in vain. Any other flag, a request in its place too, makes the server
// answer in clear text.
func (c *conversation) start() error {
	if err := c.at(StageAccept); err != nil {
		return err
	}
	if err := c.tls.HandshakeContext(c.s.ctx); err != nil {
		return err
	}
	if err := c.at(StageHandshake); err != nil {
		return err
	}
	if c.tls.ConnectionState().Version == tls.VersionTLS13 && !c.faults.NoNUL {
		if _, err := c.tls.Write([]byte{0}); err != nil {
			return err
		}
	}
	flag, err := c.read()
	if err != nil {
		return err
	}
	if flag[0] == 'D' { // the server waits for the delegated proxy before it gives up
		if _, err := c.read(); err != nil {
			return err
		}
	}
	if flag[0] != '0' || c.faults.ClearText {
		if _, err := c.raw.Write(errorResponse("authentication failed")); err != nil {
			return err
		}
		return errOver
	}
	return nil
}

// readOrEnd is read, for which a client that says nothing more has said
// nothing: the real server answers that, too.
func (c *conversation) readOrEnd() ([]byte, error) {
	data, err := c.read()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil
	}
	return data, err
}

// read returns one message of the client: one record, and the next if that is
// full. A request may have the next message behind its NUL.
func (c *conversation) read() ([]byte, error) {
	message := c.rest
	if c.rest = nil; len(message) == 0 {
		var err error
		if message, err = c.records(); err != nil {
			return nil, err
		}
	}
	if bytes.HasPrefix(message, []byte("VERSION")) {
		if end := bytes.IndexByte(message, 0); end >= 0 {
			message, c.rest = message[:end+1], message[end+1:]
		}
	}
	return message, nil
}

func (c *conversation) records() ([]byte, error) {
	var message []byte
	buf := make([]byte, recordSize)
	for len(message) < messageSize {
		// A Read of crypto/tls never returns more than what is left of a record.
		n, err := c.tls.Read(buf)
		message = append(message, buf[:n]...)
		if err != nil {
			return nil, err
		}
		if n > 0 && n < recordSize {
			return message, nil
		}
	}
	return nil, fmt.Errorf("a message of more than %d bytes", messageSize)
}

// answer sends a stage's message, or what the faults make of it.
func (c *conversation) answer(stage Stage, message []byte) error {
	if err := c.at(stage); err != nil {
		return err
	}
	if c.faults.Message != nil {
		message = c.faults.Message(stage, message)
	}
	if c.faults.CutAt == stage {
		if _, err := c.tls.Write(message[:min(c.faults.CutBytes, len(message))]); err != nil {
			return err
		}
		if c.faults.CutHang {
			c.wait()
		}
		return errOver
	}
	_, err := c.tls.Write(message)
	return err
}

// at is what happens at a stage before the server goes on.
func (c *conversation) at(stage Stage) error {
	if d := c.faults.Delay; d > 0 && (c.faults.DelayAt == stage || c.faults.DelayAt == StageNone) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.s.ctx.Done():
			return c.s.ctx.Err()
		}
	}
	switch stage {
	case c.faults.Silent:
		c.wait()
		return errOver
	case c.faults.Close:
		return errOver
	case c.faults.Garbage:
		garbage := bytes.Repeat([]byte{0xde, 0xad, 0xbe, 0xef}, 25)
		if stage == StageAccept || stage == StageHandshake {
			_, _ = c.raw.Write(garbage)
		} else {
			_, _ = c.tls.Write(garbage)
		}
		return errOver
	}
	return nil
}

// wait says nothing until the client goes.
func (c *conversation) wait() {
	_, _ = io.Copy(io.Discard, c.raw)
}

// hangUp closes TCP. What the client still sends is read for some time: a close
// with unread bytes is a reset, which can take the last answer from the
// client.
func (c *conversation) hangUp() {
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.raw.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.Copy(io.Discard, io.LimitReader(c.raw, messageSize))
	}
	_ = c.raw.Close()
}
