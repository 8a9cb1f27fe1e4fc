//go:build unix

package gsi

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestInstallModes: CAs are for everybody, whatever the umask.
func TestInstallModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	f := newTrust(t)
	dir := filepath.Join(t.TempDir(), "certificates")
	mustInstall(t, dir, rootsOf(t, f.dir))
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	for name := range snapshot(t, dir) {
		if st, err := os.Lstat(filepath.Join(dir, name)); err != nil || st.Mode() != 0o644 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
}

// TestInstallDirectory: where somebody else has a hand in, nothing is written.
func TestInstallDirectory(t *testing.T) {
	f := newTrust(t)
	files := rootsOf(t, f.dir)
	for why, change := range map[string]func(dir string) error{
		"writable by the group": func(dir string) error { return os.Chmod(dir, 0o775) },
		"writable by all":       func(dir string) error { return os.Chmod(dir, 0o777) },
		"a link": func(dir string) error {
			if err := os.Rename(dir, dir+".real"); err != nil {
				return err
			}
			return os.Symlink(dir+".real", dir)
		},
		"a dangling link": func(dir string) error {
			if err := os.Remove(dir); err != nil {
				return err
			}
			return os.Symlink(dir+".nowhere", dir)
		},
		"a file": func(dir string) error {
			if err := os.Remove(dir); err != nil {
				return err
			}
			return os.WriteFile(dir, nil, 0o600)
		},
		"another's": func(dir string) error {
			if os.Geteuid() != 0 { // only root can give it away
				return os.Chmod(dir, 0o777)
			}
			return os.Lchown(dir, 65534, 65534)
		},
	} {
		dir := filepath.Join(t.TempDir(), "certificates")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		_, err := InstallTrustRoots(dir, files)
		t.Run(why, func(t *testing.T) { wantInstall(t, err, InstallDirectory) })
		if strings.Contains(why, "link") && !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s: %v", why, err)
		}
		_, err = InstallTrustRoots(dir+"/", files)
		t.Run(why+", with a slash", func(t *testing.T) { wantInstall(t, err, InstallDirectory) })
		if names, _ := filepath.Glob(dir + "*/*"); len(names) > 0 {
			t.Errorf("%s: written %v", why, names)
		}
	}
}

// TestInstallInPlaceOf: what is no regular file is never replaced nor followed,
// and does not block.
func TestInstallInPlaceOf(t *testing.T) {
	f := newTrust(t)
	files := rootsOf(t, f.dir)
	for why, change := range map[string]func(path string) error{
		"a link":      func(path string) error { return os.Symlink(filepath.Join(f.dir, filepath.Base(path)), path) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o644) },
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := change(f.inside(t, dir)); err != nil {
			t.Fatal(err)
		}
		before, start := typesOf(t, dir), time.Now()
		_, err := InstallTrustRoots(dir, files)
		t.Run(why, func(t *testing.T) { wantInstall(t, err, InstallConflict) })
		if !sameSnapshot(before, typesOf(t, dir)) || time.Since(start) > 30*time.Second {
			t.Errorf("%s: %v after %v", why, typesOf(t, dir), time.Since(start))
		}
	}
}

// inside is the sub-CA's certificate in another directory.
func (f *trustFixture) inside(t testing.TB, dir string) string {
	return filepath.Join(dir, filepath.Base(f.name(t, f.sub, ".0")))
}

// typesOf is names and modes only: reading a pipe would wait.
func typesOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out[e.Name()] = e.Type().String()
	}
	return out
}

// TestTrustFIFO: a pipe in a trust directory neither blocks nor counts, as
// certificate, policy or revocation list.
func TestTrustFIFO(t *testing.T) {
	watchdog := time.AfterFunc(2*time.Minute, func() { panic("a pipe blocks") })
	defer watchdog.Stop()
	pipe := func(path string) {
		t.Helper()
		if err := syscall.Mkfifo(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := newTrust(t)
	pipe(filepath.Join(f.dir, "00000000.0"))
	pipe(filepath.Join(f.dir, "Lab.info"))
	if err := f.open(t).Verify(f.user.Chain, testTime, TrustOptions{}); err != nil {
		t.Errorf("a pipe beside the CAs: %v", err)
	}
	if a := f.open(t).Anchors(testTime, TrustOptions{}); len(a) != 3 || a[0].Problems[0].Reason != TrustBadFile ||
		!strings.Contains(a[0].Problems[0].Detail, "not a regular file") {
		t.Errorf("%+v", a)
	}
	pipe(f.name(t, f.sub, ".r0"))
	wantTrust(t, f.open(t).Verify(f.user.Chain, testTime, TrustOptions{}), TrustBadFile, f.name(t, f.sub, ".r0"))
	f.remove(t, f.sub, ".signing_policy")
	pipe(f.name(t, f.sub, ".signing_policy"))
	wantTrust(t, f.open(t).Verify(f.user.Chain, testTime, TrustOptions{}), TrustBadFile, f.name(t, f.sub, ".signing_policy"))
	f.remove(t, f.sub, ".0")
	pipe(f.name(t, f.sub, ".0"))
	wantTrust(t, f.open(t).Verify(f.user.Chain, testTime, TrustOptions{}), TrustUnknownIssuer, f.dir)
}

// TestInstallTogether: of several programs that install at once, into a new
// directory or one that is there, none fails and none brings an older list back
// over a newer one.
func TestInstallTogether(t *testing.T) {
	f := newTrust(t)
	roots := rootsOf(t, f.dir)
	name := filepath.Base(f.name(t, f.sub, ".r0"))
	const programs = 8
	lists := make([][]byte, programs)
	for i := range lists {
		lists[i] = makeCRL(t, f.sub, testTime.Add(time.Duration(i)*time.Minute), testTime.Add(24*time.Hour))
	}
	for range 10 {
		dir := filepath.Join(t.TempDir(), "certificates")
		var together sync.WaitGroup
		for _, list := range lists {
			together.Go(func() {
				if _, err := InstallTrustRoots(dir, append(slices.Clone(roots), TrustFile{name, list})); err != nil {
					t.Error(err)
				}
			})
		}
		together.Wait()
		if got := mustRead(t, filepath.Join(dir, name)); !bytes.Equal(got, lists[programs-1]) {
			t.Fatal("the newest list is gone")
		}
		if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
			t.Fatalf("left beside the directory: %v", left)
		}
	}
}

// TestInstallLocked: whoever may read the directory can lock it. That delays an
// installation, it does not prevent one.
func TestInstallLocked(t *testing.T) {
	f := newTrust(t)
	dir := filepath.Join(t.TempDir(), "certificates")
	mustInstall(t, dir, rootsOf(t, f.dir)[:2])
	held, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	root, err := openInstallDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	start := time.Now()
	lockDir(root, 200*time.Millisecond)()
	if took := time.Since(start); took < 200*time.Millisecond || took > time.Minute {
		t.Errorf("waited %v", took)
	}
}

// TestInstallKilledNew: what an installation into a new directory left behind
// when it was killed is removed by a later one, and nothing else is.
func TestInstallKilledNew(t *testing.T) {
	f := newTrust(t)
	parent := t.TempDir()
	old := time.Now().Add(-2 * time.Hour)
	for name, when := range map[string]time.Time{
		".trust-123.tmp": old, ".trust-456.tmp": time.Now(), "trust-7.tmp": old, ".trust-8": old,
	} {
		path := filepath.Join(parent, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(path, "x.0"), nil)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := t.TempDir()
	write(t, filepath.Join(elsewhere, "kept"), nil)
	if err := os.Symlink(elsewhere, filepath.Join(parent, ".trust-9.tmp")); err != nil {
		t.Fatal(err)
	}
	mustInstall(t, filepath.Join(parent, "certificates"), rootsOf(t, f.dir))
	var names []string
	entries, err := os.ReadDir(parent)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{".trust-456.tmp", ".trust-8", ".trust-9.tmp", "certificates", "trust-7.tmp"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	mustRead(t, filepath.Join(elsewhere, "kept"))
}

// TestInstallKilled: killed at any moment, an installation leaves every file as
// it was or as it is to be, no CA without its policy, and nothing that looks
// like a file of a trust directory. The next one completes it.
func TestInstallKilled(t *testing.T) {
	const dirVariable, seedVariable = "X509CH_TEST_INSTALL", "X509CH_TEST_ROUND"
	files := func(round string) (out []TrustFile) {
		root := fixedCA(t, "Root", 1, nil)
		for i := range byte(20) {
			ca := fixedCA(t, "CA "+string('A'+rune(i)), 10+i, root)
			hash, err := SubjectHash(ca.cert.RawSubject)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, TrustFile{hash + ".0", append(pemOf(ca.cert), round...)}, TrustFile{
				hash + ".signing_policy",
				[]byte("# " + round + "\naccess_id_CA X509 '" + subjectText(ca.cert) + "'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/*\"'\n"),
			})
		}
		return out
	}
	if dir := os.Getenv(dirVariable); dir != "" { // the program that is killed
		all := files(os.Getenv(seedVariable))
		fmt.Println("begins")
		mustInstall(t, dir, all)
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "certificates")
	good, killed := map[string]map[string]bool{}, 0
	for round := 0; round < 30 || killed < 5 && round < 300; round++ { // on a busy machine the killer may be late
		number := strconv.Itoa(round)
		for _, file := range files(number) {
			if good[file.Name] == nil {
				good[file.Name] = map[string]bool{}
			}
			good[file.Name][string(file.Data)] = true
		}
		cmd := exec.Command(program, "-test.run", "^TestInstallKilled$")
		cmd.Env = append(os.Environ(), dirVariable+"="+dir, seedVariable+"="+number)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = out.Read(make([]byte, 10))
		time.Sleep(time.Duration(round%30) * 300 * time.Microsecond)
		_ = cmd.Process.Kill()
		if cmd.Wait() != nil {
			killed++
		}
		there := snapshot(t, dir)
		for name, content := range there {
			if strings.HasPrefix(name, tempPrefix) {
				if kindOf(name) != kindOther || isAnchorName(name) {
					t.Fatalf("%s is taken for a trust root", name)
				}
				continue
			}
			if _, data, _ := strings.Cut(content, " "); !good[name][data] {
				t.Fatalf("round %d: %s is none of what was to be written", round, name)
			}
			if stem, isCA := strings.CutSuffix(name, ".0"); isCA && there[stem+".signing_policy"] == "" {
				t.Fatalf("round %d: the CA %s has no policy", round, stem)
			}
		}
	}
	if killed < 5 {
		t.Errorf("only %d installations were killed on their way", killed)
	}
	mustInstall(t, dir, files("last"))
	old := time.Now().Add(-2 * time.Hour)
	for name := range snapshot(t, dir) {
		if strings.HasPrefix(name, tempPrefix) {
			if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(t, filepath.Join(dir, ".trust-0123.tmp"), nil)
	if err := os.Chtimes(filepath.Join(dir, ".trust-0123.tmp"), old, old); err != nil {
		t.Fatal(err)
	}
	mustInstall(t, dir, files("last")) // changes nothing, and tidies up
	if there := snapshot(t, dir); len(there) != len(files("last")) {
		t.Errorf("%d files are there, %d belong", len(there), len(files("last")))
	}
}
