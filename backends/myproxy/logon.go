package myproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

const (
	defaultDialTimeout = 10 * time.Second
	defaultIOTimeout   = 30 * time.Second
)

// Client talks to one MyProxy service. The zero value of every field but Hosts
// and Trust is usable. A Client holds no connection and may be used by several
// goroutines at once.
type Client struct {
	// Hosts are the servers of one service as "host:port", tried in order. The
	// next one is tried only where not a single byte came from the one before,
	// so a pass phrase is never sent twice.
	Hosts []string
	// ServerDN, if set, is the whole subject that the server's certificate must
	// have, in the one-line or the RFC 2253 form. It replaces the check of the
	// host name.
	ServerDN string
	// Trust opens the directory of trust anchors. It runs while the
	// connection is being made.
	Trust        func() (*gsi.TrustDir, error)
	TrustOptions gsi.TrustOptions
	// Identity is the client's certificate with its chain, which some servers'
	// policies ask for. nil is the anonymous client.
	Identity *tls.Certificate
	// DialTimeout bounds connecting to one host and the TLS handshake with it;
	// default 10 s.
	DialTimeout time.Duration
	// IOTimeout bounds each message that is read or written; default 30 s.
	IOTimeout time.Duration
	// Clock is what certificates are judged by; default time.Now.
	Clock func() time.Time
	// Dial makes TCP connections; default that of a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// LogonResult is what a server gave. Nothing but the server's identity has been
// verified.
type LogonResult struct {
	// Chain is the new certificate followed by its issuers up to the end-entity
	// certificate; an online CA usually sends the new certificate alone.
	Chain []*x509.Certificate
	// Server is the host:port that answered.
	Server string
	// Unanswered are the servers that were tried before it.
	Unanswered []*HostError
}

// Logon gets a certificate for the key of req.CSR (command GET).
//
// Its errors are *RequestError before anything was sent; *DialError where no
// server answered; *TrustError, *AlertError, *ServerError, *CertificateError,
// *ProtocolError, *TimeoutError and *LostError for a server that did; the
// error of req.CSR; and one that wraps ctx.Err(). Those of a server that
// answered after others had not are wrapped in *FailoverError.
func (c *Client) Logon(ctx context.Context, req LogonRequest) (*LogonResult, error) {
	if req.CSR == nil {
		return nil, &RequestError{Field: "certificate request", Reason: "is missing"}
	}
	if err := checkHosts(c.Hosts); err != nil {
		return nil, err
	}
	msg, err := req.encode()
	if err != nil {
		return nil, err
	}
	defer clear(msg)

	trust := openTrust(c.Trust)
	var unanswered []*HostError
	for _, host := range c.Hosts {
		chain, err := c.logonAt(ctx, host, msg, &req, trust)
		if err == nil {
			return &LogonResult{Chain: chain, Server: host, Unanswered: unanswered}, nil
		}
		var silent *HostError
		if errors.As(err, &silent) {
			unanswered = append(unanswered, silent)
			continue
		}
		hideEcho(err, req.Passphrase)
		if len(unanswered) > 0 {
			return nil, &FailoverError{Err: err, Earlier: unanswered}
		}
		return nil, err
	}
	return nil, &DialError{Hosts: unanswered}
}

// hideEcho drops a server's words where they repeat the pass phrase (a PAM
// module may). All of them: a gap would show where it stood. Shorter pass
// phrases would be found in every other word.
func hideEcho(err error, pass secret.Secret) {
	var said *ServerError
	if len(pass) < 4 || !errors.As(err, &said) {
		return
	}
	if strings.Contains(strings.Join(said.Texts, "\n"), string(pass)) {
		said.Texts = nil
	}
}

// checkHosts finds out before the first connection that a later one cannot be
// made.
func checkHosts(hosts []string) error {
	if len(hosts) == 0 {
		return &RequestError{Field: "list of servers", Reason: "is empty"}
	}
	for _, h := range hosts {
		host, port, err := net.SplitHostPort(h)
		if err != nil || host == "" || port == "" {
			return &RequestError{Field: "server " + fmt.Sprintf("%q", h), Reason: "is not of the form host:port"}
		}
	}
	return nil
}

// logonAt holds the conversation with one server. A *HostError says that
// nothing came from it.
func (c *Client) logonAt(ctx context.Context, host string, msg []byte, req *LogonRequest, trust *trustFuture) ([]*x509.Certificate, error) {
	s, err := c.connect(ctx, host, trust)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.begin(); err != nil {
		return nil, err
	}
	if req.Sending != nil {
		if err := req.Sending(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.command(msg); err != nil {
		return nil, err
	}
	csr, err := req.CSR(ctx)
	if err != nil {
		return nil, fmt.Errorf("no certificate request could be made: %w", err)
	}
	return s.certify(csr)
}
