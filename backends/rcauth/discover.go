package rcauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// discoveryPath is below the portal's own path (OpenID Connect Discovery 1.0
// section 4); the host's root does not have it (measured).
const discoveryPath = "/.well-known/openid-configuration"

// The contracts of portals.
const (
	// Version02 is 0.2.0 and newer: the discovery document names getproxy.
	Version02 = "0.2"
	// Version01 is everything before, whether it has a discovery document or
	// not: no Revoke, and expires_in is the refresh token's.
	Version01 = "0.1"
)

// Provider is what a portal says of itself. All addresses are https and on the
// portal's own host.
type Provider struct {
	Authorization string // for the browser
	Token         string
	UserInfo      string
	GetProxy      string
	Revoke        string // "" where there is none; never advertised, it is there since 0.2.0
	Register      string // for the browser
	JWKS          string
	// Issuer is what an id_token must name; "" where nothing says it, which
	// makes it Client.Portal with or without its port.
	Issuer  string
	Version string // Version02 or Version01
}

// Discover asks the portal for its endpoints, once for each Client: a good
// answer is remembered. A portal without a discovery document gets the fixed
// paths that all portals have, if its keys are there; else there is no portal.
// An endpoint that is not https or not on the portal's host is an *AnswerError,
// since all of them are told the secret; so is an issuer that is neither Portal,
// nor Portal without its port, nor Client.Issuer.
func (c *Client) Discover(ctx context.Context) (*Provider, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	known := c.provider
	c.mu.Unlock()
	if known != nil {
		p := *known
		return &p, nil
	}
	got, err := c.get(ctx, opDiscovery, base.String()+discoveryPath)
	if err != nil {
		return nil, err
	}
	var p *Provider
	switch {
	case got.status == http.StatusNotFound:
		p = fixed(base)
		if _, err := c.signingKeys(ctx, p); errors.As(err, new(*TransportError)) {
			return nil, err
		} else if err != nil { // any web server has pages that are not there
			return nil, c.refusal(opDiscovery, got)
		}
	case got.status != http.StatusOK:
		return nil, c.refusal(opDiscovery, got)
	default:
		if p, err = parseDiscovery(got.body, base, c.Issuer); err != nil {
			return nil, err
		}
	}
	if c.Issuer != "" {
		p.Issuer = c.Issuer
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.provider = p
	kept := *p
	return &kept, nil
}

// fixed are the paths of a portal of before 0.2.0, the same in every version.
func fixed(base *url.URL) *Provider {
	at := base.String()
	return &Provider{
		Authorization: at + "/authorize", Token: at + "/token", UserInfo: at + "/userinfo",
		GetProxy: at + "/getproxy", Register: at + "/register", JWKS: at + "/certs",
		Version: Version01,
	}
}

// parseDiscovery reads a discovery document. issuer is the configured one.
func parseDiscovery(body []byte, base *url.URL, issuer string) (*Provider, error) {
	var doc struct {
		Issuer        string `json:"issuer"`
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
		UserInfo      string `json:"userinfo_endpoint"`
		GetProxy      string `json:"getproxy_endpoint"`
		Registration  string `json:"registration_endpoint"`
		JWKS          string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, &AnswerError{Op: opDiscovery, Reason: "is not the JSON of a discovery document: is this the URL of a Master Portal?"}
	}
	p := fixed(base)
	if doc.GetProxy != "" {
		p.Version, p.Revoke = Version02, base.String()+"/revoke"
	}
	for _, e := range []struct {
		name, value string
		to          *string
	}{
		{"authorization_endpoint", doc.Authorization, &p.Authorization},
		{"token_endpoint", doc.Token, &p.Token},
		{"userinfo_endpoint", doc.UserInfo, &p.UserInfo},
		{"getproxy_endpoint", doc.GetProxy, &p.GetProxy},
		{"registration_endpoint", doc.Registration, &p.Register},
		{"jwks_uri", doc.JWKS, &p.JWKS},
	} {
		if e.value == "" {
			continue // the fixed path stands
		}
		u, err := url.Parse(e.value)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || !sameHost(u, hostPort(base)) {
			return nil, &AnswerError{Op: opDiscovery, Reason: "has an address as " + e.name + " that is not https on the portal's own host"}
		}
		*e.to = u.String()
	}
	if issuer == "" && doc.Issuer != "" && !knownIssuer(doc.Issuer, base) {
		return nil, &AnswerError{Op: opDiscovery, Reason: "names the issuer " + quoted(doc.Issuer) + ", which is not this portal: if that is right, configure it as the issuer"}
	}
	p.Issuer = doc.Issuer
	return p, nil
}

// knownIssuer is the portal's URL. A portal whose issuer is not configured makes
// it up from the request without the port (measured: 0.2.4).
func knownIssuer(issuer string, base *url.URL) bool {
	withoutPort := *base
	withoutPort.Host = strings.TrimSuffix(base.Host, ":"+base.Port())
	return issuer == base.String() || issuer == withoutPort.String()
}
