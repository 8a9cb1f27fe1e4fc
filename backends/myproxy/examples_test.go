package myproxy_test

import (
	"context"
	"fmt"
	"os"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// What the other examples use. The pass phrase comes from a terminal or a
// keyring.
var (
	ctx  = context.Background()
	pass []byte
	site = &myproxy.Client{
		Hosts: []string{"myproxy.example.org:7512"},
		Trust: func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir("/etc/grid-security/certificates") },
	}
)

// Delegate a proxy of the user's certificate to the server, for a week.
func ExampleClient_Put() {
	var err error
	site.Identity, err = myproxy.LoadIdentity("/home/jane/.globus/usercert.pem", "/home/jane/.globus/userkey.pem", nil)
	if err != nil {
		return
	}
	put, err := site.Put(ctx, myproxy.PutRequest{Username: "jane", Passphrase: pass})
	if err == nil {
		fmt.Println("only", put.Owner.OneLine, "can see or destroy it")
	}
}

// Store a certificate and its encrypted key, unless something is there.
func ExampleClient_Store() {
	cert, _ := os.ReadFile("/home/jane/.globus/usercert.pem")
	key, _ := os.ReadFile("/home/jane/.globus/userkey.pem")
	_, err := site.Store(ctx, myproxy.StoreRequest{Username: "jane", Passphrase: pass, Certificate: cert, Key: key, NoOverwrite: true})
	fmt.Println(err)
}

// Fetch what was stored, with its encrypted key.
func ExampleClient_Retrieve() {
	if got, err := site.Retrieve(ctx, myproxy.RetrieveRequest{Username: "jane", Passphrase: pass}); err == nil {
		_ = os.WriteFile("stored.pem", got.PEM, 0o600)
	}
}

// List what is stored. Nothing is no error.
func ExampleClient_Info() {
	got, err := site.Info(ctx, myproxy.InfoRequest{Username: "jane"})
	if err != nil {
		return
	}
	for _, c := range got.Credentials {
		fmt.Printf("%+q until %v\n", c.Name, c.End)
	}
}

func ExampleClient_ChangePassphrase() {
	var replacement []byte
	err := site.ChangePassphrase(ctx, myproxy.ChangeRequest{Username: "jane", Old: pass, New: replacement})
	fmt.Println(err)
}

func ExampleClient_Destroy() {
	err := site.Destroy(ctx, myproxy.DestroyRequest{Username: "jane", CredentialName: "second"})
	fmt.Println(err)
}

// Renew the CAs, policies and revocation lists that a directory has already.
func ExampleClient_GetTrustRoots() {
	got, err := site.GetTrustRoots(ctx, myproxy.TrustRootsRequest{})
	if err != nil {
		return
	}
	done, err := myproxy.InstallTrustRoots(ctx, "/home/jane/.globus/certificates", got.Files, myproxy.UpdateOnly)
	fmt.Println(done.New, err)
}

// Replace a proxy that is still valid, without a pass phrase.
func ExampleClient_GetDelegation_renewal() {
	old, err := myproxy.ReadProxyFile("")
	if err != nil {
		return
	}
	got, err := site.GetDelegation(ctx, myproxy.DelegationRequest{LogonRequest: myproxy.LogonRequest{Username: "jane", Renew: old}})
	if err == nil {
		_ = myproxy.WriteProxyFile("", got.Credential)
	}
}
