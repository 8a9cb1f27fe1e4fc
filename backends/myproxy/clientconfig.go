package myproxy

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// ClientConfig is what a configuration file of the Python program MyProxyClient
// says. Zero is what it does not say.
type ClientConfig struct {
	Hostname    string
	Port        int
	ServerDN    string
	CACertDir   string        // absolute, variables expanded
	Lifetime    time.Duration // proxyCertLifetime: of logons
	MaxLifetime time.Duration // proxyCertMaxLifetime: of what is stored
	// Warnings are sentences about settings that have no counterpart.
	Warnings []string
}

// ConfigError is what is wrong with a configuration file of MyProxyClient. It
// never holds a value.
type ConfigError struct {
	Path   string
	Line   int // from 1; 0 is the whole file
	Reason string
	Err    error // nil where Reason says all
}

func (e *ConfigError) Error() string {
	where := fmt.Sprintf("%q", e.Path)
	if e.Line > 0 {
		where += fmt.Sprintf(" line %d", e.Line)
	}
	if e.Err != nil {
		return where + ": " + e.Reason + ": " + e.Err.Error()
	}
	return where + ": " + e.Reason
}

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// maxClientConfig is far more than a real one has, in bytes.
const maxClientConfig = 64 << 10

const defaultSection = "DEFAULT"

// ReadMyProxyClientConfig reads a configuration file of MyProxyClient: an INI
// file as Python's configparser reads it, with the keys hostname, port, serverDN,
// openSSLConfFilePath, proxyCertLifetime and proxyCertMaxLifetime (seconds), and
// caCertDir, spelled like that. $VAR and ${VAR} are expanded in paths. An empty
// section is DEFAULT; another one has what it leaves out from DEFAULT, and
// further sections are not judged. openSSLConfFilePath is a warning: servers do
// not look at what it would say.
//
// The file says where pass phrases go, so it must belong to us or to root, and
// nobody else may write to it. Errors are *ConfigError.
func ReadMyProxyClientConfig(path, section string) (*ClientConfig, error) {
	data, err := safefile.ReadTrusted(path, maxClientConfig)
	if err != nil {
		var file *FileError
		if errors.Is(err, fs.ErrNotExist) {
			err = fs.ErrNotExist
		} else if errors.As(fileError(path, err), &file) {
			return nil, &ConfigError{Path: path, Reason: file.Reason, Err: file.Err}
		}
		return nil, &ConfigError{Path: path, Reason: "cannot be read", Err: err}
	}
	return parseClientConfig(path, section, data, os.LookupEnv)
}

// parseClientConfig reads the text of such a file.
func parseClientConfig(path, section string, data []byte, lookup func(string) (string, bool)) (*ClientConfig, error) {
	if section == "" {
		section = defaultSection
	}
	lines, err := parseINI(data)
	if err == nil && !slices.ContainsFunc(lines, func(l iniLine) bool { return l.section == section }) {
		err = &ConfigError{Reason: fmt.Sprintf("there is nothing in a section %.40q", section)}
	}
	c := new(ClientConfig)
	// What is nearer comes last and wins.
	for _, wanted := range slices.Compact([]string{defaultSection, section}) {
		for _, l := range lines {
			if err == nil && l.section == wanted {
				err = c.set(l, lookup)
			}
		}
	}
	if err != nil {
		var e *ConfigError
		if errors.As(err, &e) {
			e.Path = path
		}
		return nil, err
	}
	return c, nil
}

// iniLine is one setting.
type iniLine struct {
	number              int
	section, key, value string
}

func (l iniLine) wrong(format string, args ...any) error {
	return &ConfigError{Line: l.number, Reason: l.key + " " + fmt.Sprintf(format, args...)}
}

// parseINI reads what configparser reads, but for values of several lines and
// for interpolation with %(name)s, which no configuration of MyProxyClient has.
func parseINI(data []byte) ([]iniLine, error) {
	var out []iniLine
	section, number := "", 0
	for text := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		number++
		text = strings.TrimRight(text, " \t\r\n")
		fail := func(reason string) ([]iniLine, error) {
			return nil, &ConfigError{Line: number, Reason: reason}
		}
		trimmed := strings.TrimLeft(text, " \t")
		switch {
		case !utf8.ValidString(text) || strings.IndexFunc(text, isUnprintable) >= 0:
			return fail("has a control character or is not UTF-8")
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
			continue
		case trimmed != text:
			return fail("begins with a blank: values of more than one line are not supported")
		case text[0] == '[':
			var ok bool
			if section, ok = strings.CutSuffix(text[1:], "]"); !ok || section == "" {
				return fail("is no name of a section in brackets")
			}
			continue
		case section == "":
			return fail("stands before the first [SECTION]")
		}
		l, reason := parseSetting(text)
		if reason != "" {
			return fail(reason)
		}
		l.number, l.section = number, section
		if slices.ContainsFunc(out, func(o iniLine) bool { return o.section == section && o.key == l.key }) {
			return fail("has a key that stands in this section already")
		}
		out = append(out, l)
	}
	return out, nil
}

// parseSetting reads "key = value" or "key: value"; % is written twice.
func parseSetting(text string) (l iniLine, wrong string) {
	at := strings.IndexAny(text, "=:")
	if at < 0 {
		return l, "is neither a section, a comment nor key = value"
	}
	l.key, l.value = strings.TrimSpace(text[:at]), strings.TrimSpace(text[at+1:])
	if l.key == "" {
		return l, "has no key"
	}
	if strings.Contains(strings.ReplaceAll(l.value, "%%", ""), "%") {
		return l, "has a single %, which stands for another value: write %% for the sign, and values in full"
	}
	l.value = strings.ReplaceAll(l.value, "%%", "%")
	return l, ""
}

func isUnprintable(r rune) bool {
	return r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
}

// set takes one setting.
func (c *ClientConfig) set(l iniLine, lookup func(string) (string, bool)) (err error) {
	switch l.key {
	case "hostname":
		if !isHost(l.value) {
			return l.wrong("is neither a host name nor an address")
		}
		c.Hostname = l.value
	case "port":
		if !isPort(l.value) {
			return l.wrong("is no port")
		}
		c.Port, err = strconv.Atoi(l.value)
	case "serverDN":
		c.ServerDN = l.value
	case "proxyCertLifetime":
		c.Lifetime, err = l.seconds()
	case "proxyCertMaxLifetime":
		c.MaxLifetime, err = l.seconds()
	case "caCertDir":
		c.CACertDir, err = l.path(lookup)
	case "openSSLConfFilePath":
		c.Warnings = append(c.Warnings, fmt.Sprintf("line %d: openSSLConfFilePath is ignored: servers do not look at the names in a certificate request, so ours has none", l.number))
	default:
		return &ConfigError{Line: l.number, Reason: fmt.Sprintf("unknown key %.40q: MyProxyClient has %s", l.key, clientKeys)}
	}
	return err
}

const clientKeys = "hostname, port, serverDN, openSSLConfFilePath, proxyCertLifetime, proxyCertMaxLifetime and caCertDir"

func (l iniLine) seconds() (time.Duration, error) {
	n, err := strconv.ParseInt(l.value, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt32 {
		return 0, l.wrong("must be a number of seconds, at least 1")
	}
	return time.Duration(n) * time.Second, nil
}

// path expands variables. One that is not set is an error: Python would go on
// with its name as part of the path.
func (l iniLine) path(lookup func(string) (string, bool)) (string, error) {
	if l.value == "" {
		return "", nil
	}
	var missing string
	path := os.Expand(l.value, func(name string) string {
		value, ok := lookup(name)
		if (!ok || value == "") && missing == "" {
			missing = name
		}
		return value
	})
	switch {
	case strings.Contains(l.value, "$") && missing != "":
		return "", l.wrong("names the variable %.40q, which is not set", missing)
	case !utf8.ValidString(path) || strings.IndexFunc(path, isUnprintable) >= 0:
		return "", l.wrong("has a control character in a variable's value")
	case !filepath.IsAbs(path):
		return "", l.wrong("must be an absolute path, with its variables expanded")
	}
	return filepath.Clean(path), nil
}

// Profile writes the settings as a profile of config.toml of that name, which
// should be made of lower-case letters, digits and . _ -.
func (c *ClientConfig) Profile(name string) string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %s\n", key, tomlString(value))
		}
	}
	fmt.Fprintf(&b, "[profile.%s]\n", tomlKey(name))
	line("backend", Name)
	switch {
	case c.Hostname != "" && c.Port != 0:
		hosts, err := ParseServers([]string{c.Hostname}, strconv.Itoa(c.Port))
		if err == nil {
			line("server", hosts[0])
		}
	case c.Hostname != "":
		line("server", c.Hostname)
	case c.Port != 0:
		fmt.Fprintf(&b, "# no hostname was given, only port %d: set server = \"HOST:%d\"\n", c.Port, c.Port)
	}
	line(keyServerDN, c.ServerDN)
	line("lifetime", tomlDuration(c.Lifetime))
	line(keyMaxLifetime, tomlDuration(c.MaxLifetime))
	line("ca_dir", c.CACertDir)
	for _, w := range c.Warnings {
		fmt.Fprintf(&b, "# %s\n", w)
	}
	return b.String()
}

// tomlString quotes a text without control characters, which parseINI has seen
// to; the rest of TOML's basic strings are these two.
func tomlString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`).Replace(s) + `"`
}

func tomlKey(name string) string {
	bare := func(r rune) bool { return r < utf8.RuneSelf && isWord(byte(r)) || r == '-' || r == '_' }
	if name != "" && strings.TrimFunc(name, bare) == "" {
		return name
	}
	return tomlString(strings.Map(func(r rune) rune {
		if isUnprintable(r) {
			return -1
		}
		return r
	}, name))
}

// tomlDuration is how config.toml writes whole seconds, "" for none.
func tomlDuration(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
