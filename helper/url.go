package helper

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Pattern is one entry of a profile's match list:
// scheme://host[:port][/path]. The host may begin with "*." for one or more
// whole labels; the path is a prefix of whole segments, "*" stands for one
// segment. A pattern selects a profile, it protects nothing.
type Pattern struct {
	text string
	location
	subdomains bool // the host began with "*."
}

// location is a URL as far as it selects a profile.
type location struct {
	scheme string
	labels []string // of the host, lower-cased; an IP address is one label
	port   string   // "" if not given
	path   []string // segments, percent-decoded, empty ones dropped
}

// ParsePattern parses an entry of a match list.
func ParsePattern(s string) (*Pattern, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return nil, errNoScheme
	}
	rest, subdomains := strings.CutPrefix(rest, "*.")
	loc, err := parseURL(scheme + "://" + rest)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(rest, "?#") {
		return nil, errors.New("a pattern has no query or fragment")
	}
	if slices.ContainsFunc(loc.labels, func(l string) bool { return strings.Contains(l, "*") }) {
		return nil, errors.New(`"*" may stand only for the first labels of a host, as in *.example.org, and for a whole segment of a path`)
	}
	for _, seg := range loc.path {
		if seg != "*" && strings.Contains(seg, "*") {
			return nil, errors.New(`"*" stands for a whole segment of a path`)
		}
	}
	return &Pattern{text: s, location: *loc, subdomains: subdomains}, nil
}

// String returns the pattern as it was written.
func (p *Pattern) String() string { return p.text }

// Matches says whether the pattern covers a URL.
func (p *Pattern) Matches(u *location) bool {
	if p.scheme != u.scheme || p.port != "" && p.port != u.port {
		return false
	}
	if p.subdomains {
		extra := len(u.labels) - len(p.labels)
		if extra < 1 || !slices.Equal(p.labels, u.labels[extra:]) {
			return false
		}
	} else if !slices.Equal(p.labels, u.labels) {
		return false
	}
	if len(p.path) > len(u.path) {
		return false
	}
	for i, seg := range p.path {
		if seg != "*" && seg != u.path[i] {
			return false
		}
	}
	return true
}

// compare orders patterns that match the same URL by how much they say: more
// literal labels, then a port, then more segments. 0 is no decision.
func (p *Pattern) compare(q *Pattern) int {
	if d := len(p.labels) - len(q.labels); d != 0 {
		return d
	}
	if d := btoi(p.port != "") - btoi(q.port != ""); d != 0 {
		return d
	}
	return len(p.path) - len(q.path)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

var errNoScheme = errors.New("a URL must begin with a scheme, as in root://se.example.org/path")

// parseURL takes apart a URL. What could mean one thing to us and another to
// the tool that is going to use it is refused: user info, backslashes, control
// characters, percent signs in the host, dot segments (encoded ones too).
func parseURL(s string) (*location, error) {
	if len(s) > 8192 {
		return nil, errors.New("the URL is longer than 8192 bytes")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return nil, errors.New("the URL contains a backslash or a control character")
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return nil, errNoScheme
	}
	scheme = strings.ToLower(scheme)
	if !validScheme(scheme) {
		return nil, errNoScheme
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	authority, path, _ := strings.Cut(rest, "/")
	labels, port, err := parseAuthority(authority)
	if err != nil {
		return nil, err
	}
	segments, err := parsePath(path)
	if err != nil {
		return nil, err
	}
	return &location{scheme: scheme, labels: labels, port: port, path: segments}, nil
}

func validScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}

func parseAuthority(s string) (labels []string, port string, err error) {
	switch {
	case strings.Contains(s, "@"):
		return nil, "", errors.New("the URL contains user information before the host; leave it out")
	case strings.Contains(s, "%"):
		return nil, "", errors.New("the host of the URL contains a percent sign")
	}
	if rest, ok := strings.CutPrefix(s, "["); ok {
		return parseIPv6(rest)
	}
	host, port, hasPort := strings.Cut(s, ":")
	if err := checkPort(port, hasPort); err != nil {
		return nil, "", err
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "" {
		return nil, "", errors.New("the URL has no host")
	}
	labels = strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || strings.ContainsFunc(l, notHostRune) {
			return nil, "", fmt.Errorf("the host of the URL is not valid: %s", quoteName(host))
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		labels = []string{ip.String()}
	}
	return labels, port, nil
}

// notHostRune lets "*" pass: ParsePattern says more about it, and no URL's
// host matches it.
func notHostRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '*')
}

func parseIPv6(s string) (labels []string, port string, err error) {
	addr, rest, ok := strings.Cut(s, "]")
	ip, perr := netip.ParseAddr(addr)
	if !ok || perr != nil || !ip.Is6() {
		return nil, "", errors.New("the URL has no valid IPv6 address between its brackets")
	}
	if rest != "" && rest[0] != ':' {
		return nil, "", errors.New("the URL goes on after the bracket of its IPv6 address")
	}
	port = strings.TrimPrefix(rest, ":")
	return []string{ip.String()}, port, checkPort(port, rest != "")
}

func checkPort(port string, given bool) error {
	if !given {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("the port of the URL is not valid: %s", quoteName(port))
	}
	return nil
}

// hasDots looks for dot segments also behind encoded slashes: servers decode
// those before they walk.
func hasDots(seg string) bool {
	return slices.ContainsFunc(strings.Split(seg, "/"), func(s string) bool { return s == "." || s == ".." })
}

// withoutUser drops what stands before a host's "@", which may be a pass word.
func withoutUser(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	scheme, _, ok := strings.Cut(s[:at], "://")
	if !ok {
		return "…" + s[at:]
	}
	return scheme + "://…" + s[at:]
}

// parsePath splits before it decodes, so that an encoded slash stays inside
// its segment.
func parsePath(s string) ([]string, error) {
	var segments []string
	for _, raw := range strings.Split(s, "/") {
		seg, err := url.PathUnescape(raw)
		if err != nil {
			return nil, errors.New("the path of the URL has a percent sign without two hexadecimal digits")
		}
		switch {
		case seg == "":
			continue
		case hasDots(seg):
			return nil, errors.New(`the path of the URL contains a segment "." or ".."`)
		case strings.ContainsFunc(seg, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
			return nil, errors.New("the URL contains an encoded backslash or control character")
		}
		segments = append(segments, seg)
	}
	return segments, nil
}
