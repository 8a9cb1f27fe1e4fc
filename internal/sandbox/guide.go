package sandbox

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"unicode"
)

// Config returns the text of a config.toml whose one profile, called profile,
// is a user of this sandbox. The profile's name must be one that the
// configuration allows.
func (s *Sandbox) Config(profile, username string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "default_profile = %s\n\n", tomlString(profile))
	fmt.Fprintf(&b, "[profile.%s]\n", tomlString(profile))
	fmt.Fprintf(&b, "backend  = \"myproxy\"\n")
	fmt.Fprintf(&b, "server   = %s\n", tomlString(s.Addr()))
	fmt.Fprintf(&b, "username = %s\n", tomlString(username))
	fmt.Fprintf(&b, "ca_dir   = %s\n", tomlString(s.TrustDir()))
	return b.String()
}

// Config returns the table of a profile for one of the portal's clients. Its
// redirect URIs must be http://127.0.0.1:PORT/callback.
func (p *Portal) Config(profile string, c PortalClient) string {
	var ports []string
	for _, uri := range c.RedirectURIs {
		if u, err := url.Parse(uri); err == nil {
			ports = append(ports, u.Port())
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[profile.%s]\n", tomlString(profile))
	fmt.Fprintf(&b, "backend        = \"rcauth\"\n")
	fmt.Fprintf(&b, "portal         = %s\n", tomlString(p.URL()))
	fmt.Fprintf(&b, "client_id      = %s\n", tomlString(c.ID))
	fmt.Fprintf(&b, "redirect_ports = [%s]\n", strings.Join(ports, ", "))
	fmt.Fprintf(&b, "ca_dir         = %s\n", tomlString(p.s.TrustDir()))
	return b.String()
}

// Guide is what the text for people names.
type Guide struct {
	Program    string // how the program is called
	ConfigFile string // where Config was written
	Profile    string
	Username   string
	Passphrase string
	// Portal adds the Master Portal, with the profile for it and the client.
	Portal        *Portal
	PortalProfile string
	PortalClient  PortalClient
}

// WriteGuide tells people what runs here and what to type. It writes the
// identity of the user as files.
func (s *Sandbox) WriteGuide(w io.Writer, g Guide) error {
	cert, key, err := s.IdentityFiles(g.Username, "")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `A MyProxy server and a CA of its own run on %[1]s until you press Ctrl-C.
Nothing here is real: the keys protect nothing and end with this process.

  user         %[2]s
  pass phrase  %[3]s
  trust        %[4]s
  config       %[5]s

In another terminal:

  export X509_CREDENTIAL_HELPER_CONFIG=%[6]s
  %[7]s login %[8]s
  echo '{}' | %[7]s get
  %[7]s exec -- voms-proxy-info -all

What is stored is its owner's business ("put" stores more):

  %[7]s myproxy info --tls-cert %[11]s --tls-key %[12]s -s %[1]s -l %[2]s --cadir %[9]s

The classic client works too:

  X509_CERT_DIR=%[9]s myproxy-logon -s localhost -p %[10]s -l %[2]s -o proxy.pem
`,
		s.Addr(), g.Username, g.Passphrase, s.TrustDir(), g.ConfigFile,
		shellWord(g.ConfigFile), g.Program, g.Profile, shellWord(s.TrustDir()), s.port(),
		shellWord(cert), shellWord(key))
	if err != nil || g.Portal == nil {
		return err
	}
	_, err = fmt.Fprintf(w, `
A Master Portal runs at %[1]s.
Your browser will not know the CA of its certificate: go on all the same.

  client secret  %[2]s
  registration   %[1]s/register

  %[3]s login %[4]s
  echo '{"profile":"%[4]s"}' | %[3]s get
  %[3]s rcauth userinfo %[4]s
`,
		g.Portal.URL(), g.PortalClient.Secret, g.Program, g.PortalProfile)
	return err
}

func (s *Sandbox) port() string {
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		return ""
	}
	return port
}

// shellWord quotes a path for a POSIX shell where that is needed.
func shellWord(text string) string {
	odd := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+:@%", r)
	}
	if text != "" && !strings.ContainsFunc(text, odd) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
