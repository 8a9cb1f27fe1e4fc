package myproxy

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// Name is what profiles call this backend.
const Name = "myproxy"

// The secrets of this backend: the pass phrase on the server, and that of the
// file in tls_key.
const (
	KindPassphrase    = "passphrase"
	KindKeyPassphrase = "key_passphrase"
)

// The backend's own profile keys.
const (
	keyServer   = "server"          // "host", "host:port", "[v6]:port", or a list of them
	keyUsername = "username"        // default: LOGNAME, then the name of the uid
	keyCredName = "credential_name" // one of several stored credentials
	keyServerDN = "server_dn"       // in place of the host name check

	keyAuth        = "auth"         // how the server is to know the user
	keySeed        = "seed"         // a proxy to begin with
	keyTLSIdentity = "tls_identity" // who the client is in TLS
	keyTLSCert     = "tls_cert"     // in place of tls_identity, with
	keyTLSKey      = "tls_key"
	keyTrustRoots  = "trust_roots"  // whether to renew the directory of CAs
	keyMaxLifetime = "max_lifetime" // of later logons, for what is put or stored
)

// Options are the outside world of the backend. The zero value is this
// process's own.
type Options struct {
	Getenv func(string) string
	// Home is the user's home directory; default HOME.
	Home string
	// Username is the name of the uid; it is asked where neither the profile
	// nor LOGNAME says who the user is.
	Username func() (string, error)
	Clock    func() time.Time
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialTimeout and IOTimeout are those of Client.
	DialTimeout, IOTimeout time.Duration
	// SystemVOMSES is the site's vomses file or directory; default /etc/vomses.
	SystemVOMSES string
}

type backend struct{ opts Options }

// New returns the backend "myproxy". It does nothing by itself.
func New(opts Options) helper.Backend {
	if opts.Getenv == nil {
		opts.Getenv = os.Getenv
	}
	if opts.Username == nil {
		opts.Username = currentUsername
	}
	if opts.SystemVOMSES == "" {
		opts.SystemVOMSES = "/etc/vomses"
	}
	return &backend{opts: opts}
}

// Keys implements helper.Backend.
func (b *backend) Keys() []helper.Key {
	return []helper.Key{
		{Name: keyServer, Kind: helper.KindStrings},
		{Name: keyUsername, Kind: helper.KindString},
		{Name: keyCredName, Kind: helper.KindString},
		{Name: keyServerDN, Kind: helper.KindString},
		{Name: keyAuth, Kind: helper.KindString},
		{Name: keySeed, Kind: helper.KindPath},
		{Name: keyTLSIdentity, Kind: helper.KindString},
		{Name: keyTLSCert, Kind: helper.KindPath},
		{Name: keyTLSKey, Kind: helper.KindPath},
		{Name: keyTrustRoots, Kind: helper.KindString},
		{Name: keyMaxLifetime, Kind: helper.KindDuration},
	}
}

// settings are a profile completed by the environment.
type settings struct {
	hosts    []string
	username string
	credName string
	serverDN string

	auth, seed      string
	identity        string // one of the identity… below
	tlsCert, tlsKey string
	updateRoots     bool
}

// settings fills what the profile leaves out from the environment. It never
// lets the environment override a profile: that would send a pass phrase
// elsewhere.
func (b *backend) settings(p *helper.Profile) (*settings, error) {
	hosts, err := b.servers(p)
	if err != nil {
		return nil, err
	}
	s := &settings{hosts: hosts, credName: p.Settings.String(keyCredName), serverDN: p.Settings.String(keyServerDN)}
	if s.serverDN == "" {
		s.serverDN = b.opts.Getenv("MYPROXY_SERVER_DN")
	}
	if s.username, err = b.username(p); err != nil {
		return nil, err
	}
	if err := checkValue(fieldUsername, s.username); err != nil {
		return nil, notConfigured(p, "%w", err)
	}
	if err := checkValue(fieldCredentialName, s.credName); err != nil {
		return nil, notConfigured(p, "%w", err)
	}
	if err := s.setAuth(p); err != nil {
		return nil, err
	}
	return s, nil
}

// servers: those of the profile, else of MYPROXY_SERVER; a port that they do
// not give is that of MYPROXY_SERVER_PORT, else 7512. There is no server by
// default.
func (b *backend) servers(p *helper.Profile) ([]string, error) {
	port := b.opts.Getenv("MYPROXY_SERVER_PORT")
	switch {
	case port == "":
		port = DefaultPort
	case !isPort(port):
		return nil, notConfigured(p, "MYPROXY_SERVER_PORT is %q, which is no port", port)
	}
	list, from := p.Settings.Strings(keyServer), `the key "server"`
	if len(list) == 0 {
		list, from = []string{b.opts.Getenv("MYPROXY_SERVER")}, "MYPROXY_SERVER"
	}
	hosts, err := ParseServers(list, port)
	if err != nil {
		return nil, notConfigured(p, "%s cannot be used: %w", from, err)
	}
	if len(hosts) == 0 {
		return nil, notConfigured(p, "no MyProxy server is configured").
			WithHint("set server in the profile, or MYPROXY_SERVER")
	}
	return hosts, nil
}

func (b *backend) username(p *helper.Profile) (string, error) {
	name := p.Settings.String(keyUsername)
	if name == "" {
		name = b.opts.Getenv("LOGNAME")
	}
	if name == "" {
		name, _ = b.opts.Username()
	}
	if name == "" {
		return "", notConfigured(p, "the user name for the MyProxy server is not known").
			WithHint("set username in the profile")
	}
	return name, nil
}

func currentUsername() (string, error) {
	u, err := user.Current()
	if err != nil {
		return "", err
	}
	if runtime.GOOS == "windows" { // DOMAIN\name
		return u.Username[strings.LastIndexByte(u.Username, '\\')+1:], nil
	}
	return u.Username, nil
}

// Target implements helper.Backend. A pass phrase belongs to the list of
// servers it was stored for: a changed list asks for it again. So does another
// credential name: servers keep a pass phrase for each.
func (b *backend) Target(p *helper.Profile) (*helper.Target, error) {
	s, err := b.settings(p)
	if err != nil {
		return nil, err
	}
	endpoint := strings.Join(s.hosts, ",")
	t := &helper.Target{Endpoint: endpoint, Principal: s.username, CredentialName: s.credName}
	if s.auth == authPassphrase {
		account, who := "pass:v1:"+Name+":"+percentEncode(endpoint)+":"+percentEncode(s.username), fmt.Sprintf("%q", s.username)
		if s.credName != "" {
			account += ":" + percentEncode(s.credName)
			who += " (" + s.credName + ")"
		}
		t.Secrets = append(t.Secrets, helper.SecretRef{
			Kind:     KindPassphrase,
			Account:  account,
			Question: fmt.Sprintf("MyProxy pass phrase of %s at %s", who, showServers(s.hosts)),
			Check:    CheckPassphrase,
		})
	}
	if s.identity == identityFiles {
		t.Secrets = append(t.Secrets, helper.SecretRef{
			Kind:     KindKeyPassphrase,
			Account:  "keypass:v1:" + percentEncode(s.tlsKey),
			Question: fmt.Sprintf("Pass phrase of the private key in %q", s.tlsKey),
			Local:    true,
		})
	}
	return t, nil
}

// Obtain implements helper.Backend.
func (b *backend) Obtain(ctx context.Context, spec *helper.Spec) (*helper.Result, error) {
	s, err := b.settings(spec.Profile)
	if err != nil {
		return nil, err
	}
	req := LogonRequest{
		Username: s.username, CredentialName: s.credName,
		Lifetime: spec.Lifetime, Sending: spec.Sending, CSR: spec.CSR, TrustRoots: s.updateRoots,
	}
	for _, vo := range spec.VOMS {
		req.VOMS = append(req.VOMS, vo.String())
	}
	if req.VOMSES, err = b.vomses(spec); err != nil {
		return nil, err
	}
	a := &authentication{b: b, s: s, spec: spec}
	if err := a.prepare(ctx, &req); err != nil {
		return nil, err
	}
	if held := a.held(spec.Enough); held != nil {
		return held, nil
	}
	client := &Client{
		Hosts: s.hosts, ServerDN: s.serverDN, Identity: a.identity,
		Trust: spec.Trust, TrustOptions: spec.TrustOptions,
		DialTimeout: b.opts.DialTimeout, IOTimeout: b.opts.IOTimeout,
		Clock: b.opts.Clock, Dial: b.opts.Dial,
	}
	got, err := client.Logon(ctx, req)
	if err != nil {
		err := helper.AsError(asHelperError(ctx, spec.Profile, &req, err))
		if held := a.heldAfter(ctx, err); held != nil {
			return held, nil
		}
		return nil, err
	}
	result := &helper.Result{Chain: got.Chain, Server: got.Server, Warnings: a.warnings}
	for _, h := range got.Unanswered {
		result.Warnings = append(result.Warnings, helper.Warning{Code: "server_unavailable", Message: printable(h.Error())})
	}
	if s.updateRoots {
		result.Warnings = append(result.Warnings, updateRoots(ctx, spec, got.TrustRoots)...)
	}
	return result, nil
}

// vomses returns the profile's lines or, without them, those for the asked VOs
// from the usual files.
func (b *backend) vomses(spec *helper.Spec) ([]string, error) {
	if len(spec.VOMS) == 0 {
		return nil, nil
	}
	if len(spec.Profile.VOMSES) > 0 {
		var lines []string
		for _, line := range spec.Profile.VOMSES {
			fields, err := ParseVOMSES(line)
			if err != nil {
				return nil, notConfigured(spec.Profile, "the key \"vomses\" cannot be used: %w", err)
			}
			lines = append(lines, joinVOMSES(fields))
		}
		return lines, nil
	}
	vos := make([]string, len(spec.VOMS))
	for i, vo := range spec.VOMS {
		vos[i] = vo.VO
	}
	return findVOMSES(vos, b.vomsesPlaces()), nil
}

// vomsesPlaces are where VOMS clients look, the user's first.
func (b *backend) vomsesPlaces() []string {
	var places []string
	if conf := b.opts.Getenv("VOMS_USERCONF"); filepath.IsAbs(conf) { // nothing is read from the working directory
		places = append(places, conf)
	}
	home := b.opts.Home
	if home == "" {
		home = b.opts.Getenv("HOME")
	}
	if filepath.IsAbs(home) {
		places = append(places, filepath.Join(home, ".glite", "vomses"))
	}
	return append(places, b.opts.SystemVOMSES)
}
