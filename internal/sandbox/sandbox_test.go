package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

// The names in the trust directory must be those that OpenSSL looks for, and
// all that is written must be closed to others.
func TestTrustDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	s := start(t, Options{Dir: dir, VOs: map[string][]string{"testvo": {"/testvo"}}})
	openssl := need(t, "openssl", "openssl")
	var names []string
	entries, err := os.ReadDir(s.TrustDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) != 8 {
		t.Fatalf("files: %v", names)
	}
	for _, flag := range []string{"-subject_hash", "-subject_hash_old"} {
		out, err := exec.Command(openssl, "x509", "-noout", flag, "-in", filepath.Join(s.TrustDir(), names[0])).Output()
		if err != nil {
			t.Fatal(err)
		}
		hash := strings.TrimSpace(string(out))
		for _, end := range []string{".0", ".r0", ".signing_policy", ".namespaces"} {
			if !slices.Contains(names, hash+end) {
				t.Errorf("no %s%s among %v", hash, end, names)
			}
		}
	}
	for end, trust := range map[string]Trust{".r0": {NoCRL: true}, ".signing_policy": {NoPolicy: true}, ".0": {NoCA: true}} {
		if err := s.SetTrust(trust); err != nil {
			t.Fatal(err)
		}
		if left, err := filepath.Glob(filepath.Join(s.TrustDir(), "*"+end)); err != nil || len(left) != 0 {
			t.Errorf("%+v left %v, %v", trust, left, err)
		}
	}
	if err := s.SetTrust(Trust{}); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Starting rewrites what is in the directory, so it must be the sandbox's own:
// somebody will try the directory of his real certificates.
func TestForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(dir, "certificates", "1234abcd.0")
	if err := os.Mkdir(filepath.Dir(precious), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(precious, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err := Start(t.Context(), Options{Dir: dir, Keys: testKeys}); err == nil {
		s.Close()
		t.Error("started in a directory that is not empty")
	} else if !strings.Contains(err.Error(), dir) {
		t.Errorf("the error does not name the directory: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o755 {
		t.Errorf("the mode is now %v, %v", info.Mode(), err)
	}
	own := filepath.Join(t.TempDir(), "own")
	for range 2 {
		s, err := Start(t.Context(), Options{Dir: own, Keys: testKeys})
		if err != nil {
			t.Fatalf("its own directory: %v", err)
		}
		s.Close()
	}
}

// Close must end conversations in every state, and every goroutine: a test
// process starts hundreds of sandboxes.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	testKey(t) // its goroutine is not ours
	before := runtime.NumGoroutine()
	s, err := Start(t.Context(), Options{Dir: t.TempDir(), Keys: testKeys})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddUser(User{Name: "alice", Passphrase: goodPass}); err != nil {
		t.Fatal(err)
	}
	s.Next(Faults{Silent: StageAccept}, Faults{Silent: StageHandshake}, Faults{}, Faults{}, Faults{Delay: time.Hour})
	for i := range 5 {
		raw := rawDial(t, s)
		if i >= 1 {
			conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
			if i < 4 {
				if err := conn.Handshake(); err != nil {
					t.Fatal(err)
				}
			}
			if i == 3 {
				_, _ = conn.Write([]byte("0"))
				_, _ = conn.Write([]byte(getRequest("alice", goodPass)))
			}
		}
	}
	for deadline := time.Now().Add(patience); s.Connections() < 5 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	begun := time.Now()
	s.Close()
	s.Close() // harmless
	if took := time.Since(begun); took > patience {
		t.Errorf("Close took %s", took)
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, before %d:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestContextEndsSandbox(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Start(ctx, Options{Dir: t.TempDir(), Keys: testKeys})
	if err != nil {
		t.Fatal(err)
	}
	raw := rawDial(t, s)
	cancel()
	_ = raw.SetReadDeadline(time.Now().Add(patience))
	if n, err := raw.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
		t.Errorf("the connection outlives the context: %d, %v", n, err)
	}
	s.Close()
}

// A sandbox must not be reachable from elsewhere, whatever is asked.
func TestStartRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no directory":    {},
		"every address":   {Dir: t.TempDir(), Listen: "0.0.0.0:0"},
		"no address":      {Dir: t.TempDir(), Listen: ":0"},
		"a name":          {Dir: t.TempDir(), Listen: "localhost:0"},
		"an unknown mode": {Dir: t.TempDir(), Mode: "x"},
	} {
		o.Keys = testKeys
		if s, err := Start(t.Context(), o); err == nil {
			s.Close()
			t.Errorf("%s: started at %s", name, s.Addr())
		}
	}
}

// With an injected clock everything happens at its time.
func TestClock(t *testing.T) {
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	s := start(t, Options{Clock: func() time.Time { return now }}, User{Name: "alice"})
	proxy := certificates(t, get(t, s, tls.VersionTLS13, getRequest("alice", goodPass), testCSR(t, testKey(t), false)))[0]
	if want := now.Add(12 * time.Hour); !proxy.NotAfter.Equal(want) {
		t.Errorf("the proxy ends at %s, want %s", proxy.NotAfter, want)
	}
	if want := now.Add(-5 * time.Minute); !proxy.NotBefore.Equal(want) {
		t.Errorf("the proxy begins at %s, want %s", proxy.NotBefore, want)
	}
}

// What is granted, beside the recorded cases. Measured: five minutes at least.
func TestGranted(t *testing.T) {
	for _, c := range []struct {
		asked  int
		stored time.Duration
		most   time.Duration
		want   time.Duration
	}{
		{asked: 3600, stored: 12 * time.Hour, want: time.Hour},
		{asked: 60, stored: 12 * time.Hour, want: 5 * time.Minute},
		{asked: 3661, stored: 12 * time.Hour, want: 61 * time.Minute},
		{asked: 0, stored: 2 * time.Hour, want: 2 * time.Hour},
		{asked: 0, stored: 12 * time.Hour, most: time.Hour, want: time.Hour},
		{asked: 86400, stored: 48 * time.Hour, most: 2 * time.Hour, want: 2 * time.Hour},
		{asked: 86400, stored: time.Minute, want: 5 * time.Minute},
		{asked: 0, stored: 0, want: unlimited},
	} {
		conv := &conversation{s: &Sandbox{opts: Options{MaxLifetime: c.most}}}
		if got := conv.granted(&request{lifetime: c.asked}, &credential{lifetime: int(c.stored.Seconds())}); got != c.want {
			t.Errorf("%+v: granted %s", c, got)
		}
	}
}

// What a stored credential decides about the proxies below it, beside the
// recorded cases.
func TestStoredKinds(t *testing.T) {
	for _, c := range []struct {
		user      User
		limited   bool // asked
		algorithm x509.SignatureAlgorithm
		policy    string
	}{
		{User{Kind: EEC, P256: true}, false, x509.ECDSAWithSHA256, oidInheritAll.String()},
		{User{Kind: Proxy}, true, x509.SHA256WithRSA, oidInheritAll.String()}, // measured: the stored kind wins
		{User{Kind: LimitedProxy}, false, x509.SHA256WithRSA, oidLimited.String()},
		{User{Kind: EEC}, true, x509.SHA256WithRSA, oidLimited.String()},
	} {
		c.user.Name = "alice"
		s := start(t, Options{}, c.user)
		leaf := certificates(t, get(t, s, tls.VersionTLS13, getRequest("alice", goodPass), testCSR(t, testKey(t), c.limited)))[0]
		language, err := proxyLanguage(leaf.Extensions)
		if err != nil || language.String() != c.policy || leaf.SignatureAlgorithm != c.algorithm {
			t.Errorf("%+v: policy %s, signed with %s, %v", c.user, language, leaf.SignatureAlgorithm, err)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", anonymous, true}, {"*/CN=portal", "/C=XX/CN=portal", true}, {"*/CN=portal", "/C=XX/CN=portal/CN=1", false},
		{"/C=XX/*/CN=a", "/C=XX/O=b/CN=a", true}, {"/C=XX/*/CN=a", "/C=XX/CN=a", false}, {"ab*ba", "aba", false},
		{"a*b*c", "axbxc", true}, {"a*b*c", "axc", false}, {"same", "same", true}, {"same", "sames", false},
		// The rest is what the translation into an extended regular expression
		// makes possible, meant or not.
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"a.c", "abc", false}, {`a\.c`, "abc", true}, {`ab\*`, "abbb", true},
		{"a|b", "b", true}, {"a[0-9]+", "a42", true}, {"a(b", "a(b", false}, {"", "", true}, {"", "a", false},
		{"subject:*/CN=a", "/CN=a", true}, {"FQAN:*", "/CN=a", false},
	} {
		if got := matchesAny(new(complaint), []string{"none", c.pattern}, c.text); got != c.want {
			t.Errorf("matches(%q, %q) = %t", c.pattern, c.text, got)
		}
	}
}

// The configuration must be TOML that says what the sandbox is, for every path
// that a system may give it.
func TestConfigAndGuide(t *testing.T) {
	s := start(t, Options{Dir: filepath.Join(t.TempDir(), `a "b" c\d`)}, User{Name: "alice"})
	var config struct {
		Default string `toml:"default_profile"`
		Profile map[string]map[string]string
	}
	if _, err := toml.Decode(s.Config("sandbox", "alice"), &config); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"backend": "myproxy", "server": s.Addr(), "username": "alice", "ca_dir": s.TrustDir()}
	got := config.Profile["sandbox"]
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s = %q, want %q", key, got[key], value)
		}
	}
	if config.Default != "sandbox" || len(got) != len(want) {
		t.Errorf("default %q, profile %v", config.Default, got)
	}
	var text strings.Builder
	g := Guide{Program: "x509-credential-helper", ConfigFile: "/tmp/it's here/config.toml", Profile: "sandbox", Username: "alice", Passphrase: "fake"}
	if err := s.WriteGuide(&text, g); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{s.Addr(), "login sandbox", "pass phrase  fake", "myproxy info --tls-cert ", `CONFIG='/tmp/it'\''s here/config.toml'`} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the guide lacks %q:\n%s", part, text.String())
		}
	}
}

// BenchmarkStart is what a test pays for a sandbox with one user and new keys.
func BenchmarkStart(b *testing.B) {
	var times []time.Duration
	for b.Loop() {
		begun := time.Now()
		s, err := Start(b.Context(), Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.AddUser(User{Name: "alice", Passphrase: goodPass}); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begun))
		s.Close()
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "median-ms")
}
