package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// The commands of a MyProxy server, ours and the C programs', as the report
// names them.
const (
	ourLogon    = "myproxy logon (RSA-2048)"
	ourP256     = "myproxy logon (P-256)"
	ourInfo     = "myproxy info"
	ourPut      = "myproxy put"
	ourRoots    = "myproxy trustroots"
	myproxyInfo = "myproxy-info (C)"
	myproxyInit = "myproxy-init (C)"
	myproxyTrst = "myproxy-get-trustroots (C)"
)

// addCommands: what people ask of a MyProxy server itself, with the same client
// certificate, pass phrase and trust directory for both sides. put and
// myproxy-init write the same credential over and over; each has its own.
func (w *world) addCommands(binary string, server *lab.MyProxy, alice *lab.Credential) error {
	host, port, err := net.SplitHostPort(server.Direct)
	if err != nil {
		return err
	}
	file, err := write(w.dir, "alice.pem", alice.PEM())
	if err != nil {
		return err
	}
	env := []string{"MYPROXY_SERVER=" + host, "MYPROXY_SERVER_PORT=" + port, "X509_USER_CERT=" + file, "X509_USER_KEY=" + file,
		"X509_CERT_DIR=" + server.CA.TrustDir(lab.Trust{})}
	out := filepath.Join(w.dir, "myproxy.pem")
	phrase := []byte(passphrase + "\n")
	add := func(name, line string, stdin []byte, says string) {
		p := program{name: name, argv: strings.Fields(line), stdin: stdin, env: env}
		if says != "" {
			p.check = contains(says)
		}
		w.programs = append(w.programs, p)
	}
	if binary != "" {
		if binary, err = filepath.Abs(binary); err != nil {
			return err
		}
		add(ourLogon, fmt.Sprintf("%s myproxy logon -S -l alice --anonymous -o %s", binary, out), phrase, "has been received")
		add(ourP256, fmt.Sprintf("%s myproxy logon -S -l alice --anonymous --key p256 -o %s", binary, out), phrase, "has been received")
		add(ourInfo, binary+" myproxy info -l alice", nil, "owner: ")
		add(ourPut, binary+" myproxy put -S -l alice -k ours", phrase, "now exists")
		add(ourRoots, binary+" myproxy trustroots", nil, "have been installed")
	}
	add(myproxyInfo, "myproxy-info -l alice", nil, "owner: ")
	add(myproxyInit, "myproxy-init -S -l alice -k theirs", phrase, "now exists")
	add(myproxyTrst, "myproxy-get-trustroots", nil, "have been installed")
	return nil
}

// parts says where the time of a logon goes, by what the programs have in common.
func (r *report) parts() string {
	median := func(name string) float64 { return float64(quantile(r.results[name], 0.5).Microseconds()) / 1000 }
	if median(ourLogon) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n| part of a `myproxy logon` | ms | by |\n|---|---:|---|\n")
	for _, p := range []struct {
		part, what, without string
	}{
		{"start of the process", emptyGo, ""},
		{"trust directory, TCP, TLS, one request and its answer", ourInfo, emptyGo},
		{"pass phrase, certificate request, the server's signature, verification, file", ourP256, ourInfo},
		{"the RSA key", ourLogon, ourP256},
	} {
		by, time := "`"+p.what+"`", median(p.what)
		if p.without != "" {
			by, time = by+" − `"+p.without+"`", time-median(p.without)
		}
		fmt.Fprintf(&b, "| %s | %.1f | %s |\n", p.part, time, by)
	}
	return b.String()
}
