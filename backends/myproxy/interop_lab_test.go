package myproxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// peers are this client and the C client at one server.
type peers struct {
	t *testing.T
	p *people
	m *lab.MyProxy
}

// c runs a C command that must succeed, and returns what it printed and, for
// "-o DIR/out", the credential that it wrote.
func (x *peers) c(as, stdin, line string) (string, *gsi.Credential) {
	x.t.Helper()
	dir := x.t.TempDir()
	for name, cred := range x.p.known {
		text, err := cred.PEM()
		must(x.t, err)
		must(x.t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	must(x.t, os.WriteFile(filepath.Join(dir, "stored.pem"), x.p.encrypted("alice", canary), 0o600))
	args := strings.Fields(strings.ReplaceAll(line, "DIR", dir))
	out, err := x.m.Command(dir, (*lab.Credential)(x.p.known[as]), stdin, args[0], args[1:]...)
	if err != nil {
		x.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	if !strings.Contains(line, "DIR/out") {
		return out, nil
	}
	cred, err := gsi.ParseCredential(readFile(x.t, filepath.Join(dir, "out")))
	must(x.t, err)
	must(x.t, cred.Verify(gsi.VerifyOptions{Now: time.Now()}))
	return out, cred
}

func (x *peers) logon(as string, req LogonRequest) *Delegation {
	x.t.Helper()
	got, err := logonAs(x.t.Context(), x.p.client(x.m, as), req)
	must(x.t, err)
	return got
}

func inspect(t *testing.T, cred *gsi.Credential) *gsi.Info {
	t.Helper()
	info, err := gsi.Inspect(cred.Chain)
	must(t, err)
	return info
}

// What one client leaves at a server, the other fetches, changes and destroys.
func TestInteroperation(t *testing.T) {
	lab.Require(t, lab.MyProxyServer, lab.MyProxyClient)
	x := &peers{t: t, p: newPeople(t), m: nil}
	x.m = lab.StartMyProxy(t, lab.MyProxyOptions{CA: x.p.ca})
	for name, test := range map[string]func(*testing.T, *peers){
		"C puts": theyPut, "we put": wePut, "C stores": theyStore, "we store": weStore,
		"we renew": weRenew, "C renews": theyRenew, "limited stays limited": staysLimited,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, &peers{t, x.p.copy(t), x.m})
		})
	}
}

func theyPut(t *testing.T, x *peers) {
	x.c("alice", passLine, "myproxy-init -S -l theirs -k one -K from_C -t 3")
	alice := x.p.client(x.m, "alice")
	info, err := alice.Info(t.Context(), InfoRequest{Username: "theirs"})
	must(t, err)
	if len(info.Credentials) != 1 || info.Credentials[0].Name != "one" || info.Credentials[0].Description != "from_C" {
		t.Errorf("got %+v", info.Credentials)
	}
	// myproxy-init puts from a proxy of its own.
	got := x.logon("", LogonRequest{Username: "theirs", Passphrase: []byte(canary), CredentialName: "one"})
	if got.Info.Depth != 3 {
		t.Errorf("%d levels", got.Info.Depth)
	}
	must(t, lives(got, 3*time.Hour))
	must(t, alice.ChangePassphrase(t.Context(), ChangeRequest{Username: "theirs", CredentialName: "one", Old: []byte(canary), New: []byte("by our client")}))
	x.c("", "by our client\n", "myproxy-logon -S -l theirs -k one -o DIR/out")
	must(t, alice.Destroy(t.Context(), DestroyRequest{Username: "theirs", CredentialName: "one"}))
	if _, err := infoNames(t.Context(), alice, "theirs"); err != errEmpty {
		t.Errorf("after its end: %v", err)
	}
}

func wePut(t *testing.T, x *peers) {
	c := x.p.client(x.m, "alice")
	put, err := c.Put(t.Context(), PutRequest{Username: "ours", Passphrase: []byte(canary), CredentialName: "one", Description: "from Go", Credential: x.p.known["alice-proxy"]})
	must(t, err)
	out, _ := x.c("alice", "", "myproxy-info -l ours")
	for _, want := range []string{"owner: " + put.Owner.OneLine, "name: one", "description: from Go"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	_, cred := x.c("", passLine, "myproxy-logon -S -l ours -k one -o DIR/out")
	if info := inspect(t, cred); info.Depth != 3 || info.Limited || info.Identity != put.Owner.OneLine {
		t.Errorf("got %+v", info)
	}
	x.c("alice", passLine+"by the C client\nby the C client\n", "myproxy-change-pass-phrase -S -l ours -k one")
	x.logon("", LogonRequest{Username: "ours", Passphrase: []byte("by the C client"), CredentialName: "one"})
	x.c("alice", "", "myproxy-destroy -l ours -k one")
	if _, err := infoNames(t.Context(), c, "ours"); err != errEmpty {
		t.Errorf("after its end: %v", err)
	}
}

func theyStore(t *testing.T, x *peers) {
	x.c("alice", "", "myproxy-store -l c-stored -x -E * -c DIR/usercert.pem -y DIR/stored.pem")
	got, err := x.p.client(x.m, "").Retrieve(t.Context(), RetrieveRequest{Username: "c-stored", Passphrase: []byte(canary), TrustRoots: true})
	must(t, err)
	if len(got.Certificates) != 1 || !got.Certificates[0].Equal(x.p.known["alice"].Leaf()) || len(got.TrustRoots) == 0 {
		t.Errorf("got %d certificates, %d trust roots", len(got.Certificates), len(got.TrustRoots))
	}
	if d := x.logon("", LogonRequest{Username: "c-stored", Passphrase: []byte(canary)}); d.Info.Depth != 1 {
		t.Errorf("%d levels", d.Info.Depth)
	}
}

// The key is in the form that this program writes, which is not that of the C
// tools.
func weStore(t *testing.T, x *peers) {
	text, err := x.p.known["alice"].EncryptedPEM([]byte(canary))
	must(t, err)
	_, err = x.p.client(x.m, "alice").Store(t.Context(), StoreRequest{Username: "go-stored", Passphrase: []byte(canary), Certificate: text, Key: text, Policy: Policy{KeyRetriever: "*"}})
	must(t, err)
	_, cred := x.c("", passLine, "myproxy-logon -S -l go-stored -o DIR/out")
	if info := inspect(t, cred); info.Depth != 1 || info.Identity != "/C=XX/O=X509CH Lab/CN=alice" {
		t.Errorf("got %+v", info)
	}
	x.c("", passLine, "myproxy-retrieve -S -l go-stored -c DIR/cert -y DIR/key")
}

func weRenew(t *testing.T, x *peers) {
	x.c("alice", "", "myproxy-init -n -l c-renew -x -R *")
	// The second renewal is that of what the first one gave.
	old := x.p.known["alice-proxy"]
	for range 2 {
		got := x.logon("scheduler", LogonRequest{Username: "c-renew", Renew: old})
		must(t, lives(got, 12*time.Hour))
		old = got.Credential
	}
}

func theyRenew(t *testing.T, x *peers) {
	_, err := x.p.client(x.m, "alice").Put(t.Context(), PutRequest{Username: "go-renew", NoPassphrase: true, Policy: Policy{Renewer: "*/CN=scheduler"}})
	must(t, err)
	_, cred := x.c("scheduler", "", "myproxy-logon -n -l go-renew -a DIR/alice-proxy -o DIR/out")
	if info := inspect(t, cred); info.Identity != "/C=XX/O=X509CH Lab/CN=alice" {
		t.Errorf("got %+v", info)
	}
}

func staysLimited(t *testing.T, x *peers) {
	c := x.p.client(x.m, "alice")
	_, err := c.Put(t.Context(), PutRequest{Username: "limited", Passphrase: []byte(canary), Limited: true})
	must(t, err)
	_, cred := x.c("", passLine, "myproxy-logon -S -l limited -o DIR/out")
	ours := x.logon("", LogonRequest{Username: "limited", Passphrase: []byte(canary)})
	if !inspect(t, cred).Limited || !ours.Info.Limited {
		t.Error("a full proxy came of a limited one")
	}
	// A limited proxy is asked for and got of a stored certificate; of a stored
	// full proxy the server makes full ones, and that is said.
	text := x.p.encrypted("alice", canary)
	_, err = c.Store(t.Context(), StoreRequest{Username: "eec", Passphrase: []byte(canary), Certificate: text, Key: text})
	must(t, err)
	_, err = c.Put(t.Context(), PutRequest{Username: "full", Passphrase: []byte(canary)})
	must(t, err)
	for user, ok := range map[string]bool{"eec": true, "full": false} {
		got, err := x.p.client(x.m, "").GetDelegation(t.Context(), DelegationRequest{
			LogonRequest: LogonRequest{Username: user, Passphrase: []byte(canary)}, KeyKind: gsi.KeyP256, Limited: true})
		if ok != (err == nil) || ok && !got.Info.Limited || !ok && !strings.Contains(err.Error(), "full proxy") {
			t.Errorf("%s: got %v", user, err)
		}
	}
}

// A client certificate that the server refuses, TLS 1.2 and 1.3, and a real
// anonymous retry.
func TestRealAnonymousRetry(t *testing.T) {
	lab.Require(t, lab.MyProxyServer)
	p := newPeople(t)
	m := lab.StartMyProxy(t, lab.MyProxyOptions{CA: p.ca})
	_, err := p.client(m, "alice").Put(t.Context(), PutRequest{Username: "alice", Passphrase: []byte(canary)})
	must(t, err)
	before := m.Connections()
	got, err := logonAs(t.Context(), p.client(m, "old"), LogonRequest{Username: "alice", Passphrase: []byte(canary), AnonymousRetry: true})
	must(t, err)
	if got.Anonymous == nil || !strings.Contains(got.Anonymous.Error(), "expired certificate") || m.Connections()-before != 2 {
		t.Errorf("got %v after %d connections", got.Anonymous, m.Connections()-before)
	}
}
