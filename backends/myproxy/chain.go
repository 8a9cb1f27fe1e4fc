package myproxy

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
)

// readChain reads the message with the certificates: one byte that counts
// them, then one DER certificate after the other and nothing behind. Failures
// of the server come as a response in its place, see notRefused.
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
	room := maxCertificates - 1
	for i := range int(count) {
		der, err := readDER(r, room, maxCertificates)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, &CertificateError{Reason: fmt.Sprintf("sent %d of the %d certificates it announced", i, count), Err: err}
		}
		if err != nil {
			return nil, err
		}
		room -= len(der)
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, &CertificateError{Reason: fmt.Sprintf("sent something that is no certificate as number %d of %d", i+1, count), Err: err}
		}
		chain = append(chain, cert)
	}
	return chain, nil
}

// readDER reads one DER SEQUENCE of at most limit bytes, with a length of one to
// four bytes (X.690 section 8.1.3). whole is the limit of all, for people.
func readDER(r *bufio.Reader, limit, whole int) ([]byte, error) {
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
	if header+size > limit {
		return nil, &CertificateError{Reason: fmt.Sprintf("sent data of more than %d bytes", whole)}
	}
	// It grows with what comes, not with what was announced.
	var der bytes.Buffer
	_, err = io.CopyN(&der, r, int64(header+size))
	return der.Bytes(), err
}
