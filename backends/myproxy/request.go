package myproxy

import (
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

	// minPassphrase is the least that a server takes of a new pass phrase.
	minPassphrase = 6

	// maxMessageOut is the payload of one TLS record. A server takes whatever
	// records it can read at once as the whole message, so that one which
	// needs two records may be cut between them (measured: Debian
	// myproxy-server 6.2.14, "error parsing request").
	maxMessageOut = 16 << 10
)

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

// command is the number of a command of the protocol.
type command string

// The commands.
const (
	commandGet        command = "0"
	commandPut        command = "1"
	commandInfo       command = "2"
	commandDestroy    command = "3"
	commandChange     command = "4"
	commandStore      command = "5"
	commandRetrieve   command = "6"
	commandTrustRoots command = "7"
)

// CheckPassphrase refuses a pass phrase that no MyProxy server can be sent:
// with control characters, with the name of a field of the protocol in it, or
// of more than 1023 bytes. The error does not contain it.
func CheckPassphrase(p secret.Secret) error { return checkSecret(fieldPassphrase, p) }

// CheckNewPassphrase refuses, beyond that, one that no server would accept as a
// new one: of less than 6 bytes.
func CheckNewPassphrase(p secret.Secret) error {
	if len(p) < minPassphrase {
		return &RequestError{Field: fieldNewPassphrase, Reason: fmt.Sprintf("is shorter than the %d bytes that MyProxy servers demand", minPassphrase)}
	}
	return checkSecret(fieldNewPassphrase, p)
}

func checkSecret(field string, p secret.Secret) error {
	if len(p) > maxPassphrase {
		return &RequestError{Field: field, Reason: fmt.Sprintf("is longer than the %d bytes that MyProxy servers keep", maxPassphrase)}
	}
	return checkValue(field, string(p))
}

// Names of fields for people.
const (
	fieldPassphrase     = "pass phrase"
	fieldNewPassphrase  = "new pass phrase"
	fieldUsername       = "user name"
	fieldCredentialName = "credential name"
	fieldVO             = "VO"
	fieldVOMSES         = "vomses line"
	fieldLifetime       = "lifetime"
	fieldMaxLifetime    = "maximum lifetime"
	fieldDescription    = "description"
	fieldCSR            = "certificate request"
	fieldPolicy         = "policy"
	fieldCertificate    = "certificate"
	fieldKey            = "private key"
	fieldIdentity       = "client certificate"
	fieldCredential     = "credential"
)

// request is a request of any command. What a command does not use stays empty
// and is not sent.
type request struct {
	command                   command
	username                  string
	passphrase, newPassphrase secret.Secret
	seconds                   int64
	credName, description     string
	policy                    Policy
	trustRoots                bool
	voms, vomses              []string
}

// encode returns the request as one message, NUL included. The order of the
// fields is that of the C client (gct myproxy.c,
// myproxy_serialize_request_ex); servers take any.
func (r *request) encode() ([]byte, error) {
	if r.username == "" && r.command != commandTrustRoots {
		return nil, &RequestError{Field: fieldUsername, Reason: "is empty"}
	}
	if err := CheckPassphrase(r.passphrase); err != nil {
		return nil, err
	}
	if err := checkSecret(fieldNewPassphrase, r.newPassphrase); err != nil {
		return nil, err
	}
	// Room for all of it: a growing slice would leave copies of the pass
	// phrase behind.
	w := requestWriter{msg: make([]byte, 0, maxMessageOut)}
	w.room = maxMessageOut - 1 - len("PASSPHRASE=\nNEW_PHRASE=\n") - len(r.passphrase) - len(r.newPassphrase)
	w.add("VERSION", "", "MYPROXYv2")
	w.add("COMMAND", "", string(r.command))
	w.add("USERNAME", fieldUsername, r.username)
	// Mandatory in every command, though it may be empty.
	w.addSecret("PASSPHRASE", r.passphrase)
	if len(r.newPassphrase) > 0 {
		w.addSecret("NEW_PHRASE", r.newPassphrase)
	}
	w.add("LIFETIME", fieldLifetime, strconv.FormatInt(r.seconds, 10))
	r.addOptional(&w)
	if w.err != nil {
		clear(w.msg)
		return nil, w.err
	}
	return append(w.msg, 0), nil
}

// addOptional adds the fields that a request may go without.
func (r *request) addOptional(w *requestWriter) {
	for _, f := range [...]struct{ key, field, value string }{
		{"RETRIEVER", fieldPolicy, r.policy.Retriever},
		{"RENEWER", fieldPolicy, r.policy.Renewer},
		{"CRED_NAME", fieldCredentialName, r.credName},
		{"CRED_DESC", fieldDescription, r.description},
		{"KEYRETRIEVERS", fieldPolicy, r.policy.KeyRetriever},
		{"RETRIEVER_TRUSTED", fieldPolicy, r.policy.TrustedRetriever},
	} {
		if f.value != "" {
			w.add(f.key, f.field, f.value)
		}
	}
	if r.trustRoots {
		w.add("TRUSTED_CERTS", "", "1")
	}
	for _, vo := range r.voms {
		if vo == "" {
			w.fail(&RequestError{Field: fieldVO, Reason: "is empty"})
		}
		w.add("VONAME", fieldVO, vo)
	}
	if len(r.voms) == 0 {
		return
	}
	for _, line := range r.vomses {
		w.add("VOMSES", fieldVOMSES, line)
	}
}

// requestWriter appends the lines of a request until one is wrong.
type requestWriter struct {
	msg  []byte
	room int // for what is no secret
	err  error
}

func (w *requestWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// add appends a line. field is its name for people.
func (w *requestWriter) add(key, field, value string) {
	if w.err != nil {
		return
	}
	if w.err = checkValue(field, value); w.err != nil {
		return
	}
	if w.room -= len(key) + len(value) + 2; w.room < 0 {
		w.err = &RequestError{Field: field, Reason: "makes the request longer than a server can read in one piece"}
		return
	}
	w.msg = append(append(append(append(w.msg, key...), '='), value...), '\n')
}

// addSecret appends the line of a secret that was checked before, and for which
// there is room.
func (w *requestWriter) addSecret(key string, value secret.Secret) {
	w.msg = append(append(append(append(w.msg, key...), '='), value...), '\n')
}

// wholeSeconds returns a lifetime as it is sent. Never zero: an online CA
// answers LIFETIME=0 with a certificate that has already expired, and servers
// take negative and overflowing numbers for zero (measured: Debian
// myproxy-server 6.2.14).
func wholeSeconds(field string, d time.Duration) (int64, error) {
	if d == 0 {
		d = DefaultLifetime
	}
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	if s <= 0 || s > math.MaxInt32 {
		return 0, &RequestError{Field: field, Reason: "must be between one second and 68 years"}
	}
	return s, nil
}
