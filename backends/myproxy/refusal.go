package myproxy

import "strings"

// refusals maps what servers say to kinds; the first entry found in any of the
// lines decides. The texts are those of Debian myproxy-server 6.2.14
// (gct myproxy_server.c), measured where a test replays them.
var refusals = [...]struct {
	text string
	kind Kind
}{
	// A lock comes with the administrator's own words in the lines after it.
	{"credential locked", KindDenied},
	{"No credentials exist for username", KindAuthentication},
	{"No credentials exist with username", KindNotFound}, // … and credential name
	{"unknown username", KindAuthentication},             // online CA
	{"self-authz", KindDenied},
	{"not authorized by", KindDenied},
	{"not authorized to", KindDenied},
	{"does not own", KindDenied},
	{"not owned by", KindDenied},
	{"authorization failed", KindDenied},
	{"will not accept limited proxy", KindDenied},
	{"limited proxy may not", KindDenied},
	{"invalid credential passphrase", KindAuthentication},
	{"invalid pass phrase", KindAuthentication},
	{"no passphrase", KindAuthentication},
	{"Bad password", KindAuthentication},
	{"authentication failed", KindAuthentication}, // "PAM …", "SASL …", or alone
}

// classify says why a server refused, from its words alone: the protocol has no
// error codes.
func classify(texts []string) Kind {
	for _, r := range refusals {
		for _, t := range texts {
			if strings.Contains(t, r.text) {
				return r.kind
			}
		}
	}
	return KindRefused
}

// refusal makes a ServerError of a response that is not OK.
func refusal(server string, r *response) error {
	if r.code == responseChallenge {
		return &ServerError{Server: server, Kind: KindAuthentication,
			Texts: []string{"the server asks for the proof of a credential to renew, because no pass phrase was sent"}}
	}
	return &ServerError{Server: server, Kind: classify(r.texts), Texts: r.texts}
}
