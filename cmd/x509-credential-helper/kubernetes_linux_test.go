package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// TestKubernetesVolume: in a pod the seed and the configuration come as links to
// files of root's that the group can read, the place for the proxy is a directory
// that everybody can write to, the user has no name and no home, and all the same
// the proxy is the user's alone.
func TestKubernetesVolume(t *testing.T) {
	onNodes(t, func(t *testing.T, n *node, _ *gsi.Credential) {
		n.seed(n.user, 2*time.Hour)
		p := newPod(t, n)
		before := n.connections()
		out, notes, status := p.run("exec", "--", "sh", "-c", `stat -c '%a %u %n' "$X509_USER_PROXY"`)
		want := fmt.Sprintf("600 %d %s", p.uid, filepath.Join(p.dir, "x509", "private", "proxy", "batch-"))
		if status != 0 || !strings.HasPrefix(out, want) {
			t.Errorf("exec: status %d, %s%s", status, out, notes)
		}
		for _, note := range []string{"others can read the seed", "is a symbolic link"} {
			if !strings.Contains(notes, note) {
				t.Errorf("no %q in %s", note, notes)
			}
		}
		proxy := filepath.Join(p.dir, "x509", "proxy.pem")
		if out, notes, status := p.run("keep-fresh", "--once", "--out", proxy); status != 0 {
			t.Fatalf("keep-fresh: status %d, %s%s", status, out, notes)
		}
		if info, err := os.Stat(proxy); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		if got := n.connections() - before; got != 0 {
			t.Errorf("%d connections, though the seed is good", got)
		}
	})
}

// pod is a container of a user that nobody knows.
type pod struct {
	t   *testing.T
	dir string
	uid int
	env []string
}

func newPod(t *testing.T, n *node) *pod {
	t.Helper()
	p := &pod{t: t, uid: os.Getuid()}
	dir, err := os.MkdirTemp("", "x509ch-pod-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p.dir = dir
	if p.uid == 0 {
		p.uid = 54321
	}
	seed, err := os.ReadFile(n.path("seed.pem"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(n.program)
	if err != nil {
		t.Fatal(err)
	}
	p.file(name, program, 0o755)
	p.file("secret/..data_1/seed.pem", seed, 0o440)
	p.file("secret/..data_1/config.toml", fmt.Appendf(nil, "default_profile = \"batch\"\n[profile.batch]\nbackend = \"myproxy\"\nserver = %q\n"+
		"username = %q\ncredential_name = \"batch\"\nca_dir = %q\nkey = \"p256\"\nauth = \"renewal\"\nseed = %q\n"+
		"[store]\ncredentials = \"file\"\nfile_dir = %q\n",
		n.addr, jane, p.path("trust"), p.path("secret/seed.pem"), p.path("x509/private")), 0o440)
	for link, target := range map[string]string{"..data": "..data_1", "seed.pem": "..data/seed.pem", "config.toml": "..data/config.toml"} {
		if err := os.Symlink(target, p.path("secret/"+link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(p.path("trust"), os.DirFS(n.trustDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(p.path("x509"), 0o777); err != nil {
		t.Fatal(err)
	}
	chmod(t, p.path("x509"), 0o777|os.ModeSetgid)
	for _, sub := range []string{"", "trust", "secret", "secret/..data_1"} {
		chmod(t, p.path(sub), 0o755)
	}
	p.env = []string{
		raceExit, "PATH=" + os.Getenv("PATH"), "HOME=/", "KUBERNETES_SERVICE_HOST=10.0.0.1",
		"X509_CREDENTIAL_HELPER_CONFIG=" + p.path("secret/config.toml"), "DBUS_SESSION_BUS_ADDRESS=unix:path=" + trap(t),
	}
	return p
}

func (p *pod) path(name string) string { return filepath.Join(p.dir, name) }

// file writes a file of root's that is the group's, too, as fsGroup does.
func (p *pod) file(name string, data []byte, mode os.FileMode) {
	p.t.Helper()
	path := p.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(path, 0, p.uid); err != nil {
			p.t.Fatal(err)
		}
	}
	chmod(p.t, path, mode)
}

func (p *pod) run(args ...string) (stdout, stderr string, status int) {
	p.t.Helper()
	argv := append([]string{p.path(name)}, args...)
	if os.Getuid() == 0 {
		id := fmt.Sprint(p.uid)
		argv = append([]string{"setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups", "--"}, argv...)
	}
	var out, notes strings.Builder
	cmd := exec.CommandContext(p.t.Context(), argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = p.env, "/", &out, &notes
	_ = cmd.Run()
	return out.String(), notes.String(), cmd.ProcessState.ExitCode()
}
