package sandbox

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
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
	client string // one-line DN of the identity, or anonymous
}

// run holds the conversation and closes the connection the way the real server
// does: without close_notify.
func (c *conversation) run() error {
	defer c.hangUp()
	_ = c.raw.SetDeadline(time.Now().Add(timeout)) // the kernel's clock, not the injected one
	if err := c.start(); err != nil {
		return err
	}
	data, err := c.read()
	if err != nil {
		return err
	}
	r, err := parseRequest(data)
	if err != nil {
		return c.answer(StageRequest, errorResponse("error parsing request"))
	}
	c.s.count(r.command)
	switch {
	case r.command < commandGet || r.command > commandLast:
		return c.answer(StageRequest, errorResponse(textUnknownCommand))
	case r.version != "MYPROXYv2":
		return c.answer(StageRequest, errorResponse("Invalid version number received."))
	case r.username == "" && r.command != commandTrustRoots:
		return c.answer(StageRequest, errorResponse("Invalid username received."))
	case r.command != commandGet:
		return c.answer(StageRequest, errorResponse(textUnknownCommand))
	}
	return c.get(r)
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

// read returns one message of the client: one record, and the next if that is
// full.
func (c *conversation) read() ([]byte, error) {
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

// hangUp closes TCP. What the client still sends is read for a moment: a close
// with unread bytes is a reset, which can take the last answer from the
// client.
func (c *conversation) hangUp() {
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.raw.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = io.Copy(io.Discard, io.LimitReader(c.raw, messageSize))
	}
	_ = c.raw.Close()
}

// identify checks a client's certificate, if it sent one, and finds its name:
// proxies are peeled down to the long-term certificate, which the sandbox's CA
// must have signed.
func (c *conversation) identify(raw [][]byte, _ [][]*x509.Certificate) error {
	c.client = anonymous
	if len(raw) == 0 {
		return nil
	}
	var chain []*x509.Certificate
	for _, der := range raw {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		if cert.Equal(c.s.ca.cert) {
			break
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return errors.New("the client sent no certificate of its own")
	}
	now := c.s.now()
	if err := gsi.VerifyChain(chain, gsi.VerifyOptions{Now: now}); err != nil {
		return err
	}
	info, err := gsi.Inspect(chain)
	if err != nil {
		return err
	}
	eec := chain[len(chain)-1]
	if err := eec.CheckSignatureFrom(c.s.ca.cert); err != nil {
		return err
	}
	c.client = info.Identity
	return nil
}
