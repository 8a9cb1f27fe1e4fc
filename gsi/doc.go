// Package gsi is X.509 as the grid speaks it: proxy certificates and their
// chains (RFC 3820), the two text forms of distinguished names, delegation,
// and directories of trust anchors with signing policies and revocation lists.
//
// What it guarantees:
//
//   - Nothing is taken on trust: every rule of RFC 3820 has a Fault of its own
//     and Verify returns the first one broken; a TrustDir fails closed and
//     names the file that said no.
//   - Names are compared and built as DER, byte for byte.
//   - Every input is bounded (1 MiB, 16 certificates) and the clock is passed in.
//   - A Credential prints as its subject, never as its key.
//   - The only files it reads are those of trust directories.
//
// Taking a chain from a server, for a key of one's own:
//
//	cred := &gsi.Credential{Chain: chain, Key: key}
//	if err := cred.Verify(gsi.VerifyOptions{Now: now}); err != nil {
//		return err
//	}
//	trust, err := gsi.OpenTrustDir("/etc/grid-security/certificates")
//	if err != nil {
//		return err
//	}
//	if err := trust.Verify(cred.Chain, now, gsi.TrustOptions{}); err != nil {
//		return err
//	}
//	info, err := gsi.Inspect(cred.Chain)
//	if err != nil {
//		return err
//	}
//	fmt.Println(info.Identity, "until", info.NotAfter)
package gsi
