package sandbox

import (
	"crypto/tls"
	"strings"
	"testing"
)

// A credential's own policy shuts out whom the server would let in, and its
// absence leaves the word to the server's default. The same table runs against
// the real server where there is one; this one needs nothing but Go.
func TestOwnPolicy(t *testing.T) {
	s := start(t, Options{},
		User{Name: "alice", Retriever: "*/CN=bob"}, User{Name: "bob"},
		User{Name: "open", Retriever: "*"},
		User{Name: "renewed", Unencrypted: true, TrustedRetriever: "*/CN=bob"},
	)
	bob := s.Credential("bob", "")
	identity := &tls.Certificate{PrivateKey: bob.Key}
	for _, c := range bob.Chain {
		identity.Certificate = append(identity.Certificate, c.Raw)
	}
	for _, tc := range []struct {
		user, pass string
		identity   *tls.Certificate
		refusal    string // a part of it, "" where it is let in
	}{
		{"alice", goodPass, nil, "not authorized by credential's authorized_retrievers policy"},
		{"alice", goodPass, identity, ""},
		{"open", goodPass, nil, ""},
		{"bob", goodPass, nil, ""},
		{"renewed", "", identity, ""},
		{"renewed", "", nil, "authentication failed"},
	} {
		c := greeted(t, s, tls.VersionTLS13, tc.identity)
		c.send(ask(commandGet, tc.user, tc.pass, 0))
		got := string(c.record())
		if tc.refusal == "" && !strings.Contains(got, "RESPONSE=0") || !strings.Contains(got, tc.refusal) {
			t.Errorf("%s for %v: %q", tc.user, tc.identity != nil, got)
		}
	}
}
