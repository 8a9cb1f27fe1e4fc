//go:build unix

package consumer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// listing is what is in a directory: a link with its target, a file with its
// content.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if target, err := os.Readlink(path); err == nil {
			list = append(list, e.Name()+" -> "+target)
			continue
		}
		data, _ := os.ReadFile(path)
		list = append(list, e.Name()+" "+string(data))
	}
	return list
}

// TestInstallShims: what is not ours stays as it is, whatever is asked for, and
// then nothing else is changed either.
func TestInstallShims(t *testing.T) {
	const program = "/opt/helper"
	for _, tc := range []struct {
		name   string
		before func(dir string) error
		tools  []string
		want   []string // nil: nothing changes
		err    string
	}{
		{"new", nil, []string{"xrdcp", "gfal-copy"},
			[]string{".x509-credential-helper -> /opt/helper", "gfal-copy -> .x509-credential-helper", "xrdcp -> .x509-credential-helper"}, ""},
		{"again, and the program has moved", func(dir string) error { return InstallShims(dir, "/old/helper", []string{"curl"}) }, []string{"curl", "curl"},
			[]string{".x509-credential-helper -> /opt/helper", "curl -> .x509-credential-helper"}, ""},
		{"a file", func(dir string) error { return os.WriteFile(filepath.Join(dir, "curl"), []byte("mine"), 0o755) },
			[]string{"xrdcp", "curl"}, nil, "is there already and is no shim"},
		{"a link to something else", func(dir string) error { return os.Symlink("/usr/bin/curl", filepath.Join(dir, "curl")) },
			[]string{"xrdcp", "curl"}, nil, "is there already and is no shim"},
		{"a link that somebody made to this program", func(dir string) error { return os.Symlink(program, filepath.Join(dir, "curl")) },
			[]string{"curl"}, nil, "is there already and is no shim"},
		{"a file of our link's name", func(dir string) error { return os.WriteFile(filepath.Join(dir, shimTarget), nil, 0o600) },
			[]string{"curl"}, nil, "is there already and is no shim"},
		{"a file of the name that our link has first", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, shimTarget+".new"), []byte("mine"), 0o600)
		}, []string{"curl"}, nil, "file exists"},
		{"a directory that others can write", func(dir string) error { return os.Chmod(dir, 0o775) }, []string{"curl"}, nil, "others may put programs"},
		{"a path for a tool", nil, []string{"../curl"}, nil, "is no name of a tool"},
		{"our own link for a tool", nil, []string{shimTarget}, nil, "is no name of a tool"},
		{"an option for a tool", nil, []string{"-f"}, nil, "is no name of a tool"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "shims")
			if tc.before != nil {
				if err := errors.Join(os.Mkdir(dir, 0o755), tc.before(dir)); err != nil {
					t.Fatal(err)
				}
			} else if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			want := tc.want
			if want == nil {
				want = listing(t, dir)
			}
			err := InstallShims(dir, program, tc.tools)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("expected %q, got %v", tc.err, err)
			}
			if got := listing(t, dir); !slices.Equal(got, want) {
				t.Errorf("got %q, expected %q", got, want)
			}
		})
	}
}

// TestRemoveShims: only shims go, and the last one takes our link with it.
func TestRemoveShims(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	if err := errors.Join(os.Chmod(dir, 0o755), InstallShims(dir, "/opt/helper", []string{"a", "b"}), os.WriteFile(mine, nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, tools := range [][]string{{"a", "mine"}, {"a", "../x"}, {shimTarget}} {
		if removed, err := RemoveShims(dir, tools); err == nil || len(removed) != 0 {
			t.Errorf("%q: removed %q, %v", tools, removed, err)
		}
	}
	if removed, err := RemoveShims(dir, []string{"a"}); err != nil || !slices.Equal(removed, []string{"a"}) {
		t.Errorf("removed %q, %v", removed, err)
	}
	if got := listing(t, dir); len(got) != 3 {
		t.Errorf("there is %q", got)
	}
	if removed, err := RemoveShims(dir, nil); err != nil || !slices.Equal(removed, []string{"b"}) {
		t.Errorf("removed %q, %v", removed, err)
	}
	if got := listing(t, dir); !slices.Equal(got, []string{"mine "}) {
		t.Errorf("there is %q", got)
	}
}

// TestCalledAsShim: only a link that was installed makes this program stand for
// a tool.
func TestCalledAsShim(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), InstallShims(dir, "/opt/helper", []string{"curl"}),
		os.Symlink("/opt/helper", filepath.Join(other, "helper2"))); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		argv0, path, want string
	}{
		{"curl", other + ":" + dir, "curl"},
		{dir + "/curl", "/usr/bin", "curl"},
		{"curl", other, ""},
		{other + "/helper2", dir, ""},
		{"helper2", other + ":" + dir, ""},
		{"", dir, ""},
	} {
		tool, ok := CalledAsShim(tc.argv0, []string{"PATH=" + tc.path})
		if ok != (tc.want != "") || ok && tool != tc.want {
			t.Errorf("%q with PATH=%s: %q, %v", tc.argv0, tc.path, tool, ok)
		}
	}
}

// TestRealTool: neither we nor another shim, nor what a relative entry of the
// PATH would find in the directory that somebody happens to be in.
func TestRealTool(t *testing.T) {
	here, shims, others, self, plain, real := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	t.Chdir(here)
	us, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		os.Chmod(shims, 0o755), InstallShims(shims, us, []string{"tool"}),
		os.Chmod(others, 0o755), InstallShims(others, "/bin/true", []string{"tool"}),
		os.Symlink(us, filepath.Join(self, "tool")),
		os.WriteFile(filepath.Join(plain, "tool"), nil, 0o644),
		os.WriteFile("tool", nil, 0o755),
		os.WriteFile(filepath.Join(real, "tool"), nil, 0o755))
	if err != nil {
		t.Fatal(err)
	}
	path := strings.Join([]string{"", ".", "../" + filepath.Base(here), shims, others, self, plain, "/no/such", real}, ":")
	if got, err := RealTool("tool", []string{"PATH=" + path}); err != nil || got != filepath.Join(real, "tool") {
		t.Errorf("found %q, %v", got, err)
	}
	got, err := RealTool("tool", []string{"PATH=" + strings.TrimSuffix(path, ":"+real)})
	var start *StartError
	if !errors.As(err, &start) || start.Status != StatusNotFound {
		t.Errorf("found %q, %v", got, err)
	}
}

// TestEnterShim: another tool's shim may be below one, the same may not.
func TestEnterShim(t *testing.T) {
	env, err := EnterShim("gfal-copy", []string{"A=b", "PATH=/bin"})
	if err != nil || !slices.Equal(env, []string{"A=b", "PATH=/bin", ShimVariable + "=gfal-copy"}) {
		t.Fatalf("%q, %v", env, err)
	}
	env, err = EnterShim("xrdcp", env)
	if err != nil || !slices.Equal(env, []string{"A=b", "PATH=/bin", ShimVariable + "=gfal-copy,xrdcp"}) {
		t.Fatalf("%q, %v", env, err)
	}
	if _, err := EnterShim("gfal-copy", env); err == nil || !strings.Contains(err.Error(), "entered a second time") {
		t.Errorf("a second time: %v", err)
	}
}

// TestFit: the kind of key that XRootD cannot work with is refused for it, and
// for nobody else.
func TestFit(t *testing.T) {
	rsa, ec := &gsi.Info{KeyAlgorithm: "RSA"}, &gsi.Info{KeyAlgorithm: "ECDSA"}
	for _, tc := range []struct {
		argv []string
		info *gsi.Info
		fits bool
	}{
		{[]string{"xrdcp", "root://a//b", "c"}, rsa, true},
		{[]string{"xrdcp", "root://a//b", "c"}, ec, false},
		{[]string{"gfal-copy", "file:///a", "xroots://a//b"}, ec, false},
		{[]string{"/usr/bin/xrdfs", "host", "ls"}, ec, false},
		{[]string{"gfal-copy", "davs://a/b", "file:///c"}, ec, true},
		{[]string{"work.sh"}, ec, true},
	} {
		if err := Fit(tc.argv, tc.info); (err == nil) != tc.fits {
			t.Errorf("%q with a key of the kind %s: %v", tc.argv, tc.info.KeyAlgorithm, err)
		}
	}
}
