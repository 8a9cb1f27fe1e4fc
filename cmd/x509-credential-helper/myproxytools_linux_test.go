package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// toolsWorld is a directory for the C programs, or for us under their names, on
// one real server that both share.
type toolsWorld struct {
	w     *world
	dir   string
	env   []string
	user  string
	roots string // the trust directory
}

func newToolsWorld(t *testing.T, w *world, mp *lab.MyProxy, user string, who *lab.Credential) *toolsWorld {
	t.Helper()
	x := &toolsWorld{w: w, dir: w.path(user), user: user, roots: mp.CA.TrustDir(lab.Trust{})}
	if err := os.Mkdir(x.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cred, err := gsi.ParseCredential(who.PEM())
	if err != nil {
		t.Fatal(err)
	}
	locked, err := cred.TraditionalPEM([]byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	x.write(t, "cert.pem", who.CertPEM())
	x.write(t, "key.pem", keyBlock(who.PEM()))
	x.write(t, "locked.pem", keyBlock(locked))
	x.env = []string{
		raceExit, "HOME=" + x.dir, "PATH=" + os.Getenv("PATH"), "LOGNAME=" + user, "LANG=C",
		"X509_CERT_DIR=" + x.roots, "X509_USER_PROXY=" + filepath.Join(x.dir, "out.pem"),
		"X509_USER_CERT=" + filepath.Join(x.dir, "cert.pem"), "X509_USER_KEY=" + filepath.Join(x.dir, "key.pem"),
		"MYPROXY_SERVER=localhost", "MYPROXY_SERVER_PORT=" + strings.TrimPrefix(mp.Direct, "localhost:"),
	}
	return x
}

func (x *toolsWorld) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(x.dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run calls the real program, or ours, and leaves out of the output what must
// differ.
func (x *toolsWorld) run(ours bool, line, stdin string) result {
	words := strings.Fields(strings.ReplaceAll(line, "USER", x.user))
	cmd := exec.Command(words[0], words[1:]...)
	if ours {
		if words[0] == "myproxy-store" { // the real one does not ask for the pass phrase, and tries nothing
			words = append(words, "-S")
		}
		cmd = x.w.named(words[0], words[1:]...)
	}
	cmd.Dir, cmd.Env, cmd.Stdin = x.dir, x.env, strings.NewReader(stdin)
	r := x.w.finish(cmd)
	r.stdout = x.normal(r.stdout)
	return r
}

// timeLeft differs between two calls.
var timeLeft = regexp.MustCompile(`timeleft: \d+:\d\d:\d\d`)

// normal leaves out of an output what has nothing to do with it: the words of
// grid-proxy-init, which myproxy-init runs, a slash, and what differs anyway.
func (x *toolsWorld) normal(text string) string {
	if i := strings.Index(text, "A proxy valid"); i > 0 {
		text = text[i:]
	}
	text = strings.ReplaceAll(text, "/.\n", ".\n")
	text = strings.NewReplacer(x.dir, "DIR", x.roots, "ROOTS", x.user, "USER").Replace(text)
	return timeLeft.ReplaceAllString(text, "timeleft: H:MM:SS")
}

// step is one command line of a conversation.
type step struct {
	line, stdin string
	fails       bool
}

// writes says whether it changes what is stored.
func (s step) writes() bool {
	for _, program := range []string{"-init", "-store", "-destroy", "-phrase"} {
		if strings.Contains(s.line, program) {
			return true
		}
	}
	return false
}

var oldLine, newLine = passphrase + "\n", newPassphrase + "\n"

var conversation = []step{
	{"myproxy-info -l USER", "", true},
	{"myproxy-init -S -l USER -c 24 -t 2 -k n -K any -a", oldLine, false},
	{"myproxy-info -l USER", "", false},
	{"myproxy-logon -S -l USER -k n -o got.pem", oldLine, false},
	{"myproxy-change-pass-phrase -S -l USER -k n", oldLine + newLine, false},
	{"myproxy-get-delegation -S -l USER -k n", oldLine, true},
	{"myproxy-get-delegation -S -l USER -k n", newLine, false},
	{"myproxy-logon -qSlUSER -kn -t1", newLine, false},
	{"myproxy-change-pass-phrase -S -l USER -k n", oldLine + newLine, true},
	{"myproxy-change-pass-phrase -S -l USER -k n", newLine + "short\n", true},
	{"myproxy-destroy -l USER -k n", "", false},
	{"myproxy-destroy -l USER -k n", "", true},
	{"myproxy-store -l USER -c cert.pem -y locked.pem -K stored -x -E * -r */CN=*", oldLine, false},
	{"myproxy-info -l USER", "", false},
	{"myproxy-logon -S -l USER", oldLine, false},
	{"myproxy-logon -S -l USER", newLine, true},
	{"myproxy-retrieve -S -l USER -c back.pem -y backkey.pem", oldLine, false},
	{"myproxy-retrieve -S -l USER -c back.pem -y backkey.pem", oldLine, true},
	{"myproxy-destroy -l USER", "", false},
	{"myproxy-init -l USER -A", "", false},
	{"myproxy-info -l USER", "", false},
	{"myproxy-logon -n -l USER", "", true},
	{"myproxy-init -S -l USER", "short\n", true},
	{"myproxy-get-trustroots", "", false},
	{"myproxy-get-trustroots -q", "", false},
	{"myproxy-info -l nobody", "", true},
	{"myproxy-logon -S -l nobody", oldLine, true},
}

// TestSameAsTheTools has a conversation with a real server twice: what the C
// programs store in the first, we fetch, list, change and destroy, and in the
// second it is the other way round. Each line must come to the same end, and say
// the same on standard output; we may say more after that.
func TestSameAsTheTools(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.MyProxyServer, lab.MyProxyClient, lab.GridTools)
	mp := lab.StartMyProxy(t, lab.MyProxyOptions{})
	w := newWorld(t, inMemory)
	if err := w.linkNames(); err != nil {
		t.Fatal(err)
	}
	who := mp.CA.User("Jane Doe")
	first, second := newToolsWorld(t, w, mp, "first", who), newToolsWorld(t, w, mp, "second", who)
	for _, s := range conversation {
		of := map[bool]*toolsWorld{s.writes(): second, !s.writes(): first} // by whether we call
		compare(t, s, of[false].run(false, s.line, s.stdin), of[true].run(true, s.line, s.stdin))
	}
	for _, x := range []*toolsWorld{first, second} {
		for _, name := range []string{"got.pem", "out.pem"} {
			if out, err := exec.Command("grid-proxy-info", "-file", filepath.Join(x.dir, name), "-identity").CombinedOutput(); err != nil || !strings.Contains(string(out), "CN=Jane Doe") {
				t.Errorf("%s of %s: %v, %s", name, x.user, err, out)
			}
		}
	}
}

// compare holds what we did against what the C program did.
func compare(t *testing.T, s step, c, we result) {
	t.Helper()
	switch {
	case (c.status != 0) != s.fails:
		t.Errorf("%s: the C program ended with %d:\n%s%s", s.line, c.status, c.stdout, c.stderr)
	case (we.status != 0) != s.fails:
		t.Errorf("%s: we ended with %d:\n%s%s", s.line, we.status, we.stdout, we.stderr)
	case !s.fails && !strings.HasPrefix(we.stdout, c.stdout):
		t.Errorf("%s: the C program says\n%swe say\n%s", s.line, c.stdout, we.stdout)
	case s.fails && we.stderr == "":
		t.Errorf("%s: no reason was given", s.line)
	}
}

// TestDocumentedLogonRealServer types the documented command line of
// MyProxyClient against the real server, with a trust directory that is not there
// yet.
func TestDocumentedLogonRealServer(t *testing.T) {
	lab.Require(t, lab.MyProxyServer)
	mp := lab.StartMyProxy(t, lab.MyProxyOptions{})
	mp.Store(jane, passphrase, mp.CA.User("Jane Doe"))
	w := newWorld(t, inMemory)
	if err := w.linkNames(); err != nil {
		t.Fatal(err)
	}
	w.env = append(w.env, "X509_CERT_DIR="+w.path("roots"))
	c, status := talk(t, w.named(mpClientName, "logon", "-s", mp.Addr, "-l", jane, "-o", "creds.pem", "-b"),
		"fingerprint  "+fingerprint(mp.CA.Cert), "", "(yes/no) ", "yes\n", "Enter password for user 'jane'", passphrase+"\n")
	if status != 0 {
		t.Fatalf("status %d:\n%s", status, c.Output())
	}
	if r := w.run("", "show", "--identity", "creds.pem"); r.stdout != "/C=XX/O=X509CH Lab/CN=Jane Doe\n" {
		t.Errorf("%+v", r)
	}
}
