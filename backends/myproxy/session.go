package myproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const (
	// nullWait is how long the NUL after a TLS 1.3 handshake is waited for
	// before the client speaks: speaking first costs a flat 40 ms (the server's
	// Nagle against our delayed ACK; measured: request phase 43 ms, 13 ms with
	// the wait). Servers without that NUL cost this wait.
	nullWait = 250 * time.Millisecond
	// lastWordsWait is how long a server that stopped reading may take to say
	// why.
	lastWordsWait = time.Second
	// clearTextHeader is what a response outside TLS begins with, as long as
	// the header of a TLS record.
	clearTextHeader = "VERSI"
	// readBuffer holds a whole TLS record.
	readBuffer = 16 << 10
)

// session is a connection to a verified server.
type session struct {
	ctx     context.Context // of the whole conversation
	server  string          // host:port
	raw     *watchedConn
	tls     *tls.Conn
	in      *bufio.Reader
	timeout time.Duration
	release func() bool // ends the watch on ctx
}

// close ends the connection without close_notify, as the servers do: sending
// one could block, and every message has its own end.
func (s *session) close() {
	s.release()
	_ = s.raw.Close()
}

// begin sends the GSI delegation flag '0': no delegation. It must be a TLS
// record of its own: in one record with the request the server never answers
// (measured: Debian myproxy-server 6.2.14, TLS 1.2 and 1.3).
func (s *session) begin() error {
	if s.tls.ConnectionState().Version == tls.VersionTLS13 {
		if err := s.awaitNull(); err != nil {
			return err
		}
	}
	return s.send("starting GSI", []byte{'0'})
}

// awaitNull waits a moment for the server's NUL. It is not needed: one that
// comes later is skipped before the first response.
func (s *session) awaitNull() error {
	const doing = "after the TLS handshake"
	_ = s.raw.SetReadDeadline(time.Now().Add(min(nullWait, s.timeout)))
	b, err := s.in.Peek(1)
	switch {
	case err != nil && errors.Is(err, os.ErrDeadlineExceeded) && s.ctx.Err() == nil:
		return nil
	case err != nil:
		return s.ioError(doing, err)
	case b[0] == 0:
		_, _ = s.in.Discard(1)
		return nil
	}
	// It speaks before it was asked: a refusal.
	if err := s.receiveOK(doing); err != nil {
		return err
	}
	return &ProtocolError{Server: s.server, Reason: "answered before it was asked"}
}

// command sends a request and reads the response to it.
func (s *session) command(msg []byte) error {
	if err := s.send("sending the request", msg); err != nil {
		return err
	}
	return s.receiveOK("waiting for the answer to the request")
}

// certify sends the certificate request and reads the certificates and the
// response that ends the conversation.
func (s *session) certify(csr []byte) ([]*x509.Certificate, error) {
	if len(csr) == 0 || len(csr) > maxRequest {
		return nil, &RequestError{Field: "certificate request", Reason: "is empty or longer than a server can read in one piece"}
	}
	if err := s.send("sending the certificate request", csr); err != nil {
		return nil, err
	}
	const doing = "waiting for the certificates"
	s.expectRead()
	chain, res, err := readChainOrResponse(s.in)
	switch {
	case err != nil:
		return nil, s.explain(doing, err)
	case res != nil && res.code == responseOK:
		return nil, &CertificateError{Server: s.server, Reason: "sent a response in place of the certificates"}
	case res != nil:
		return nil, refusal(s.server, res)
	}
	return chain, s.receiveOK("waiting for the end")
}

// receiveOK reads one response and turns a refusal into an error.
func (s *session) receiveOK(doing string) error {
	s.expectRead()
	if err := skipNULs(s.in); err != nil {
		return s.explain(doing, err)
	}
	res, err := readResponse(s.in)
	if err != nil {
		return s.explain(doing, err)
	}
	if res.code != responseOK {
		return refusal(s.server, res)
	}
	return nil
}

// expectRead starts the time for one message, however many reads it takes: a
// server that sends byte by byte gets no longer.
func (s *session) expectRead() { _ = s.raw.SetReadDeadline(time.Now().Add(s.timeout)) }

// send writes one message as one TLS record.
func (s *session) send(doing string, p []byte) error {
	_ = s.raw.SetWriteDeadline(time.Now().Add(s.timeout))
	if _, err := s.tls.Write(p); err != nil {
		failed := s.ioError(doing, err)
		var lost *LostError
		if errors.As(failed, &lost) {
			return s.lastWords(failed)
		}
		return failed
	}
	return nil
}

// lastWords reads why a server stopped reading, if it said so before it closed.
func (s *session) lastWords(failed error) error {
	_ = s.raw.SetReadDeadline(time.Now().Add(min(lastWordsWait, s.timeout)))
	err := skipNULs(s.in)
	var res *response
	if err == nil {
		res, err = readResponse(s.in)
	}
	if err == nil && res.code != responseOK {
		return refusal(s.server, res)
	}
	var said *ServerError
	var alert *AlertError
	if err != nil {
		err = s.explain("", err)
		if errors.As(err, &said) || errors.As(err, &alert) {
			return err
		}
	}
	return failed
}

// explain completes an error of the parsers, or of the connection below them.
func (s *session) explain(doing string, err error) error {
	var p *ProtocolError
	var c *CertificateError
	switch {
	case errors.As(err, &c):
		c.Server = s.server
		return err
	case errors.As(err, &p):
		p.Server = s.server
		return err
	}
	return s.ioError(doing, err)
}

// ioError says what an error of the connection means.
func (s *session) ioError(doing string, err error) error {
	if cause := s.ctx.Err(); cause != nil {
		return interrupted(s.server, doing, cause)
	}
	var header tls.RecordHeaderError
	if errors.As(err, &header) {
		if string(header.RecordHeader[:]) == clearTextHeader {
			return s.clearText()
		}
		return &ProtocolError{Server: s.server, Reason: "does not speak TLS as it should", Err: err}
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return &AlertError{Server: s.server, Err: err}
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return &TimeoutError{Server: s.server, Doing: doing, Err: err}
	case isLost(err):
		return &LostError{Server: s.server, Doing: doing, Err: err}
	}
	return &ProtocolError{Server: s.server, Reason: "broke off (" + doing + ")", Err: err}
}

// isLost says whether err is the end of a connection. Servers close without
// close_notify, which is io.EOF between two records.
func isLost(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &op) && (op.Op == "read" || op.Op == "write") // reset, broken pipe, no route
}

// clearText reads the refusal that a GSI server sends outside TLS when setting
// up the context fails after the handshake, or when its own host certificate has
// expired in place of the handshake (measured: "authentication failed").
// Anybody on the way could have written it, so its words decide nothing.
func (s *session) clearText() error {
	e := &ServerError{Server: s.server, Kind: KindRefused, ClearText: true}
	_ = s.raw.SetReadDeadline(time.Now().Add(min(lastWordsWait, s.timeout)))
	// Whatever came is good enough: it is followed by a reset where the server
	// had not read all of ours.
	text, _ := bufio.NewReader(s.raw.replay(clearTextHeader)).ReadString(0)
	if res, err := parseResponse(strings.TrimSuffix(text, "\x00")); err == nil {
		e.Texts = res.texts
	}
	return e
}
