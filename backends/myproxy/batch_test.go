package myproxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// A batchServer is one of the three set-ups of servers that a batch node may
// meet, with its user and the service that may renew for users.
type batchServer struct {
	name           string
	client         *Client
	connections    func() int
	alice, service *gsi.Credential
	// Files of a profile: a proxy of Alice's, the service's certificate and key.
	seed, cert, key string
}

func (s *batchServer) write(t *testing.T) *batchServer {
	t.Helper()
	dir := t.TempDir()
	proxy, err := s.alice.Derive(newKey(t), gsi.IssueOptions{Now: time.Now(), Lifetime: time.Hour})
	must(t, err)
	s.seed = file(t, dir, "seed", pemOf(t, proxy), 0o600)
	cert, key := certAndKey(t, s.service, "")
	s.cert, s.key = file(t, dir, "cert", cert, 0o644), file(t, dir, "key", key, 0o600)
	return s
}

// The three: only a service may renew; anybody may; and users with their own
// certificate, too.
const (
	serviceOnly = "service only"
	anybody     = "anybody"
	selfToo     = "self-authorization"
)

var batchServers = [...]string{serviceOnly, anybody, selfToo}

func realBatchServer(t *testing.T, name string, ca *lab.CA, alice, service *gsi.Credential) *batchServer {
	o := lab.MyProxyOptions{CA: ca, AllowSelfAuthorization: name == selfToo}
	if name == serviceOnly {
		o.Policy = map[string][]string{"authorized_renewers": {"*/CN=service"}}
	}
	m := lab.StartMyProxy(t, o)
	s := &batchServer{name: name, client: realClient(m), connections: m.Connections, alice: alice, service: service}
	return s.write(t)
}

func sandboxBatchServer(t *testing.T, name string, keys *sandbox.Keys) *batchServer {
	policies := sandbox.OpenPolicies()
	policies.AllowSelfAuthorization = name == selfToo
	if name == serviceOnly {
		policies.AuthorizedRenewers = []string{"*/CN=service"}
	}
	box, err := sandbox.Start(t.Context(), sandbox.Options{Dir: t.TempDir(), Keys: keys, Policies: policies})
	must(t, err)
	t.Cleanup(box.Close)
	for _, name := range []string{"Alice", "service"} {
		must(t, box.AddUser(sandbox.User{Name: name, Passphrase: canary}))
	}
	s := &batchServer{name: name, connections: box.Connections, alice: box.Credential("Alice", ""), service: box.Credential("service", "")}
	s.client = &Client{Hosts: []string{box.Addr()}, Trust: func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir(box.TrustDir()) }}
	return s.write(t)
}

// TestBatchTable: who may fetch a proxy without a pass phrase, by how the
// credential was stored (rows), how the profile asks (columns), and the server.
// The C client gave the same answers.
func TestBatchTable(t *testing.T) {
	t.Run("real", func(t *testing.T) {
		lab.Require(t, lab.MyProxyServer)
		ca := lab.NewCA(t, "X509CH Lab")
		alice, service := (*gsi.Credential)(ca.User("Alice")), (*gsi.Credential)(ca.User("service"))
		testBatchTable(t, func(name string) *batchServer { return realBatchServer(t, name, ca, alice, service) })
	})
	t.Run("sandbox", func(t *testing.T) {
		keys := sandbox.NewKeys()
		testBatchTable(t, func(name string) *batchServer { return sandboxBatchServer(t, name, keys) })
	})
}

func testBatchTable(t *testing.T, start func(name string) *batchServer) {
	var servers []*batchServer
	for _, name := range batchServers {
		servers = append(servers, start(name))
	}
	dn := func(c *gsi.Credential) string {
		info, err := gsi.Inspect(c.Chain)
		must(t, err)
		return info.Identity
	}
	columns := []struct {
		name     string
		settings func(s *batchServer) []any
	}{
		{"anonymous, renewal", func(s *batchServer) []any { return []any{keyAuth, "renewal", keySeed, s.seed} }},
		{"own proxy, renewal", func(s *batchServer) []any { return []any{keyAuth, "renewal", keySeed, s.seed, keyTLSIdentity, "proxy"} }},
		{"own proxy, trusted", func(s *batchServer) []any { return []any{keyAuth, "trusted", keySeed, s.seed, keyTLSIdentity, "proxy"} }},
		{"service, renewal", func(s *batchServer) []any {
			return []any{keyAuth, "renewal", keySeed, s.seed, keyTLSCert, s.cert, keyTLSKey, s.key}
		}},
		{"service, trusted", func(s *batchServer) []any { return []any{keyAuth, "trusted", keyTLSCert, s.cert, keyTLSKey, s.key} }},
	}
	const no, ok, own = "no no no", "ok ok ok", "no no ok"
	rows := []struct {
		name   string
		policy func(alice, service string) Policy
		want   [5]string // for each column what the three servers say
	}{
		{"anybody renews", func(_, _ string) Policy { return Policy{Renewer: "*"} }, [5]string{"no ok ok", "no self ok", no, ok, no}},
		{"the service renews", func(_, service string) Policy { return Policy{Renewer: service} }, [5]string{no, no, no, ok, no}},
		{"the user renews", func(alice, _ string) Policy { return Policy{Renewer: alice} }, [5]string{no, "no self ok", no, no, no}},
		{"the user is trusted", func(alice, _ string) Policy { return Policy{TrustedRetriever: alice} }, [5]string{no, own, own, no, no}},
		{"the service is trusted", func(_, service string) Policy { return Policy{TrustedRetriever: service} }, [5]string{no, no, no, ok, ok}},
	}
	for i, row := range rows {
		name := fmt.Sprint("row", i)
		for _, s := range servers {
			_, err := s.client.Put(t.Context(), PutRequest{Username: "alice", NoPassphrase: true, CredentialName: name,
				Credential: s.alice, Policy: row.policy(dn(s.alice), dn(s.service))})
			must(t, err)
		}
		for j, column := range columns {
			for k, want := range strings.Fields(row.want[j]) {
				s := servers[k]
				t.Run(strings.Join([]string{row.name, column.name, s.name}, ", "), func(t *testing.T) {
					settings := settingsOf(append(column.settings(s), keyServer, s.client.Hosts, keyUsername, "alice", keyCredName, name)...)
					before := s.connections()
					got, key, err := obtainBatch(t, s.client, settings)
					checkBatch(t, want, got, key, err)
					if n := s.connections() - before; n != 1 {
						t.Errorf("%d connections", n)
					}
				})
			}
		}
	}
}

// obtainBatch asks as the dispatcher does on a node without a keyring.
func obtainBatch(t *testing.T, c *Client, settings helper.Settings) (*helper.Result, *gsi.Credential, error) {
	t.Helper()
	key := newKey(t)
	req, _ := logon(t)
	s := spec(profile(settings), "", req)
	s.Secrets = noSecrets{}
	s.CSR = func(context.Context) ([]byte, error) { return gsi.NewRequest(key, false) }
	s.Trust = c.Trust
	got, err := New(Options{Getenv: env{}.get, SystemVOMSES: "/nonexistent"}).Obtain(t.Context(), s)
	if err != nil {
		return nil, nil, err
	}
	return got, &gsi.Credential{Chain: got.Chain, Key: key}, nil
}

func checkBatch(t *testing.T, want string, got *helper.Result, cred *gsi.Credential, err error) {
	t.Helper()
	if want == "ok" {
		must(t, err)
		must(t, cred.Verify(gsi.VerifyOptions{Now: time.Now()}))
		if len(got.Warnings) > 0 {
			t.Errorf("warnings: %+v", got.Warnings)
		}
		return
	}
	var e *helper.Error
	if !errors.As(err, &e) || e.Code != helper.CodeAuthorizationDenied || e.Hint == "" || e.Retryable {
		t.Fatalf("got %+v (%v), want a refusal", e, err)
	}
	if self := strings.Contains(e.Message, "self-authz"); self != (want == "self") || self && !strings.Contains(e.Hint, `tls_identity = "anonymous"`) {
		t.Errorf("got %q, hint %q", e.Message, e.Hint)
	}
}
