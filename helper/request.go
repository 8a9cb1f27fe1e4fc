package helper

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// Version is the version of the protocol.
const Version = 1

// The values of the enumerated fields of a request.
const (
	CachePrefer = "prefer"
	CacheOnly   = "only"
	CacheBypass = "bypass"

	OutputPEM  = "pem"
	OutputPath = "path"

	InteractiveNever = "never"
	InteractiveAuto  = "auto"
)

const (
	maxSeconds = 31536000 // a year: the longest duration in a request
	maxVOMS    = 16       // attributes in one request
)

// UsualMinimum as GetRequest.MinLifetime is the profile's, or what is usual.
const UsualMinimum = -1 * time.Second

// GetRequest asks for a credential. The zero value of every field is the
// field left out; DefaultGetRequest fills in what absence means.
type GetRequest struct {
	Selection
	MinLifetime time.Duration // the credential must live at least so long; or UsualMinimum
	Lifetime    time.Duration // a wish for a new one; 0: the profile's
	VOMS        []string      // nil: the profile's; empty: none
	Limited     *bool         // nil: the profile's
	Cache       string
	Output      string
	Interactive string
	Timeout     time.Duration
	Client      Client
	// Background is set where nobody waits: to renew a credential that is still
	// good may take the whole Timeout. It is no field of the protocol.
	Background bool
}

// Selection says which profile a request is about.
type Selection struct {
	Profile string
	URL     string
}

// Client is who asks, by its own word: shown quoted and called unverified.
type Client struct{ Name, Version string }

// StoreRequest keeps a secret.
type StoreRequest struct {
	Selection
	Kind  string
	Value secret.Secret
}

// EraseRequest forgets credentials and secrets.
type EraseRequest struct {
	Selection
	What        []string // "credential", "passphrase", …; or "all"
	Fingerprint string   // only this credential
	Rejected    bool     // a server refused the credential
}

// DefaultGetRequest is the request {}.
func DefaultGetRequest() *GetRequest {
	return &GetRequest{
		MinLifetime: UsualMinimum,
		Cache:       CachePrefer,
		Output:      OutputPEM,
		Interactive: InteractiveNever,
		Timeout:     30 * time.Second,
	}
}

// isName says whether s may be the name of a profile:
// ^[a-z0-9][a-z0-9._-]{0,63}$. Names reach paths and hints. (Regular
// expressions would cost a quarter of a millisecond at every start.)
func isName(s string) bool {
	return s != "" && s[0] != '.' && s[0] != '_' && s[0] != '-' &&
		consistsOf(s, 64, func(c byte) bool { return isLower(c) || strings.IndexByte("._-", c) >= 0 })
}

// isClient says whether s may be a client's name or version:
// ^[A-Za-z0-9 ._+-]{1,64}$.
func isClient(s string) bool {
	return consistsOf(s, 64, func(c byte) bool {
		return isLower(c) || c >= 'A' && c <= 'Z' || strings.IndexByte(" ._+-", c) >= 0
	})
}

// isFingerprint says whether s is sha256: and 64 hexadecimal digits.
func isFingerprint(s string) bool {
	digits, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(digits) == 64 && consistsOf(digits, 64, func(c byte) bool { return isLower(c) && c <= 'f' })
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func consistsOf(s string, most int, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// String is how a prompt names who asks.
func (c Client) String() string {
	if c == (Client{}) {
		return ""
	}
	return strconv.Quote(strings.TrimSpace(c.Name+" "+c.Version)) + ", unverified"
}

// newFields parses a request's text and takes what every verb has: version
// first, because what another version means by its fields nobody knows.
func newFields(data []byte) (*fields, error) {
	raw, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	f := &fields{raw: raw}
	if v := f.integer("version", Version, -1<<31, 1<<31); f.err == nil && v != Version {
		e := Errorf(CodeUnsupportedVersion, "this helper speaks version %d of the protocol, not %d", Version, v)
		e.Supported = []int{Version}
		return nil, e
	}
	f.optional = f.strings("optional", 64)
	return f, nil
}

// client takes who asks.
func (f *fields) client() (client Client) {
	c := f.object("client")
	if c == nil {
		return client
	}
	word := func(name string) string {
		s, ok := c.str(name)
		if ok && !isClient(s) {
			c.fail(CodeInvalidRequest, "field %s must be 1 to 64 letters, digits, blanks or ._+-", c.name(name))
		}
		return s
	}
	client = Client{Name: word("name"), Version: word("version")}
	f.inner(c)
	return client
}

func (f *fields) selection() (s Selection) {
	var given bool
	if s.Profile, given = f.str("profile"); given && !isName(s.Profile) {
		f.fail(CodeInvalidRequest, "field \"profile\" is no name of a profile: %s", quoteName(s.Profile))
	}
	if s.URL, given = f.str("url"); given {
		if _, err := parseURL(s.URL); err != nil {
			f.fail(CodeInvalidRequest, "field \"url\": %w", err)
		}
	}
	return s
}

// parseGet reads the request of the verb get.
func parseGet(data []byte) (*GetRequest, error) {
	f, err := newFields(data)
	if err != nil {
		return nil, err
	}
	r := DefaultGetRequest()
	r.Selection = f.selection()
	r.MinLifetime = seconds(f.integer("min_lifetime", int64(UsualMinimum/time.Second), 0, maxSeconds))
	r.Lifetime = seconds(f.integer("lifetime", 0, 1, maxSeconds))
	r.VOMS = f.strings("voms", maxVOMS)
	for _, v := range r.VOMS {
		if _, err := voms.ParseRequest(v); err != nil {
			f.fail(CodeInvalidRequest, "field \"voms\": %w", err)
		}
	}
	r.Limited = f.boolean("limited")
	r.Cache = f.enum("cache", CachePrefer, CacheOnly, CacheBypass)
	r.Output = f.enum("output", OutputPEM, OutputPath)
	r.Interactive = f.enum("interactive", InteractiveNever, InteractiveAuto)
	timeout := int64(30)
	if r.Interactive == InteractiveAuto {
		timeout = 300
	}
	r.Timeout = seconds(f.integer("timeout", timeout, 1, 3600))
	r.Client = f.client()
	if err := f.rest(); err != nil {
		return nil, err
	}
	return r, nil
}

// secretKinds are the kinds of secrets that the protocol knows.
var secretKinds = []string{"passphrase", "client_secret", "refresh_token", "key_passphrase"}

// parseStore reads the request of the verb store.
func parseStore(data []byte) (*StoreRequest, error) {
	f, err := newFields(data)
	if err != nil {
		return nil, err
	}
	r := &StoreRequest{Selection: f.selection()}
	f.client()
	s := f.object("secret")
	if s == nil {
		f.fail(CodeInvalidRequest, "field \"secret\" is missing")
		return nil, f.err
	}
	if _, ok := s.raw["kind"]; !ok {
		s.fail(CodeInvalidRequest, "field \"secret.kind\" is missing")
	}
	r.Kind = s.enum("kind", secretKinds...)
	value, ok := s.str("value")
	if !ok || value == "" {
		s.fail(CodeInvalidRequest, "field \"secret.value\" must be a string that is not empty")
	}
	r.Value = secret.Secret(value)
	f.inner(s)
	if err := f.rest(); err != nil {
		return nil, err
	}
	return r, checkSecret(r.Value)
}

// maxSecret is the longest secret that is kept, in bytes. The smallest OS
// keyring takes 2560.
const maxSecret = 2048

// checkSecret refuses what no keyring or server would give back unchanged. The
// sentence does not contain the value.
func checkSecret(s secret.Secret) error {
	if len(s) > maxSecret {
		return Errorf(CodeInvalidRequest, "the secret is longer than %d bytes", maxSecret)
	}
	if slices.ContainsFunc([]byte(s), func(c byte) bool { return c < ' ' || c == 0x7f }) {
		return Errorf(CodeInvalidRequest, "the secret contains a control character, perhaps the end of a line").
			WithHint("in a shell use printf '%%s' instead of echo")
	}
	return nil
}

// parseErase reads the request of the verb erase.
func parseErase(data []byte) (*EraseRequest, error) {
	f, err := newFields(data)
	if err != nil {
		return nil, err
	}
	r := &EraseRequest{Selection: f.selection()}
	f.client()
	r.What = f.strings("what", 16)
	if r.What == nil {
		r.What = []string{"credential"}
	}
	for _, w := range r.What {
		if w != "all" && w != "credential" && !slices.Contains(secretKinds, w) {
			f.fail(CodeUnsupportedFeature, "field \"what\" has no value %s", quoteName(w))
		}
	}
	var given bool
	if r.Fingerprint, given = f.str("fingerprint"); given && !isFingerprint(r.Fingerprint) {
		f.fail(CodeInvalidRequest, "field \"fingerprint\" must be sha256: and 64 hexadecimal digits")
	}
	if given && !slices.Contains(r.What, "credential") && !slices.Contains(r.What, "all") {
		f.fail(CodeInvalidRequest, "field \"fingerprint\" names a credential, and none is to be erased")
	}
	r.Rejected = f.enum("reason", "", "rejected") == "rejected"
	if r.Rejected && r.Fingerprint == "" {
		f.fail(CodeInvalidRequest, "reason \"rejected\" needs the field \"fingerprint\"")
	}
	if err := f.rest(); err != nil {
		return nil, err
	}
	return r, nil
}

// parseList reads the request of the verb list: nothing but what all have.
func parseList(data []byte) error {
	f, err := newFields(data)
	if err != nil {
		return err
	}
	f.client()
	if err := f.rest(); err != nil {
		return err
	}
	return nil
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
