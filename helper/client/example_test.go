package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/x509-credential-helper/x509-credential-helper/helper/client"
)

// A program asks for the proxy of the URL that it is about to open. Here, as in a
// test, a function stands in the place of the helper.
func ExampleClient_Get() {
	c := &client.Client{Name: "my-transfer", Run: func(_ context.Context, verb string, request []byte) ([]byte, int, error) {
		fmt.Printf("%s %s", verb, request)
		return []byte(`{"version":1,"profile":"atlas","credential":{"path":"/run/user/1000/x.pem","identity":"/CN=Jane"}}`), 0, nil
	}}
	a, err := c.Get(context.Background(), client.GetRequest{URL: "davs://se.example.org/data", Output: client.OutputPath})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(a.Credential.Identity, a.Credential.Path)
	// Output:
	// get {"version":1,"client":{"name":"my-transfer"},"url":"davs://se.example.org/data","output":"path"}
	// /CN=Jane /run/user/1000/x.pem
}

// What the helper refuses has a code, and a sentence that says what to do.
func ExampleError() {
	c := &client.Client{Run: func(context.Context, string, []byte) ([]byte, int, error) {
		return []byte(`{"version":1,"error":{"code":"interaction_required","message":"no pass phrase is stored for profile \"atlas\"",` +
			`"hint":"run: x509-credential-helper login atlas","retryable":false}}`), 4, nil
	}}
	_, err := c.Get(context.Background(), client.GetRequest{})
	switch {
	case errors.Is(err, client.CodeInteractionRequired):
		fmt.Println("ask the user:", err)
	case errors.Is(err, client.ErrNoHelper):
		fmt.Println("go on without:", err)
	}
	// Output:
	// ask the user: no pass phrase is stored for profile "atlas"; run: x509-credential-helper login atlas
}
