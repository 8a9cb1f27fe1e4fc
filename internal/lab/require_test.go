package lab

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestPackages: the list that continuous integration installs holds every
// package that Require may name.
func TestPackages(t *testing.T) {
	list := Packages()
	if !slices.IsSorted(list) {
		t.Error("packages.txt is not sorted")
	}
	for part, files := range programs {
		for _, pkg := range files {
			if !slices.Contains(list, pkg) {
				t.Errorf("%s needs %s, which is not in packages.txt", part, pkg)
			}
		}
	}
}

// TestRequire: without the packages a laptop skips with one line that names
// them, and continuous integration fails.
func TestRequire(t *testing.T) {
	requireLinux(t)
	t.Setenv("PATH", "/nonexistent")
	for _, tc := range []struct{ mode, want string }{{"", "skip"}, {"require", "fatal"}} {
		t.Setenv("X509CH_LAB", tc.mode)
		r := &requirer{TB: t}
		Require(r, XRootDClient, SecretService)
		got, text, _ := strings.Cut(r.got, ": ")
		if got != tc.want || strings.Contains(text, "\n") ||
			!strings.HasSuffix(text, "dbus-daemon gnome-keyring libsecret-tools xrootd-client") {
			t.Errorf("X509CH_LAB=%q: %s", tc.mode, r.got)
		}
	}
}

type requirer struct {
	testing.TB
	got string
}

func (r *requirer) Helper()                           {}
func (r *requirer) Skipf(format string, args ...any)  { r.note("skip", format, args) }
func (r *requirer) Fatalf(format string, args ...any) { r.note("fatal", format, args) }
func (r *requirer) note(what, format string, args []any) {
	if r.got == "" { // Fatalf would not have returned
		r.got = what + ": " + fmt.Sprintf(format, args...)
	}
}
