package myproxy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// The first example of MyProxyClient's documentation: a logon at a server of
// which nothing is known yet. Somebody has to look at the fingerprint.
func ExampleClient_GetDelegation() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, dir, err := exampleServer(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	defer server.Close()

	client := &myproxy.Client{Hosts: []string{server.Addr()}}
	cred, err := client.GetDelegation(ctx, myproxy.DelegationRequest{
		LogonRequest: myproxy.LogonRequest{Username: "jane", Passphrase: []byte("correct horse")},
		Bootstrap: &myproxy.BootstrapRequest{Confirm: func(_ context.Context, who myproxy.ServerChain) error {
			if len(who.Certificates) == 0 || who.Fingerprint == "" {
				return errors.New("no, thank you")
			}
			return nil // the fingerprint is the one that the administrator has read out
		}},
		TrustRootsDir: filepath.Join(dir, "certificates"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := myproxy.WriteProxyFile(filepath.Join(dir, "proxy.pem"), cred.Credential); err != nil {
		fmt.Println(err)
		return
	}
	// What was installed is enough to verify the proxy, too.
	trust, err := gsi.OpenTrustDir(filepath.Join(dir, "certificates"))
	if err == nil {
		err = trust.Verify(cred.Chain, time.Now(), gsi.TrustOptions{})
	}
	fmt.Println(cred.Info.TypeText(), err)
	// Output: RFC 3820 compliant impersonation proxy <nil>
}

func exampleServer(ctx context.Context) (*sandbox.Sandbox, string, error) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		return nil, "", err
	}
	server, err := sandbox.Start(ctx, sandbox.Options{Dir: filepath.Join(dir, "sandbox")})
	if err != nil {
		return nil, "", err
	}
	return server, dir, server.AddUser(sandbox.User{Name: "jane", Passphrase: "correct horse"})
}
