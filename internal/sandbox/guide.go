package sandbox

import (
	"fmt"
	"io"
	"net"
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

// Guide is what the text for people names.
type Guide struct {
	Program    string // how the program is called
	ConfigFile string // where Config was written
	Profile    string
	Username   string
	Passphrase string
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
