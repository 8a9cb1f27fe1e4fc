package myproxy

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// The order is Globus's; the answer is both paths or none.
func TestLocateIdentity(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the places are those of Unix")
	}
	w := newWorld(t)
	good := pemOf(t, w.proxyOf(w.eec("Jane", time.Hour), time.Hour, 1))
	old := pemOf(t, w.eec("Jane", -time.Minute))
	tomorrow := w.now.Add(24 * time.Hour)
	late, err := w.eec("Jane", 48*time.Hour).Derive(newKey(t), gsi.IssueOptions{Now: tomorrow, Lifetime: time.Hour})
	must(t, err)
	early := pemOf(t, late)
	const (
		proxy, tmp  = "/my/proxy", "/tmp/x509up_u1000"
		cert, key   = "/my/cert", "/my/key"
		etc, globus = "/etc/grid-security/host", "/globus/etc/host"
		home        = "/home/.globus/user"
	)
	// All of them there; each case takes some away, or adds something wrong.
	all := []string{proxy, tmp, etc + "cert.pem", etc + "key.pem", globus + "cert.pem", globus + "key.pem", home + "cert.pem", home + "key.pem"}
	vars := map[string]string{"X509_USER_PROXY": proxy, "X509_USER_CERT": cert, "X509_USER_KEY": key, "GLOBUS_LOCATION": "/globus"}
	for _, tc := range []struct {
		name      string
		without   string // files and variables that are not there
		old       string // files that hold an expired proxy
		early     string // files that hold one that is not valid yet
		noTmp     bool
		prepare   func(root string)
		rule      Rule
		cert, key string
		passed    string // parts of what Passed hears, with commas between
	}{
		{name: "everything", rule: RuleUserProxy, cert: proxy, key: proxy},
		{name: "X509_USER_PROXY not set", without: "X509_USER_PROXY", rule: RuleTmpProxy, cert: tmp, key: tmp},
		{name: "X509_USER_PROXY is not there: it is an output", without: proxy, rule: RuleTmpProxy, cert: tmp, key: tmp},
		{name: "X509_USER_PROXY has expired", old: proxy, rule: RuleTmpProxy, cert: tmp, key: tmp, passed: "expired at"},
		{name: "X509_USER_PROXY is not valid yet", early: proxy, rule: RuleTmpProxy, cert: tmp, key: tmp, passed: "is not valid before"},
		{name: "X509_USER_PROXY is another's to read", prepare: func(root string) { must(t, os.Chmod(root+proxy, 0o644)) },
			rule: RuleTmpProxy, cert: tmp, key: tmp, passed: "0644"},
		{name: "/tmp not asked for", without: proxy, noTmp: true, rule: RuleUserCert, cert: cert, key: key},
		{name: "/tmp has expired", without: proxy, old: tmp, rule: RuleUserCert, cert: cert, key: key, passed: "expired at"},
		{name: "X509_USER_CERT without a key", without: proxy + tmp + "X509_USER_KEY", rule: RuleHostCert,
			cert: etc + "cert.pem", key: etc + "key.pem", passed: "X509_USER_KEY is not set"},
		{name: "X509_USER_KEY without a certificate", without: proxy + tmp + "X509_USER_CERT", rule: RuleHostCert,
			cert: etc + "cert.pem", key: etc + "key.pem", passed: "X509_USER_CERT is not set"},
		{name: "half a host's pair", without: proxy + tmp + "X509_USER_CERT X509_USER_KEY" + etc + "key.pem", rule: RuleGlobusHost,
			cert: globus + "cert.pem", key: globus + "key.pem", passed: "hostkey.pem"},
		{name: "half of Globus's pair", without: proxy + tmp + "X509_USER_CERT X509_USER_KEY" + etc + "cert.pem" + etc + "key.pem" + globus + "cert.pem",
			rule: RuleGlobusUser, cert: home + "cert.pem", key: home + "key.pem", passed: "hostkey.pem"},
		{name: "GLOBUS_LOCATION not set", without: proxy + tmp + "X509_USER_CERT X509_USER_KEY GLOBUS_LOCATION" + etc + "cert.pem" + etc + "key.pem",
			rule: RuleGlobusUser, cert: home + "cert.pem", key: home + "key.pem"},
		{name: "half of the user's pair", without: proxy + tmp + "X509_USER_CERT X509_USER_KEY GLOBUS_LOCATION" + etc + "cert.pem" + etc + "key.pem" + home + "key.pem",
			passed: "userkey.pem"},
		{name: "nothing", without: strings.Join(all, " ") + "X509_USER_PROXY X509_USER_CERT X509_USER_KEY GLOBUS_LOCATION"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			for _, path := range all {
				if strings.Contains(tc.without, path) {
					continue
				}
				data := good
				if strings.Contains(tc.old, path) {
					data = old
				}
				if strings.Contains(tc.early, path) {
					data = early
				}
				file(t, root, path, data, 0o600)
			}
			if tc.prepare != nil {
				tc.prepare(root)
			}
			getenv := func(key string) string {
				if value := vars[key]; value != "" && !strings.Contains(tc.without, key) {
					return root + value
				}
				return ""
			}
			var passed []string
			got, err := LocateIdentity(LocateOptions{
				Getenv: getenv, Home: root + "/home", UID: 1000, TmpFile: !tc.noTmp,
				Passed: func(err error) { passed = append(passed, err.Error()) }, root: root,
			})
			must(t, err)
			want := (*Located)(nil)
			if tc.rule != "" {
				want = &Located{root + tc.cert, root + tc.key, tc.rule}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if (tc.passed == "") != (passed == nil) || !strings.Contains(strings.Join(passed, "\n"), tc.passed) {
				t.Errorf("passed over: %q, want %q", passed, tc.passed)
			}
		})
	}
}

// A file system that fails is not a file that is absent.
func TestLocateIdentityBrokenFileSystem(t *testing.T) {
	dir := t.TempDir()
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Skip(err)
	}
	if got, err := LocateIdentity(LocateOptions{Getenv: env{"X509_USER_PROXY": loop}.get, UID: -1, root: dir}); err == nil {
		t.Errorf("got %+v and no error", got)
	}
}

func TestDefaultTrustDir(t *testing.T) {
	home := filepath.Join(string(filepath.Separator), "home", "jane")
	for _, tc := range []struct {
		env  env
		home string
		uid  int
		want string
	}{
		{env{"X509_CERT_DIR": "/ca"}, home, 0, "/ca"},
		{env{"X509_CERT_DIR": "/ca"}, home, 1000, "/ca"},
		{nil, home, 0, "/etc/grid-security/certificates"},
		{env{"root": "root", "USER": "root"}, home, 1000, filepath.Join(home, ".globus", "certificates")},
		{nil, home, -1, filepath.Join(home, ".globus", "certificates")},
		{nil, "", 1000, ""},
	} {
		if got := DefaultTrustDir(tc.env.get, tc.home, tc.uid); got != tc.want {
			t.Errorf("%+v: got %q", tc, got)
		}
	}
	rules := []Rule{RuleUserProxy, RuleTmpProxy, RuleUserCert, RuleHostCert, RuleGlobusHost, RuleGlobusUser}
	if slices.Sort(rules); len(slices.Compact(rules)) != 6 {
		t.Errorf("two rules have the same name: %q", rules)
	}
}
