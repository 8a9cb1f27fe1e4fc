// Package myproxy is a client of MyProxy servers (protocol "MYPROXYv2", see
// the PROTOCOL file of gridcf/gct), and the backend "myproxy" of the helper.
//
// # What it does
//
// [Client.Logon] is the command GET: user name and pass phrase go in, a
// certificate for the caller's key comes back. The server may be a repository,
// which signs a proxy certificate with a stored credential, or an online CA,
// which signs an end-entity certificate. A client cannot know beforehand which
// of the two it will meet: an online CA refuses every key but RSA.
//
// # What it guarantees
//
//   - No pass phrase leaves before the server's identity was verified against
//     a grid trust directory (CA, signing policy, CRL, name).
//   - A pass phrase is sent once. The next server of a list is tried only
//     where not a single byte came from the one before.
//   - No pass phrase is part of an error. Whatever could be taken for another
//     field of the request is refused before a connection is made.
//   - Connecting (with the TLS handshake), every message that is read and every
//     message that is written have a deadline; the end of the context closes the
//     connection at once. Everything that is read is bounded.
//
// What it does not: look at the certificates that came. Servers clip lifetimes
// and leave VOMS attributes out without a word, and a bad one could send
// anybody's certificate: see [gsi.Credential.Verify].
//
// # Use
//
//	key, err := gsi.GenerateKey(ctx, gsi.KeyRSA2048)
//	...
//	client := &myproxy.Client{
//		Hosts: []string{"myproxy.example.org:7512"},
//		Trust: func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir("/etc/grid-security/certificates") },
//	}
//	got, err := client.Logon(ctx, myproxy.LogonRequest{
//		Username:   "jane",
//		Passphrase: pass,
//		CSR:        func(context.Context) ([]byte, error) { return gsi.NewRequest(key, false) },
//	})
//	...
//	cred := &gsi.Credential{Chain: got.Chain, Key: key}
//	err = cred.Verify(gsi.VerifyOptions{Now: time.Now()})
package myproxy
