//go:build unix

package sandbox

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// dialog is one conversation with one of the two.
type dialog struct {
	w    *twins
	conn *tls.Conn
	said []string // by the server, one entry per record
}

func (d *dialog) say(data []byte) {
	if _, err := d.conn.Write(data); err != nil {
		d.said = append(d.said, "write: "+err.Error())
	}
}

// hear reads a record. What must differ from server to server is told in
// words, so that the rest can be compared.
func (d *dialog) hear() []byte {
	buf := make([]byte, 1<<16)
	n, err := d.conn.Read(buf)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET): // the kernel's answer to what was not read
		d.said = append(d.said, "end")
	case err != nil:
		d.said = append(d.said, err.Error()[max(0, strings.LastIndex(err.Error(), ":")):])
	default:
		d.said = append(d.said, describe(buf[:n]))
	}
	return buf[:n]
}

// ok hears a response and says whether it is RESPONSE=0 or, if want says so,
// another.
func (d *dialog) ok(want string) ([]byte, bool) {
	got := d.hear()
	return got, bytes.HasPrefix(got, []byte("VERSION=MYPROXYv2\nRESPONSE="+want+"\n"))
}

var challengeDigits = regexp.MustCompile("[0-9a-f]{32}\n")

// luckyPadding is what the real server says to a wrong pass phrase once in some
// two hundred keys: what it decrypts then ends as a padding does, and is no key.
var luckyPadding = regexp.MustCompile("(?s)ERROR=Error reading private key [^\n]*\n.*?(ERROR=invalid credential passphrase\n)")
var storePath = regexp.MustCompile("/[^ ]*/store/")

func describe(message []byte) string {
	switch {
	case bytes.HasPrefix(message, []byte("VERSION")) && bytes.Contains(message, []byte("\nFILEDATA_")):
		return describeRoots(string(message))
	case bytes.HasPrefix(message, []byte("VERSION")) || len(message) == 1:
		text := challengeDigits.ReplaceAllString(string(message), "<challenge>\n")
		text = luckyPadding.ReplaceAllString(text, "ERROR=Bad password\n$1")
		return fmt.Sprintf("%q", storePath.ReplaceAllString(text, "<store>/"))
	case bytes.HasPrefix(message, []byte("-----BEGIN")):
		return describeFile(message)
	}
	if csr, err := x509.ParseCertificateRequest(message); err == nil {
		return fmt.Sprintf("request: %s %s %v", csr.Subject, csr.SignatureAlgorithm, extensionTexts(csr.Extensions))
	}
	certs, err := x509.ParseCertificates(message[1:])
	if err != nil {
		return fmt.Sprintf("% x", message)
	}
	return fmt.Sprintf("count %d\n", message[0]) + describeCertificates(certs)
}

// describeRoots keeps the order and the contents out: they are each server's.
func describeRoots(text string) string {
	lines := strings.Split(text, "\n")
	names := strings.Split(strings.TrimPrefix(lines[2], "TRUSTED_CERTS="), ",")
	for i, name := range names {
		if !strings.HasPrefix(lines[3+i], "FILEDATA_"+name+"=") {
			return text
		}
	}
	if len(lines) != 4+len(names) || lines[len(lines)-1] != "\x00" {
		return text
	}
	return "trust roots after " + lines[0] + " " + lines[1]
}

func describeFile(text []byte) string {
	var b strings.Builder
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		method, _, _ := strings.Cut(block.Headers["DEK-Info"], ",")
		fmt.Fprintf(&b, "%s %s %s", block.Type, block.Headers["Proc-Type"], method)
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			b.WriteString(" " + certificateText(cert))
		}
		b.WriteString("\n")
		if len(bytes.TrimSpace(rest)) < 2 {
			fmt.Fprintf(&b, "then %q", rest)
		}
	}
	return b.String()
}

// describeCertificates tells when the first, which the server has made just
// now, begins and ends from now, and when the others do by the clock.
func describeCertificates(certs []*x509.Certificate) string {
	var lines []string
	for i, cert := range certs {
		if i > 0 {
			lines = append(lines, certificateText(cert))
			continue
		}
		until := func(at time.Time) string {
			if len(certs) > 1 && at.Equal(certs[1].NotAfter) {
				return "that of its issuer"
			}
			return time.Until(at).Round(time.Minute).String()
		}
		lines = append(lines, fmt.Sprintf("%s, from %s to %s", nameAndKind(cert), until(cert.NotBefore), until(cert.NotAfter)))
	}
	return strings.Join(lines, "\n")
}

func certificateText(cert *x509.Certificate) string {
	return fmt.Sprintf("%s, from %s to %s", nameAndKind(cert), cert.NotBefore, cert.NotAfter)
}

var proxyNumber = regexp.MustCompile("/CN=[0-9]+")

// nameAndKind has no serial numbers.
func nameAndKind(cert *x509.Certificate) string {
	name, err := gsi.OneLine(cert.RawSubject)
	if err != nil {
		name = err.Error()
	}
	extensions := extensionList(cert)
	if language, err := proxyLanguage(cert.Extensions); err == nil && language == nil {
		slices.Sort(extensions) // in the CA's certificates OpenSSL and Go have their own order
	}
	name = strings.Replace(name, "/O=Sandbox/OU=Online/", "/O=Lab/", 1)
	return fmt.Sprintf("%s %s %v", proxyNumber.ReplaceAllString(name, "/CN=<number>"), cert.SignatureAlgorithm, extensions)
}
