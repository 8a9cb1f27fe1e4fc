package myproxy

import (
	"context"
	"crypto/tls"
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
	// Identity is the client's certificate with its chain. Whatever changes or
	// shows what is stored needs one: the server goes by its owner. For the
	// rest nil, the anonymous client, will do unless a policy says otherwise.
	Identity *tls.Certificate
	// VerifyServer, if set, is asked after the built-in verification of the
	// server, which it cannot replace, and before one byte of the request is
	// sent, with TLS 1.2 and 1.3 alike. Its error ends the connection, wrapped
	// in a *TrustError.
	VerifyServer func(tls.ConnectionState) error
	// DialTimeout bounds connecting to one host and the TLS handshake with it;
	// default 10 s.
	DialTimeout time.Duration
	// IOTimeout bounds each message that is read or written; default 30 s.
	IOTimeout time.Duration
	// Clock is what certificates are judged by; default time.Now.
	Clock func() time.Time
	// Dial makes TCP connections; default that of a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	open func(ctx context.Context, addr string, x *exchange) (*session, error) // of tests, in place of connect
}

// exchange is one command: a request, and what follows the first answer.
type exchange struct {
	request  request
	identity *tls.Certificate // nil: anonymous
	verify   verifier         // nil: against Client.Trust
	// anonymousRetry asks again without identity where that is what the server
	// refuses.
	anonymousRetry bool
	sending        func(context.Context) error             // right before the request; may be nil
	follow         func(s *session, first *response) error // may be nil
}

// served says where a command ran.
type served struct {
	server     string
	unanswered []*HostError
	anonymous  error // why the client's certificate was refused
}

// run holds a conversation with the first server that answers.
func (c *Client) run(ctx context.Context, x *exchange) (*served, error) {
	if err := checkHosts(c.Hosts); err != nil {
		return nil, err
	}
	msg, err := x.request.encode()
	if err != nil {
		return nil, err
	}
	defer clear(msg)
	if x.verify == nil {
		x.verify = c.verifier(openTrust(c.Trust))
	}
	var at served
	for _, host := range c.Hosts {
		err := c.attempt(ctx, host, msg, x, &at)
		if err == nil {
			at.server = host
			return &at, nil
		}
		var silent *HostError
		if errors.As(err, &silent) {
			at.unanswered = append(at.unanswered, silent)
			continue
		}
		hideEcho(err, x.request.passphrase, x.request.newPassphrase)
		if len(at.unanswered) > 0 {
			return nil, &FailoverError{Err: err, Earlier: at.unanswered}
		}
		return nil, err
	}
	return nil, &DialError{Hosts: at.unanswered}
}

// attempt holds the conversation with one server, and once more where it
// refused the client's certificate and nothing else had been sent. A *HostError
// says that nothing came from it.
func (c *Client) attempt(ctx context.Context, host string, msg []byte, x *exchange, at *served) error {
	err := c.converse(ctx, host, msg, x)
	if !x.anonymousRetry || x.identity == nil || !refusesIdentity(err) {
		return err
	}
	at.anonymous, x.identity = err, nil
	if err := c.converse(ctx, host, msg, x); err != nil {
		return &AnonymousError{Err: err, Refused: at.anonymous}
	}
	return nil
}

func (c *Client) converse(ctx context.Context, host string, msg []byte, x *exchange) error {
	open := c.connect
	if c.open != nil {
		open = c.open
	}
	s, err := open(ctx, host, x)
	if err != nil {
		return err
	}
	defer s.close()
	return s.talk(msg, x)
}

// talk holds the conversation of a session that was opened for x.
func (s *session) talk(msg []byte, x *exchange) error {
	if err := s.begin(); err != nil {
		return err
	}
	if x.sending != nil {
		if err := x.sending(s.ctx); err != nil {
			return err
		}
	}
	first, err := s.command(msg)
	if err != nil {
		return err
	}
	if x.follow == nil {
		return s.demandOK(first, StageRequest)
	}
	return x.follow(s, first)
}

// hideEcho drops a server's words where they repeat a pass phrase (a PAM module
// may). All of them: a gap would show where it stood. Shorter pass phrases would
// be found in every other word.
func hideEcho(err error, secrets ...secret.Secret) {
	var said *ServerError
	if !errors.As(err, &said) {
		return
	}
	words := strings.Join(said.Texts, "\n")
	for _, pass := range secrets {
		if len(pass) >= 4 && strings.Contains(words, string(pass)) {
			said.Texts = nil
		}
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
