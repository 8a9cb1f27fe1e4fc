package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// cause is something that is wrong with a proxy or with the environment.
type cause struct {
	env []string
	// ours is what show says of it, "" where it is not the proxy that is wrong.
	ours string
}

// causes makes everything that is wrong, below the home of a user who does
// without this program.
func causes(t *testing.T, g *toolsGrid) map[string]cause {
	t.Helper()
	user, stranger := gsi.Credential(*g.mp.CA.User("Jane Doe")), gsi.Credential(*g.mp.CA.User("Mallory"))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	proxy := func(who gsi.Credential, key crypto.Signer, begin time.Duration) []byte {
		c, err := who.Derive(key, gsi.IssueOptions{Now: time.Now().Add(begin), Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		data, err := c.PEM()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	file := func(name string, data []byte, mode os.FileMode) string {
		if err := os.WriteFile(g.path(name), data, mode); err != nil {
			t.Fatal(err)
		}
		chmod(t, g.path(name), mode)
		return "X509_USER_PROXY=" + g.path(name)
	}
	good := file("good.pem", proxy(user, rsaKey, 0), 0o600)
	file("other.key", keyBlock(proxy(user, ecKey, 0)), 0o600)
	missing := "X509_USER_PROXY=" + g.path("missing.pem")
	return map[string]cause{
		"expired":    {[]string{file("expired.pem", proxy(user, rsaKey, -2*time.Hour), 0o600)}, "expired"},
		"early":      {[]string{file("early.pem", proxy(user, rsaKey, 2*time.Hour), 0o600)}, "valid only in"},
		"missing":    {[]string{missing}, "does not exist"},
		"crash":      {[]string{missing, "XrdSecGSICREATEPROXY=0"}, "does not exist"},
		"empty":      {[]string{file("empty.pem", nil, 0o600)}, "empty"},
		"garbage":    {[]string{file("garbage.pem", []byte("garbage\n"), 0o600)}, "no certificate"},
		"mode":       {[]string{file("mode.pem", proxy(user, rsaKey, 0), 0o644)}, "mode 0644"},
		"ec":         {[]string{file("ec.pem", proxy(user, ecKey, 0), 0o600)}, "ECDSA"},
		"unset":      {[]string{"X509_USER_PROXY="}, ""},
		"no CAs":     {[]string{good, "X509_CERT_DIR=" + t.TempDir()}, ""},
		"no CA dir":  {[]string{good, "X509_CERT_DIR=" + g.path("no-such-directory")}, ""},
		"old key":    {[]string{good, "X509_USER_CERT=" + g.path("expired.pem"), "X509_USER_KEY=" + g.path("other.key")}, ""},
		"stranger":   {[]string{file("stranger.pem", proxy(stranger, rsaKey, 0), 0o600)}, ""},
		"attributes": {[]string{good}, ""},
	}
}

// saying is what a tool says where something is wrong. The page of errors in
// docs/gfal-xrootd.md quotes it.
type saying struct {
	cause, element, tool string
	says                 string
}

var sayings = []saying{
	{"expired", "gsi", "xrdcp", "Auth failed: No protocols left to try"},
	{"expired", "tls", "xrdcp", "Auth failed: No protocols left to try"},
	{"expired", "gsi", "gfal-stat root", "(Invalid exchange)"},
	{"expired", "tls", "gfal-stat davs", "(Host is down)"},
	{"expired", "tls", "curl", "alert certificate expired"},
	{"early", "gsi", "xrdcp", "Auth failed: No protocols left to try"},
	{"early", "tls", "curl", "alert bad certificate"},
	{"missing", "gsi", "xrdcp", "Auth failed: No protocols left to try"},
	{"missing", "tls", "xrdcp", "does not exist."},
	{"missing", "tls", "gfal-stat root", "(Network dropped connection on reset)"},
	{"missing", "tls", "gfal-stat davs", "HTTP 403 : Permission refused"},
	{"missing", "tls", "curl", "could not load PEM client certificate"},
	{"crash", "gsi", "xrdcp", "segmentation fault"},
	{"empty", "gsi", "xrdfs", "Auth failed: No protocols left to try"},
	{"empty", "tls", "xrdfs", "Unable to create TLS context; invalid certificate."},
	{"garbage", "tls", "xrdfs", "Unable to create TLS context; invalid certificate."},
	{"garbage", "tls", "gfal-stat davs", "HTTP 403 : Permission refused"},
	{"garbage", "tls", "davix-get", "parse PEM credential failed"},
	{"mode", "tls", "xrdcp", "has excessive access rights."},
	{"mode", "tls", "gfal-stat root", "(Network dropped connection on reset)"},
	{"ec", "gsi", "xrdcp", "ErrExportPuK: encrypting client DH public parameters"},
	{"ec", "tls", "gfal-stat root", "(Invalid exchange)"},
	{"unset", "gsi", "xrdcp", "secgsi_Init: Could not expand"},
	{"unset", "tls", "curl", "The requested URL returned error: 403"},
	{"no CAs", "gsi", "xrdcp", "Auth failed: No protocols left to try"},
	{"no CAs", "tls", "xrdcp", "TLS error: resource temporarily unavailable"},
	{"no CAs", "tls", "gfal-stat davs", "issuer is not trusted"},
	{"no CAs", "tls", "gfal-stat root", "(Resource temporarily unavailable)"},
	{"no CA dir", "tls", "xrdcp", "Unable to use CA cert directory"},
	{"old key", "tls", "xrdcp", "Unable to create TLS context; cert-key mismatch."},
	{"old key", "tls", "gfal-stat root", "(Network dropped connection on reset)"},
	{"stranger", "gsi", "xrdcp", "Auth failed: No protocols left to try"},
	{"stranger", "tls", "gfal-stat davs", "HTTP 403 : Permission refused"},
	{"attributes", "vo", "xrdcp", "Auth failed: No protocols left to try"},
	{"attributes", "vo", "gfal-stat davs", "HTTP 403 : Permission refused"},
}

// TestToolErrors: what the tools say of the causes of failures, so that the page
// of errors is true; what show says of the same file; and that exec and shims do
// their work in the very environment in which the tool alone does not.
func TestToolErrors(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/gfal-xrootd.md")
	if err != nil {
		t.Fatal(err)
	}
	g := newToolsGrid(t)
	elements := map[string]*storage{
		"gsi": g.storage("gsi", "", lab.XRootDOptions{}),
		"tls": g.storage("tls", "", lab.XRootDOptions{TLS: true, HTTP: true}),
		"vo":  g.storage("vo", `credential_name = "vo"`, lab.XRootDOptions{TLS: true, HTTP: true, VOMSDir: g.mp.CA.VOMSDir("labvo", "localhost")}),
	}
	g.login("gsi", "tls", "vo")
	all := causes(t, g)
	t.Run("all", func(t *testing.T) {
		for name, c := range all {
			t.Run(name+"/show", func(t *testing.T) {
				t.Parallel()
				g.shows(t, c)
			})
		}
		for _, s := range sayings {
			t.Run(s.cause+"/"+s.element+"/"+s.tool, func(t *testing.T) {
				t.Parallel()
				if !strings.Contains(string(page), "`"+strings.Trim(s.says, "()")+"`") {
					t.Errorf("the page of errors does not have `%s`", s.says)
				}
				g.fails(t, elements[s.element], s, all[s.cause])
			})
		}
	})
}

// shows asks show about the proxy of a cause.
func (g *toolsGrid) shows(t *testing.T, c cause) {
	t.Helper()
	if c.ours == "" {
		return
	}
	cmd := g.command("show", strings.TrimPrefix(c.env[0], "X509_USER_PROXY="))
	out, _ := cmd.CombinedOutput()
	if !strings.Contains(string(out), c.ours) {
		t.Errorf("expected %q: %s", c.ours, out)
	}
}

// fails runs a tool alone, which must fail as it is known to, and then through
// exec and through its shim, which must not.
func (g *toolsGrid) fails(t *testing.T, s *storage, saying saying, c cause) {
	t.Helper()
	tag := strings.ReplaceAll(saying.cause+saying.element, " ", "")
	for _, run := range s.runs(g, tag) {
		if run.name != saying.tool {
			continue
		}
		bare := g.plain(byHand(run.argv, s))
		bare.Env = append(append(bare.Env, "X509_CERT_DIR="+g.mp.TrustDir), c.env...)
		out, err := toolOutput(bare)
		// curl says whichever it notices first.
		late := saying.tool == "curl" && noticedLate(string(out))
		if err == nil || !late && !strings.Contains(string(out)+err.Error(), saying.says) {
			t.Errorf("%v, expected %q: %s", err, saying.says, out)
		}
		for _, way := range []string{"exec", "shim"} {
			cmd := toolWays[way](g, s, run.argv)
			cmd.Env = append(append([]string{}, cmd.Env...), c.env...)
			run.works(t, cmd)
		}
		return
	}
	t.Fatalf("there is no %q", saying.tool)
}

// noticedLate says whether curl found the connection closed before it read why.
func noticedLate(out string) bool {
	for _, says := range []string{"getpeername() failed", "Broken pipe", "Connection reset by peer"} {
		if strings.Contains(out, says) {
			return true
		}
	}
	return false
}
