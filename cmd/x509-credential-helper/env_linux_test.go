package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// TestEnvShells: whatever the directory is called, each shell has the path, and
// none of what competes with it; where there is no proxy the script ends.
func TestEnvShells(t *testing.T) {
	lab.Require(t, lab.Shells)
	w := newWorld(t, inMemory, "X509_USER_CERT=/c", "RUCIO_CLIENT_PROXY=/r")
	odd := "a  b'c\"d$e`f\\g*h~;i&j"
	config, err := os.ReadFile(w.path("config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	config = []byte(strings.Replace(string(config), `"`+w.path("run")+`"`, `'''`+w.path(odd)+`'''`, 1))
	if err := os.WriteFile(w.path("config.toml"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	const show = "\nsh -c 'echo \"$X509_USER_PROXY,$X509_CERT_DIR,$X509_USER_CERT,$RUCIO_CLIENT_PROXY\"'\n"
	posix := `eval "$(` + w.program + ` env)" || exit 3` + show
	fish := w.program + " env --shell fish | source || exit 3" + show
	csh := "eval \"`" + w.program + " env --shell csh`\" || exit 3" + show
	shells := map[string][]string{
		"sh": {"sh", "-e", posix}, "bash": {"bash", "-e", posix}, "zsh": {"zsh", "-fe", posix},
		"fish": {"fish", "--no-config", fish}, "tcsh": {"tcsh", "-f", csh},
	}
	run := func(argv []string) result { // in a file: one of them does not exit in the middle of a line
		script := w.path("script")
		if err := os.WriteFile(script, []byte(argv[2]), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(argv[0], argv[1], script)
		cmd.Env, cmd.Dir = w.env, w.dir
		return w.finish(cmd)
	}
	for name, argv := range shells {
		if r := run(argv); r.status != 3 || !strings.Contains(r.stderr, "login lab") {
			t.Errorf("%s goes on without a proxy: %+v", name, r)
		}
	}
	w.login()
	path := strings.TrimSuffix(w.run("", "path").stdout, "\n")
	if !strings.HasPrefix(path, w.path(odd)+"/proxy/lab-") {
		t.Fatalf("the path is %q", path)
	}
	for name, argv := range shells {
		if r := run(argv); r.status != 0 || r.stdout != path+","+w.server.TrustDir()+",,\n" {
			t.Errorf("%s: %+v, expected %s", name, r, path)
		}
	}
}
