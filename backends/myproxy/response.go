package myproxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// Limits of what is read.
const (
	// maxTextResponse bounds a text response without trust roots, NUL included.
	maxTextResponse = 1 << 20
	// maxTrustRoots bounds one with trust roots, which are in base64, and
	// maxTrustFiles their number. Those of the whole IGTF take some megabytes
	// in a thousand files.
	maxTrustRoots = 16 << 20
	maxTrustFiles = 4096
	// maxCertificates bounds the message with certificates, the byte that
	// counts them included, and what else comes in place of it: a certificate
	// request, a stored credential. maxChain bounds their number.
	maxCertificates = 1 << 20
	maxChain        = gsi.MaxCertificates
	// maxErrorTexts bounds how many ERROR lines are kept, and maxChallenges how
	// many of AUTHORIZATION_DATA.
	maxErrorTexts = 32
	maxChallenges = 16
	// maxLeadingNULs bounds what may precede the first response.
	maxLeadingNULs = 16
)

// The values of RESPONSE.
const (
	responseOK        = "0"
	responseError     = "1"
	responseChallenge = "2" // the server wants proof of possession of a credential
)

// response is a text message of the server.
type response struct {
	code       string
	texts      []string          // of the ERROR lines, without the empty ones
	challenges []string          // of the AUTHORIZATION_DATA lines
	fields     map[string]string // those that INFO sends; nil where trust roots were wanted
	files      map[string][]byte // trust roots; nil where there are none
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
// it did not come. Only with wantRoots may it be longer than 1 MiB.
func readResponse(r *bufio.Reader, wantRoots bool) (*response, error) {
	limit := maxTextResponse
	if wantRoots {
		limit = maxTrustRoots
	}
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
	text, err := readText(r, limit)
	if err != nil {
		return nil, err
	}
	return parseResponse(text, wantRoots)
}

// readText reads up to a NUL, which is dropped but counts.
func readText(r *bufio.Reader, limit int) ([]byte, error) {
	var text []byte
	for {
		part, err := r.ReadSlice(0)
		if len(text)+len(part) > limit {
			return nil, &ProtocolError{Reason: fmt.Sprintf("sent more than %d bytes of text", limit)}
		}
		text = append(text, part...)
		if err == nil {
			return text[:len(text)-1], nil
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

// parseResponse reads the lines of a response. Unknown ones are skipped, and so
// are trust roots that nobody wants.
func parseResponse(text []byte, wantRoots bool) (*response, error) {
	var r response
	var roots rootsParser
	version := ""
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		k, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\r")), []byte("="))
		key := string(k)
		var err error
		switch {
		case key == "VERSION":
			version = string(value)
		case key == "RESPONSE" && r.code != "" && r.code != string(value):
			err = &ProtocolError{Reason: "sent a response that says two different things"}
		case key == "RESPONSE":
			r.code = string(value)
		case key == "ERROR":
			// A refused renewal comes with empty lines among the others.
			if len(bytes.TrimSpace(value)) > 0 && len(r.texts) < maxErrorTexts {
				r.texts = append(r.texts, string(value))
			}
		case key == "AUTHORIZATION_DATA" && len(r.challenges) < maxChallenges:
			r.challenges = append(r.challenges, string(value))
		case wantRoots:
			err = roots.line(key, value)
		case isInfoKey(key):
			err = r.addField(key, string(value))
		}
		if err != nil {
			return nil, err
		}
	}
	if version != "MYPROXYv2" {
		return nil, &ProtocolError{Reason: "speaks another version of the MyProxy protocol"}
	}
	switch r.code {
	case responseOK, responseError, responseChallenge:
	default:
		return nil, &ProtocolError{Reason: "sent a response without a known result"}
	}
	var err error
	r.files, err = roots.files()
	return &r, err
}
