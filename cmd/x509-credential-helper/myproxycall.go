package main

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// mpCall is one call of a myproxy command: its options, completed by what
// --config, --profile and the environment say, in this order.
type mpCall struct {
	p       *process
	c       *cli.Context
	command string

	config  *myproxy.ClientConfig // never nil after configure
	profile *mpProfile            // nil without --profile
	lines   *bufio.Reader         // of standard input, with -S
	trust   string                // the trust directory, once one was installed or named
	secrets []secret.Secret       // what was typed or read, to be wiped
}

// mpProfile is a profile of config.toml.
type mpProfile struct {
	*helper.Profile
	helper *helper.Helper
	target *helper.Target
	lock   *cache.SecretLock // of its pass phrase, from when that was read
}

// configure reads --config and --profile.
func (m *mpCall) configure() error {
	m.config = &myproxy.ClientConfig{}
	if file := m.c.String("config"); file != "" {
		file, section, _ := strings.Cut(file, "#")
		config, err := myproxy.ReadMyProxyClientConfig(file, section)
		if err != nil {
			return err
		}
		for _, w := range config.Warnings {
			m.p.note("note: %s", clean(w))
		}
		m.config = config
	} else if m.c.Bool("print-profile") {
		return usagef("add --config FILE", "myproxy %s: --print-profile is for --config only", m.command)
	}
	if profile := m.c.String("profile"); profile != "" {
		return m.readProfile(profile)
	}
	return nil
}

func (m *mpCall) readProfile(named string) error {
	h := m.p.newHelper("login")
	profile, err := h.Config.Profile(named)
	if err != nil {
		return err
	}
	if profile.Backend != myproxy.Name {
		return helper.Errorf(helper.CodeInvalidRequest, "profile %q is not of a MyProxy server", profile.Name)
	}
	target, err := h.Backends[myproxy.Name].Target(profile)
	if err != nil {
		return err
	}
	m.profile = &mpProfile{Profile: profile, helper: h, target: target}
	return nil
}

func (m *mpCall) close() {
	m.unlock()
	for _, s := range m.secrets {
		s.Wipe()
	}
}

// unlock lets others use the keyring's entry again.
func (m *mpCall) unlock() {
	if m.profile != nil && m.profile.lock != nil {
		_ = m.profile.lock.Close()
		m.profile.lock = nil
	}
}

func (m *mpCall) printProfile() error {
	_, section, _ := strings.Cut(m.c.String("config"), "#")
	title := strings.ToLower(cmp.Or(section, "myproxy"))
	_, err := fmt.Fprint(m.p.stdout, m.config.Profile(title))
	return err
}

// setting is the first of these that says something: an option, the
// configuration files, the environment.
func (m *mpCall) setting(option, config, profileKey, variable string) string {
	if m.c.IsSet(option) {
		return m.c.String(option)
	}
	var profile, env string
	if m.profile != nil && profileKey != "" {
		profile = m.profile.Settings.String(profileKey)
	}
	if variable != "" {
		env = m.p.getenv(variable)
	}
	return cmp.Or(config, profile, env)
}

// hosts are the servers, as host:port.
func (m *mpCall) hosts() ([]string, error) {
	port := ""
	if m.config.Port != 0 {
		port = strconv.Itoa(m.config.Port)
	}
	port = cmp.Or(m.setting("port", port, "", "MYPROXY_SERVER_PORT"), myproxy.DefaultPort)
	config := m.config.Hostname
	if m.profile != nil {
		config = cmp.Or(config, m.profile.target.Endpoint)
	}
	list := m.setting("server", config, "", "MYPROXY_SERVER")
	if list == "" {
		return nil, helper.Errorf(helper.CodeNotConfigured, "no MyProxy server was named").
			WithHint("name it with -s, or set MYPROXY_SERVER")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, helper.Errorf(helper.CodeInvalidRequest, "%q is no port", clean(port))
	}
	hosts, err := myproxy.ParseServers([]string{list}, port)
	if err != nil {
		return nil, helper.Errorf(helper.CodeInvalidRequest, "%w", err)
	}
	return hosts, nil
}

// username is that of -l, of the profile, with -d the subject dn, else LOGNAME or
// the name of the uid.
func (m *mpCall) username(dn string) (string, error) {
	if m.c.IsSet("username") {
		return m.c.String("username"), nil
	}
	if m.c.Bool("dn-as-username") {
		if dn == "" {
			return "", helper.Errorf(helper.CodeInvalidRequest, "there is no certificate whose subject could be the user name").
				WithHint("name one with --tls-cert, or the user with -l")
		}
		return dn, nil
	}
	if m.profile != nil {
		return m.profile.target.Principal, nil
	}
	if name := m.p.getenv("LOGNAME"); name != "" {
		return name, nil
	}
	u, err := user.Current()
	if err != nil || u.Username == "" {
		return "", helper.Errorf(helper.CodeNotConfigured, "the user name for the MyProxy server is not known").
			WithHint("name it with -l, or set LOGNAME")
	}
	return u.Username[strings.LastIndexByte(u.Username, '\\')+1:], nil // DOMAIN\name on Windows
}

func (m *mpCall) credentialName() string {
	if m.c.IsSet("credential-name") || m.profile == nil {
		return m.c.String("credential-name")
	}
	return m.profile.target.CredentialName
}

// client is the MyProxy service that was asked for, for an identity or none.
func (m *mpCall) client(identity *mpIdentity) (*myproxy.Client, error) {
	hosts, err := m.hosts()
	if err != nil {
		return nil, err
	}
	c := &myproxy.Client{
		Hosts:    hosts,
		ServerDN: m.setting("server-dn", m.config.ServerDN, "server_dn", "MYPROXY_SERVER_DN"),
		Trust:    m.openTrust,
		Identity: identity.certificate(),
	}
	if m.profile != nil {
		c.TrustOptions = m.profile.Trust
	}
	if text := m.p.getenv("MYPROXY_SOCKET_TIMEOUT"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 16)
		if err != nil || seconds == 0 {
			return nil, helper.Errorf(helper.CodeInvalidRequest, "MYPROXY_SOCKET_TIMEOUT is %q, which is no number of seconds", clean(text))
		}
		c.DialTimeout = time.Duration(seconds) * time.Second
	}
	if c.Dial, err = dialer(m.p.getenv); err != nil {
		return nil, err
	}
	m.verbose("server: %s", strings.Join(hosts, ", "))
	return c, nil
}

// namedTrust is the trust directory that somebody has named, or "".
func (m *mpCall) namedTrust() string {
	config := m.config.CACertDir
	if m.profile != nil {
		config = cmp.Or(config, m.profile.CADir)
	}
	dir := m.setting("cadir", config, "", "X509_CERT_DIR")
	if m.c.IsSet("cadir") { // what somebody types is below where he is
		if abs, err := filepath.Abs(dir); err == nil {
			return abs
		}
	}
	return dir
}

// openTrust opens the trust directory that servers are verified by.
func (m *mpCall) openTrust() (*gsi.TrustDir, error) {
	path := m.trust
	if path == "" {
		var err error
		if path, err = gsi.FindTrustDir(m.namedTrust(), m.p.getenv); err != nil {
			return nil, err
		}
	}
	m.verbose("trust directory: %s", path)
	return gsi.OpenTrustDir(path)
}

// installDir is where trust roots are written.
func (m *mpCall) installDir() (string, error) {
	dir := m.namedTrust()
	if dir == "" {
		dir = myproxy.DefaultTrustDir(m.p.getenv, m.p.home(), os.Getuid())
	}
	if dir == "" {
		return "", helper.Errorf(helper.CodeNotConfigured, "there is no home directory for the trust roots").
			WithHint("name a directory with --cadir, or set X509_CERT_DIR")
	}
	if !filepath.IsAbs(dir) {
		return "", helper.Errorf(helper.CodeNotConfigured, "the directory for trust roots is not an absolute path: %s", clean(dir)).
			WithHint("set X509_CERT_DIR to one, or name the directory with --cadir")
	}
	return dir, nil
}

// showHosts names servers without the port that all have.
func showHosts(hosts []string) string {
	var names []string
	for _, h := range hosts {
		if host, port, err := net.SplitHostPort(h); err == nil && port == myproxy.DefaultPort {
			h = host
		}
		names = append(names, h)
	}
	return strings.Join(names, ", ")
}

// unanswered says which servers of a list were tried in vain.
func (m *mpCall) unanswered(list []*myproxy.HostError) (warnings []string) {
	for _, h := range list {
		warnings = append(warnings, clean(h.Error()))
		m.p.note("note: %s", clean(h.Error()))
	}
	return warnings
}

func (m *mpCall) verbose(format string, args ...any) {
	if m.c.Bool("verbose") {
		m.p.note("%s", clean(fmt.Sprintf(format, args...)))
	}
}

// say writes what came of it, for people and for scripts that look for the
// words of the C programs. With --json and -q there is nothing to say.
func (m *mpCall) say(format string, args ...any) error {
	if m.c.Bool("json") || m.c.Bool("quiet") {
		return nil
	}
	_, err := fmt.Fprintf(m.p.stdout, format+"\n", args...)
	return err
}

// ofProfile is a duration of the profile's own keys, for want of another.
func (m *mpCall) ofProfile(d time.Duration, key string) time.Duration {
	if d == 0 && m.profile != nil {
		return m.profile.Settings.Duration(key)
	}
	return d
}

// hoursOf reads a number of hours, or a duration.
func (m *mpCall) hoursOf(option string, otherwise time.Duration) (time.Duration, error) {
	text := m.c.String(option)
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if n, err2 := strconv.ParseInt(text, 10, 32); err2 == nil {
		d, err = time.Duration(n)*time.Hour, nil
	}
	if err != nil || d < 0 || d > 100*longest {
		return 0, usagef("write a number of hours, or 90m", "myproxy %s: --%s %q is no time", m.command, option, clean(text))
	}
	return d.Truncate(time.Second), nil
}
