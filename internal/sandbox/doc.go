// Package sandbox is a small world to try things in: a certification
// authority, a trust directory and a MyProxy server that behaves like the one
// of Debian (myproxy-server 6.2.14), all in this process, on 127.0.0.1, and
// gone after Close. People get it by "x509-credential-helper sandbox", tests
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
//   - A client certificate that does not verify gets the alert bad_certificate;
//     the real server says certificate_expired or unknown_ca where that is why.
//   - Of OpenSSL's messages only the usual ones are here: where a chain is wrong
//     in more than its dates, or a stored text holds no key that can be read, the
//     first line is the real one and the rest may differ.
//   - All keys of PUT are one key, and the users share another: see Keys.
//
// The keys protect nothing and are never reused outside the process.
package sandbox
