package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// gridTools are the programs that people run, and that this program stands in
// front of as shims.
var gridTools = []string{"xrdcp", "xrdfs", "gfal-ls", "gfal-copy", "gfal-stat", "curl", "davix-ls", "davix-get"}

// content is that of the file on every storage element.
const content = "from afar\n"

// storage is a storage element and the profile whose URLs are its own.
type storage struct {
	*lab.XRootD
	profile string
}

// toolsGrid is a user's machine with the real tools and a real MyProxy server,
// where jane has a plain credential and one with attributes of labvo.
type toolsGrid struct {
	*world
	mp    *lab.MyProxy
	shims string
	text  strings.Builder // of config.toml
}

func newToolsGrid(t *testing.T) *toolsGrid {
	t.Helper()
	lab.Require(t, lab.MyProxyServer, lab.MyProxyClient, lab.XRootDServer, lab.XRootDHTTP, lab.XRootDVOMS,
		lab.XRootDClient, lab.GFAL, lab.Curl, lab.Davix, lab.VOMSFake)
	g := newToolsHome(t)
	g.mp = lab.StartMyProxy(t, lab.MyProxyOptions{})
	user := g.mp.CA.User("Jane Doe")
	member, err := gsi.ParseCredential(lab.FakeVOMS(t, g.mp.CA, user, lab.FakeVOMSOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	withVO := lab.Credential(*member)
	g.mp.Store(jane, passphrase, user)
	g.mp.Store(jane, passphrase, &withVO, "-k", "vo")
	return g
}

// newToolsHome is a user with shims.
func newToolsHome(t *testing.T) *toolsGrid {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	g := &toolsGrid{world: &world{t: t, dir: t.TempDir(), program: program}}
	if err := os.Chmod(g.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	g.env = []string{
		raceExit, lab.LeakCheck(t), "PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "LANG=C.UTF-8", "GFAL_PYTHONBIN=/usr/bin/python3",
		"X509_CREDENTIAL_HELPER_CONFIG=" + g.path("config.toml"), "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent/bus",
	}
	if err := os.WriteFile(g.path("up"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	g.shims = g.path("shims")
	if r := g.run("", append([]string{"shims", "install", g.shims}, gridTools...)...); r.status != 0 {
		t.Fatalf("shims: %+v", r)
	}
	return g
}

// profile adds a profile for URLs that begin so, with more lines.
func (g *toolsGrid) profile(profile, lines string, match ...string) {
	fmt.Fprintf(&g.text, "[profile.%s]\nbackend = \"myproxy\"\nserver = %q\nusername = %q\nca_dir = %q\nmatch = [\"%s\"]\n%s\n",
		profile, g.mp.Addr, jane, g.mp.TrustDir, strings.Join(match, `", "`), lines)
}

// configure writes the configuration, in which the default profile is for
// nothing.
func (g *toolsGrid) configure() {
	g.t.Helper()
	text := "default_profile = \"nobody\"\n" + g.text.String() +
		"[profile.nobody]\nbackend = \"myproxy\"\nserver = \"localhost:1\"\nusername = \"nobody\"\n[store]\nruntime_dir = \"" + g.path("run") + "\"\n" + inMemory
	if err := os.WriteFile(g.path("config.toml"), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// login writes the configuration and logs in to profiles.
func (g *toolsGrid) login(profiles ...string) {
	g.t.Helper()
	g.configure()
	for _, p := range profiles {
		if r := g.run(passphrase+"\n", "login", "--passphrase-stdin", p); r.status != 0 {
			g.t.Fatalf("login %s: %+v", p, r)
		}
	}
}

// storage starts a storage element with a file, and adds a profile for it.
func (g *toolsGrid) storage(profile, lines string, o lab.XRootDOptions) *storage {
	g.t.Helper()
	if o.VOMSDir == "" {
		o.Users = append(o.Users, g.mp.CA.User("Jane Doe").DN())
	}
	x := lab.StartXRootDWith(g.t, g.mp.CA, o)
	if err := os.WriteFile(filepath.Join(x.Data, "file"), []byte(content), 0o644); err != nil {
		g.t.Fatal(err)
	}
	s := &storage{x, profile}
	g.profile(profile, lines, s.match()...)
	return s
}

// match are the beginnings of a storage element's URLs.
func (s *storage) match() []string {
	list := []string{s.URL, strings.Replace(s.URL, "root:", "roots:", 1)}
	if s.HTTPS != "" {
		list = append(list, s.HTTPS, s.DAVS())
	}
	return list
}

// toolRun is one call of a tool: what it must print, or write to the file out.
type toolRun struct {
	name string
	argv []string
	want string
	out  string
}

// runs are what people do at a storage element. Files that are written have
// names that begin with tag.
func (s *storage) runs(g *toolsGrid, tag string) []toolRun {
	root, size := s.URL+"//data/file", fmt.Sprint(len(content))
	local := func(name string) string { return g.path(tag + "-" + name) }
	list := []toolRun{
		{"xrdcp", []string{"xrdcp", "--nopbar", "-f", root, local("xrdcp")}, content, local("xrdcp")},
		{"xrdcp to it", []string{"xrdcp", "--nopbar", "-f", g.path("up"), s.URL + "//data/" + tag + "-xrdcp"}, content, filepath.Join(s.Data, tag+"-xrdcp")},
		{"xrdfs", []string{"xrdfs", s.URL, "stat", "/data/file"}, size, ""},
		{"gfal-ls root", []string{"gfal-ls", s.URL + "//data"}, "file", ""},
		{"gfal-stat root", []string{"gfal-stat", root}, "Size: " + size, ""},
		{"gfal-copy root", []string{"gfal-copy", "-f", root, "file://" + local("root")}, content, local("root")},
	}
	if s.HTTPS == "" {
		return list
	}
	davs, https := s.DAVS()+"/data/file", s.HTTPS+"/data/file"
	return append(list, []toolRun{
		{"gfal-ls davs", []string{"gfal-ls", s.DAVS() + "/data"}, "file", ""},
		{"gfal-stat davs", []string{"gfal-stat", davs}, "Size: " + size, ""},
		{"gfal-copy davs", []string{"gfal-copy", "-f", davs, "file://" + local("davs")}, content, local("davs")},
		{"curl", []string{"curl", "-sSf", "-o", local("curl"), https}, content, local("curl")},
		{"davix-ls", []string{"davix-ls", s.HTTPS + "/data/"}, "file", ""},
		{"davix-get", []string{"davix-get", https, local("davix")}, content, local("davix")},
	}...)
}

// The ways in which tools come to their proxy. Each returns a command.
var toolWays = map[string]func(g *toolsGrid, s *storage, argv []string) *exec.Cmd{
	"exec": func(g *toolsGrid, _ *storage, argv []string) *exec.Cmd {
		return g.command(append([]string{"exec", "--"}, argv...)...)
	},
	"env": func(g *toolsGrid, s *storage, argv []string) *exec.Cmd {
		script := `eval "$("$0" env --profile "$1")" && shift && exec "$@"`
		cmd := exec.Command("sh", append([]string{"-c", script, g.program, s.profile}, byHand(argv, s)...)...)
		cmd.Dir, cmd.Env = g.dir, g.env
		return cmd
	},
	"shim": func(g *toolsGrid, _ *storage, argv []string) *exec.Cmd {
		cmd := g.plain(argv)
		cmd.Env = append(cmd.Env, "PATH="+g.shims+":"+os.Getenv("PATH"))
		cmd.Path = filepath.Join(g.shims, argv[0])
		return cmd
	},
}

// byHand is what somebody types after env: curl and davix have to be told.
func byHand(argv []string, s *storage) []string {
	switch {
	case argv[0] == "curl":
		script := `exec curl --cert "$X509_USER_PROXY" --key "$X509_USER_PROXY" --capath "$X509_CERT_DIR" "$@"`
		return append([]string{"sh", "-c", script, "curl"}, argv[1:]...)
	case strings.HasPrefix(argv[0], "davix"):
		return append([]string{argv[0], "-P", "grid"}, argv[1:]...)
	}
	return argv
}

// plain runs a tool as it is.
func (g *toolsGrid) plain(argv []string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = g.dir, g.env
	return cmd
}

// TestToolMatrix: every tool does its work at every storage element, in all
// three ways, with proxies from a real MyProxy server and from a portal, and
// does not without one. There a tool that is let in would show that the matrix
// proves nothing.
func TestToolMatrix(t *testing.T) {
	t.Parallel()
	g, p := newToolsGrid(t), newPortalTools(t)
	both := g.mp.CA.VOMSDir("labvo", "localhost")
	if err := os.CopyFS(both, os.DirFS(p.server.VOMSDir())); err != nil {
		t.Fatal(err)
	}
	users, trust := []string{portalDN}, p.server.TrustDir()
	elements := []*storage{
		g.storage("gsi", "", lab.XRootDOptions{Users: users, Trust: trust}),
		g.storage("tls", "", lab.XRootDOptions{Users: users, Trust: trust, TLS: true, HTTP: true}),
		g.storage("vo", `credential_name = "vo"`, lab.XRootDOptions{Trust: trust, TLS: true, HTTP: true, VOMSDir: both}),
	}
	g.login("gsi", "tls", "vo")
	p.login(elements)
	connections, calls := g.mp.Connections(), len(p.portal.Calls("getproxy"))
	t.Run("all", func(t *testing.T) {
		for _, s := range elements {
			for way, prepare := range toolWays {
				g.tries(t, s, "myproxy/"+s.profile+"/"+way, prepare)
				p.tries(t, s, "portal/"+s.profile+"/"+way, prepare)
			}
			for _, run := range s.runs(g, "bare-"+s.profile) {
				t.Run("none/"+s.profile+"/"+run.name, func(t *testing.T) {
					t.Parallel()
					cmd := g.plain(run.argv)
					cmd.Env = append(cmd.Env, "X509_CERT_DIR="+s.TrustDir)
					if out, err := cmd.CombinedOutput(); err == nil {
						t.Errorf("let in without a proxy: %s", out)
					}
				})
			}
		}
	})
	if n := g.mp.Connections() - connections; n != 0 {
		t.Errorf("%d more connections to the server: one for each profile is enough", n)
	}
	if n := len(p.portal.Calls("getproxy")) - calls; n != 0 {
		t.Errorf("%d more proxies from the portal: one for each profile is enough", n)
	}
}

// tries has every tool do its work at a storage element in one way.
func (g *toolsGrid) tries(t *testing.T, s *storage, name string, prepare func(*toolsGrid, *storage, []string) *exec.Cmd) {
	for _, run := range s.runs(g, strings.ReplaceAll(name, "/", "-")) {
		t.Run(name+"/"+run.name, func(t *testing.T) {
			t.Parallel()
			run.works(t, prepare(g, s, run.argv))
		})
	}
}

// works runs a command, which has to end with 0 and give what it should.
func (r *toolRun) works(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := toolOutput(cmd)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.out != "" {
		if out, err = os.ReadFile(r.out); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(string(out), r.want) {
		t.Errorf("got %q, expected %q", out, r.want)
	}
}

// toolOutput runs a tool, once more where it crashed: once in some thousand runs
// gfal2 ends itself ("double free or corruption"), after we gave way to it.
func toolOutput(cmd *exec.Cmd) ([]byte, error) {
	again := exec.Command(cmd.Args[0], cmd.Args[1:]...)
	again.Path, again.Dir, again.Env = cmd.Path, cmd.Dir, cmd.Env
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.Sys().(syscall.WaitStatus).Signal() == syscall.SIGABRT {
		return again.CombinedOutput()
	}
	return out, err
}
