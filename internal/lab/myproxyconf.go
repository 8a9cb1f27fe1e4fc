package lab

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// configText is the server's configuration: the lines of its mode, those that
// o.Policy replaces, and o.Config.
func (m *MyProxy) configText(o MyProxyOptions) string {
	m.t.Helper()
	lines := map[string][]string{}
	everybody, nobody := []string{"*"}, []string{"none"}
	switch o.Mode {
	case OnlineCA:
		lines["authorized_retrievers"] = everybody
		m.caConfig(o, lines)
	case Strict:
		lines["accepted_credentials"] = []string{"/C=XX/O=" + o.CA.name + "/*"}
		lines["authorized_retrievers"] = everybody
		lines["max_proxy_lifetime"] = []string{"2"}
		lines["max_cred_lifetime"] = []string{"240"}
	case Repository, "":
		for _, name := range []string{"accepted_credentials", "authorized_retrievers", "default_retrievers",
			"authorized_renewers", "authorized_key_retrievers", "trusted_retrievers"} {
			lines[name] = everybody
		}
		for _, name := range []string{"default_renewers", "default_key_retrievers", "default_trusted_retrievers"} {
			lines[name] = nobody
		}
		lines["allow_voms_attribute_requests"] = []string{"true"}
	default:
		m.t.Fatalf("no such mode of a MyProxy server: %q", o.Mode)
	}
	if !o.NoTrustRoots {
		lines["cert_dir"] = []string{m.CertDir}
	}
	if o.AllowSelfAuthorization {
		lines["allow_self_authorization"] = []string{"true"}
	}
	maps.Copy(lines, o.Policy)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		if len(lines[name]) == 0 {
			continue
		}
		text.WriteString(name)
		for _, value := range lines[name] {
			text.WriteString(` "` + value + `"`)
		}
		text.WriteString("\n")
	}
	return text.String() + o.Config + "\n"
}

// caConfig makes an online CA that asks PAM, and the PAM service that knows
// o.Users.
func (m *MyProxy) caConfig(o MyProxyOptions, lines map[string][]string) {
	m.t.Helper()
	var users, names strings.Builder
	for user, passphrase := range o.Users {
		fmt.Fprintf(&users, "%s:%s\n", user, passphrase)
		fmt.Fprintf(&names, "\"/C=XX/O=%s/CN=%s\" %s\n", o.CA.name, user, user)
	}
	// pam_exec hands the pass phrase over with a NUL behind it.
	check := m.file("check", fmt.Sprintf(`#!/bin/sh
pass=$(tr -d '\000')
exec grep -Fxq -e "$PAM_USER:$pass" %s
`, m.file("users", users.String(), 0o600)), 0o700)
	// pam_deny makes it "Authentication failure", as real modules say;
	// pam_exec alone is a "System error".
	m.file("pam", fmt.Sprintf(`auth [success=1 default=ignore] pam_exec.so expose_authtok quiet %s
auth requisite pam_deny.so
auth required pam_permit.so
account required pam_permit.so
`, check), 0o644)
	if err := os.Mkdir(filepath.Join(m.dir, "issued"), 0o700); err != nil {
		m.t.Fatalf("%v", err)
	}
	for name, value := range map[string]string{
		"pam": "sufficient", "pam_id": m.pamService(),
		"certificate_issuer_cert": m.file("ca.pem", string(pemCert(o.CA.Cert)), 0o644),
		"certificate_issuer_key":  m.file("ca.key", string((&Credential{Key: o.CA.Key}).keyPEM()), 0o400),
		"certificate_serialfile":  m.file("serial", "5000\n", 0o600),
		"certificate_out_dir":     filepath.Join(m.dir, "issued"),
		"certificate_mapfile":     m.file("mapfile", names.String(), 0o600),
		"max_cert_lifetime":       "12",
	} {
		lines[name] = []string{value}
	}
}

func (m *MyProxy) pamService() string { return filepath.Base(m.dir) }

// wrapper is what to put before myproxy-server's command line so that it finds
// its PAM service: libpam looks in /etc/pam.d only. A mount namespace of its
// own needs no root and leaves the system's directory alone; where there are
// none (containers), root writes into it until the test ends.
func (m *MyProxy) wrapper(o MyProxyOptions) []string {
	m.t.Helper()
	if o.Mode != OnlineCA {
		return nil
	}
	unshare := []string{"unshare", "--mount"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--user", "--map-root-user")
	}
	pamd := filepath.Join(m.dir, "pam.d")
	if err := os.Mkdir(pamd, 0o755); err != nil {
		m.t.Fatalf("%v", err)
	}
	const bind = `mount --bind "$0" /etc/pam.d && exec "$@"`
	if exec.Command(unshare[0], append(unshare[1:], "sh", "-c", bind, pamd, "true")...).Run() == nil {
		m.file(filepath.Join("pam.d", m.pamService()), m.read("pam"), 0o644)
		return append(unshare, "sh", "-c", bind, pamd)
	}
	path := filepath.Join("/etc/pam.d", m.pamService())
	if err := os.WriteFile(path, []byte(m.read("pam")), 0o644); err != nil {
		if os.Getuid() == 0 {
			m.t.Fatalf("%v", err)
		}
		// X509CH_LAB=require or not: installing packages does not help.
		m.t.Skipf("an online CA needs root or mount namespaces: %v", err)
	}
	m.t.Cleanup(func() { os.Remove(path) })
	return nil
}

func (m *MyProxy) read(name string) string {
	data, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil {
		m.t.Fatalf("%v", err)
	}
	return string(data)
}

// fakeTimeLibrary is where Debian keeps it on any architecture.
const fakeTimeLibrary = "/usr/lib/*/faketime/libfaketime.so.1"

// fakeTimeEnv lets a program live in the past. With an expired certificate
// myproxy-server does not start, so that only one whose clock is late can show
// it to clients.
func fakeTimeEnv(ago time.Duration) []string {
	found, _ := filepath.Glob(fakeTimeLibrary)
	return []string{"LD_PRELOAD=" + found[0], fmt.Sprintf("FAKETIME=-%dm", int(ago.Minutes()))}
}
