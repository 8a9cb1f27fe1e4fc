// Package gsi is X.509 as the grid speaks it: proxy certificates and their
// chains (RFC 3820), the two text forms of distinguished names, delegation,
// and directories of trust anchors with signing policies and revocation lists.
//
// What it guarantees:
//
//   - Nothing is taken on trust: whatever breaks a rule of RFC 3820 has a typed
//     Fault, and Verify returns the first one (Examine all of them); a TrustDir
//     fails closed and names the file that said no.
//   - Names of certificates are compared and built as DER, byte for byte; names
//     that people have written are compared by MatchDN.
//   - Every input is bounded (1 MiB, 16 certificates, 64 KiB for a request) and
//     the clock is passed in. Reading a text allocates at most 64 times its
//     length, looking at a chain at most 64 times its DER, garbage included and
//     256 KiB apart; opening a key encrypted with scrypt up to 64 MiB more.
//   - A Credential prints as its subject, never as its key; no error has a byte
//     of a key or a pass phrase in it. DER of private keys that it makes on its
//     way is cleared; copies inside the standard library are out of its reach.
//   - The only files it reads are those of trust directories and, for VerifyVOMS,
//     of a vomsdir. It writes in InstallTrustRoots alone.
//
// A chain is taken in three steps, each of which means little without those
// before it: Credential.Verify (VerifyChain where the key is somebody else's) for
// the chain itself, TrustDir.Verify for the CA, TrustDir.VerifyVOMS for the
// attributes. Inspect then tells whose it is, and is worth as much as they were.
// The examples of TrustDir.VerifyVOMS and Delegate show the two sides.
package gsi
