package gsi

import (
	"crypto/x509"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
)

// VerifyServerName checks that a server's end-entity certificate is for host,
// or, where serverDN is given, that its subject is that name (see MatchDN)
// whatever the host. It follows what Globus calls STRICT_RFC2818, Debian's
// default: with a dNSName or iPAddress among the alternative names only those
// count, "*" standing for the leftmost label; without one the last CN must be
// the host, host/HOST or myproxy/HOST. Errors are *NameError.
func VerifyServerName(leaf *x509.Certificate, host, serverDN string) error {
	if serverDN != "" {
		if MatchDN(leaf.RawSubject, serverDN) {
			return nil
		}
		return &NameError{Names: serverNames(leaf), DN: subjectText(leaf)}
	}
	refused := &NameError{Host: host, Names: serverNames(leaf), DN: subjectText(leaf)}
	host = strings.TrimSuffix(host, ".")
	if host == "" {
		return refused
	}
	if hasServerSAN(leaf) {
		if leaf.VerifyHostname(host) != nil {
			return refused
		}
		return nil
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	for _, prefix := range []string{"", "host/", "myproxy/"} {
		if equalFold(lastCN(leaf), prefix+bare) {
			return nil
		}
	}
	return refused
}

// equalFold ignores the case of ASCII letters alone: strings.EqualFold takes a
// Kelvin sign for a k.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	lower := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func hasServerSAN(c *x509.Certificate) bool { return len(c.DNSNames)+len(c.IPAddresses) > 0 }

// serverNames lists what a certificate is good for.
func serverNames(c *x509.Certificate) []string {
	if !hasServerSAN(c) {
		if cn := lastCN(c); cn != "" {
			return []string{cn}
		}
		return nil
	}
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// lastCN is the most specific CN (RFC 2818 section 3.1), "" where that is no
// text.
func lastCN(c *x509.Certificate) string {
	cns := dn.CNs(c.RawSubject)
	if len(cns) == 0 {
		return ""
	}
	return cns[len(cns)-1]
}
