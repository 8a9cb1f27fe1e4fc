// Package client is for programs in Go that need a proxy: it runs the helper,
// hands it a request and decodes the answer.
//
//	c := &client.Client{Name: "my-transfer"}
//	a, err := c.Get(ctx, client.GetRequest{URL: "davs://se.example.org/data"})
//	if errors.Is(err, client.CodeInteractionRequired) { … }
//	pair, err := tls.X509KeyPair(a.Credential.PEM, a.Credential.PEM)
//
// The helper is $X509_CREDENTIAL_HELPER, split at blanks, or
// x509-credential-helper on the PATH. What it refuses is an *Error with the code
// of the protocol; a helper that cannot be run is ErrNoHelper, one that breaks the
// protocol ErrBadAnswer. A test puts a function in the place of the helper: see
// Runner.
//
// Nothing but the standard library is linked: keyrings, servers and
// certificates are the helper's business. Package helper has the same requests
// for programs that want to be the helper themselves.
package client
