package main

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// listener is a server that refuses every request, and tells what it was.
type listener struct {
	net.Listener
	config   *tls.Config
	requests chan string
}

func newListener(t *testing.T, ca *lab.CA) *listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	host := ca.Host(lab.HostSAN)
	cert := tls.Certificate{PrivateKey: host.Key}
	for _, c := range host.Chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	s := &listener{l, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}, make(chan string, 4)}
	safego.Go(func() error {
		for {
			raw, err := l.Accept()
			if err != nil {
				return err
			}
			s.serve(raw)
		}
	})
	return s
}

func (s *listener) serve(raw net.Conn) {
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(patience))
	c := tls.Server(raw, s.config)
	if c.Handshake() != nil {
		return
	}
	buf := make([]byte, 64<<10)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "0" {
		s.requests <- "not a flag: " + string(buf[:n])
		return
	}
	n, _ := c.Read(buf)
	s.requests <- string(buf[:n])
	_, _ = io.WriteString(c, "VERSION=MYPROXYv2\nRESPONSE=1\nERROR=refused\n\x00")
}

// heard is the request of a program that has ended, "" if it sent none.
func (s *listener) heard() string {
	select {
	case r := <-s.requests:
		return r
	default:
		return ""
	}
}

// requestLines are the options that are in requests.
var requestLines = []step{
	{"myproxy-init -S -l USER", oldLine, true},
	{"myproxy-init -S -l USER -k n -K words -c 24 -t 2", oldLine, true},
	{"myproxy-init -S -l USER -a", oldLine, true},
	{"myproxy-init -S -l USER -r Jane -R Portal", oldLine, true},
	{"myproxy-init -S -l USER -x -r /CN=Jane -R /CN=Portal", oldLine, true},
	{"myproxy-init -S -l USER -X -r Jane -R Portal", oldLine, true},
	{"myproxy-init -l USER -A", "", true},
	{"myproxy-init -n -l USER -Z Robot", "", true},
	{"myproxy-init -S -d", oldLine, true},
	{"myproxy-logon -S -l USER", oldLine, true},
	{"myproxy-logon -S -l USER -k n -t 24", oldLine, true},
	{"myproxy-logon -n -l USER", "", true},
	{"myproxy-logon -S -l USER -T", oldLine, true},
	{"myproxy-logon -S -d", oldLine, true},
	{"myproxy-logon -S -l USER -m labvo -m othervo:/othervo/Role=pilot", oldLine, true},
	{"myproxy-get-delegation -S -l USER -o got.pem", oldLine, true},
	{"myproxy-info -l USER", "", true},
	{"myproxy-info -l USER -k n", "", true},
	{"myproxy-info -d", "", true},
	{"myproxy-destroy -l USER", "", true},
	{"myproxy-destroy -l USER -k n", "", true},
	{"myproxy-change-pass-phrase -S -l USER", oldLine + newLine, true},
	{"myproxy-change-pass-phrase -S -l USER -k n", oldLine + newLine, true},
	{"myproxy-store -l USER -c cert.pem -y locked.pem", oldLine, true},
	{"myproxy-store -l USER -c cert.pem -y locked.pem -k n -K words -t 3", oldLine, true},
	{"myproxy-store -l USER -c cert.pem -y locked.pem -a -A", oldLine, true},
	{"myproxy-store -l USER -c cert.pem -y locked.pem -x -r /CN=a -R /CN=b -Z /CN=c -E /CN=d", oldLine, true},
	{"myproxy-store -l USER -c cert.pem -y locked.pem -X -r a -R b -Z c -E d", oldLine, true},
	{"myproxy-retrieve -S -l USER -c back.pem -y backkey.pem", oldLine, true},
	{"myproxy-retrieve -S -l USER -k n -T -c back.pem -y backkey.pem", oldLine, true},
	{"myproxy-get-trustroots", "", true},
}

// theirs is what a C program sent, without the pass phrase that is none where the
// client's certificate decides, and without the name for info: all are listed, and
// the named one is picked here.
func theirs(s step, request string) string {
	request = strings.Replace(request, "\nPASSPHRASE=DUMMY-PASSPHRASE\n", "\nPASSPHRASE=\n", 1)
	if strings.HasPrefix(s.line, "myproxy-info") {
		request = strings.Replace(request, "\nCRED_NAME=n\n", "\n", 1)
	}
	return request
}

// TestSameRequestsAsTheTools: the same words on the command line are the same
// bytes for the server.
func TestSameRequestsAsTheTools(t *testing.T) {
	lab.Require(t, lab.MyProxyServer, lab.MyProxyClient, lab.GridTools)
	ca := lab.NewCA(t, "X509CH Lab")
	w := newWorld(t, inMemory)
	if err := w.linkNames(); err != nil {
		t.Fatal(err)
	}
	l := newListener(t, ca)
	x := newToolsWorld(t, w, &lab.MyProxy{CA: ca, Direct: "localhost:" + strings.TrimPrefix(l.Addr().String(), "127.0.0.1:")}, "jane", ca.User("Jane Doe"))
	x.write(t, "vomses", []byte("\"labvo\" \"voms.example.org\" \"15000\" \"/C=XX/CN=voms\" \"labvo\"\n"))
	x.env = append(x.env, "VOMS_USERCONF="+filepath.Join(x.dir, "vomses"))
	for _, s := range requestLines {
		x.run(false, s.line, s.stdin)
		want := theirs(s, l.heard())
		for l.heard() != "" {
		}
		r := x.run(true, s.line, s.stdin)
		ours := l.heard()
		if ours != want || ours == "" {
			t.Errorf("%s\nthe C program sends %q\nwe send             %q\n%s", s.line, want, ours, r.stderr)
		}
		for _, left := range []string{"got.pem", "out.pem"} {
			_ = os.Remove(filepath.Join(x.dir, left))
		}
	}
}
