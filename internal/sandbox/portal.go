package sandbox

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// The paths of a Master Portal: its contexts' names are fixed in its program.
const (
	portalContext       = "/mp-oa2-server"
	portalClientContext = "/mp-oa2-client"
	// delegationContext stands for the Delegation Server with its consent page
	// and for the identity provider, which are other hosts in the real world.
	delegationContext = "/delegation"
)

// The lifetimes of the measured portal, its defaults.
const (
	portalTokenLife   = 15 * time.Minute    // of access tokens, of its own CA token, and of an attempt to log in
	portalRefreshLife = 15 * 24 * time.Hour // of refresh tokens
	portalLongLife    = 11 * 24 * time.Hour // of the long-lived proxy in its MyProxy, max_proxy_lifetime
	portalTolerance   = 24 * time.Hour
	portalDefaultLife = 12 * time.Hour
	portalEECLife     = 14 * 24 * time.Hour
)

// PortalOptions says what Master Portal to start. The zero value is the
// measured one, version 0.2.4, without clients and users.
type PortalOptions struct {
	// Listen is the address to listen on, a loopback one; "" is a free port of
	// 127.0.0.1.
	Listen string
	// Legacy is a portal of version 0.1.x: expires_in is the refresh token's
	// life, errors are plain text, no getproxy_endpoint in the discovery, no
	// info, no revocation, no scopes of clients, https redirects only.
	Legacy bool
	// V020 is a portal of version 0.2.0: its getproxy knows no info, shows all
	// errors as pages, and answers 500 where a login is needed.
	V020 bool
	// ConfiguredIssuer is a portal whose administrator set the issuer to its
	// base URL. Without it the issuer is the base URL without its port, so that
	// it is not where the discovery document was found.
	ConfiguredIssuer bool
	// NoRefreshTokens is a portal that has refresh tokens switched off.
	NoRefreshTokens bool
	// NoConsent logs in the first user without showing a page.
	NoConsent bool
	// AutoApprove approves a client as soon as it has filled in the form.
	AutoApprove bool
	Clients     []PortalClient
	Users       []PortalUser
}

// PortalUser is somebody who can log in at the identity provider.
type PortalUser struct {
	Subject    string // sub, and the name in the portal's MyProxy
	Name       string
	Email      string
	CommonName string // the last part of the DN; "" is Name
	IdP        string // entityID; "" is that of the sandbox
	IdPName    string
	// NoDN releases no cert_subject_dn.
	NoDN bool
}

// Portal is a Master Portal: an OpenID Connect provider with /getproxy.
type Portal struct {
	s       *Sandbox
	opts    PortalOptions
	address string
	signKey *rsa.PrivateKey

	mu       sync.Mutex // held while a request is answered, but not while the answer is sent
	server   *http.Server
	clients  map[string]*PortalClient
	users    []PortalUser
	attempts map[string]*portalSession // by the cookie
	codes    map[string]*portalSession
	access   map[string]*portalSession
	refresh  map[string]*portalSession
	stored   map[string]*gsi.Credential // the portal's MyProxy, by subject
	calls    []PortalCall
	faults   PortalFaults
	next     []PortalFaults
}

// StartPortal starts a Master Portal whose users get certificates of the
// sandbox's CA. It runs until Stop or until the sandbox ends.
func (s *Sandbox) StartPortal(o PortalOptions) (*Portal, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(o.Listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("the sandbox listens on loopback addresses only, not on %q: use 127.0.0.1:PORT", o.Listen)
	}
	p := &Portal{
		s: s, opts: o, address: o.Listen,
		clients:  map[string]*PortalClient{},
		attempts: map[string]*portalSession{}, codes: map[string]*portalSession{},
		access: map[string]*portalSession{}, refresh: map[string]*portalSession{},
		stored: map[string]*gsi.Credential{},
	}
	for _, name := range []string{keyPortal, keyUser, keyProxy, keyIssued} {
		s.keys.start(name)
	}
	if p.signKey, err = s.keys.get(s.ctx, keyPortal); err != nil {
		return nil, err
	}
	for _, c := range o.Clients {
		p.AddClient(c)
	}
	for _, u := range o.Users {
		p.AddUser(u)
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// Start starts a portal that was stopped, at its old address and with all it
// knew: that is how the real one comes back from a restart.
func (p *Portal) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		return nil
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(p.s.ctx, "tcp", p.address)
	if err != nil {
		return fmt.Errorf("start the sandbox's portal: %w", err)
	}
	if _, port, _ := net.SplitHostPort(p.address); port == "0" {
		p.address = listener.Addr().String() // before anybody asks for it
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // as the measured Tomcat
	server := &http.Server{
		Protocols:         protocols,
		Handler:           p,
		ReadHeaderTimeout: timeout,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that do not trust the certificate are no news
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, Time: p.s.now, GetCertificate: p.certificate},
		BaseContext:       func(net.Listener) context.Context { return p.s.ctx },
	}
	p.server = server
	p.s.spawn(func() error {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	p.s.spawn(func() error {
		<-p.s.ctx.Done()
		return server.Close()
	})
	return nil
}

// Stop ends listening and every conversation. What the portal knows stays.
func (p *Portal) Stop() {
	p.mu.Lock()
	server := p.server
	p.server = nil
	p.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

func (p *Portal) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	host := p.s.hostTLS
	return &host, nil
}

// URL is the portal's base URL, "https://localhost:PORT/mp-oa2-server".
func (p *Portal) URL() string { return p.origin() + portalContext }

func (p *Portal) origin() string { return "https://localhost:" + p.port() }

func (p *Portal) port() string {
	_, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return ""
	}
	return port
}

// Issuer is the iss of the portal's id_tokens.
func (p *Portal) Issuer() string {
	if p.opts.ConfiguredIssuer {
		return p.URL()
	}
	return strings.Replace(p.URL(), ":"+p.port(), "", 1)
}

// Roots are the CAs of the portal's TLS certificate: the sandbox's.
func (p *Portal) Roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(p.s.ca.cert)
	return roots
}

// AddUser lets somebody log in. The first user is the one that the browser
// chooses unless told otherwise. A user of a known subject is replaced: what
// changes then is what the identity provider says at the next login.
func (p *Portal) AddUser(u PortalUser) {
	if u.CommonName == "" {
		u.CommonName = u.Name
	}
	if u.IdP == "" {
		u.IdP, u.IdPName = "https://idp.sandbox.invalid/shibboleth", "Sandbox IdP"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.users {
		if p.users[i].Subject == u.Subject {
			p.users[i] = u
			return
		}
	}
	p.users = append(p.users, u)
}

// Forget drops what the portal's MyProxy has of a user.
func (p *Portal) Forget(subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.stored, subject)
}

func (p *Portal) user(subject string) (PortalUser, bool) {
	for _, u := range p.users {
		if u.Subject == subject || subject == "" {
			return u, true
		}
	}
	return PortalUser{}, false
}
