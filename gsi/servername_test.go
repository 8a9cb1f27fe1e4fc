package gsi

import (
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func TestVerifyServerName(t *testing.T) {
	root := newCA(t, "Root", nil)
	host := func(cn string, names ...string) *x509.Certificate {
		return newEEC(t, root, cn, func(c *x509.Certificate) {
			for _, name := range names {
				switch ip := net.ParseIP(name); {
				case ip != nil:
					c.IPAddresses = append(c.IPAddresses, ip)
				case strings.Contains(name, "@"):
					c.EmailAddresses = append(c.EmailAddresses, name)
				default:
					c.DNSNames = append(c.DNSNames, name)
				}
			}
		}).Leaf()
	}
	unreadable := &x509.Certificate{RawSubject: append([]byte{0x30, 29 + 12}, []byte(
		"\x31\x16\x30\x14\x06\x03\x55\x04\x03\x0c\x0da.example.org"+"\x31\x0f\x30\x0d\x06\x03\x55\x04\x03\x0c\x06host/\xff")...)}
	const dn = "/C=XX/O=Lab/CN=host/a.example.org"
	for _, tt := range []struct {
		why      string
		cert     *x509.Certificate
		host, dn string
		ok       bool
	}{
		{"SAN", host("x", "a.example.org"), "a.example.org", "", true},
		{"SAN, other case and final dot", host("x", "a.example.org"), "A.Example.ORG.", "", true},
		{"SAN of another", host("x", "b.example.org"), "a.example.org", "", false},
		{"CN counts for nothing beside a SAN", host("a.example.org", "b.example.org"), "a.example.org", "", false},
		{"CN counts beside an e-mail address", host("a.example.org", "root@example.org"), "a.example.org", "", true},
		{"wildcard for one label", host("x", "*.example.org"), "a.example.org", "", true},
		{"wildcard not for two", host("x", "*.example.org"), "a.b.example.org", "", false},
		{"wildcard not for none", host("x", "*.example.org"), "example.org", "", false},
		{"no wildcards in a CN", host("*.example.org"), "a.example.org", "", false},
		{"IP address", host("x", "127.0.0.1"), "127.0.0.1", "", true},
		{"IPv6 address in brackets", host("x", "::1"), "[::1]", "", true},
		{"IP address is no host name", host("x", "127.0.0.1"), "localhost", "", false},
		{"CN", host("a.example.org"), "a.example.org", "", true},
		{"CN host/", host("host/a.example.org"), "a.example.org", "", true},
		{"CN myproxy/", host("myproxy/a.example.org"), "a.example.org", "", true},
		{"CN of another service", host("ldap/a.example.org"), "a.example.org", "", false},
		{"CN of a person", host("Jane"), "a.example.org", "", false},
		{"CN in other case", host("host/A.Example.ORG"), "a.example.org", "", true},
		{"CN with a letter that folds to another", host("host/k.\u017fite.org"), "k.site.org", "", false},
		{"CN with a Kelvin sign", host("\u212a.site.org"), "k.site.org", "", false},
		{"last CN is no text", unreadable, "a.example.org", "", false},
		{"no host asked for", host("x", "a.example.org"), "", "", false},
		{"DN instead of host", host("host/a.example.org"), "elsewhere", dn, true},
		{"DN as OpenSSL 3 prints it", host("host/a.example.org"), "elsewhere", strings.Replace(dn, "host/", `host\/`, 1), true},
		{"DN in RFC 2253", host("host/a.example.org"), "elsewhere", "CN=host/a.example.org, O=Lab, C=XX", true},
		{"a right host does not help a wrong DN", host("host/a.example.org"), "a.example.org", dn + "x", false},
	} {
		err := VerifyServerName(tt.cert, tt.host, tt.dn)
		var ne *NameError
		switch {
		case tt.ok && err != nil:
			t.Errorf("%s: %v", tt.why, err)
		case !tt.ok && !errors.As(err, &ne):
			t.Errorf("%s: got %v, want a NameError", tt.why, err)
		case !tt.ok && !strings.Contains(err.Error(), ne.DN):
			t.Errorf("%s: the text does not say who it is: %v", tt.why, err)
		}
	}
}

// TestVerifyServer: name, then trust; proxies in front are peeled off.
func TestVerifyServer(t *testing.T) {
	f := newTrust(t)
	dir := f.open(t)
	server := newEEC(t, f.sub, "host/a.example.org")
	verify := func(chain []*x509.Certificate, host, dn string) error {
		return dir.VerifyServer(chain, host, dn, testTime, TrustOptions{})
	}
	onProxy := derive(t, server, IssueOptions{})
	for name, err := range map[string]error{
		"host":                         verify(server.Chain, "a.example.org", ""),
		"DN":                           verify(server.Chain, "10.0.0.1", "/C=XX/O=Lab/CN=host/a.example.org"),
		"with the root, as MyProxy is": verify(append(server.Chain[:1:1], f.root.cert), "a.example.org", ""),
		"server on a proxy":            verify(onProxy.Chain, "a.example.org", ""),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var ne *NameError
	if err := verify(server.Chain, "b.example.org", ""); !errors.As(err, &ne) || ne.Names[0] != "host/a.example.org" {
		t.Errorf("another host: %v", err)
	}
	wantTrust(t, verify(legacy(t, server, "proxy").Chain, "a.example.org", ""), TrustBadCertificate, "")
	// The TLS key is the first certificate's: whose it is must be proven.
	thief := derive(t, newEEC(t, newCA(t, "Sub CA", nil), "host/a.example.org"), IssueOptions{})
	wantTrust(t, verify([]*x509.Certificate{thief.Leaf(), server.Leaf()}, "a.example.org", ""), TrustSignature, "")
	wantTrust(t, verify(thief.Chain, "a.example.org", ""), TrustSignature, f.name(t, f.sub, ".0"))
	late := dir.VerifyServer(onProxy.Chain, "a.example.org", "", testTime.Add(13*time.Hour), TrustOptions{})
	wantTrust(t, late, TrustExpired, "")
}

// TestSelfSignedServer: a self-signed certificate is trusted only where it
// lies in the directory itself.
func TestSelfSignedServer(t *testing.T) {
	f := newTrust(t)
	key := newECKey(t)
	self := &authority{issue(t, nil, key, &x509.Certificate{RawSubject: labName("host/a.example.org")}), key}
	chain := []*x509.Certificate{self.cert}
	err := f.open(t).VerifyServer(chain, "a.example.org", "", testTime, TrustOptions{})
	wantTrust(t, err, TrustUnknownIssuer, f.dir)
	other := issue(t, nil, newECKey(t), &x509.Certificate{RawSubject: labName("host/a.example.org")})
	f.add(t, self, ".0", pemOf(other))
	err = f.open(t).VerifyServer(chain, "a.example.org", "", testTime, TrustOptions{})
	wantTrust(t, err, TrustSignature, f.name(t, self, ".0"))
	f.add(t, self, ".1", pemOf(self.cert))
	if err := f.open(t).VerifyServer(chain, "a.example.org", "", testTime, TrustOptions{}); err != nil {
		t.Error(err)
	}
}

// TestNameConstraintsAndCN: constraints on host names are about alternative
// names; a CA that is bound by them must not get round them with a CN.
func TestNameConstraintsAndCN(t *testing.T) {
	f := newTrust(t)
	bound := newCA(t, "Bound CA", f.root, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.org"}
	})
	f.add(t, bound, ".0", pemOf(bound.cert))
	f.policy(t, bound, "/C=XX/O=Lab/*")
	dir := f.open(t)
	verify := func(cn, host, dn string, names ...string) error {
		server := newEEC(t, bound, cn, func(c *x509.Certificate) { c.DNSNames = names })
		return dir.VerifyServer(server.Chain, host, dn, testTime, TrustOptions{})
	}
	if err := verify("x", "a.example.org", "", "a.example.org"); err != nil {
		t.Errorf("a name inside the constraints: %v", err)
	}
	wantTrust(t, verify("x", "a.example.com", "", "a.example.com"), TrustBadCertificate, "")
	wantTrust(t, verify("host/a.example.com", "a.example.com", ""), TrustBadCertificate, "")
	if err := verify("host/a.example.com", "a.example.com", "/C=XX/O=Lab/CN=host/a.example.com"); err != nil {
		t.Errorf("a DN that was asked for needs no host name: %v", err)
	}
	user := newEEC(t, bound, "Jane")
	if err := dir.Verify(user.Chain, testTime, TrustOptions{}); err != nil {
		t.Errorf("a person below such a CA: %v", err)
	}
}

// The names are those of a server that nobody trusts: a terminal must not obey
// them, and there may be many.
func TestNameErrorText(t *testing.T) {
	names := []string{"a\x1b[31m\u202e\u009bb", "second.example.org"}
	for range 100 {
		names = append(names, "host.example.org")
	}
	text := (&NameError{Host: "localhost", Names: names, DN: "/CN=x"}).Error()
	if strings.ContainsAny(text, "\x1b\u202e\u009b") || !strings.Contains(text, `a\x1b[31m`) || !strings.Contains(text, "second.example.org") || len(text) > 400 {
		t.Errorf("got %q", text)
	}
}
