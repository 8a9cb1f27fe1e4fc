package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// TestLimits: a process that may open few files or write short ones answers
// one object and exits: with the credential and a warning, or with an error
// that has a code. SIGXFSZ would end it without a word, and leave what it was
// writing.
func TestLimits(t *testing.T) {
	t.Parallel()
	g := sandboxGrid(t, gridOptions{profile: `key = "p256"`})
	g.store(passphrase)
	for _, tc := range []struct {
		limit string
		want  string // of a cold get; "any" is right, warned or an error with a code
	}{
		{"ulimit -f 0", "any"},
		{"ulimit -f 1", "any"},
		{"ulimit -f 2", warned}, // 1 kB: an entry is bigger, a record is not
		{"ulimit -n 8", "any"},
		{"ulimit -n 10", "any"},
		{"ulimit -n 12", "any"},
		{"ulimit -n 16", "any"},
		{"ulimit -n 32", right},
		{"ulimit -v 4000000", "any"},
		{"ulimit -s 64", right},
		{"ulimit -c 0; ulimit -l 0; ulimit -q 0; ulimit -i 0", right},
	} {
		t.Run(tc.limit, func(t *testing.T) {
			g := g.at(t)
			g.forget()
			cmd := exec.Command("bash", "-c", tc.limit+` || exit 99; exec "$@"`, "bash", g.program, "get")
			cmd.Env, cmd.Dir, cmd.Stdin = g.env, g.dir, strings.NewReader("{}")
			r := g.finish(cmd)
			code := g.code(r)
			t.Logf("%q %.300s", code, r.stderr)
			switch {
			case tc.want != "any":
				g.outcome(r, tc.want)
			case code == "":
				g.right("with the limit", r)
			default:
				g.refusal(r, helper.Code(code))
			}
			g.noTemporaries()
			g.right("without it", g.run("{}", "get"))
		})
	}
}

// TestAnswerLost: who cannot be told the answer learns it from the exit status,
// and the credential is kept for the next call. A closed standard output is the
// exception: the runtime opens /dev/null in its place before we run, and that is
// how callers do it, too, who want no answer.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	g := sandboxGrid(t, gridOptions{profile: `key = "p256"`})
	g.store(passphrase)
	for redirect, failed := range map[string]bool{">/dev/full": true, "| true": true, ">&-": false, ">/dev/full 2>&-": true} {
		for _, args := range []string{"get", "list", "capabilities", "status", "version", "login --passphrase-stdin", "erase"} {
			stdin := "{}"
			if strings.HasPrefix(args, "login") {
				stdin = passphrase
			}
			script := fmt.Sprintf(`{ sleep 0.02; printf %%s "$1"; } | "$0" %s %s; exit ${PIPESTATUS[1]}`, args, redirect)
			cmd := exec.Command("bash", "-c", script, g.program, stdin)
			cmd.Env, cmd.Dir = g.env, g.dir
			r := g.finish(cmd)
			if (r.status != 0) != failed && !(redirect == "| true" && r.status == 0) { // which may end late
				t.Errorf("%s %s: status %d", args, redirect, r.status)
			}
			if args == "get" {
				g.stopIf(t, redirect)
			}
		}
	}
}

// stopIf checks that the credential of a lost answer is in the cache.
func (g *grid) stopIf(t *testing.T, what string) {
	t.Helper()
	r := g.run(`{"cache":"only"}`, "get")
	if r.status != 0 {
		t.Errorf("%s: it was not kept: %s", what, r.stdout)
	}
}

// TestStrangeUser: a uid that no passwd entry knows, with and without a home,
// under every umask: where there is no keyring the pass phrase is not kept and
// the proxy lies in memory, readable by nobody else.
func TestStrangeUser(t *testing.T) {
	needRoot(t)
	t.Parallel()
	uid := strangeUID(0)
	for _, tc := range []struct {
		name  string
		env   []string // in place of HOME and XDG_RUNTIME_DIR
		umask string
		store string
	}{
		{"no HOME", nil, "022", inMemory},
		{"no HOME, umask 000", nil, "000", inMemory},
		{"no HOME, umask 777", nil, "777", inMemory},
		{"no HOME, no keyring", nil, "022", "credentials = \"auto\"\npassphrases = \"none\"\n"},
		{"HOME missing", []string{"HOME=/nonexistent"}, "022", inMemory},
		{"HOME not ours, as after su", []string{"HOME=/root"}, "022", inMemory},
		{"HOME not absolute", []string{"HOME=somewhere"}, "022", inMemory},
		{"no XDG_RUNTIME_DIR that exists", []string{"XDG_RUNTIME_DIR=/nonexistent"}, "022", inMemory},
		{"XDG_RUNTIME_DIR not absolute", []string{"XDG_RUNTIME_DIR=run"}, "022", inMemory},
		{"XDG_RUNTIME_DIR not ours", []string{"XDG_RUNTIME_DIR=/dev/shm"}, "022", inMemory},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, tc.store)
			s := w.strange(uid, tc.env, tc.umask)
			run := fmt.Sprintf("/dev/shm/%s-%d", name, uid)
			r := s(passphrase+"\n", "login", "--passphrase-stdin")
			if r.status != 0 {
				t.Fatalf("login: %+v", r)
			}
			if r := s("", "status"); r.status != 0 || !strings.Contains(r.stdout, "lab") {
				t.Errorf("status: %+v", r)
			}
			r = s(`{"output":"path"}`, "get")
			a := decodeGet(t, r.stdout)
			if r.status != 0 || a.Source != helper.SourceCache {
				t.Fatalf("get: %+v", r)
			}
			err := filepath.WalkDir(run, func(path string, d os.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := d.Info()
				want := os.FileMode(0o600)
				if d.IsDir() {
					want = 0o700
				}
				if err == nil && info.Mode().Perm() != want {
					t.Errorf("%s has mode %o", path, info.Mode().Perm())
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			if r := s(`{"what":["all"]}`, "erase"); r.status != 0 {
				t.Errorf("erase: %+v", r)
			}
		})
	}
}

// TestNotWritable: a cache directory that its own user may only read is like a
// full one. The new proxy goes elsewhere and the old one does not come back.
func TestNotWritable(t *testing.T) {
	needRoot(t)
	t.Parallel()
	uid := strangeUID(2)
	w := newWorld(t, "credentials = \"auto\"\npassphrases = \"none\"\n")
	home, err := os.MkdirTemp("", "x509ch-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	if err := os.Chown(home, uid, uid); err != nil {
		t.Fatal(err)
	}
	s := w.strange(uid, []string{"HOME=" + home}, "022")
	if r := s(passphrase+"\n", "login", "--passphrase-stdin"); r.status != 0 {
		t.Fatalf("login: %+v", r)
	}
	defer s("", "erase", "--all") // the key in the kernel, too
	if a := decodeGet(t, s(`{}`, "get").stdout); a.StoredIn != "kernel" {
		t.Fatalf("stored in %s", a.StoredIn)
	}
	if out, err := exec.Command("chmod", "-R", "a-w", home).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer func() { _ = exec.Command("chmod", "-R", "u+w", home).Run() }()
	if r := s("", "status"); !strings.Contains(r.stdout, "kernel not usable: ") || !strings.Contains(r.stdout, "cannot be written to: permission denied") {
		t.Errorf("status: %+v", r)
	}
	k := w.strange(uid, []string{"HOME=" + home, "X509_CREDENTIAL_HELPER_STORE=kernel"}, "022")
	if r := k("", "rotate-keys"); r.status == 0 || !strings.Contains(r.stderr, "cannot be written to") {
		t.Errorf("rotate-keys: %+v", r)
	}
	if a := decodeGet(t, s(`{}`, "get").stdout); a.StoredIn != "kernel" {
		t.Errorf("lost to a rotation that could not be: %+v", a)
	}
	r := s(passphrase+"\n", "login", "--passphrase-stdin")
	if r.status != 0 || !strings.Contains(r.stderr, "in a private file, not sealed") || strings.Contains(r.stderr, ".tmp-") {
		t.Errorf("login: %+v", r)
	}
	if a := decodeGet(t, s(`{}`, "get").stdout); a.StoredIn != "runtime" {
		t.Errorf("afterwards it is %+v", a)
	}
}

// TestNoRuntimeDir: without any private directory in memory nothing is tried:
// the error says which setting helps.
func TestNoRuntimeDir(t *testing.T) {
	needRoot(t)
	t.Parallel()
	w := newWorld(t, inMemory)
	config, err := os.ReadFile(w.path("config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(config), "runtime_dir = \""+w.path("run")+"\"\n", "")
	if err := os.WriteFile(w.path("config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	shm := fmt.Sprintf("/dev/shm/%s-%d", name, os.Getuid())
	for what, mount := range map[string]string{
		"/dev/shm read-only":       "mount -t tmpfs -o ro none /dev/shm",
		"/dev/shm on a disk":       "mount --bind " + w.dir + " /dev/shm",
		"/dev/shm full":            "mount -t tmpfs -o nr_inodes=1 none /dev/shm",
		"the directory is foreign": "mount -t tmpfs none /dev/shm && mkdir -m 700 " + shm + " && chown 65534 " + shm,
		"the directory is a link":  "mount -t tmpfs none /dev/shm && ln -s " + w.dir + " " + shm,
		"the directory is shared":  "mount -t tmpfs none /dev/shm && mkdir " + shm + " && chmod 1777 " + shm,
	} {
		cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "mount -t tmpfs none /run && "+mount+` || exit 99; exec "$@"`, "sh",
			w.program, "login", "--passphrase-stdin")
		cmd.Env, cmd.Dir, cmd.Stdin = w.env, w.dir, strings.NewReader(passphrase+"\n")
		r := w.finish(cmd)
		if r.status != helper.CodeStorageError.ExitStatus() || !strings.Contains(r.stderr, "runtime_dir") {
			t.Errorf("%s: %+v", what, r)
		}
	}
	if n := w.server.Connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// strangeUID is the uid of nobody but one test of this run: its directory in
// /dev/shm is that of all programs of the user.
func strangeUID(n int) int { return 1_000_000 + 3*os.Getpid() + n }

// strange runs the program as another user.
func (w *world) strange(uid int, env []string, umask string) func(stdin string, args ...string) result {
	w.t.Helper()
	command := w.strangeCommand(uid, env, umask)
	return func(stdin string, args ...string) result {
		w.t.Helper()
		cmd := command(args...)
		cmd.Stdin = strings.NewReader(stdin)
		return w.finish(cmd)
	}
}

// strangeCommand prepares calls of the program by another user: what that must
// read is put where all can. The directories in memory of that user are removed
// when the test ends.
func (w *world) strangeCommand(uid int, env []string, umask string) func(args ...string) *exec.Cmd {
	w.t.Helper()
	run := fmt.Sprintf("/dev/shm/%s-%d", name, uid)
	w.t.Cleanup(func() { _ = os.RemoveAll(run) })
	dir, err := os.MkdirTemp("", "x509ch-open-")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	do := func(args ...string) {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			w.t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	do("cp", w.program, filepath.Join(dir, name))
	do("cp", "-r", w.server.TrustDir(), filepath.Join(dir, "trust"))
	config, err := os.ReadFile(w.path("config.toml"))
	if err != nil {
		w.t.Fatal(err)
	}
	text := strings.ReplaceAll(string(config), w.server.TrustDir(), filepath.Join(dir, "trust"))
	text = strings.ReplaceAll(text, "runtime_dir = \""+w.path("run")+"\"\n", "")
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	do("chmod", "-R", "a+rX", dir)
	do("chown", "-R", fmt.Sprint(uid), dir)
	keep := slices.DeleteFunc(slices.Clone(w.env), func(kv string) bool {
		return strings.HasPrefix(kv, "HOME=") || strings.HasPrefix(kv, "XDG_") || strings.HasPrefix(kv, "X509_CREDENTIAL_HELPER_CONFIG=")
	})
	keep = append(append(keep, "X509_CREDENTIAL_HELPER_CONFIG="+filepath.Join(dir, "config.toml")), env...)
	return func(args ...string) *exec.Cmd {
		script := "umask " + umask + `; exec setpriv --reuid ` + fmt.Sprint(uid) + ` --regid 54320 --clear-groups "$@"`
		cmd := exec.Command("sh", append([]string{"-c", script, "sh", filepath.Join(dir, name)}, args...)...)
		cmd.Env, cmd.Dir = keep, dir
		return cmd
	}
}
