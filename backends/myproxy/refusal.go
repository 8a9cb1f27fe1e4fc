package myproxy

import (
	"errors"
	"strings"
)

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
	{"Credentials do not exist", KindNotFound},           // destroy
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
	{"invalid password", KindAuthentication},      // online CA
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

// refusal makes a ServerError of a response that says so.
func refusal(server string, stage Stage, r *response) error {
	return &ServerError{Server: server, Kind: classify(r.texts), Stage: stage, Texts: r.texts}
}

// identityAlerts are the TLS alerts about a client's certificate (RFC 8446
// section 6.2), as crypto/tls names them; it keeps their numbers to itself.
var identityAlerts = [...]string{
	"bad certificate", "unsupported certificate", "revoked certificate", "expired certificate",
	"unknown certificate", "unknown certificate authority", "access denied", "error decrypting message",
}

// identityAlert returns which of them an error of crypto/tls is.
func identityAlert(err error) (string, bool) {
	for _, text := range identityAlerts {
		if strings.HasSuffix(err.Error(), "tls: "+text) {
			return text, true
		}
	}
	return "", false
}

// refusesIdentity says whether err is a server that refuses the client's
// certificate, and has heard nothing else yet.
func refusesIdentity(err error) bool {
	var alert *AlertError
	if !errors.As(err, &alert) || !alert.early {
		return false
	}
	_, ok := identityAlert(alert.Err)
	return ok
}

// tooOld says whether a handshake failed because the server has nothing newer
// than TLS 1.1: either side may find that out.
func tooOld(err error) bool {
	text := err.Error()
	return strings.HasSuffix(text, "tls: protocol version not supported") || strings.Contains(text, "tls: server selected unsupported protocol version")
}

// unanswered makes a ServerError of a challenge that nobody can answer: that of a
// credential to renew, or SASL's. Servers ask for it where no pass phrase came,
// and also after one that does not count: it says nothing about that one
// (measured: Debian myproxy-server 6.2.14).
func (s *session) unanswered(stage Stage, r *response) error {
	e := &ServerError{Server: s.server, Kind: KindAuthentication, Stage: stage}
	if s.withPassphrase {
		e.Kind = KindDenied
	}
	methods := make([]string, len(r.challenges))
	for i, c := range r.challenges {
		methods[i], _, _ = strings.Cut(c, ":")
	}
	e.Texts = []string{"another proof than what was sent is wanted: " + strings.Join(methods, " or ")}
	return e
}
