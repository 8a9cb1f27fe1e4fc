package rcauth

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// The backend's own profile keys.
const (
	keyPortal        = "portal"         // "https://HOST/mp-oa2-server"
	keyClientID      = "client_id"      // from the registration
	keyScopes        = "scopes"         // default: DefaultScopes
	keyRedirectPorts = "redirect_ports" // of http://127.0.0.1:PORT/callback, all of them registered
	keyRedirectURI   = "redirect_uri"   // in place of redirect_ports
	keyIDPHint       = "idphint"        // entityID of the identity provider
	keyIssuer        = "issuer"         // of the id_tokens, where it is not the portal
	keyPKCE          = "pkce"           // default: true
	keyCAFile        = "ca_file"        // CAs of the portal's TLS certificate, in place of all others
)

// scopeProxy is what a proxy needs.
const scopeProxy = "edu.uiuc.ncsa.myproxy.getcert"

// maxCAFile bounds ca_file, in bytes.
const maxCAFile = 4 << 20

// settings are a profile that has been looked at.
type settings struct {
	portal, clientID string
	scopes           []string
	redirects        []string
	idphint, issuer  string
	pkce             bool
	caFile           string
}

func (b *Backend) settings(p *helper.Profile) (*settings, error) {
	s := &settings{
		portal:   strings.TrimRight(p.Settings.String(keyPortal), "/"),
		clientID: p.Settings.String(keyClientID),
		idphint:  p.Settings.String(keyIDPHint),
		issuer:   p.Settings.String(keyIssuer),
		caFile:   p.Settings.String(keyCAFile),
		pkce:     true,
	}
	if v, set := p.Settings[keyPKCE].(bool); set {
		s.pkce = v
	}
	switch {
	case s.portal == "":
		return nil, notConfigured(p, "no Master Portal is configured").
			WithHint("set portal = \"https://HOST/mp-oa2-server\" in the profile")
	case s.clientID == "":
		return nil, notConfigured(p, "the profile has no client_id").
			WithHint("register a client at %s/register, or ask for: x509-credential-helper login --print-registration %s", s.portal, p.Name)
	}
	for _, list := range p.Settings.Strings(keyScopes) {
		s.scopes = append(s.scopes, strings.Fields(list)...)
	}
	c := &Client{Portal: s.portal, ClientID: s.clientID, Scopes: s.scopes}
	if _, err := c.base(); err != nil {
		return nil, notConfigured(p, "%w", err)
	}
	if _, err := c.scopes(); err != nil {
		return nil, notConfigured(p, "%w", err)
	}
	if err := s.setRedirects(p); err != nil {
		return nil, err
	}
	return s, nil
}

// setRedirects: the addresses are what was registered, to the letter.
func (s *settings) setRedirects(p *helper.Profile) error {
	ports, uri := p.Settings.Ints(keyRedirectPorts), p.Settings.String(keyRedirectURI)
	if len(ports) > 0 && uri != "" {
		return notConfigured(p, "the profile has both %s and %s", keyRedirectPorts, keyRedirectURI).
			WithHint("keep the one that was registered")
	}
	for _, port := range ports {
		if port < 1 || port > 65535 {
			return notConfigured(p, "%s has %d, which is no port", keyRedirectPorts, port)
		}
		s.redirects = append(s.redirects, "http://127.0.0.1:"+strconv.Itoa(port)+"/callback")
	}
	if uri == "" {
		return nil
	}
	u, err := url.Parse(uri)
	if err != nil || checkRedirectURI(uri) != nil || u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u)) {
		return notConfigured(p, "%s is neither an https URL nor an http one of this machine", keyRedirectURI).
			WithHint("give the registered one, to the letter")
	}
	s.redirects = []string{uri}
	return nil
}

// needRedirects is for what cannot be done without.
func (s *settings) needRedirects() ([]string, error) {
	if len(s.redirects) == 0 {
		return nil, helper.Errorf(helper.CodeNotConfigured, "the profile does not say which redirect URIs are registered").
			WithHint("set redirect_ports = [8180, 8181, 8182] in the profile and register http://127.0.0.1:8180/callback and so on, or set redirect_uri")
	}
	return s.redirects, nil
}

// needProxies: a client may be good for logins alone.
func (s *settings) needProxies() error {
	if s.scopes == nil || slices.Contains(s.scopes, scopeProxy) {
		return nil
	}
	return helper.Errorf(helper.CodeNotConfigured, "the profile's scopes lack %s, without which the portal gives no proxy", scopeProxy).
		WithHint("add it to scopes, which has it by default, and log in anew")
}

func (s *settings) host() string {
	u, err := url.Parse(s.portal)
	if err != nil {
		return s.portal
	}
	return u.Host
}

// account names a keyring item. Escaped, no two pairs of portal and client have
// the same name.
func account(what string, s *settings) string {
	return fmt.Sprintf("%s:v1:%s:%s:%s", what, Name, url.QueryEscape(s.portal), url.QueryEscape(s.clientID))
}

// trustDir opens the directory of trust anchors of a profile.
func (b *Backend) trustDir(p *helper.Profile) func() (*gsi.TrustDir, error) {
	return func() (*gsi.TrustDir, error) {
		path, err := gsi.FindTrustDir(p.CADir, b.opts.Getenv)
		if err != nil {
			return nil, err
		}
		return gsi.OpenTrustDir(path)
	}
}

// client makes a client without a secret.
func (b *Backend) client(s *settings, trust func() (*gsi.TrustDir, error)) (*Client, error) {
	roots, err := s.roots(trust)
	if err != nil {
		return nil, err
	}
	c := &Client{
		Portal: s.portal, Issuer: s.issuer, ClientID: s.clientID, Scopes: s.scopes, PKCE: s.pkce,
		HTTP: b.opts.HTTP(roots), Clock: b.opts.Clock,
	}
	if len(s.redirects) > 0 {
		c.RedirectURI = s.redirects[0]
	}
	return c, nil
}

// roots are the CAs of the portal's own certificate. Portals have one of a
// public CA or one of the grid's. A directory that cannot be read is no error
// here: the system's CAs may do.
func (s *settings) roots(trust func() (*gsi.TrustDir, error)) (*x509.CertPool, error) {
	if s.caFile != "" {
		data, err := safefile.ReadTrusted(s.caFile, maxCAFile)
		pool := x509.NewCertPool()
		if err == nil && !pool.AppendCertsFromPEM(data) {
			err = fmt.Errorf("there is no certificate in it")
		}
		if err != nil {
			return nil, helper.Errorf(helper.CodeNotConfigured, "the profile's ca_file %s cannot be used: %w", s.caFile, err)
		}
		return pool, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if dir, err := trust(); err == nil {
		for _, ca := range dir.CAs() {
			pool.AddCert(ca)
		}
	}
	return pool, nil
}
