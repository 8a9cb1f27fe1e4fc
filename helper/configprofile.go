package helper

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/xrash/smetrics"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// DefaultLifetime is asked for where neither request nor profile say anything.
const DefaultLifetime = 12 * time.Hour

// commonKeys are the keys of every profile, whatever its backend.
var commonKeys = []Key{
	{"backend", KindString},
	{"lifetime", KindDuration},
	{"min_lifetime", KindDuration},
	{"renew_after", KindString},
	{"voms", KindStrings},
	{"vomses", KindStrings},
	{"limited", KindBool},
	{"match", KindStrings},
	{"key", KindString},
	{"identity", KindString},
	{"ca_dir", KindPath},
	{"voms_dir", KindPath},
	{"verify_issuer", KindBool},
	{"signing_policy", KindString},
	{"crl", KindString},
}

// ProfileKeys lists every key that a profile with that backend may have.
func ProfileKeys(b Backend) []Key { return append(slices.Clone(commonKeys), b.Keys()...) }

// newProfile judges one profile. What is wrong with it disables it alone.
func newProfile(name string, table map[string]value, backends map[string]Backend, home string) *Profile {
	p := &Profile{
		Name:     name,
		Lifetime: DefaultLifetime,
		Renew:    defaultRenew,
		Key:      gsi.KeyRSA2048,
		Trust:    gsi.TrustOptions{SigningPolicy: gsi.PolicyRequire, CRL: gsi.CRLCheck},
		Settings: Settings{},
	}
	if err := p.fill(table, backends, home); err != nil {
		err.Profile = name
		p.err = err
	}
	return p
}

func (p *Profile) fill(table map[string]value, backends map[string]Backend, home string) *Error {
	for _, key := range slices.Sorted(maps.Keys(table)) {
		p.file = table[key].file
	}
	badURLs := p.claimURLs(table)
	if !isName(p.Name) {
		return Errorf(CodeNotConfigured, "%s: %s cannot be the name of a profile: names are lower-case letters, digits and ._-", p.file, quoteName(p.Name))
	}
	if v, wrong := table[""]; wrong {
		return Errorf(CodeNotConfigured, "%s: profile.%s must be a table", v.file, p.Name)
	}
	if badURLs != nil {
		return badURLs
	}
	backend, keys, err := p.chooseBackend(table, backends)
	if err != nil {
		return err
	}
	own := backend.Keys()
	for _, name := range slices.Sorted(maps.Keys(table)) {
		v := table[name]
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
		if i < 0 {
			return unknownKey(v.file, "profile."+p.Name, name, keyNames(keys))
		}
		parsed, ok := parseValue(keys[i].Kind, v.v)
		if !ok {
			return p.wrong(name, v.file, "must be "+string(keys[i].Kind))
		}
		if keys[i].Kind == KindPath {
			if parsed, ok = absolutePath(parsed.(string), home); !ok {
				return p.wrong(name, v.file, "must be "+string(KindPath))
			}
		}
		if slices.Contains(own, keys[i]) {
			p.Settings[name] = parsed
		} else if err := p.set(name, parsed); err != nil {
			return p.wrong(name, v.file, err.Error())
		}
	}
	return nil
}

// claimURLs reads the patterns before anything else is judged: a profile that
// is disabled still claims its URLs, so that no other one, meant for less,
// takes them over.
func (p *Profile) claimURLs(table map[string]value) *Error {
	v, ok := table["match"]
	if !ok {
		return nil
	}
	patterns, isList := parseValue(KindStrings, v.v)
	if !isList {
		return p.wrong("match", v.file, "must be "+string(KindStrings))
	}
	if err := p.setMatch(patterns.([]string)); err != nil {
		return p.wrong("match", v.file, err.Error())
	}
	return nil
}

func (p *Profile) chooseBackend(table map[string]value, backends map[string]Backend) (Backend, []Key, *Error) {
	names := slices.Sorted(maps.Keys(backends))
	v, given := table["backend"]
	if !given {
		return nil, nil, Errorf(CodeNotConfigured, "%s: profile.%s has no key \"backend\"", p.file, p.Name).
			WithHint("backend is one of %s", strings.Join(names, ", "))
	}
	name, _ := v.v.(string)
	backend := backends[name]
	if backend == nil {
		return nil, nil, Errorf(CodeNotConfigured, "%s: profile.%s has the backend %s, which this version does not have", v.file, p.Name, quoteName(name)).
			WithHint("backend is one of %s", strings.Join(names, ", "))
	}
	return backend, ProfileKeys(backend), nil
}

func (p *Profile) wrong(key, file, what string) *Error {
	return Errorf(CodeNotConfigured, "%s: profile.%s.%s %s", file, p.Name, key, what)
}

// set takes the value of a common key.
func (p *Profile) set(key string, v any) error {
	switch key {
	case "backend":
		p.Backend = v.(string)
	case "lifetime":
		p.Lifetime, p.asksLifetime = v.(time.Duration), true
		return notTooLong(p.Lifetime)
	case "min_lifetime":
		p.MinLifetime = v.(time.Duration)
		return notTooLong(p.MinLifetime)
	case "renew_after":
		var err error
		p.Renew, err = parseRenewWindow(v.(string))
		return err
	case "voms":
		p.VOMS = v.([]string)
		return checkVOMS(p.VOMS)
	case "vomses":
		p.VOMSES = v.([]string)
		return checkVOMSES(p.VOMSES)
	case "limited":
		p.Limited = v.(bool)
	case "match": // done
	case "identity":
		p.Identity = v.(string)
	case "verify_issuer":
		p.VerifyIssuer = v.(bool)
	case "ca_dir":
		p.CADir = v.(string)
	case "voms_dir":
		p.VOMSDir = v.(string)
	default:
		return p.setWord(key, v.(string))
	}
	return nil
}

func notTooLong(d time.Duration) error {
	if d > maxSeconds*time.Second {
		return errors.New("is longer than a year")
	}
	return nil
}

// setWord takes the value of a key that has a fixed set of words.
func (p *Profile) setWord(key, word string) error {
	var words []string
	switch key {
	case "key":
		k, err := gsi.ParseKeyType(word)
		if err != nil {
			return fmt.Errorf("has an %w", err)
		}
		p.Key = k
		return nil
	case "signing_policy":
		p.Trust.SigningPolicy = gsi.PolicyMode(word)
		words = []string{string(gsi.PolicyRequire), string(gsi.PolicyIfPresent), string(gsi.PolicyIgnore)}
	case "crl":
		p.Trust.CRL = gsi.CRLMode(word)
		words = []string{string(gsi.CRLCheck), string(gsi.CRLAllowExpired), string(gsi.CRLIgnore)}
	}
	if !slices.Contains(words, word) {
		return errors.New("must be one of " + strings.Join(words, ", "))
	}
	return nil
}

// setMatch takes all patterns that can be read and returns the first fault.
func (p *Profile) setMatch(patterns []string) (fault error) {
	for _, s := range patterns {
		pattern, err := ParsePattern(s)
		if err == nil {
			p.Match = append(p.Match, pattern)
		} else if fault == nil {
			fault = errors.New("has the pattern " + quoteName(withoutUser(s)) + ": " + err.Error())
		}
	}
	return fault
}

// absolutePath expands ~/. Nothing is ever read from the working directory.
func absolutePath(path, home string) (string, bool) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok && filepath.IsAbs(home) {
		path = filepath.Join(home, rest)
	}
	return path, filepath.IsAbs(path)
}

func checkVOMS(list []string) error {
	if len(list) > maxVOMS {
		return errors.New("has too many items")
	}
	for _, s := range list {
		if _, err := voms.ParseRequest(s); err != nil {
			return errors.New("has the item " + quoteName(s) + ": " + err.Error())
		}
	}
	return nil
}

// checkVOMSES refuses line ends: MyProxy's requests are lines, and a portal
// passes the text on as it is.
func checkVOMSES(lines []string) error {
	for _, l := range lines {
		if len(l) > 4096 || strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return errors.New("has an item with a line end or another control character")
		}
	}
	return nil
}

// parseValue turns a TOML value into what the key's kind says.
func parseValue(kind KeyKind, v any) (any, bool) {
	switch kind {
	case KindString, KindPath:
		s, ok := v.(string)
		return s, ok
	case KindBool:
		b, ok := v.(bool)
		return b, ok
	case KindDuration:
		s, _ := v.(string)
		d, err := time.ParseDuration(s)
		return d.Truncate(time.Second), err == nil && d >= time.Second
	case KindStrings:
		if s, ok := v.(string); ok {
			return []string{s}, true
		}
		return listOf[string](v)
	case KindInts:
		list, ok := listOf[int64](v)
		ints := make([]int, len(list))
		for i, n := range list {
			ints[i] = int(n)
		}
		return ints, ok
	}
	return nil, false
}

func listOf[T any](v any) ([]T, bool) {
	items, ok := v.([]any)
	if !ok || len(items) > 256 {
		return nil, false
	}
	list := make([]T, 0, len(items))
	for _, item := range items {
		t, ok := item.(T)
		if !ok {
			return nil, false
		}
		list = append(list, t)
	}
	return list, true
}

func keyNames(keys []Key) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Name
	}
	return names
}

// Closest finds the word that somebody who typed s may have meant, or "".
func Closest(s string, words []string) string {
	best, bestDistance := "", 3
	for _, w := range slices.Sorted(slices.Values(words)) {
		if len(s) > 64 || len(w) > 64 {
			continue
		}
		if d := smetrics.WagnerFischer(s, w, 1, 1, 1); d < bestDistance && d < len(w) {
			best, bestDistance = w, d
		}
	}
	return best
}
