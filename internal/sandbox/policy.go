package sandbox

import (
	"regexp"
	"strings"
	"time"
)

// Policies are the lines of a myproxy-server.config that say who may do what.
// Each list holds patterns of DNs as the real server takes them: "*" stands for
// any text, "?" for any one character, and whatever else extended regular
// expressions know works too. A list that is empty is a line that is not there:
// nobody is let in by it, and with a Default list nobody is kept out. A default
// holds for credentials that were stored without a policy of their own.
type Policies struct {
	AcceptedCredentials      []string // who may PUT, STORE and DESTROY
	AuthorizedRetrievers     []string // who may GET with a pass phrase, and ask for trust roots
	DefaultRetrievers        []string
	AuthorizedRenewers       []string // who may GET with a proxy of the credential's owner
	DefaultRenewers          []string
	AuthorizedKeyRetrievers  []string // who may RETRIEVE
	DefaultKeyRetrievers     []string
	TrustedRetrievers        []string // who needs no pass phrase where the key is not encrypted
	DefaultTrustedRetrievers []string
	// AllowSelfAuthorization lets clients renew, or retrieve as trusted ones,
	// credentials of their own identity.
	AllowSelfAuthorization bool
	// MaxCredentialLifetime is max_cred_lifetime, the longest that a credential
	// may still live when it is stored, in whole hours; an hour more is let
	// through. 0 is no limit.
	MaxCredentialLifetime time.Duration
}

// OpenPolicies are the policies of a sandbox whose Options name none, and the
// ones that the recordings of the real server were made with: a repository
// that lets everybody store and get. A credential is renewed, retrieved with its key or
// given to trusted retrievers only where its owner said so.
func OpenPolicies() *Policies {
	everybody, nobody := []string{"*"}, []string{"none"}
	return &Policies{
		AcceptedCredentials:  everybody,
		AuthorizedRetrievers: everybody, DefaultRetrievers: everybody,
		AuthorizedRenewers: everybody, DefaultRenewers: nobody,
		AuthorizedKeyRetrievers: everybody, DefaultKeyRetrievers: nobody,
		TrustedRetrievers: everybody, DefaultTrustedRetrievers: nobody,
	}
}

// policies are those of the options: as given, or what goes with the mode.
func (o *Options) policies() *Policies {
	switch {
	case o.Policies != nil:
		return o.Policies
	case o.Retrievers != nil:
		return &Policies{AcceptedCredentials: []string{"*"}, AuthorizedRetrievers: o.Retrievers}
	case o.Mode == CA:
		return &Policies{AuthorizedRetrievers: []string{"*"}}
	}
	return OpenPolicies()
}

// complaint is the error text that the C code gathers on its way, line by line.
type complaint []string

func (c *complaint) put(line string) { *c = append(*c, line) }

// text is what the client gets; without a line the C code has these words.
func (c complaint) text() string {
	if len(c) == 0 {
		return "unknown error"
	}
	return strings.Join(c, "\n")
}

// allowed checks a policy: the client must match the server's list, and the
// credential's own pattern or else, if there is one, the server's default.
func (c *conversation) allowed(said *complaint, policy string, server []string, own *string, byDefault []string) bool {
	refuse := func(who string) bool {
		said.put(`"` + c.peer.name + `" not authorized by ` + who + policy + " policy")
		return false
	}
	switch {
	case !matchesAny(said, server, c.peer.name):
		return refuse("server's ")
	case own != nil && !matchesAny(said, []string{*own}, c.peer.name):
		return refuse("credential's ")
	case own == nil && len(byDefault) > 0 && !matchesAny(said, byDefault, c.peer.name):
		return refuse("server's default ")
	}
	return true
}

// matchesAny compares with patterns. What is no regular expression after the
// server has translated it matches nothing, and is complained about in words
// that miss their point in the C code, too.
func matchesAny(said *complaint, patterns []string, name string) bool {
	for _, pattern := range patterns {
		if prefix := "FQAN:"; hasPrefixFold(pattern, prefix) {
			continue // no client here has VOMS attributes
		}
		if prefix := "SUBJECT:"; hasPrefixFold(pattern, prefix) {
			pattern = pattern[len(prefix):]
		}
		compiled, err := regexp.CompilePOSIX(translate(pattern))
		if err != nil {
			said.put(`Error parsing string ""`)
			continue
		}
		// Here, other than in C, "^" and "$" also match at the ends of a line.
		if at := compiled.FindStringIndex(name); at != nil && at[1]-at[0] == len(name) {
			return true
		}
	}
	return false
}

func hasPrefixFold(text, prefix string) bool {
	return len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix)
}

// translate makes an extended regular expression of a pattern, byte by byte as
// the C code does: a backslash keeps "*", "?" and "." from being translated.
func translate(pattern string) string {
	var b strings.Builder
	b.WriteString("^(")
	escaped := false
	for _, c := range []byte(pattern) {
		switch {
		case c == '\\' && !escaped:
			escaped = true
			continue
		case c == '*' && !escaped:
			b.WriteString(".*")
		case c == '?' && !escaped:
			b.WriteByte('.')
		case c == '.' && !escaped:
			b.WriteString(`\.`)
		case escaped && !strings.ContainsRune(`*?.\`, rune(c)):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
		escaped = false
	}
	b.WriteString(")$")
	return b.String()
}
