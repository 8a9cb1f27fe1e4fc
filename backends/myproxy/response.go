package myproxy

import (
	"bufio"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// maxResponse bounds a text response. The longest ones carry a server's
	// trust roots, some hundred kilobytes.
	maxResponse = 1 << 20
	// maxErrorTexts bounds how many ERROR lines are kept.
	maxErrorTexts = 32
	// maxLeadingNULs bounds what may precede the first response.
	maxLeadingNULs = 16
	// maxChain and maxCertificate bound the certificate message.
	maxChain       = 16
	maxCertificate = 64 << 10
)

// The values of RESPONSE.
const (
	responseOK        = "0"
	responseError     = "1"
	responseChallenge = "2" // the server wants proof of possession of a credential
)

// response is a text message of the server.
type response struct {
	code  string
	texts []string // of the ERROR lines, without the empty ones
}

// skipNULs drops the NULs before the first response. A GSI server ends a TLS
// 1.3 handshake with one application record that holds a single NUL (gct
// accept_sec_context.c); with TLS 1.2 it does not.
func skipNULs(r *bufio.Reader) error {
	for range maxLeadingNULs {
		b, err := r.Peek(1)
		if err != nil {
			return err
		}
		if b[0] != 0 {
			return nil
		}
		_, _ = r.Discard(1)
	}
	return &ProtocolError{Reason: "sent NUL bytes in place of a response"}
}

// readResponse reads one response up to its NUL. Records and messages do not
// coincide, so the NUL is the only end there is; io.ErrUnexpectedEOF means that
// it did not come.
func readResponse(r *bufio.Reader) (*response, error) {
	const begin = "VERSION="
	for n := 1; n <= len(begin); n++ {
		b, err := r.Peek(n)
		if err != nil {
			return nil, cutShort(err, n > 1)
		}
		if b[n-1] != begin[n-1] {
			return nil, &ProtocolError{Reason: "did not answer as a MyProxy server does"}
		}
	}
	var text []byte
	for {
		part, err := r.ReadSlice(0)
		if len(text)+len(part) > maxResponse {
			return nil, &ProtocolError{Reason: fmt.Sprintf("sent a response of more than %d bytes", maxResponse)}
		}
		text = append(text, part...)
		if err == nil {
			return parseResponse(string(text[:len(text)-1]))
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, cutShort(err, true)
		}
	}
}

// cutShort turns the end of the stream inside a message into
// io.ErrUnexpectedEOF.
func cutShort(err error, begun bool) error {
	if begun && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseResponse reads the lines of a response. Unknown ones are skipped.
func parseResponse(text string) (*response, error) {
	var r response
	version := ""
	for line := range strings.SplitSeq(text, "\n") {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\r"), "=")
		switch key {
		case "VERSION":
			version = value
		case "RESPONSE":
			if r.code != "" && r.code != value {
				return nil, &ProtocolError{Reason: "sent a response that says two different things"}
			}
			r.code = value
		case "ERROR":
			// A refused renewal comes with empty lines among the others.
			if strings.TrimSpace(value) != "" && len(r.texts) < maxErrorTexts {
				r.texts = append(r.texts, value)
			}
		}
	}
	if version != "MYPROXYv2" {
		return nil, &ProtocolError{Reason: "speaks another version of the MyProxy protocol"}
	}
	switch r.code {
	case responseOK, responseError, responseChallenge:
		return &r, nil
	}
	return nil, &ProtocolError{Reason: "sent a response without a known result"}
}

// readChain reads the message with the certificates: one byte that counts
// them, then one DER certificate after the other and nothing behind. Failures
// of the server come as a response in its place, see readChainOrResponse.
func readChain(r *bufio.Reader) ([]*x509.Certificate, error) {
	count, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	switch {
	case count == 0:
		return nil, &CertificateError{Reason: "sent no certificate"}
	case count > maxChain:
		return nil, &CertificateError{Reason: fmt.Sprintf("announced %d certificates, more than the %d that a chain may have", count, maxChain)}
	}
	chain := make([]*x509.Certificate, 0, count)
	for i := range int(count) {
		der, err := readDER(r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, &CertificateError{Reason: fmt.Sprintf("sent %d of the %d certificates it announced", i, count), Err: err}
		}
		if err != nil {
			return nil, err
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, &CertificateError{Reason: fmt.Sprintf("sent something that is no certificate as number %d of %d", i+1, count), Err: err}
		}
		chain = append(chain, cert)
	}
	return chain, nil
}

// readDER reads one DER SEQUENCE with a length of one to four bytes (X.690
// section 8.1.3).
func readDER(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0] != 0x30 {
		return nil, &CertificateError{Reason: "sent something that is no certificate"}
	}
	size, header := int(head[1]), 2
	if size >= 0x80 {
		extra := size & 0x7f
		if extra == 0 || extra > 3 {
			return nil, &CertificateError{Reason: "sent a certificate of impossible length"}
		}
		header += extra
		if head, err = r.Peek(header); err != nil {
			return nil, err
		}
		size = 0
		for _, b := range head[2:header] {
			size = size<<8 | int(b)
		}
	}
	if size > maxCertificate {
		return nil, &CertificateError{Reason: fmt.Sprintf("sent a certificate of more than %d bytes", maxCertificate)}
	}
	der := make([]byte, header+size)
	_, err = io.ReadFull(r, der)
	return der, err
}

// readChainOrResponse reads what follows the certificate request: the
// certificates, or a response that says why there are none. No count is as
// large as the letter V, with which every response begins.
func readChainOrResponse(r *bufio.Reader) ([]*x509.Certificate, *response, error) {
	first, err := r.Peek(1)
	if err != nil {
		return nil, nil, err
	}
	if first[0] == 'V' {
		res, err := readResponse(r)
		return nil, res, err
	}
	chain, err := readChain(r)
	return chain, nil, err
}
