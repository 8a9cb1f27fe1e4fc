package myproxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// storeRows are about myproxy-store and myproxy-retrieve.
var storeRows = []row{
	{name: "store", as: "alice", theirs: "myproxy-store -l stored -c DIR/usercert.pem -y DIR/stored.pem", ours: wantStore("stored", "alice", Policy{})},
	{name: "store, with key retrievers", as: "alice", theirs: "myproxy-store -l keyed -x -E * -c DIR/usercert.pem -y DIR/stored.pem", ours: wantStore("keyed", "alice", Policy{KeyRetriever: "*"})},
	{name: "store, other owner", as: "bob", theirs: "myproxy-store -l stored -c DIR/usercert.pem -y DIR/stored.pem", ours: wantStore("stored", "alice", Policy{}), fails: "not owned by", kind: KindDenied},
	{name: "store by somebody else", as: "bob", ours: wantStore("foreign", "alice", Policy{})},
	{name: "info of it: his who stored it", as: "bob", theirs: "myproxy-info -l foreign", ours: wantInfo("foreign", ""),
		before: func(p *people, m *lab.MyProxy) {
			_ = wantStore("foreign", "alice", Policy{})(p.t.Context(), p.client(m, "bob"), p)
		}},
	{name: "logon from a stored one", ours: wantLogon("stored", canary, "", 0, 12*time.Hour)},
	{name: "retrieve", ours: func(ctx context.Context, c *Client, p *people) error {
		got, err := c.Retrieve(ctx, RetrieveRequest{Username: "keyed", Passphrase: []byte(canary)})
		if err == nil && (len(got.Certificates) != 1 || !got.Certificates[0].Equal(p.known["alice"].Leaf())) {
			err = fmt.Errorf("got %d certificates", len(got.Certificates))
		}
		return err
	}},
	{name: "retrieve, wrong pass phrase", theirs: "myproxy-retrieve -S -l keyed -c DIR/c -y DIR/k", stdin: "wrong one\n", fails: "invalid credential passphrase", kind: KindAuthentication, ours: wantRetrieve("keyed", "wrong one")},
	{name: "retrieve, denied", theirs: "myproxy-retrieve -S -l stored -c DIR/c -y DIR/k", stdin: passLine, fails: "authorized_key_retrievers policy", kind: KindDenied, ours: wantRetrieve("stored", canary)},
	{name: "put, signed with ECDSA", as: "ec", ours: func(ctx context.Context, c *Client, p *people) error {
		got, err := c.Put(ctx, PutRequest{Username: "ec", Passphrase: []byte(canary)})
		if err == nil && len(got.Warnings) != 1 {
			err = fmt.Errorf("warnings %q", got.Warnings)
		}
		return err
	}},
	{name: "logon from it", theirs: "myproxy-logon -S -l ec -o DIR/out", stdin: passLine, ours: wantLogon("ec", canary, "", 0, 0), fails: "Unable to delegate", kind: KindRefused},
}

func wantStore(user, cred string, policy Policy) func(context.Context, *Client, *people) error {
	return func(ctx context.Context, c *Client, p *people) error {
		text := p.encrypted(cred, canary)
		_, err := c.Store(ctx, StoreRequest{Username: user, Passphrase: []byte(canary), Certificate: text, Key: text, Policy: policy})
		return err
	}
}

func wantRetrieve(user, pass string) func(context.Context, *Client, *people) error {
	return func(ctx context.Context, c *Client, _ *people) error {
		_, err := c.Retrieve(ctx, RetrieveRequest{Username: user, Passphrase: []byte(pass)})
		return err
	}
}

// renewRows are about retrieval without a pass phrase.
var renewRows = []row{
	{name: "put for renewers", as: "alice", theirs: "myproxy-init -n -l renew -x -R *", ours: wantOpen("renew", Policy{Renewer: "*"})},
	{name: "renewal", as: "scheduler", theirs: "myproxy-logon -n -l renew -a DIR/alice-proxy -o DIR/out", ours: wantRenewal("alice-proxy", 12*time.Hour)},
	{name: "renewal, by oneself", as: "alice", theirs: "myproxy-logon -n -l renew -a DIR/alice-proxy -o DIR/out", ours: wantRenewal("alice-proxy", 0), fails: "self-authz", kind: KindDenied},
	{name: "renewal, wrong subject", as: "scheduler", theirs: "myproxy-logon -n -l renew -a DIR/bob-proxy -o DIR/out", ours: wantRenewal("bob-proxy", 0), fails: "subject does not match", kind: KindAuthentication},
	{name: "renewal of what has no renewers", as: "scheduler", theirs: "myproxy-logon -n -l alice -a DIR/alice-proxy -o DIR/out", fails: "invalid credential passphrase", kind: KindAuthentication,
		ours: func(ctx context.Context, c *Client, p *people) error {
			_, err := logonAs(ctx, c, LogonRequest{Username: "alice", Renew: p.known["alice-proxy"]})
			return err
		}},
	{name: "put for trusted retrievers", as: "alice", theirs: "myproxy-init -n -l trusted -Z scheduler", ours: wantOpen("trusted", Policy{TrustedRetriever: "*/CN=scheduler"})},
	{name: "logon by a trusted retriever", as: "scheduler", theirs: "myproxy-logon -n -l trusted -o DIR/out", ours: wantLogon("trusted", "", "", 0, 12*time.Hour)},
	{name: "logon by another", as: "bob", theirs: "myproxy-logon -n -l trusted -o DIR/out", ours: wantLogon("trusted", "", "", 0, 0), fails: "no passphrase", kind: KindAuthentication},
	{name: "logon with a pass phrase that it does not have", theirs: "myproxy-logon -S -l trusted -o DIR/out", stdin: passLine, ours: wantLogon("trusted", canary, "", 0, 0), fails: "authentication failed", kind: KindAuthentication},
}

func wantOpen(user string, policy Policy) func(context.Context, *Client, *people) error {
	return func(ctx context.Context, c *Client, _ *people) error {
		_, err := c.Put(ctx, PutRequest{Username: user, NoPassphrase: true, Policy: policy})
		return err
	}
}

func wantRenewal(proxy string, granted time.Duration) func(context.Context, *Client, *people) error {
	return func(ctx context.Context, c *Client, p *people) error {
		got, err := logonAs(ctx, c, LogonRequest{Username: "renew", Renew: p.known[proxy]})
		if err != nil {
			return err
		}
		return lives(got, granted)
	}
}

// ownerRows are about myproxy-change-pass-phrase and myproxy-destroy.
var ownerRows = []row{
	{name: "change, wrong pass phrase", as: "alice", theirs: "myproxy-change-pass-phrase -S -l alice", stdin: "wrong one\nanother one\nanother one\n", ours: wantChange("wrong one", "another one"), fails: "invalid credential passphrase", kind: KindAuthentication},
	{name: "change, not the owner", as: "bob", theirs: "myproxy-change-pass-phrase -S -l alice", stdin: passLine + "another one\nanother one\n", ours: wantChange(canary, "another one"), fails: "does not own", kind: KindDenied},
	{name: "change, short", as: "alice", theirs: "myproxy-change-pass-phrase -S -l alice", stdin: passLine + "short\nshort\n", ours: wantChange(canary, "short"), fails: "shorter than", local: true},
	{name: "change", as: "alice", theirs: "myproxy-change-pass-phrase -S -l alice", stdin: passLine + "another one\nanother one\n", ours: wantChange(canary, "another one")},
	{name: "logon with the new one", theirs: "myproxy-logon -S -l alice -o DIR/out", stdin: "another one\n", ours: wantLogon("alice", "another one", "", 0, 12*time.Hour)},
	{name: "logon with the old one", theirs: "myproxy-logon -S -l alice -o DIR/out", stdin: passLine, ours: wantLogon("alice", canary, "", 0, 0), fails: "invalid credential passphrase", kind: KindAuthentication},
	{name: "destroy, not the owner", as: "bob", theirs: "myproxy-destroy -l alice", ours: wantDestroy(""), fails: "not owned by", kind: KindDenied},
	{name: "destroy, named", as: "alice", theirs: "myproxy-destroy -l alice -k second", ours: wantDestroy("second")},
	{name: "destroy", as: "alice-proxy", theirs: "myproxy-destroy -l alice", ours: wantDestroy("")},
	{name: "destroy again", as: "alice", theirs: "myproxy-destroy -l alice", ours: wantDestroy(""), fails: "do not exist"},
	{name: "info, what is left", as: "alice", theirs: "myproxy-info -l alice", ours: wantInfo("alice", "deep")},
}

func wantChange(from, to string) func(context.Context, *Client, *people) error {
	return func(ctx context.Context, c *Client, _ *people) error {
		return c.ChangePassphrase(ctx, ChangeRequest{Username: "alice", Old: []byte(from), New: []byte(to)})
	}
}

func wantDestroy(name string) func(context.Context, *Client, *people) error {
	return func(ctx context.Context, c *Client, _ *people) error {
		return c.Destroy(ctx, DestroyRequest{Username: "alice", CredentialName: name})
	}
}

// strictRows are about policies of the server itself.
var strictRows = []row{
	{name: "put", as: "alice", theirs: "myproxy-init -S -l alice", stdin: passLine, ours: putFor(0)},
	{name: "put, longer than the server takes", as: "long", theirs: "myproxy-init -S -l alice -c 500", stdin: passLine, ours: putFor(500 * time.Hour), fails: "exceeds maximum allowed by server (240 hours)", kind: KindRefused},
	{name: "logon by the portal: two hours", as: "scheduler", theirs: "myproxy-logon -S -l alice -t 24 -o DIR/out", stdin: passLine, ours: wantLogon("alice", canary, "", 24*time.Hour, 2*time.Hour)},
	{name: "logon by others", theirs: "myproxy-logon -S -l alice -o DIR/out", stdin: passLine, ours: wantLogon("alice", canary, "", 0, 0), fails: "authorized_retrievers policy", kind: KindDenied},
	{name: "logon, wrong pass phrase", as: "scheduler", theirs: "myproxy-logon -S -l alice -o DIR/out", stdin: "wrong one\n", ours: wantLogon("alice", "wrong one", "", 0, 0), fails: "invalid credential passphrase", kind: KindAuthentication},
}

func putFor(lifetime time.Duration) func(context.Context, *Client, *people) error {
	return func(ctx context.Context, c *Client, _ *people) error {
		_, err := c.Put(ctx, PutRequest{Username: "alice", Passphrase: []byte(canary), DelegationLifetime: lifetime})
		return err
	}
}

// caRows are about online CAs.
var caRows = []row{
	{name: "logon", theirs: "myproxy-logon -S -l alice -o DIR/out", stdin: passLine, ours: wantCertificate("alice", canary, gsi.KeyRSA3072)},
	{name: "logon, wrong password", theirs: "myproxy-logon -S -l alice -o DIR/out", stdin: "wrong one\n", ours: wantCertificate("alice", "wrong one", gsi.KeyRSA3072), fails: "invalid password", kind: KindAuthentication},
	{name: "logon, unknown user", theirs: "myproxy-logon -S -l mallory -o DIR/out", stdin: passLine, ours: wantCertificate("mallory", canary, gsi.KeyRSA3072), fails: "unknown username: mallory", kind: KindAuthentication},
	{name: "logon, no RSA", ours: wantCertificate("alice", canary, gsi.KeyP256), fails: "Certificate generation failure", kind: KindRefused},
	{name: "logon, short key", ours: wantCertificate("alice", canary, gsi.KeyRSA2048), fails: "Certificate generation failure", kind: KindRefused},
	{name: "info", as: "alice", theirs: "myproxy-info -l alice", ours: wantInfo("alice"), fails: errEmpty.Error()},
}

func wantCertificate(user, pass string, kind gsi.KeyType) func(context.Context, *Client, *people) error {
	return func(ctx context.Context, c *Client, _ *people) error {
		got, err := c.GetDelegation(ctx, DelegationRequest{KeyKind: kind, LogonRequest: LogonRequest{Username: user, Passphrase: []byte(pass), Lifetime: 24 * time.Hour}})
		if err != nil {
			return err
		}
		if got.Info.Type != gsi.TypeEEC {
			return fmt.Errorf("got %+v", got.Info)
		}
		return lives(got, 12*time.Hour)
	}
}

func TestRealPolicies(t *testing.T) {
	lab.Require(t, lab.MyProxyServer, lab.MyProxyClient)
	p := newPeople(t)
	strict := lab.MyProxyOptions{CA: p.ca, Mode: lab.Strict, Policy: map[string][]string{"authorized_retrievers": {"*/CN=scheduler"}}}
	ca := lab.MyProxyOptions{CA: p.ca, Mode: lab.OnlineCA, Users: map[string]string{"alice": canary}, Policy: map[string][]string{"min_keylen": {"3072"}}}
	for _, tc := range []struct {
		name    string
		options lab.MyProxyOptions
		rows    []row
	}{{"strict", strict, strictRows}, {"online CA", ca, caRows}} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tc.name+"/"+tls.VersionName(version), func(t *testing.T) {
				t.Parallel()
				o := tc.options
				o.TLSMin, o.TLSMax, o.Host = version, version, lab.HostMyProxyCN
				m := lab.StartMyProxy(t, o)
				for _, r := range tc.rows {
					t.Run(r.name, func(t *testing.T) { r.run(t, p, m, "") })
				}
			})
		}
		t.Run(tc.name+"/C client", func(t *testing.T) {
			t.Parallel()
			m := lab.StartMyProxy(t, tc.options)
			for _, r := range tc.rows {
				if r.name == "logon" && tc.name == "online CA" {
					r.theirs = "" // it makes keys of 2048 bits, and no option of it says otherwise
				}
				t.Run(r.name, func(t *testing.T) { r.runTheirs(t, p, m) })
			}
		})
	}
}
