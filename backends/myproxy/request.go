package myproxy

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

const (
	// DefaultLifetime is what a request without a lifetime asks for.
	DefaultLifetime = 12 * time.Hour

	// maxPassphrase is what a server keeps of a pass phrase: it cuts longer
	// ones silently (a buffer of 1024 bytes with the NUL).
	maxPassphrase = 1023

	// maxRequest is the payload of one TLS record. A server takes whatever
	// records it can read at once as the whole message, so that one which
	// needs two records may be cut between them (measured: Debian
	// myproxy-server 6.2.14, "error parsing request").
	maxRequest = 16 << 10
)

// LogonRequest is what Logon asks for.
type LogonRequest struct {
	Username   string
	Passphrase secret.Secret
	// CredentialName picks one of several credentials stored for the user;
	// "" is the one without a name.
	CredentialName string
	// Lifetime is a wish; it is sent in whole seconds, rounded up. Zero is
	// DefaultLifetime.
	Lifetime time.Duration
	// VOMS are VOs ("vo" or "vo:/vo/group/Role=x") whose attributes the proxy
	// shall carry. Servers that cannot do that say nothing.
	VOMS []string
	// VOMSES are lines of a vomses file that tell the server where to ask for
	// VOMS. They are sent only along with VOMS.
	VOMSES []string
	// Sending, if set, is called once, after the server has proved its identity
	// and right before the request with the pass phrase goes out. Its error
	// ends the attempt.
	Sending func(ctx context.Context) error
	// CSR returns the PKCS#10 request in DER. It is called once the server has
	// accepted the pass phrase, so it may wait for a key that is being made.
	CSR func(ctx context.Context) ([]byte, error)
}

// tokens are the field names of the protocol. A server finds fields with
// strstr, not line by line (gct myproxy.c, convert_message): a value that
// contains one of them is read as that field too.
var tokens = [...]string{
	"VERSION=", "COMMAND=", "USERNAME=", "PASSPHRASE=", "NEW_PHRASE=", "LIFETIME=",
	"RETRIEVER=", "RETRIEVER_TRUSTED=", "KEYRETRIEVERS=", "RENEWER=",
	"CRED_NAME=", "CRED_DESC=", "TRUSTED_CERTS=", "VONAME=", "VOMSES=",
	"RESPONSE=", "ERROR=", "AUTHORIZATION_DATA=", "ADDL_CREDS=",
}

// checkValue refuses what a server would read as something else. The error
// names the field and never the value.
func checkValue(field, value string) error {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\n' || c == '\r':
			return &RequestError{Field: field, Reason: "contains a line break, which would end the field"}
		case c < ' ' || c == 0x7f:
			return &RequestError{Field: field, Reason: "contains a control character"}
		}
	}
	for _, t := range tokens {
		if strings.Contains(value, t) {
			return &RequestError{Field: field, Reason: fmt.Sprintf("contains %q, which MyProxy servers take for another field", t)}
		}
	}
	return nil
}

// CheckPassphrase refuses a pass phrase that no MyProxy server can be sent:
// with control characters, with the name of a field of the protocol in it, or
// of more than 1023 bytes. The error does not contain it.
func CheckPassphrase(p secret.Secret) error {
	if len(p) > maxPassphrase {
		return &RequestError{Field: fieldPassphrase, Reason: fmt.Sprintf("is longer than the %d bytes that MyProxy servers keep", maxPassphrase)}
	}
	return checkValue(fieldPassphrase, string(p))
}

// Names of fields for people.
const (
	fieldPassphrase     = "pass phrase"
	fieldUsername       = "user name"
	fieldCredentialName = "credential name"
	fieldVO             = "VO"
	fieldVOMSES         = "vomses line"
	fieldLifetime       = "lifetime"
)

// encode returns the request as one message, NUL included. The order of the
// fields is that of the C client.
func (r *LogonRequest) encode() ([]byte, error) {
	seconds, err := wholeSeconds(r.Lifetime)
	if err != nil {
		return nil, err
	}
	if r.Username == "" {
		return nil, &RequestError{Field: fieldUsername, Reason: "is empty"}
	}
	if err := CheckPassphrase(r.Passphrase); err != nil {
		return nil, err
	}
	// Room for all of it: a growing slice would leave copies of the pass
	// phrase behind.
	msg := make([]byte, 0, maxRequest)
	lifetime := strconv.FormatInt(seconds, 10)
	room := maxRequest - len("PASSPHRASE=\nLIFETIME=\n") - len(r.Passphrase) - len(lifetime)
	add := func(key, field, value string) error {
		if err := checkValue(field, value); err != nil {
			return err
		}
		if len(msg)+len(key)+len(value)+3 > room {
			return &RequestError{Field: field, Reason: "makes the request longer than a server can read in one piece"}
		}
		msg = append(append(append(append(msg, key...), '='), value...), '\n')
		return nil
	}
	msg = append(msg, "VERSION=MYPROXYv2\nCOMMAND=0\n"...)
	if err := add("USERNAME", fieldUsername, r.Username); err != nil {
		return nil, err
	}
	msg = append(append(append(msg, "PASSPHRASE="...), r.Passphrase...), '\n')
	msg = append(append(append(msg, "LIFETIME="...), lifetime...), '\n')
	room = maxRequest
	if err := r.addOptional(add); err != nil {
		clear(msg)
		return nil, err
	}
	return append(msg, 0), nil
}

// addOptional adds the fields that a request may go without.
func (r *LogonRequest) addOptional(add func(key, field, value string) error) error {
	if r.CredentialName != "" {
		if err := add("CRED_NAME", fieldCredentialName, r.CredentialName); err != nil {
			return err
		}
	}
	for _, vo := range r.VOMS {
		if vo == "" {
			return &RequestError{Field: fieldVO, Reason: "is empty"}
		}
		if err := add("VONAME", fieldVO, vo); err != nil {
			return err
		}
	}
	if len(r.VOMS) == 0 {
		return nil
	}
	for _, line := range r.VOMSES {
		if err := add("VOMSES", fieldVOMSES, line); err != nil {
			return err
		}
	}
	return nil
}

// wholeSeconds returns a lifetime as it is sent. Never zero: an online CA
// answers LIFETIME=0 with a certificate that has already expired, and servers
// take negative and overflowing numbers for zero (measured: Debian
// myproxy-server 6.2.14).
func wholeSeconds(d time.Duration) (int64, error) {
	if d == 0 {
		d = DefaultLifetime
	}
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	if s <= 0 || s > math.MaxInt32 {
		return 0, &RequestError{Field: fieldLifetime, Reason: "must be between one second and 68 years"}
	}
	return s, nil
}
