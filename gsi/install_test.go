package gsi

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/vectors"
)

// rootsOf is what a server sends of a fixture's directory.
func rootsOf(t testing.TB, dir string) []TrustFile {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []TrustFile
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, TrustFile{e.Name(), data})
	}
	return files
}

func mustInstall(t testing.TB, dir string, files []TrustFile) InstallReport {
	t.Helper()
	report, err := InstallTrustRoots(dir, files)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func wantInstall(t testing.TB, err error, want InstallReason) {
	t.Helper()
	var ie *InstallError
	if !errors.As(err, &ie) {
		t.Fatalf("got %v, want an InstallError of %s", err, want)
	}
	if ie.Reason != want || ie.File == "" || !strings.Contains(err.Error(), ie.File) {
		t.Fatalf("got %s of %q (%v), want %s", ie.Reason, ie.File, err, want)
	}
}

// snapshot is every entry of a directory with mode and content.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return out
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(filepath.Join(dir, e.Name()))
		out[e.Name()] = info.Mode().String() + " " + string(data)
	}
	return out
}

func sameSnapshot(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, content := range a {
		if b[name] != content {
			return false
		}
	}
	return true
}

// TestInstall: into a new directory, again, and with a change.
func TestInstall(t *testing.T) {
	f := newTrust(t)
	f.crl(t, f.sub, ".r0", testTime.Add(time.Hour))
	files := append(rootsOf(t, f.dir), TrustFile{"README", []byte("not ours")}, TrustFile{"myproxy-install-log", nil},
		TrustFile{"Lab-CA.info", []byte("alias = Lab-CA\n")})
	dir := filepath.Join(t.TempDir(), "a", "b", "certificates")
	report := mustInstall(t, dir, files)
	if len(report.Installed) != len(files)-2 || len(report.Updated)+len(report.Unchanged)+len(report.Kept) > 0 {
		t.Errorf("%+v", report)
	}
	if !slices.Equal(report.Skipped, []string{"README", "myproxy-install-log"}) || !slices.IsSorted(report.Installed) {
		t.Errorf("%+v", report)
	}
	trust, err := OpenTrustDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := trust.Verify(f.user.Chain, testTime, TrustOptions{}); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("left beside the directory: %v", left)
	}

	before := snapshot(t, dir)
	again := mustInstall(t, dir, files)
	if len(again.Unchanged) != len(report.Installed) || len(again.Installed)+len(again.Updated) > 0 {
		t.Errorf("%+v", again)
	}
	f.policy(t, f.sub, "/C=YY/*")
	f.crl(t, f.root, ".r0", testTime.Add(time.Hour))
	changed := mustInstall(t, dir, rootsOf(t, f.dir))
	if len(changed.Updated) != 1 || len(changed.Installed) != 1 || sameSnapshot(before, snapshot(t, dir)) {
		t.Errorf("%+v", changed)
	}
	trust, err = OpenTrustDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantTrust(t, trust.Verify(f.user.Chain, testTime, TrustOptions{}), TrustPolicy, filepath.Join(dir, filepath.Base(f.name(t, f.sub, ".signing_policy"))))
}

// TestInstallNothing: a server without trust roots makes no directory.
func TestInstallNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certificates")
	for _, files := range [][]TrustFile{nil, {{"README", []byte("x")}}} {
		mustInstall(t, dir, files)
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("made: %v", err)
		}
	}
}

// TestInstallShownNames: what a server calls its files reaches a terminal.
func TestInstallShownNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certificates")
	name := "a\u009b31m\u202ex"
	const quoted = `"a\u009b31m\u202ex"`
	if r := mustInstall(t, dir, []TrustFile{{Name: name}, {Name: "b\x9b"}}); !slices.Equal(r.Skipped, []string{quoted, `"b\x9b"`}) {
		t.Errorf("%q", r.Skipped)
	}
	_, err := InstallTrustRoots(dir, []TrustFile{{Name: name}, {Name: name}})
	if wantInstall(t, err, InstallConflict); !strings.Contains(err.Error(), quoted) {
		t.Errorf("%q", err)
	}
}

// TestInstallRefuses: one bad file, and nothing of the others is written, into
// a directory that exists or not.
func TestInstallRefuses(t *testing.T) {
	f := newTrust(t)
	hash := strings.TrimSuffix(filepath.Base(f.name(t, f.sub, ".0")), ".0")
	other := newCA(t, "Other", nil)
	none := newEEC(t, f.root, "Sub CA").Leaf() // right name, no CA
	for why, tt := range map[string]struct {
		file   TrustFile
		reason InstallReason
	}{
		"path upwards":         {TrustFile{"../" + hash + ".1", pemOf(f.sub.cert)}, InstallUnsafeName},
		"absolute path":        {TrustFile{"/tmp/" + hash + ".1", pemOf(f.sub.cert)}, InstallUnsafeName},
		"path of Windows":      {TrustFile{`..\` + hash + ".1", pemOf(f.sub.cert)}, InstallUnsafeName},
		"stream of Windows":    {TrustFile{hash + ".1:x", nil}, InstallUnsafeName},
		"the parent":           {TrustFile{"..", nil}, InstallUnsafeName},
		"no name":              {TrustFile{"", nil}, InstallUnsafeName},
		"newline":              {TrustFile{hash + ".1\n", nil}, InstallUnsafeName},
		"zero":                 {TrustFile{hash + ".1\x00", nil}, InstallUnsafeName},
		"long":                 {TrustFile{strings.Repeat("x", 256), nil}, InstallUnsafeName},
		"there twice":          {TrustFile{hash + ".0", pemOf(f.sub.cert)}, InstallConflict},
		"no certificate":       {TrustFile{hash + ".1", []byte("<html>")}, InstallBadFile},
		"another hash":         {TrustFile{hash + ".1", pemOf(other.cert)}, InstallBadFile},
		"two certificates":     {TrustFile{hash + ".1", pemOf(f.sub.cert, f.sub.cert)}, InstallBadFile},
		"no CA":                {TrustFile{hash + ".1", pemOf(none)}, InstallBadFile},
		"broken policy":        {TrustFile{"00000000.signing_policy", []byte("access_id_CA X509 '")}, InstallBadFile},
		"broken namespaces":    {TrustFile{hash + ".namespaces", []byte("TO Issuer SELF")}, InstallBadFile},
		"broken info":          {TrustFile{"Lab.info", []byte("what?")}, InstallBadFile},
		"broken URL":           {TrustFile{hash + ".crl_url", []byte("file:///etc/passwd\n")}, InstallBadFile},
		"no list":              {TrustFile{hash + ".r0", []byte("<html>")}, InstallBadFile},
		"list of another name": {TrustFile{hash + ".r0", makeCRL(t, other, testTime, testTime.Add(time.Hour))}, InstallBadFile},
		"list forged":          {TrustFile{hash + ".r0", forgedCRL(t, f.sub)}, InstallBadFile},
		"too large":            {TrustFile{hash + ".namespaces", make([]byte, maxTrustFile+1)}, InstallBadFile},
	} {
		files := append(rootsOf(t, f.dir), tt.file)
		dir := filepath.Join(t.TempDir(), "certificates")
		_, err := InstallTrustRoots(dir, files)
		t.Run(why, func(t *testing.T) { wantInstall(t, err, tt.reason) })
		if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) > 0 {
			t.Errorf("%s: a new directory: %v", why, left)
		}
		mustInstall(t, dir, rootsOf(t, f.dir)[:2])
		before := snapshot(t, dir)
		_, err = InstallTrustRoots(dir, files)
		t.Run(why+", there", func(t *testing.T) { wantInstall(t, err, tt.reason) })
		if !sameSnapshot(before, snapshot(t, dir)) {
			t.Errorf("%s: the directory changed", why)
		}
	}
	for _, dir := range []string{"", "certificates"} { // nothing depends on where the program stands
		_, err := InstallTrustRoots(dir, rootsOf(t, f.dir))
		wantInstall(t, err, InstallDirectory)
	}
	_, err := InstallTrustRoots(t.TempDir(), make([]TrustFile, maxInstallFiles+1))
	wantInstall(t, err, InstallBadFile)
}

// TestInstallWeakCA: nothing is computed with a key that nobody should have; its
// size is the server's choice.
func TestInstallWeakCA(t *testing.T) {
	f := newTrust(t)
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := &authority{issue(t, nil, key, &x509.Certificate{RawSubject: labName("Weak"), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageCertSign, SubjectKeyId: []byte{1}}), key}
	list := filepath.Base(f.name(t, weak, ".r0"))
	report := mustInstall(t, filepath.Join(t.TempDir(), "certificates"), []TrustFile{
		{filepath.Base(f.name(t, weak, ".0")), pemOf(weak.cert)},
		{list, makeCRL(t, weak, testTime, testTime.Add(time.Hour))},
	})
	if len(report.Installed) != 1 || !slices.Equal(report.Skipped, []string{list}) {
		t.Errorf("%+v", report)
	}
}

// TestInstallPutsBack: when a file cannot be put in its place, those before it
// are as they were.
func TestInstallPutsBack(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), []byte("old"))
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	in := &installation{root: root, steps: []*installStep{
		{name: "a", data: []byte("new"), old: []byte("old"), had: true},
		{name: "b", data: []byte("new")},
		{name: "c", data: []byte("new")},
	}}
	for _, step := range in.steps {
		if err := in.stage(step); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "c"), 0o700); err != nil { // no file can be renamed to it
		t.Fatal(err)
	}
	wantInstall(t, in.commit(), InstallWrite)
	in.removeTemps()
	got := snapshot(t, dir)
	if len(got) != 2 || !strings.HasSuffix(got["a"], "old") || got["c"] == "" {
		t.Errorf("%v", got)
	}
}

// TestInstallLeftovers: what a killed installation left goes with the next, but
// not what one that runs now has written.
func TestInstallLeftovers(t *testing.T) {
	f := newTrust(t)
	dir := filepath.Join(t.TempDir(), "certificates")
	files := rootsOf(t, f.dir)
	mustInstall(t, dir, files[:1])
	old, young := filepath.Join(dir, ".trust-0011223344556677.tmp"), filepath.Join(dir, ".trust-8899aabbccddeeff.tmp")
	write(t, old, nil)
	write(t, young, nil)
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	mustInstall(t, dir, files)
	if _, err := os.Lstat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old one stays: %v", err)
	}
	if _, err := os.Lstat(young); err != nil {
		t.Errorf("the young one went: %v", err)
	}
}

// recordedRoots are the trust roots that real servers sent.
func recordedRoots(t *testing.T) map[string][]TrustFile {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(vectors.Dir(t, "myproxy"), "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]TrustFile{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Messages []struct{ From, Text string }
		}
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, m := range r.Messages {
			if m.From == "server" {
				text.WriteString(m.Text)
			}
		}
		for line := range strings.Lines(text.String()) {
			name, value, ok := strings.Cut(strings.TrimRight(line, "\n\x00"), "=")
			name, isFile := strings.CutPrefix(name, "FILEDATA_")
			if !ok || !isFile {
				continue
			}
			content, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				t.Fatal(err)
			}
			out[filepath.Base(path)] = append(out[filepath.Base(path)], TrustFile{name, content})
		}
	}
	return out
}

// TestInstallRecorded: all trust roots that were ever recorded install whole,
// and a directory of them is good.
func TestInstallRecorded(t *testing.T) {
	recorded := recordedRoots(t)
	if len(recorded) < 6 {
		t.Errorf("only %d recordings have trust roots", len(recorded))
	}
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for name, files := range recorded {
		dir := filepath.Join(t.TempDir(), "certificates")
		report := mustInstall(t, dir, files)
		if len(report.Installed) != len(files) {
			t.Errorf("%s: %d of %d files: %+v", name, len(report.Installed), len(files), report)
		}
		trust, err := OpenTrustDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		anchors := trust.Anchors(now, TrustOptions{})
		for _, a := range anchors {
			if a.Severity != SeverityOK || len(a.Files) != 2 {
				t.Errorf("%s: %s in %v: %+v", name, a.Subject, a.Files, a.Problems)
			}
		}
		if len(anchors) < 2 {
			t.Errorf("%s: %d CAs", name, len(anchors))
		}
	}
}
