package main

import (
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// TestNoWayAround: -b is for servers whose CA nobody here knows. What is known
// and speaks against a server is no reason for a connection that is not verified,
// whatever fingerprint was given.
func TestNoWayAround(t *testing.T) {
	for _, tc := range []struct {
		name   string
		host   sandbox.Host
		trust  sandbox.Trust
		reason string
	}{
		{"revoked", sandbox.HostRevoked, sandbox.Trust{}, "revoked"},
		{"CRL too old", sandbox.HostGood, sandbox.Trust{ExpiredCRL: true}, "CRL"},
		{"policy", sandbox.HostGood, sandbox.Trust{PolicyForbids: true}, "policy"},
		{"another host", sandbox.HostWrongName, sandbox.Trust{}, "other.example.org"},
		{"expired", sandbox.HostExpired, sandbox.Trust{}, "expired"},
		{"another host, nobody known", sandbox.HostWrongName, sandbox.Trust{NoCA: true}, "other.example.org"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, inMemory)
			w.asMyproxyUser()
			if err := w.server.SetTrust(tc.trust); err != nil {
				t.Fatal(err)
			}
			if err := w.server.SetHost(tc.host); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"logon", "trustroots"} {
				r := w.run(passphrase+"\n", "myproxy", command, "-b", "--fingerprint", fingerprint(w.server.CACertificate()))
				if r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, tc.reason) {
					t.Errorf("%s: %+v", command, r)
				}
			}
			if n := w.server.Requests(7) + w.server.Requests(0); n != 0 {
				t.Errorf("%d requests were sent to a server that is not to be trusted", n)
			}
		})
	}
}
