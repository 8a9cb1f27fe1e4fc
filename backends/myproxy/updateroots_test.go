package myproxy

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// ownTrust copies a trust directory, with a note at the end of each policy that
// the server does not have, and without one CA if there is one.
func ownTrust(t *testing.T, from string, without *x509.Certificate) (dir string, policies []string) {
	t.Helper()
	dir = t.TempDir()
	list, err := os.ReadDir(from)
	must(t, err)
	var left []string
	if without != nil {
		hash, err := gsi.SubjectHash(without.RawSubject)
		must(t, err)
		left = []string{hash, gsi.SubjectHashOld(without.RawSubject)}
	}
	for _, e := range list {
		if slices.Contains(left, hashOf(e.Name())) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		must(t, err)
		if strings.HasSuffix(e.Name(), ".signing_policy") {
			data = append(data, "# ours is old\n"...)
			policies = append(policies, e.Name())
		}
		file(t, dir, e.Name(), data, 0o644)
	}
	return dir, policies
}

// TestUpdateRoots: a profile that asks for it renews what is in its own trust
// directory while it logs on, and trusts nobody new; what it cannot do is a
// warning.
func TestUpdateRoots(t *testing.T) {
	t.Run("real", func(t *testing.T) {
		lab.Require(t, lab.MyProxyServer)
		m := lab.StartMyProxy(t, lab.MyProxyOptions{})
		m.Store("alice", canary, m.CA.User("Alice"))
		testUpdateRoots(t, m.Addr, m.TrustDir, nil)
	})
	t.Run("sandbox", func(t *testing.T) {
		other := newWorld(t)
		s, err := sandbox.Start(t.Context(), sandbox.Options{Dir: t.TempDir(), TrustedCAs: []*x509.Certificate{other.ca}})
		must(t, err)
		t.Cleanup(s.Close)
		must(t, s.AddUser(sandbox.User{Name: "alice", Passphrase: canary}))
		testUpdateRoots(t, s.Addr(), s.TrustDir(), other.ca)
	})
	t.Run("server without roots", func(t *testing.T) {
		w := newWorld(t)
		if got := obtainRoots(t, w.serve(nil, grants).addr, w.dir, "update"); !slices.Equal(got, []string{"trust_roots_not_updated"}) {
			t.Errorf("warnings %q", got)
		}
	})
}

func testUpdateRoots(t *testing.T, addr, from string, fresh *x509.Certificate) {
	warning := ""
	if fresh != nil {
		warning = "trust_roots_new"
	}
	for _, tc := range []struct {
		name, value string
		prepare     func(dir string)
		updated     bool
		warnings    string
	}{
		{"never", "never", nil, false, ""},
		{"not asked for", "", nil, false, ""},
		{"update", "update", nil, true, warning},
		{"a directory that the group can write to", "update", func(dir string) { must(t, os.Chmod(dir, 0o775)) }, false, "trust_roots_not_updated"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, policies := ownTrust(t, from, fresh)
			before := entries(t, dir)
			if tc.prepare != nil {
				tc.prepare(dir)
			}
			if got := strings.Join(obtainRoots(t, addr, dir, tc.value), " "); got != tc.warnings {
				t.Errorf("warnings: got %q, want %q", got, tc.warnings)
			}
			if len(policies) == 0 {
				t.Fatal("there is no policy to update")
			}
			for _, name := range policies {
				data, err := os.ReadFile(filepath.Join(dir, name))
				must(t, err)
				if updated := !bytes.Contains(data, []byte("# ours is old")); updated != tc.updated {
					t.Errorf("%s: updated %v, want %v", name, updated, tc.updated)
				}
			}
			if after := entries(t, dir); after != before {
				t.Errorf("the directory holds %q, before %q", after, before)
			}
		})
	}
}

// obtainRoots logs on with such a profile and returns the codes of the warnings.
func obtainRoots(t *testing.T, addr, dir, value string) []string {
	t.Helper()
	req, _ := logon(t)
	s := spec(profile(helper.Settings{keyServer: []string{addr}, keyUsername: "alice", keyTrustRoots: value}), canary, req)
	s.Trust = func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir(dir) }
	got, err := New(Options{Getenv: env{}.get}).Obtain(t.Context(), s)
	must(t, err)
	var codes []string
	for _, w := range got.Warnings {
		codes = append(codes, w.Code)
		if strings.ContainsAny(w.Message, "\n\x1b") || w.Message == "" {
			t.Errorf("not a sentence: %q", w.Message)
		}
		t.Logf("%s: %s", w.Code, w.Message)
	}
	return codes
}
