package sandbox

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// Mode is what kind of MyProxy server it is.
type Mode string

// The modes.
const (
	Repository Mode = "repository" // signs proxies below stored credentials
	CA         Mode = "ca"         // an online CA: signs end-entity certificates
)

// Options says what to start. Only Dir is needed.
type Options struct {
	// Dir is where everything is written; made with mode 0700 if it is not
	// there. It must be empty, or be left by a sandbox: Start rewrites what is
	// in it. Close leaves it to its owner.
	Dir string
	// Listen is the address to listen on, a loopback one; "" is a free port of
	// 127.0.0.1.
	Listen string
	Mode   Mode // "" is Repository
	// MinTLS and MaxTLS are versions as of crypto/tls; 0 is 1.2 and 1.3.
	MinTLS, MaxTLS uint16
	// Clock is the time at which everything here happens; nil is time.Now.
	Clock func() time.Time
	// MaxLifetime is max_proxy_lifetime or max_cert_lifetime; 0 is none, or 12
	// hours in CA mode.
	MaxLifetime time.Duration
	// Retrievers are patterns of the DNs that may GET ("*" stands for any
	// text); nil lets everybody, anonymous clients included. It is a short form
	// of Policies, and nobody renews or retrieves keys then.
	Retrievers []string
	// Policies say who may do what; nil is OpenPolicies, or in CA mode that
	// everybody may GET, and nothing else.
	Policies *Policies
	// TrustedCAs are further certificates of roots that the server trusts: it
	// accepts their users as clients and what they store, and sends them among
	// its trust roots, each with a signing policy that allows everything.
	TrustedCAs []*x509.Certificate
	// NoTrustRoots leaves TRUSTED_CERTS=1 unanswered, as a server without
	// cert_dir.
	NoTrustRoots bool
	// MinKeyBits is the least size of an RSA key in CA mode.
	MinKeyBits int
	// PAMText is the refusal of a wrong pass phrase in CA mode; "" is that of a
	// failed pam_exec. Real PAM stacks say "Authentication failure".
	PAMText string
	VOMS    VOMSMode
	// VOs are the VOs that every user is a member of, and the FQANs there:
	// groups and roles, "/vo" first.
	VOs  map[string][]string
	Host Host
	// Keys are shared between sandboxes; nil makes new ones.
	Keys *Keys
}

func newSandbox(o Options) (*Sandbox, error) {
	if o.Dir == "" {
		return nil, errors.New("the sandbox needs a directory (Options.Dir)")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(o.Listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("the sandbox listens on loopback addresses only, not on %q: use 127.0.0.1:PORT", o.Listen)
	}
	if o.Mode == "" {
		o.Mode = Repository
	}
	if o.Mode != Repository && o.Mode != CA {
		return nil, fmt.Errorf("the sandbox has no mode %q", o.Mode)
	}
	if o.MinTLS == 0 {
		o.MinTLS = tls.VersionTLS12
	}
	if o.MaxTLS == 0 {
		o.MaxTLS = tls.VersionTLS13
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.PAMText == "" {
		o.PAMText = "PAM authentication failed: System error"
	}
	if o.Keys == nil {
		o.Keys = NewKeys()
	}
	return &Sandbox{
		opts: o, keys: o.Keys, policies: o.policies(),
		trustDir: filepath.Join(o.Dir, "certificates"),
		open:     map[net.Conn]bool{},
		accounts: map[string]*account{},
		store:    map[string]*credential{},
		requests: map[int]int{},
	}, nil
}
