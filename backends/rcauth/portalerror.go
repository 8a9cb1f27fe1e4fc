package rcauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// Kind says why a portal refused.
type Kind string

// The kinds of refusals.
const (
	// KindLoginRequired: the portal's own credential of the user has ended, or
	// has less left than was asked for. A login renews it; less may be had
	// without, see Client.Info.
	KindLoginRequired Kind = "login_required"
	// KindLifetime: more than the portal gives.
	KindLifetime Kind = "lifetime"
	// KindVOMS: an unknown VO, a bad vomses line, no member of it, or its server
	// is down; the portal does not say which.
	KindVOMS Kind = "voms"
	// KindClient: client_id or secret are wrong, or the client is not approved.
	KindClient Kind = "client"
	// KindCode: the code of the login was used before, or belongs to another
	// redirect URI.
	KindCode Kind = "code"
	// KindAccessToken: used up, older than 15 minutes, revoked.
	KindAccessToken Kind = "access_token"
	// KindRefreshToken: used before, expired, revoked, or the client is
	// registered without them.
	KindRefreshToken Kind = "refresh_token"
	// KindScope: the access token is not for proxies: the scope was not asked
	// for, or is not enabled for the client.
	KindScope Kind = "scope"
	// KindUnavailable: something at the portal or behind it is broken.
	KindUnavailable Kind = "unavailable"
	// KindOther: everything else.
	KindOther Kind = "other"
)

// PortalError is a refusal in the portal's own words.
type PortalError struct {
	// Op is what was asked for: "discovery", "keys", "token", "refresh",
	// "userinfo", "getproxy", "info" or "revoke".
	Op          string
	Status      int    // of HTTP
	Code        string // of OAuth, cleaned; nearly always invalid_request, whatever happened
	Description string // cleaned, at most 200 characters, no token or secret in it; may be ""
	Kind        Kind
}

func (e *PortalError) Error() string {
	if e.Description == "" && e.Status == http.StatusNotFound {
		return fmt.Sprintf("there is nothing at the portal's address (%s, HTTP status 404): is its URL right?", e.Op)
	}
	if e.Description == "" {
		return fmt.Sprintf("the portal refused without a reason that can be read (%s, HTTP status %d)", e.Op, e.Status)
	}
	return fmt.Sprintf("the portal refused (%s): %s", e.Op, e.Description)
}

// refusal makes an error of an answer that is none of success. secrets are those
// that went with the request: a portal repeats them in some of its texts.
func (c *Client) refusal(op string, got *answer, secrets ...string) *PortalError {
	code, description := parseRefusal(got.body)
	e := &PortalError{Op: op, Status: got.status, Kind: kindOf(op, got.status, description)}
	secrets = append(secrets, string(c.ClientSecret))
	e.Code = clip(redact(code, secrets))
	e.Description = clip(redact(description, secrets))
	return e
}

// The two places where the portal's HTML pages name their error: `error: "x"`
// since 0.2.0, `error="x"` before. Values are URL-encoded.
// They are compiled when they are needed, not at every start of the program.
var (
	htmlCode = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`\berror\s*[:=]\s*"([^"<>]*)"`)
	})
	htmlDescription = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`\berror_description\s*[:=]\s*"([^"<>]*)"`)
	})
)

// parseRefusal finds error and error_description in JSON (RFC 6749 section 5.2)
// or in a page for people. Of any other page nothing is shown.
func parseRefusal(body []byte) (code, description string) {
	var doc struct {
		Code        json.RawMessage `json:"error"`
		Description json.RawMessage `json:"error_description"`
	}
	if json.Unmarshal(body, &doc) == nil {
		code, _ = text(doc.Code)
		description, _ = text(doc.Description)
		return code, description
	}
	return fromPage(htmlCode(), body), fromPage(htmlDescription(), body)
}

func fromPage(pattern *regexp.Regexp, body []byte) string {
	found := pattern.FindSubmatch(body)
	if found == nil {
		return ""
	}
	if s, err := url.QueryUnescape(string(found[1])); err == nil {
		return s
	}
	return string(found[1])
}

// says are the words by which refusals are told apart, the first that fits
// wins. The codes are of no use for that. Those without
// a version are recorded from 0.2.4, the others are in the source of theirs.
var says = []struct {
	words string
	kind  Kind
}{
	{"ca access token expired", KindLoginRequired},
	{"retrieve new eec from ca, http status code is 5", KindUnavailable}, // 0.2.1: the CA itself is broken
	{"empty response from ca", KindUnavailable},                          // 0.2.1
	{"could not retrieve new eec from ca", KindLoginRequired},
	{"(oa4mp client) returned", KindLoginRequired}, // 0.2.0 has status 500 for it
	{"requested proxy lifetime", KindLifetime},
	{"for input string", KindLifetime},
	{"voms user information", KindVOMS},
	{"voms server info", KindVOMS},
	{"unknown client", KindClient},
	{"has not been approved", KindClient},
	{"secret is incorrect", KindClient},
	{"incorrect secret", KindClient},
	{"missing secret", KindClient},
	{"no client secret", KindClient},
	{"client and secret do not match", KindClient},
	{"no client id", KindClient},
	{"missing client identifier", KindClient},
	{"public clients not supported", KindClient},
	{"no basic header", KindClient},
	{"authorization code", KindCode},
	{"no pending transaction", KindCode},
	{"authorization grant", KindCode},
	{"redirect uri", KindCode},
	{"refresh token", KindRefreshToken},
	{"access token", KindAccessToken},
	{"time expired", KindAccessToken},
	{"token expired", KindAccessToken},
	{"missing scope", KindScope},
	{"no usable myproxy service", KindUnavailable},
	{"myproxy info failed", KindUnavailable},
	{"failed to execute get command", KindUnavailable},
}

// kindOf goes by the words, then by the status. Public documents are sent no
// token that could be refused. Where the server broke over a refresh token, that
// may be as good as before.
func kindOf(op string, status int, description string) Kind {
	description = strings.ToLower(description)
	for _, s := range says {
		if op == opDiscovery || op == opKeys || s.kind == KindRefreshToken && status >= 500 {
			continue
		}
		if strings.Contains(description, s.words) {
			return s.kind
		}
	}
	if status >= 500 || status == http.StatusTooManyRequests {
		return KindUnavailable
	}
	return KindOther
}

const redacted = "[redacted]"

// tokenURL is what codes and tokens of a portal look like.
var tokenURL = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\S*(authzGrant|accessToken|refreshToken)(/|%(25)*2F)\S*`)
})

// redact takes secrets out of a portal's words: those that were sent, as they
// are or URL-encoded, and everything that looks like a token. What CleanText
// would drop goes first, or it could hide them.
func redact(s string, secrets []string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	for _, hidden := range secrets {
		if hidden == "" {
			continue
		}
		for _, form := range []string{hidden, url.QueryEscape(hidden), url.PathEscape(hidden)} {
			s = strings.ReplaceAll(s, form, redacted)
		}
	}
	return tokenURL().ReplaceAllString(s, redacted)
}
