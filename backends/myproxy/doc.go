// Package myproxy is a client of MyProxy servers (protocol "MYPROXYv2", see
// the PROTOCOL file of gridcf/gct), and the backend "myproxy" of the helper.
//
// # What it does
//
// [Client.GetDelegation] gets a credential and verifies it: user name and pass
// phrase go in, a certificate for a key of ours comes back. The server may be a
// repository, which signs a proxy certificate with a stored credential, or an
// online CA, which signs an end-entity certificate. A client cannot know
// beforehand which of the two it will meet: an online CA refuses every key but
// RSA. In place of a pass phrase it may prove the possession of the credential
// that the new one shall replace (renewal), or be somebody whom the stored
// credential names (trusted retrieval). [Client.Logon] is the same without a key
// of its own and without verification.
//
// [Client.Put] delegates a proxy to the server, [Client.Store] sends a
// certificate and its encrypted key, [Client.Retrieve] fetches that back.
// [Client.Info], [Client.ChangePassphrase] and [Client.Destroy] are for the
// owner, which is the client certificate that a credential was stored with.
//
// [Client.GetTrustRoots] fetches the server's trust directory,
// [InstallTrustRoots] writes it. [Client.Bootstrap] fetches it from a server that
// nobody can verify yet.
//
// # What it guarantees
//
//   - No pass phrase leaves before the server's identity was verified against
//     a grid trust directory (CA, signing policy, CRL, name).
//   - A pass phrase is sent once. The next server of a list is tried only
//     where not a single byte came from the one before.
//   - An unverified connection carries the one command that fetches trust roots,
//     and neither a user name nor a pass phrase nor a client certificate.
//   - No pass phrase is part of an error. Whatever could be taken for another
//     field of the request is refused before a connection is made.
//   - Connecting (with the TLS handshake), every message that is read and every
//     message that is written have a deadline; the end of the context closes the
//     connection at once. Everything that is read is bounded.
//
// What Logon does not: look at the certificates that came. Servers clip
// lifetimes and leave VOMS attributes out without a word, and a bad one could
// send anybody's certificate; GetDelegation does.
//
// Refusals come in the server's own words, as [ServerError]; there are no codes
// in the protocol. What can be known beforehand is refused before a connection
// is made, as [RequestError].
//
// # Use
//
//	client := &myproxy.Client{
//		Hosts: []string{"myproxy.example.org:7512"},
//		Trust: func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir("/etc/grid-security/certificates") },
//	}
//	got, err := client.GetDelegation(ctx, myproxy.DelegationRequest{
//		LogonRequest: myproxy.LogonRequest{Username: "jane", Passphrase: pass},
//	})
//	...
//	err = myproxy.WriteProxyFile("", got.Credential)
//
// Every command has an example.
package myproxy
