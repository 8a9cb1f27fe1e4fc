package myproxy

import (
	"bufio"
	"cmp"
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
	// identityWait is the same where a refusal of the client's certificate
	// must be heard before a pass phrase is sent. With TLS 1.3 it comes after
	// the handshake, in place of the NUL.
	identityWait = 5 * time.Second
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
	conn    io.Writer // TLS
	in      *bufio.Reader
	timeout time.Duration
	release func() bool         // ends the watch on ctx
	peer    []*x509.Certificate // of the server, as TLS gave them
	null    time.Duration       // how long to wait for the NUL of TLS 1.3
	// wantRoots: the first answer carries a trust directory.
	wantRoots      bool
	withPassphrase bool  // the request has one
	asked          bool  // something of the request may have gone out
	stage          Stage // that a refusal belongs to which comes before its time
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
	if s.null > 0 {
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
	_ = s.raw.SetReadDeadline(time.Now().Add(min(s.null, s.timeout)))
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
	if err := s.receiveOK(doing, StageRequest); err != nil {
		return err
	}
	return &ProtocolError{Server: s.server, Reason: "answered before it was asked"}
}

// command sends a request and reads the response to it, which is no refusal.
func (s *session) command(msg []byte) (*response, error) {
	s.asked, s.stage = true, StageRequest
	if err := s.send("sending the request", msg); err != nil {
		return nil, err
	}
	return s.receive("waiting for the answer to the request", StageRequest, s.wantRoots)
}

// certify sends the certificate request and reads the certificates and the
// response that ends the conversation.
func (s *session) certify(csr []byte) ([]*x509.Certificate, error) {
	if len(csr) == 0 || len(csr) > maxMessageOut {
		return nil, &RequestError{Field: fieldCSR, Reason: "is empty or longer than a server can read in one piece"}
	}
	s.stage = StageDelegation
	if err := s.send("sending the certificate request", csr); err != nil {
		return nil, err
	}
	const doing = "waiting for the certificates"
	if err := s.notRefused(doing); err != nil {
		return nil, err
	}
	chain, err := readChain(s.in)
	if err != nil {
		return nil, s.explain(doing, err)
	}
	return chain, s.receiveOK("waiting for the end", StageFinal)
}

// notRefused waits for the first byte of data that the server owes, and reads
// the response that may come in its place. Everything else that servers send
// begins with another byte than the letter V.
func (s *session) notRefused(doing string) error {
	s.expectRead()
	first, err := s.in.Peek(1)
	switch {
	case err != nil:
		return s.explain(doing, err)
	case first[0] != 'V':
		return nil
	}
	if err := s.receiveOK(doing, StageDelegation); err != nil {
		return err
	}
	return &CertificateError{Server: s.server, Reason: "sent a response in place of what it owed"}
}

// receive reads one response and turns a refusal into an error.
func (s *session) receive(doing string, stage Stage, wantRoots bool) (*response, error) {
	s.expectRead()
	if err := skipNULs(s.in); err != nil {
		return nil, s.explain(doing, err)
	}
	res, err := readResponse(s.in, wantRoots)
	if err != nil {
		return nil, s.explain(doing, err)
	}
	if res.code == responseError {
		return nil, refusal(s.server, stage, res)
	}
	return res, nil
}

// receiveOK reads one response that must say OK.
func (s *session) receiveOK(doing string, stage Stage) error {
	res, err := s.receive(doing, stage, false)
	if err != nil {
		return err
	}
	return s.demandOK(res, stage)
}

// demandOK refuses a challenge where nobody can answer one.
func (s *session) demandOK(res *response, stage Stage) error {
	if res.code != responseOK {
		return s.unanswered(stage, res)
	}
	return nil
}

// expectRead starts the time for one message, however many reads it takes: a
// server that sends byte by byte gets no longer.
func (s *session) expectRead() { _ = s.raw.SetReadDeadline(time.Now().Add(s.timeout)) }

// send writes one message as one TLS record.
func (s *session) send(doing string, p []byte) error {
	_ = s.raw.SetWriteDeadline(time.Now().Add(s.timeout))
	if _, err := s.conn.Write(p); err != nil {
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
		res, err = readResponse(s.in, false)
	}
	if err == nil && res.code == responseError {
		return refusal(s.server, cmp.Or(s.stage, StageRequest), res)
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
		return &AlertError{Server: s.server, Err: err, early: !s.asked}
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
	e := &ServerError{Server: s.server, Kind: KindRefused, Stage: StageRequest, ClearText: true}
	_ = s.raw.SetReadDeadline(time.Now().Add(min(lastWordsWait, s.timeout)))
	// Whatever came is good enough: it is followed by a reset where the server
	// had not read all of ours.
	text, _ := bufio.NewReader(s.raw.replay(clearTextHeader)).ReadString(0)
	if res, err := parseResponse([]byte(strings.TrimSuffix(text, "\x00")), false); err == nil {
		e.Texts = res.texts
	}
	return e
}
