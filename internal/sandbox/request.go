package sandbox

import (
	"bytes"
	"errors"
	"math"
	"strings"
)

// maxPassphrase is the size of the real server's buffer; it drops the rest of
// a longer pass phrase without a word.
const maxPassphrase = 1024

// Commands of the protocol.
const (
	commandGet = iota
	commandPut
	commandInfo
	commandDestroy
	commandChange
	commandStore
	commandRetrieve
	commandTrustRoots // the one that needs no user name
	commandLast       = commandTrustRoots
)

// request is what the real server gets out of a client's first message.
type request struct {
	version      string
	command      int
	username     string
	passphrase   string
	lifetime     int     // seconds; the C code keeps it in an int
	credName     *string // nil: the default credential; an empty name is another one
	trustedCerts bool
	voName       []string
	vomses       []string

	newPassphrase string // of CHANGE
	settings             // of PUT and STORE
}

// settings are what PUT and STORE may say about the new credential, nil where
// they say nothing.
type settings struct {
	description      *string
	retriever        *string
	renewer          *string
	keyRetriever     *string
	trustedRetriever *string
}

var errParse = errors.New("error parsing request")

// parseRequest reads a request as the real server does: it looks for each
// field's name anywhere in the text (strstr, so inside of values too), takes
// everything up to the next line feed, and refuses a field that occurs twice.
// Unknown fields, blanks before a name, any order, and a missing NUL or last
// line feed are fine; the rest after a NUL is not looked at. Measured: Debian
// myproxy-server 6.2.14.
func parseRequest(data []byte) (*request, error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		data = data[:i]
	}
	f := fields(data)
	r := &request{
		version:    f.mandatory("VERSION="),
		command:    f.integer("COMMAND="),
		username:   f.mandatory("USERNAME="),
		passphrase: f.mandatory("PASSPHRASE="),
		lifetime:   f.integer("LIFETIME="),
	}
	// Fields of other commands are parsed too, whatever the command is: twice
	// one of them refuses a GET as well.
	r.passphrase = r.passphrase[:min(len(r.passphrase), maxPassphrase)]
	if phrase := f.optional("NEW_PHRASE="); phrase != nil {
		r.newPassphrase = (*phrase)[:min(len(*phrase), maxPassphrase)]
	}
	r.credName = f.optional("CRED_NAME=")
	r.settings = settings{
		description:      f.optional("CRED_DESC="),
		retriever:        f.optional("RETRIEVER="),
		renewer:          f.optional("RENEWER="),
		keyRetriever:     f.optional("KEYRETRIEVERS="),
		trustedRetriever: f.optional("RETRIEVER_TRUSTED="),
	}
	if f.optional("TRUSTED_CERTS=") != nil {
		r.trustedCerts = f.integer("TRUSTED_CERTS=") != 0
	}
	r.voName = f.all("VONAME=")
	r.vomses = f.all("VOMSES=")
	if f.bad {
		return nil, errParse
	}
	if r.lifetime < 0 {
		r.lifetime = 0 // measured: negative, and too big for an int, count as 0
	}
	return r, nil
}

// fieldText is a request's text and whether it is already found to be wrong.
type fieldText struct {
	text string
	bad  bool
}

func fields(data []byte) *fieldText { return &fieldText{text: string(data)} }

// all returns the values of every occurrence of name.
func (f *fieldText) all(name string) []string {
	var values []string
	for rest := f.text; ; {
		i := strings.Index(rest, name)
		if i < 0 {
			return values
		}
		value, _, _ := strings.Cut(rest[i+len(name):], "\n")
		values = append(values, value)
		rest = rest[i+len(name)+len(value):]
	}
}

// single returns the value of a field that may occur once.
func (f *fieldText) single(name string) (string, bool) {
	values := f.all(name)
	if len(values) > 1 {
		f.bad = true
	}
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}

// optional returns the value of a field that may occur once, nil if it does not.
func (f *fieldText) optional(name string) *string {
	if value, ok := f.single(name); ok {
		return &value
	}
	return nil
}

// mandatory returns the value, perhaps empty, of a field that must occur once.
func (f *fieldText) mandatory(name string) string {
	value, ok := f.single(name)
	if !ok {
		f.bad = true
	}
	return value
}

// integer returns the value of a mandatory number.
func (f *fieldText) integer(name string) int {
	n, ok := cInt(f.mandatory(name))
	if !ok {
		f.bad = true
	}
	return n
}

// cInt converts like the server's string_to_int: strtol with base 0 (so 0x10
// and 010 are numbers too), nothing may follow, the extremes of a long are
// errors, and what fits a long but not an int loses its upper half.
func cInt(s string) (int, bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	base := uint64(10)
	switch {
	case len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X"):
		base, s = 16, s[2:]
	case len(s) > 1 && s[0] == '0':
		base, s = 8, s[1:]
	}
	if s == "" {
		return 0, false
	}
	var n uint64
	for _, c := range []byte(s) {
		d := digit(c)
		if d >= base || n > (math.MaxInt64-d)/base {
			return 0, false
		}
		n = n*base + d
	}
	if n == math.MaxInt64 {
		return 0, false
	}
	value := int64(n)
	if negative {
		value = -value
	}
	return int(int32(value)), true
}

func digit(c byte) uint64 {
	switch {
	case c >= '0' && c <= '9':
		return uint64(c - '0')
	case c >= 'a' && c <= 'f':
		return uint64(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return uint64(c-'A') + 10
	}
	return math.MaxUint64 >> 1
}
