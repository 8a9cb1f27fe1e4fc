package myproxy

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

const okHead = "VERSION=MYPROXYv2\nRESPONSE=0\n"

// rootsResponse is a response with trust roots, NUL included.
func rootsResponse(files ...string) string {
	var names, data []string
	for i := 0; i < len(files); i += 2 {
		names = append(names, files[i])
		data = append(data, "FILEDATA_"+files[i]+"="+base64.StdEncoding.EncodeToString([]byte(files[i+1])))
	}
	return okHead + "TRUSTED_CERTS=" + strings.Join(names, ",") + "\n" + strings.Join(data, "\n") + "\n\x00"
}

func TestTrustRoots(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       map[string]string // nil: none
		reason     string            // of a ProtocolError
	}{
		{name: "two", text: rootsResponse("a.0", "A", "a.signing_policy", "policy\n"), want: map[string]string{"a.0": "A", "a.signing_policy": "policy\n"}},
		{name: "an empty file", text: rootsResponse("a", ""), want: map[string]string{"a": ""}},
		{name: "data before the list", text: okHead + "FILEDATA_a=QQ==\nTRUSTED_CERTS=a\n\x00", want: map[string]string{"a": "A"}},
		{name: "a hidden file, as real servers send them", text: rootsResponse(".hidden", "x"), want: map[string]string{".hidden": "x"}},
		{name: "names with =", text: okHead + "TRUSTED_CERTS=a=b\nFILEDATA_a=QQ==\n\x00", reason: "did not send"},
		{name: "an empty list", text: okHead + "TRUSTED_CERTS=\n\x00", want: map[string]string{}},
		{name: "none", text: okResponse},
		{name: "data that is not on the list", text: okHead + "TRUSTED_CERTS=a\nFILEDATA_a=QQ==\nFILEDATA_b=QQ==\n\x00", want: map[string]string{"a": "A"}},
		{name: "one that is not there", text: okHead + "TRUSTED_CERTS=a,b\nFILEDATA_a=QQ==\n\x00", reason: "did not send"},
		{name: "no base64", text: okHead + "TRUSTED_CERTS=a\nFILEDATA_a=Q!==\n\x00", reason: "base64"},
		{name: "cut base64", text: okHead + "TRUSTED_CERTS=a\nFILEDATA_a=QQ=\n\x00", reason: "base64"},
		{name: "twice", text: okHead + "TRUSTED_CERTS=a\nFILEDATA_a=QQ==\nFILEDATA_a=QQ==\n\x00", reason: "twice"},
		{name: "two lists", text: okHead + "TRUSTED_CERTS=a\nTRUSTED_CERTS=a\nFILEDATA_a=QQ==\n\x00", reason: "two lists"},
		{name: "another directory", text: rootsResponse("../evil", "x"), reason: "lead out"},
		{name: "an absolute path", text: rootsResponse("/etc/passwd", "x"), reason: "lead out"},
		{name: "for Windows", text: rootsResponse(`..\evil`, "x"), reason: "lead out"},
		{name: "the directory above", text: rootsResponse("..", "x"), reason: "lead out"},
		{name: "the directory", text: rootsResponse(".", "x"), reason: "lead out"},
		{name: "a terminal escape", text: rootsResponse("a\x1b[31m", "x"), reason: "lead out"},
		{name: "the longest name", text: rootsResponse(strings.Repeat("a", maxFileName), "x"), want: map[string]string{strings.Repeat("a", maxFileName): "x"}},
		{name: "a longer name", text: rootsResponse(strings.Repeat("a", maxFileName+1), "x"), reason: "lead out"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := readResponse(bufio.NewReader(strings.NewReader(tc.text)), true)
			var p *ProtocolError
			if tc.reason != "" {
				if !errors.As(err, &p) || !strings.Contains(p.Reason, tc.reason) || strings.Contains(p.Error(), "\x1b") {
					t.Errorf("got %v, want %q", err, tc.reason)
				}
				return
			}
			must(t, err)
			if len(got.files) != len(tc.want) || (got.files == nil) != (tc.want == nil) {
				t.Errorf("got %q", got.files)
			}
			for name, data := range tc.want {
				if string(got.files[name]) != data {
					t.Errorf("%s is %q", name, got.files[name])
				}
			}
		})
	}
}

// Trust roots that nobody asked for are not even looked at.
func TestUnwantedTrustRoots(t *testing.T) {
	got, err := readResponse(bufio.NewReader(strings.NewReader(rootsResponse("../evil", "x"))), false)
	if err != nil || got.files != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// Where trust roots may come, and a response is as long as they are, nothing else
// is kept of it: two million fields of INFO would take many times their length.
func TestRootsResponseKeepsNothingElse(t *testing.T) {
	text := okHead + "CRED_OWNER=x\nCRED_OWNER=y\nADDL_CREDS=z\nTRUSTED_CERTS=a\nFILEDATA_a=QQ==\n\x00"
	got, err := readResponse(bufio.NewReader(strings.NewReader(text)), true)
	must(t, err)
	if len(got.fields) != 0 || string(got.files["a"]) != "A" {
		t.Errorf("got %+v", got)
	}
}

// Each limit holds what it says, and not one more.
func TestLimits(t *testing.T) {
	filler := func(size int) string {
		return okHead + strings.Repeat("x", size-len(okHead)-2) + "\n\x00"
	}
	rootsOf := func(size int) string {
		head := okHead + "TRUSTED_CERTS=a\nFILEDATA_a="
		n := size - len(head) - 2
		return head + strings.Repeat("A", n&^3) + strings.Repeat("\n", n&3) + "\n\x00"
	}
	files := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("%d.0", i), "x")
		}
		return rootsResponse(list...)
	}
	for _, tc := range []struct {
		name     string
		good, in string
		roots    bool
	}{
		{"a text response", filler(maxTextResponse), filler(maxTextResponse + 1), false},
		{"trust roots", rootsOf(maxTrustRoots), rootsOf(maxTrustRoots + 1), true},
		{"their number", files(maxTrustFiles), files(maxTrustFiles + 1), true},
		{"the length of their list", okHead + "TRUSTED_CERTS=" + strings.Repeat("a,", maxTrustFiles) + "\nFILEDATA_a=\n\x00",
			okHead + "TRUSTED_CERTS=" + strings.Repeat("a,", maxTrustFiles+1) + "\nFILEDATA_a=\n\x00", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := readResponse(bufio.NewReader(strings.NewReader(tc.good)), tc.roots); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			_, err := readResponse(bufio.NewReader(strings.NewReader(tc.in)), tc.roots)
			var p *ProtocolError
			if !errors.As(err, &p) || !strings.Contains(err.Error(), "more than") {
				t.Errorf("one above: got %v", err)
			}
		})
	}
	if got := len(rootsOf(maxTrustRoots)); got != maxTrustRoots {
		t.Errorf("the test's text has %d bytes", got)
	}
}

// The certificate message: a certificate as large as the limit leaves.
func TestCertificateMessageLimit(t *testing.T) {
	w := newWorld(t)
	message := func(size int) string {
		der := w.bigCertificate(size - 1)
		return "\x01" + der
	}
	chain, err := readChain(bufio.NewReader(strings.NewReader(message(maxCertificates))))
	if err != nil || len(chain) != 1 {
		t.Errorf("at the limit: %v", err)
	}
	_, err = readChain(bufio.NewReader(strings.NewReader(message(maxCertificates + 1))))
	var c *CertificateError
	if !errors.As(err, &c) || !strings.Contains(c.Reason, "of more than") {
		t.Errorf("one above: got %v", err)
	}
	// The limit is that of the message, not of each certificate in it.
	half := w.bigCertificate(maxCertificates / 2)
	if _, err = readChain(bufio.NewReader(strings.NewReader("\x02" + half + half))); !errors.As(err, &c) {
		t.Errorf("two halves and the count: got %v", err)
	}
}

// The same for what else comes in place of certificates: the credential of
// RETRIEVE with its NUL, and the server's certificate request of PUT.
func TestOtherMessageLimits(t *testing.T) {
	w := newWorld(t)
	alice := w.user("Alice")
	text, err := alice.TraditionalPEM([]byte(canary))
	must(t, err)
	stored := func(size int) string {
		return string(text) + strings.Repeat("\n", size-len(text)-1) + "\x00"
	}
	request := func(size int) string {
		key := newRSAKey(t)
		extra := 0
		for { // its length fields grow with it
			der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
				ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3, 4}, Value: make([]byte, extra)}},
			}, key)
			must(t, err)
			if len(der) == size {
				return string(der)
			}
			extra += size - len(der)
		}
	}
	retrieve := func(c *Client) error {
		got, err := c.Retrieve(t.Context(), RetrieveRequest{Username: "jane", Passphrase: []byte(canary)})
		if err == nil && len(got.PEM) != maxCertificates-1 {
			t.Errorf("%d bytes", len(got.PEM))
		}
		return err
	}
	put := func(c *Client) error {
		c.Identity = identityOf(alice)
		_, err := c.Put(t.Context(), PutRequest{Username: "jane", Passphrase: []byte(canary)})
		return err
	}
	for _, tc := range []struct {
		name     string
		good, in string
		call     func(*Client) error
	}{
		{"a stored credential", stored(maxCertificates), stored(maxCertificates + 1), retrieve},
		{"a certificate request", request(gsi.MaxRequestBytes), request(gsi.MaxRequestBytes + 1), put},
	} {
		t.Run(tc.name, func(t *testing.T) {
			serve := func(data string) error {
				f := w.serve(nil, func(f *fake, c *tls.Conn, _ net.Conn) {
					f.request(c)
					_, _ = io.WriteString(c, okResponse+data)
					if data[0] == 0x30 { // it waits for certificates
						_, _ = c.Read(make([]byte, 64<<10))
					}
					_, _ = io.WriteString(c, okResponse)
				})
				return tc.call(w.client(f.addr))
			}
			if err := serve(tc.good); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			err := serve(tc.in)
			var p *ProtocolError
			var c *CertificateError
			if !errors.As(err, &p) && !errors.As(err, &c) || !strings.Contains(err.Error(), "more than") {
				t.Errorf("one above: got %v", err)
			}
		})
	}
}

// What is read of trust roots is what was sent, whatever the cuts.
func FuzzTrustRoots(f *testing.F) {
	f.Add([]byte(rootsResponse("a.0", "A", "b", "")))
	f.Add([]byte(rootsResponse("../x", "A")))
	f.Add([]byte(okHead + "FILEDATA_a=QQ==\nTRUSTED_CERTS=a,b\n\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readResponse(bufio.NewReader(bytes.NewReader(data)), true)
		again, err2 := readResponse(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(data)), 16), true)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("%v, byte by byte %v", err, err2)
		}
		if err != nil {
			return
		}
		if len(got.files) != len(again.files) || len(got.files) > maxTrustFiles {
			t.Fatalf("%d files, byte by byte %d", len(got.files), len(again.files))
		}
		for name, file := range got.files {
			if strings.ContainsAny(name, "/\\\x00\n\x1b") || name == "" || name == "." || name == ".." {
				t.Fatalf("a file called %q", name)
			}
			if len(file) > len(data) || !bytes.Equal(file, again.files[name]) {
				t.Fatalf("%q differs", name)
			}
		}
	})
}
