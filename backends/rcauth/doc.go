// Package rcauth is the place of the client of an RCauth Master Portal: OAuth
// 2.0 in the browser once, a refresh token in the keyring, and from then on
// proxies from the portal's /getproxy without anybody being asked. It cannot be
// used yet: a profile that names this backend answers not_configured.
package rcauth
