// Package rcauth is a client of RCauth Master Portals, and the backend "rcauth"
// of the helper. A Master Portal is an OpenID Connect provider that also hands
// out proxies: the user logs in with a browser once, and from then on a refresh
// token gets new proxies without anybody being asked, for as long as the
// portal's own credential of the user lives: at most 11 days.
//
// # The library
//
//   - [Client.Begin] makes the URL for the browser, [Attempt.ParseRedirect] takes
//     the code from where the browser ends.
//   - [Client.Exchange] turns the code into tokens, [Client.Refresh] a refresh
//     token into new ones.
//   - [Client.UserInfo] says who the user is, [MatchSubject] whether a certificate
//     is of that user.
//   - [Client.GetProxy] fetches a proxy, [Client.Info] says what is left of the
//     credential behind it, [Client.Revoke] ends the session.
//
// It keeps nothing and asks nobody; the backend does both with the helper's
// means. Gateways use the library alone: the example is one.
//
// # What it guarantees
//
//   - https alone, TLS 1.2 or newer, verified; there is no switch. Secrets go to
//     the portal's own host and nowhere else: no redirect is followed, and no
//     endpoint on another host is taken from the discovery document.
//   - Secrets travel in the bodies of POST requests, each parameter once.
//   - An id_token counts after its signature (RS256, RS384, RS512), issuer,
//     audience, end and nonce were verified; a proxy after its key, its chain and
//     RFC 3820's rules were.
//   - Every answer is bounded, in bytes and in time, and the end of the context
//     ends every call.
//   - No secret, token or key is part of an error, and none prints; the portal's
//     own words are cleaned of what a terminal would obey.
//
// # What real portals do
//
// Much of what follows from RFC 6749 does not hold here; the code says where. What
// shaped it was measured with the server of 0.2.4: error codes mean nothing (nearly
// all are invalid_request), so refusals are told apart by their texts (see [Kind]),
// and half of them are pages for people. Tokens are URLs. A refresh kills the old
// token before it is answered. PKCE is ignored. The issuer loses its port. A login
// with a client that is not approved, or with a redirect URI that is not
// registered, ends in the browser, and the client never hears of it.
package rcauth
