package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term/ptytest"
)

// myproxyWorld is a world with jane's files, the environment of the myproxy
// commands, and the names of the other programs.
func myproxyWorld(t testing.TB, store string, env ...string) *world {
	t.Helper()
	w := newWorld(t, store)
	w.asMyproxyUser(env...)
	return w
}

// named prepares a call under the name of another program.
func (w *world) named(program string, args ...string) *exec.Cmd {
	cmd := w.command(args...)
	cmd.Path, cmd.Args[0] = w.path("names")+"/"+program, program
	return cmd
}

// talk answers questions and returns the exit status. The terminal must be as
// it was, and must never have shown a pass phrase.
func talk(t *testing.T, cmd *exec.Cmd, dialogue ...string) (*ptytest.Console, int) {
	t.Helper()
	c := ptytest.Start(t, cmd)
	for i, text := range dialogue {
		if i%2 == 0 {
			c.Expect(text)
		} else {
			c.Type(text)
		}
	}
	status := c.Wait()
	if !c.Echo() {
		t.Error("the terminal was left without echo")
	}
	if strings.Contains(c.Output(), "canary") {
		t.Errorf("a pass phrase shows:\n%s", c.Output())
	}
	return c, status
}

// TestDocumentedLogon types the command line of MyProxyClient's documentation as
// it is printed, where nobody is trusted yet.
func TestDocumentedLogon(t *testing.T) {
	w := myproxyWorld(t, inMemory)
	roots := w.path("roots")
	w.env = append(w.env, "X509_CERT_DIR="+roots)
	logon := func() *exec.Cmd {
		return w.named(mpClientName, "logon", "-s", w.server.Addr(), "-l", jane, "-o", "creds.pem", "-b")
	}
	question := "fingerprint  " + fingerprint(w.server.CACertificate())
	if c, status := talk(t, logon(), question, "", "(yes/no) ", "no\n", "the answer was not yes"); status != 1 || !strings.Contains(c.Output(), "CN=Sandbox CA") {
		t.Errorf("status %d:\n%s", status, c.Output())
	}
	if _, err := os.Stat(roots); err == nil {
		t.Error("roots were installed against somebody's will")
	}
	if n := w.server.Requests(0); n != 0 {
		t.Errorf("%d logons were tried before anybody was trusted", n)
	}
	ask := "Enter password for user 'jane' on MyProxy server '" + w.server.Addr() + "':"
	if c, status := talk(t, logon(), question, "", "(yes/no) ", "yes\n", ask, passphrase+"\n"); status != 0 {
		t.Errorf("status %d:\n%s", status, c.Output())
	}
	if r := w.run("", "show", "--exists", "creds.pem"); r.status != 0 {
		t.Errorf("the credential: %+v", r)
	}
	if r := w.run("", "trust", "check", "--dir", roots); r.status != 0 {
		t.Errorf("the roots: %+v", r)
	}
	if _, status := talk(t, logon(), ask, "x"+passphrase+"\n", "check user name and pass phrase"); status != 1 {
		t.Errorf("status %d", status)
	}
}

// TestQuestions: each question of each command, in the words of the C programs
// under their names. Both times of a new pass phrase must be the same.
func TestQuestions(t *testing.T) {
	w := myproxyWorld(t, inMemory)
	w.env = append(w.env, "X509_USER_CERT="+w.path("usercert.pem"), "X509_USER_KEY="+w.path("userkey.pem"), "X509_USER_PROXY="+w.path("proxy.pem"))
	who := `"jane" at ` + w.server.Addr() + ": "
	old, replacement := passphrase+"\n", newPassphrase+"\n"
	for _, tc := range []struct {
		name     string
		cmd      *exec.Cmd
		dialogue []string
		status   int
	}{
		{"logon", w.command("myproxy", "logon"), []string{"MyProxy pass phrase of " + who, old, "has been received"}, 0},
		{"myproxy-logon", w.named("myproxy-logon"), []string{"Enter MyProxy pass phrase:", old, "has been received"}, 0},
		{"nothing typed", w.command("myproxy", "logon"), []string{"pass phrase of", "\n", "no pass phrase was typed"}, 1},
		{"Ctrl-C", w.command("myproxy", "logon"), []string{"pass phrase of", "can\x03"}, 130},
		{"-S on a terminal", w.command("myproxy", "logon", "-S"), []string{"Pass phrase: ", old, "has been received"}, 0},
		{"put", w.command("myproxy", "put", "-l", "p"), []string{
			"New MyProxy pass phrase for \"p\"", replacement, "Verifying - New", old, "The two are different", "",
			"New MyProxy pass phrase", replacement, "Verifying - ", replacement, "Its owner is /C=XX",
		}, 0},
		{"put, never the same", w.command("myproxy", "put", "-l", "q"), []string{
			"New MyProxy", replacement, "Verifying", old, "The two are different", "",
			"New MyProxy", replacement, "Verifying", old, "The two are different", "",
			"New MyProxy", replacement, "Verifying", old, "different each time",
		}, 1},
		{"myproxy-init", w.named("myproxy-init", "-l", "r", "-y", w.path("locked.pem"), "-C", w.path("usercert.pem")), []string{
			"locked.pem: ", old, "Enter MyProxy pass phrase:", replacement, "Verifying - Enter MyProxy pass phrase:", replacement, "now exists on",
		}, 0},
		{"store", w.command("myproxy", "store", "-l", "s", "-c", w.path("usercert.pem"), "-y", w.path("locked.pem")), []string{
			"locked.pem, which logons will need: ", old, "Credentials saved",
		}, 0},
		{"change", w.command("myproxy", "change-passphrase"), []string{
			"Present MyProxy pass phrase of " + who, old, "New pass phrase of " + who, replacement, "Verifying - ", replacement, "Pass phrase changed.",
		}, 0},
		{"myproxy-change-pass-phrase", w.named("myproxy-change-pass-phrase"), []string{
			"Enter (current) MyProxy pass phrase:", replacement, "Enter new MyProxy pass phrase:", old,
			"Verifying - Enter new MyProxy pass phrase:", old, "Pass phrase changed.",
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if c, status := talk(t, tc.cmd, tc.dialogue...); status != tc.status {
				t.Errorf("status %d, expected %d:\n%s", status, tc.status, c.Output())
			}
		})
	}
}

// TestNewCAs: a verified server may send CAs that nobody here has heard of. They
// are installed after a yes; under the name of the C program, as ever, at once.
func TestNewCAs(t *testing.T) {
	w := myproxyWorld(t, inMemory)
	stranger := strangeCA(t)
	server, err := sandbox.Start(t.Context(), sandbox.Options{Dir: w.path("second"), Keys: sandboxKeys(), TrustedCAs: []*x509.Certificate{stranger}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	roots := w.path("roots")
	w.env = append(w.env, "MYPROXY_SERVER="+server.Addr(), "X509_CERT_DIR="+roots)
	if r := w.run("", "myproxy", "trustroots", "-b", "--fingerprint", fingerprint(server.CACertificate()), "--json"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	forget(t, roots, stranger)
	r := w.run("", "myproxy", "trustroots")
	if r.status != 1 || !strings.Contains(r.stderr, "1 CA that is new here") || !strings.Contains(r.stderr, "myproxy trustroots --yes") {
		t.Errorf("without a terminal: %+v", r)
	}
	c, status := talk(t, w.command("myproxy", "trustroots"), fingerprint(stranger), "", "(yes/no) ", "n\n")
	if status != 1 || known(t, roots, stranger) {
		t.Errorf("no: status %d:\n%s", status, c.Output())
	}
	if c, status = talk(t, w.command("myproxy", "trustroots"), "(yes/no) ", "yes\n", "have been installed"); status != 0 || !known(t, roots, stranger) {
		t.Errorf("yes: status %d:\n%s", status, c.Output())
	}
	forget(t, roots, stranger)
	if r := w.run("", "myproxy", "trustroots", "--yes"); r.status != 0 || !known(t, roots, stranger) {
		t.Errorf("--yes: %+v", r)
	}
	forget(t, roots, stranger)
	if r := w.finish(w.named("myproxy-get-trustroots")); r.status != 0 || !known(t, roots, stranger) {
		t.Errorf("myproxy-get-trustroots: %+v", r)
	}
}

// strangeCA is a CA that no sandbox has.
func strangeCA(t *testing.T) *x509.Certificate {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{"XX"}, CommonName: "Stranger CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, &x509.Certificate{Subject: pkix.Name{Country: []string{"XX"}, CommonName: "Stranger CA"}}, public, key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// forget removes a CA from a trust directory; known looks for it.
func forget(t *testing.T, dir string, ca *x509.Certificate) {
	t.Helper()
	for _, name := range filesOf(t, dir, ca) {
		if err := os.Remove(dir + "/" + name); err != nil {
			t.Fatal(err)
		}
	}
	if known(t, dir, ca) {
		t.Fatal("the CA is still there")
	}
}

func known(t *testing.T, dir string, ca *x509.Certificate) bool {
	return len(filesOf(t, dir, ca)) > 0
}

// TestKeepOutMyproxy: no pass phrase is in what the myproxy commands print, in
// the arguments or the environment of the process, or in any file.
func TestKeepOutMyproxy(t *testing.T) {
	w := myproxyWorld(t, inMemory, "X509_USER_PROXY=proxy.pem")
	w.env = append(w.env, "X509_USER_CERT="+w.path("usercert.pem"), "X509_USER_KEY="+w.path("locked.pem"))
	k := &keepOut{w, map[string]string{}}
	one, two, three := passphrase+"\n", newPassphrase+"\n", passphrase+"\n"+newPassphrase+"\n"
	for _, call := range []struct{ stdin, args string }{
		{one, "logon -S -v"}, {"x" + one, "logon -S -e -v"}, {one, "logon -S --json"}, {one, "logon -S -N"},
		{"canary\x00\n", "logon -S"}, {"canary LIFETIME=1\n", "logon -S"}, {strings.Repeat("canary", 300) + "\n", "logon -S"},
		{three, "put -S -l a"}, {one, "put -S -l a"}, {one + "can\n", "put -S -l a"}, {one, "store -S -l b -x -E *"}, {two, "store -S -l b"},
		{one, "retrieve -S -l b -o r.pem"}, {two, "retrieve -S -l b -o q.pem"}, {one, "retrieve -S -l b -o - --json"}, {one, "info -v"}, {one, "destroy -l a"},
		{one + three, "change-passphrase -S -e"}, {two + three, "change-passphrase -S"}, {one + one + "can\n", "change-passphrase -S"},
		{one, "trustroots -l jane -S -v"}, {one, "logon " + passphrase[:6]},
	} {
		args := append([]string{"myproxy"}, strings.Fields(call.args)...)
		if call.args == "logon canary" { // typed where it does not belong, it is only called unexpected
			continue
		}
		k.run(call.stdin, args...)
	}
	w.server.SetFaults(sandbox.Faults{Silent: sandbox.StageRequest})
	asked := w.server.Requests(0)
	cmd := w.command("myproxy", "logon", "-S", "-o", "late.pem")
	cmd.Stdin = strings.NewReader(two)
	c := w.start(cmd)
	w.waitFor("the request", func() bool { return w.server.Requests(0) > asked })
	k.process(cmd.Process.Pid)
	_ = cmd.Process.Kill()
	k.add("a killed call", c.wait().stderr)
	k.files()
	looked := 0
	for where, text := range k.seen {
		where = strings.ReplaceAll(where, "canary", "")
		looked += len(text)
		for _, form := range []string{"canary", hex.EncodeToString([]byte("canary")), base64.StdEncoding.EncodeToString([]byte("canary"))} {
			if strings.Contains(text, form) {
				t.Errorf("a pass phrase shows as %q in %.100s: %.500q", form, where, text)
			}
		}
	}
	if looked < 20000 {
		t.Errorf("only %d bytes were looked at", looked)
	}
}

// TestMyproxyKeyring: the pass phrase of a profile comes from the keyring, is not
// sent again once it was refused, and is the new one after a change.
func TestMyproxyKeyring(t *testing.T) {
	w := keyringWorld(t, lab.StartKeyring(t))
	w.asMyproxyUser()
	w.env = append(w.env, "X509_USER_CERT="+w.path("usercert.pem"), "X509_USER_KEY="+w.path("userkey.pem"))
	logon := func() result { return w.run("", "myproxy", "logon", "--profile", "lab", "-o", "proxy.pem") }
	if r := logon(); r.status != 1 || !strings.Contains(r.stderr, "no terminal") {
		t.Errorf("nothing is kept yet: %+v", r)
	}
	w.login()
	if r := logon(); r.status != 0 {
		t.Errorf("logon: %+v", r)
	}
	if r := w.run("", "myproxy", "logon", "--profile", "lab", "-l", "bob", "-o", "proxy.pem"); r.status != 1 || !strings.Contains(r.stderr, "no terminal") {
		t.Errorf("a pass phrase was taken for another user: %+v", r)
	}
	r := w.run(passphrase+"\n"+newPassphrase+"\n", "myproxy", "change-passphrase", "-S")
	if r.status != 0 || !strings.Contains(r.stdout, "replaced in the keyring, for profile lab.") {
		t.Errorf("change: %+v", r)
	}
	if r := logon(); r.status != 0 {
		t.Errorf("logon with the new one: %+v", r)
	}
	check(t, w, "get", w.run(`{"cache":"bypass"}`, "get"), "")

	if err := w.server.SetPassphrase(jane, "", "somebody else's idea"); err != nil {
		t.Fatal(err)
	}
	before := w.server.Requests(0)
	for range 3 {
		if r := logon(); r.status != 1 || !strings.Contains(r.stderr, "login lab") && !strings.Contains(r.stderr, "check user name") {
			t.Errorf("a stale pass phrase: %+v", r)
		}
	}
	if n := w.server.Requests(0) - before; n != 1 {
		t.Errorf("the refused pass phrase was sent %d times", n)
	}
}

// TestKeyringOfNames: each credential of a user has a pass phrase of its own, on
// the server and in the keyring: one is not sent, and not changed, for another.
func TestKeyringOfNames(t *testing.T) {
	w := keyringWorld(t, lab.StartKeyring(t))
	w.asMyproxyUser()
	w.env = append(w.env, "X509_USER_CERT="+w.path("usercert.pem"), "X509_USER_KEY="+w.path("userkey.pem"))
	w.configure(inKeyring + `
[profile.night]
backend = "myproxy"
server = "` + w.server.Addr() + `"
username = "jane"
credential_name = "night"
ca_dir = "` + w.server.TrustDir() + `"
`)
	const nights = "canary of the night"
	if r := w.run(nights+"\n", "myproxy", "put", "-S", "-k", "night"); r.status != 0 {
		t.Fatalf("put: %+v", r)
	}
	w.login()
	logon := func(words ...string) result {
		return w.run("", append([]string{"myproxy", "logon", "-o", "proxy.pem", "--profile"}, words...)...)
	}
	for _, words := range [][]string{{"night"}, {"lab", "-k", "night"}} {
		if r := logon(words...); r.status != 1 || !strings.Contains(r.stderr, "no terminal") {
			t.Errorf("the pass phrase of another credential was taken: %+v", r)
		}
	}
	if r := w.run(nights+"\n", "login", "night", "--passphrase-stdin"); r.status != 0 {
		t.Fatalf("login: %+v", r)
	}
	r := w.run(passphrase+"\n"+newPassphrase+"\n", "myproxy", "change-passphrase", "-S")
	if r.status != 0 || !strings.Contains(r.stdout, "replaced in the keyring, for profile lab.") {
		t.Errorf("change: %+v", r)
	}
	for _, profile := range []string{"lab", "night"} {
		if r := logon(profile); r.status != 0 {
			t.Errorf("profile %s: %+v", profile, r)
		}
	}
}

// TestChangeWithoutKeyring: the server has agreed, so it is no failure that the
// keyring cannot be written; but it is said, and what to do.
func TestChangeWithoutKeyring(t *testing.T) {
	k := lab.StartKeyring(t)
	w := keyringWorld(t, k)
	w.asMyproxyUser()
	w.login()
	w.env = append(w.env, hastyVar+"=1")
	k.Freeze()
	r := w.run(passphrase+"\n"+newPassphrase+"\n", "myproxy", "change-passphrase", "-S", "--tls-cert", "usercert.pem", "--tls-key", "userkey.pem", "--json")
	k.Thaw()
	if r.status != 0 || !strings.Contains(r.stdout, `"failed":["lab"]`) || !strings.Contains(r.stderr, "the old one is still in the keyring for profile \"lab\"") ||
		!strings.Contains(r.stderr, "run: x509-credential-helper login lab") {
		t.Errorf("%+v", r)
	}
}
