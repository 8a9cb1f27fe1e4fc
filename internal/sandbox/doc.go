// Package sandbox is a small world to try things in: a certification
// authority, a trust directory, a MyProxy server that behaves like the one of
// Debian (myproxy-server 6.2.14) and a Master Portal that behaves like RCauth's
// (0.2.4), all in this process, on 127.0.0.1, and gone after Close. People get it by "x509-credential-helper sandbox", tests
// by Start.
//
//	s, err := sandbox.Start(ctx, sandbox.Options{Dir: dir})
//	if err != nil { … }
//	defer s.Close()
//	err = s.AddUser(sandbox.User{Name: "alice", Passphrase: "correct horse"})
//	// now log on to s.Addr() as alice, trusting s.TrustDir()
//
// It plays every command: GET, PUT, INFO, DESTROY, CHANGE, STORE, RETRIEVE and
// the trust roots, renewal with its challenge and trusted retrieval, as a
// repository or as an online CA. Policies are Options.Policies and, of one
// credential, fields of User or what a client stored; Lock and Unlock are the
// administrator's, Stored and StoredPEM look into the repository. Credential
// is what a user authenticates with, IdentityFiles the same as files, TrustedCAs
// lets users of other CAs in, and SetFaults makes any step of any command go
// wrong. Where the real server was seen to crash (a chain of proxies alone, an
// answer of less than seven bytes) the sandbox hangs up without a word.
//
// StartPortal adds the Master Portal: an OpenID Connect provider with a consent
// page, and /getproxy, whose users get certificates of the same CA.
//
//	p, err := s.StartPortal(sandbox.PortalOptions{Clients: …, Users: …})
//	back, err := p.Browser().Authorize(ctx, authorizationURL)
//
// Its faults are PortalFaults, its time is the sandbox's, Stop and Start restart
// it with all it knew, and Calls tells what it was asked. The real one's
// deviations are its own: tokens are URLs that lose leading zeros, auth_time is
// a string, the issuer has no port, errors are pages at some endpoints and JSON
// of other codes than RFC 6749's at the rest, PKCE is ignored, redirect URIs match
// to the letter, voms is ignored, zero is a lifetime without end. A new login
// renews the long-lived proxy (11 days) only if more than is left of it is asked
// for within 15 minutes, and once.
//
// What it guarantees:
//
//   - The bytes on the wire, TLS records included, are those that the real
//     server was measured to send: the lone 0x00 after a TLS 1.3 handshake, the
//     record "0" that it wants before anything else, the clear-text refusal
//     when that is missing, ERROR texts, the order of its checks, clipped
//     lifetimes, the close without close_notify.
//   - It shares no code with the client that it judges: requests are parsed and
//     proxies signed here. Of package gsi it uses names and hashes of DNs, the
//     check of a client's own chain, and the opening of encrypted keys.
//   - Nothing listens on another address than a loopback one, nothing is
//     written outside Options.Dir, and no goroutine outlives Close.
//
// Where it differs on purpose or for want of a way:
//
//   - One message is one TLS record (a full record of 16 KiB is continued by the
//     next). The real server also takes what else happens to be readable at that
//     moment, so a request cut in two is refused there nearly always, here always.
//
//   - A client certificate that does not verify gets the alert bad_certificate;
//     the real server says certificate_expired or unknown_ca where that is why.
//
//   - Of OpenSSL's messages only the usual ones are here: where a chain is wrong
//     in more than its dates, or a stored text holds no key that can be read, the
//     first line is the real one and the rest may differ.
//
//   - All keys of PUT are one key, and the users share another: see Keys.
//
//   - The portal's identity provider, Delegation Server and MyProxy are inside it;
//     its pages for people are not the real ones, its other words are. Doubled
//     parameters, a refusal on the consent page and a login of more than 15
//     minutes were not recorded: there the words are ours.
//
//   - What portals before 0.2.4 do otherwise (PortalOptions.V020 and Legacy) is
//     taken from their sources, not measured.
//
// The keys protect nothing and are never reused outside the process.
package sandbox
