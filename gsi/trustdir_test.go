package gsi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenTrustDir(t *testing.T) {
	empty := t.TempDir()
	for _, path := range []string{filepath.Join(empty, "nowhere"), empty, write(t, filepath.Join(t.TempDir(), "file"), nil)} {
		_, err := OpenTrustDir(path)
		wantTrust(t, err, TrustNoDirectory, path)
	}
	f := newTrust(t)
	write(t, filepath.Join(f.dir, "deadbeef.0"), []byte("no certificate"))
	f.remove(t, f.sub, ".0")
	if err := f.open(t).Verify(f.user.Chain, testTime, TrustOptions{}); err == nil || !strings.Contains(err.Error(), "deadbeef.0") {
		t.Errorf("an unknown CA could be in the file that is damaged, the error should say so: %v", err)
	}
}

func TestFindTrustDir(t *testing.T) {
	home, set, other := t.TempDir(), t.TempDir(), t.TempDir()
	system := filepath.Join(t.TempDir(), "certificates") // never the machine's own
	globus := filepath.Join(home, ".globus", "certificates")
	env := func(pairs ...string) func(string) string {
		return func(key string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == key {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	find := func(want, configured string, getenv func(string) string) {
		t.Helper()
		if got, err := findTrustDir(configured, getenv, system); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if err := os.MkdirAll(globus, 0o700); err != nil {
		t.Fatal(err)
	}
	find(set, set, env("X509_CERT_DIR", other))
	find(other, "", env("X509_CERT_DIR", other, "HOME", home))
	find(globus, "", env("HOME", home))
	// A setting that leads nowhere must not lead elsewhere in silence.
	_, err := FindTrustDir(filepath.Join(home, "x"), env("X509_CERT_DIR", other))
	wantTrust(t, err, TrustNoDirectory, filepath.Join(home, "x"))
	_, err = FindTrustDir("", env("X509_CERT_DIR", "certificates"))
	wantTrust(t, err, TrustNoDirectory, "certificates")
	location := t.TempDir()
	share := filepath.Join(location, "share", "certificates")
	_, err = findTrustDir("", env("HOME", other, "GLOBUS_LOCATION", location), system)
	wantTrust(t, err, TrustNoDirectory, share)
	if err := os.MkdirAll(share, 0o700); err != nil {
		t.Fatal(err)
	}
	find(share, "", env("HOME", other, "GLOBUS_LOCATION", location))
	if err := os.Mkdir(system, 0o700); err != nil {
		t.Fatal(err)
	}
	find(system, "", env("HOME", other, "GLOBUS_LOCATION", location))
	find(globus, "", env("HOME", home))
}
