package myproxy

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadResponse(t *testing.T) {
	long := strings.Repeat("FILEDATA_x=AAAA\n", 10_000)
	for _, tc := range []struct {
		name, in string
		code     string
		texts    []string
		rest     string
		err      bool
		eof      bool // io.ErrUnexpectedEOF
	}{
		{name: "OK", in: okResponse, code: "0"},
		{name: "what follows the NUL is left alone", in: okResponse + "\x01rest", code: "0", rest: "\x01rest"},
		{name: "NULs before the first response are skipped", in: "\x00\x00" + okResponse, code: "0"},
		{name: "error lines in order", in: badPass, code: "1", texts: []string{"Bad password", "invalid credential passphrase"}},
		{name: "empty error lines are dropped", in: "VERSION=MYPROXYv2\nRESPONSE=1\nERROR=\nERROR=x\nERROR= \n\x00", code: "1", texts: []string{"x"}},
		{name: "CR LF is tolerated", in: "VERSION=MYPROXYv2\r\nRESPONSE=1\r\nERROR=x\r\n\x00", code: "1", texts: []string{"x"}},
		{name: "no final LF", in: "VERSION=MYPROXYv2\nRESPONSE=0\x00", code: "0"},
		{name: "challenge", in: "VERSION=MYPROXYv2\nRESPONSE=2\nAUTHORIZATION_DATA=X509_certificate:00\n\x00", code: "2"},
		{name: "unknown fields, as INFO sends them", in: "VERSION=MYPROXYv2\nRESPONSE=0\nCRED_OWNER=/CN=x\nADDL_CREDS=a,b\nnonsense\n\x00", code: "0"},
		{name: "trust roots, longer than the buffer", in: "VERSION=MYPROXYv2\nRESPONSE=0\n" + long + "\x00", code: "0"},
		{name: "another version", in: "VERSION=MYPROXYv3\nRESPONSE=0\n\x00", err: true},
		{name: "no result", in: "VERSION=MYPROXYv2\n\x00", err: true},
		{name: "unknown result", in: "VERSION=MYPROXYv2\nRESPONSE=7\n\x00", err: true},
		{name: "two results", in: "VERSION=MYPROXYv2\nRESPONSE=1\nRESPONSE=0\n\x00", err: true},
		{name: "not MyProxy at all: no waiting for a NUL", in: "HTTP/1.1 400 Bad Request\r\n", err: true},
		{name: "longer than 1 MiB", in: "VERSION=MYPROXYv2\n" + strings.Repeat("x", maxTextResponse) + "\x00", err: true},
		{name: "nothing but NULs", in: strings.Repeat("\x00", 100), err: true},
		{name: "cut off before the NUL", in: "VERSION=MYPROXYv2\nRESPONSE=0\n", eof: true},
		{name: "cut off in the first word", in: "VERS", eof: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tc.in), iotest.OneByteReader(strings.NewReader(tc.in)), iotest.DataErrReader(strings.NewReader(tc.in))} {
				in := bufio.NewReaderSize(r, 1024)
				got, err := firstResponse(in)
				switch {
				case tc.eof:
					if !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("got %v, %v, want an unexpected EOF", got, err)
					}
				case tc.err:
					var p *ProtocolError
					if !errors.As(err, &p) {
						t.Errorf("got %v, %v, want a ProtocolError", got, err)
					}
				case err != nil:
					t.Error(err)
				default:
					rest, _ := io.ReadAll(in)
					if got.code != tc.code || !slices.Equal(got.texts, tc.texts) || string(rest) != tc.rest {
						t.Errorf("got %+v, rest %q", got, rest)
					}
				}
			}
		})
	}
}

func firstResponse(in *bufio.Reader) (*response, error) {
	if err := skipNULs(in); err != nil {
		return nil, err
	}
	return readResponse(in, false)
}

func TestReadChain(t *testing.T) {
	w := newWorld(t)
	der := string(w.ca.Raw)
	for _, tc := range []struct {
		name, in string
		n        int
		rest     string
		reason   string // of a CertificateError
	}{
		{name: "one", in: "\x01" + der, n: 1},
		{name: "three, and the response behind them", in: "\x03" + der + der + der + okResponse, n: 3, rest: okResponse},
		{name: "sixteen are the limit", in: "\x10" + strings.Repeat(der, 16), n: 16},
		{name: "none", in: "\x00" + okResponse, reason: "no certificate"},
		{name: "seventeen", in: "\x11" + strings.Repeat(der, 17), reason: "announced 17"},
		{name: "fewer than announced", in: "\x03" + der, reason: "sent 1 of the 3"},
		{name: "cut inside", in: "\x01" + der[:len(der)-1], reason: "sent 0 of the 1"},
		{name: "cut inside the length", in: "\x01\x30\x82", reason: "sent 0 of the 1"},
		{name: "no SEQUENCE", in: "\x01\x31\x03abc", reason: "no certificate"},
		{name: "indefinite length", in: "\x01\x30\x80\x00\x00", reason: "impossible length"},
		{name: "four bytes of length", in: "\x01\x30\x84\x7f\xff\xff\xff", reason: "impossible length"},
		{name: "too long", in: "\x01\x30\x83\xff\xff\xff", reason: "of more than"},
		{name: "a SEQUENCE that is no certificate", in: "\x01\x30\x03\x02\x01\x00", reason: "no certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tc.in), iotest.OneByteReader(strings.NewReader(tc.in))} {
				in := bufio.NewReader(r)
				got, err := readChain(in)
				if tc.reason != "" {
					var c *CertificateError
					if !errors.As(err, &c) || !strings.Contains(c.Reason, tc.reason) {
						t.Errorf("got %v, want %q", err, tc.reason)
					}
					continue
				}
				rest, _ := io.ReadAll(in)
				if err != nil || len(got) != tc.n || string(rest) != tc.rest {
					t.Errorf("got %d certificates, rest %q, %v", len(got), rest, err)
				}
			}
		})
	}
}

func TestClassify(t *testing.T) {
	for _, tc := range []struct {
		texts []string
		want  Kind
	}{
		{[]string{"Bad password", "invalid credential passphrase"}, KindAuthentication},
		{[]string{"no passphrase", "authentication failed"}, KindAuthentication},
		{[]string{"PAM authentication failed: System error"}, KindAuthentication},
		{[]string{"invalid password"}, KindAuthentication},
		{[]string{"unknown username: mallory"}, KindAuthentication},
		{[]string{`No credentials exist for username "nobody".`}, KindAuthentication},
		{[]string{`No credentials exist with username "a" and credential name "b".`}, KindNotFound},
		{[]string{"Credentials do not exist."}, KindNotFound},
		{[]string{`Credentials are already stored for user alice`, `and they are not owned by`}, KindDenied},
		{[]string{"credential locked", "authentication failed too often"}, KindDenied}, // the administrator's words
		{[]string{"self-authz detected", "self-authz not allowed for renewer"}, KindDenied},
		{[]string{`"<anonymous>" not authorized by server's authorized_retrievers policy`}, KindDenied},
		{[]string{`"<anonymous>" not authorized by credential's retrievers policy`}, KindDenied},
		{[]string{"MyProxy CA will not accept limited proxy for authentication."}, KindDenied},
		{[]string{"Unable to delegate credentials."}, KindRefused},
		{[]string{"Certificate generation failure."}, KindRefused},
		{[]string{"Couldn't get VOMS User Information."}, KindRefused},
		{[]string{"X509_verify_cert() failed: certificate has expired"}, KindRefused},
		{[]string{"error parsing request"}, KindRefused},
		{nil, KindRefused},
	} {
		if got := classify(tc.texts); got != tc.want {
			t.Errorf("%q: got %s, want %s", tc.texts, got, tc.want)
		}
	}
}

// The result may not depend on how the stream was cut into reads, and what is
// read is bounded.
func FuzzReadResponse(f *testing.F) {
	f.Add([]byte(okResponse))
	f.Add([]byte("\x00" + badPass))
	f.Add([]byte("VERSION=MYPROXYv2\nRESPONSE=2\nAUTHORIZATION_DATA=x\n\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		one, err1 := firstResponse(bufio.NewReader(bytes.NewReader(data)))
		two, err2 := firstResponse(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(data)), 16))
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("%v, byte by byte %v", err1, err2)
		}
		if err1 != nil {
			return
		}
		if one.code != two.code || !slices.Equal(one.texts, two.texts) {
			t.Fatalf("%+v, byte by byte %+v", one, two)
		}
		if len(one.texts) > maxErrorTexts || one.code == responseOK && !bytes.Contains(data, []byte("RESPONSE=0")) {
			t.Fatalf("%+v", one)
		}
	})
}

// aCertificate is the same in every process of a fuzzer.
const aCertificate = "" +
	"MIIBBTCBq6ADAgECAgEBMAoGCCqGSM49BAMCMAwxCjAIBgNVBAMTAXgwHhcNMjMxMTE0MjIxMzIwWhcNMzMwNTE4MD" +
	"MzMzIwWjAMMQowCAYDVQQDEwF4MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeaCmmv3QiLra8DKnI68JOkLdLkTg" +
	"oVTKuZcnKxEQ31nkWbggQbW1wydb/xJE9nKUfrQiR+cxJdlWdwWdWJzIBTAKBggqhkjOPQQDAgNJADBGAiEA5aoz8s" +
	"GlbxxhTvP0GOnP+78lqfPGY1sjWodclHIg5lMCIQCshURHypVt0j4Agz6NO1b+9duBoLqshvxCCr7HhHe1mQ=="

func FuzzReadChain(f *testing.F) {
	der, err := base64.StdEncoding.DecodeString(aCertificate)
	must(f, err)
	f.Add(append([]byte{1}, der...))
	f.Add(append([]byte{2}, append(slices.Clone(der), der...)...))
	f.Add([]byte{1, 0x30, 0x83, 0, 0, 1, 0})
	f.Add([]byte(badPass))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bufio.NewReader(bytes.NewReader(data))
		chain, err := readChain(in)
		if err != nil {
			return
		}
		if len(chain) == 0 || len(chain) > maxChain {
			t.Fatalf("%d certificates without an error", len(chain))
		}
		var raw []byte
		for _, c := range chain {
			raw = append(raw, c.Raw...)
		}
		if !bytes.HasPrefix(data[1:], raw) {
			t.Fatal("the certificates are not what was sent")
		}
	})
}
