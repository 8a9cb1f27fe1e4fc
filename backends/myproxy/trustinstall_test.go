package myproxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// roots are the files of a world's trust directory.
func (w *world) roots() map[string][]byte {
	w.t.Helper()
	files := map[string][]byte{}
	list, err := os.ReadDir(w.dir)
	must(w.t, err)
	for _, e := range list {
		files[e.Name()], err = os.ReadFile(filepath.Join(w.dir, e.Name()))
		must(w.t, err)
	}
	return files
}

func (w *world) hash() string {
	w.t.Helper()
	hash, err := gsi.SubjectHash(w.ca.RawSubject)
	must(w.t, err)
	return hash
}

// renewed is the CA's certificate with other dates, signed by by.
func (w *world) renewed(by *world) []byte {
	w.t.Helper()
	template := *w.ca
	template.SerialNumber, template.NotAfter = big.NewInt(2), w.ca.NotAfter.Add(24*time.Hour)
	parent := *w.ca
	parent.PublicKey = by.key.Public()
	der, err := x509.CreateCertificate(rand.Reader, &template, &parent, w.key.Public(), by.key)
	must(w.t, err)
	return pemCert(der)
}

// superseded is the CA's certificate as it was before its last renewal.
func (w *world) superseded() []byte {
	w.t.Helper()
	template := *w.ca
	template.SerialNumber, template.NotAfter = big.NewInt(3), w.ca.NotAfter.Add(-time.Minute)
	der, err := x509.CreateCertificate(rand.Reader, &template, w.ca, w.key.Public(), w.key)
	must(w.t, err)
	return pemCert(der)
}

// other is a world with a CA of another name.
func otherWorld(t testing.TB) *world {
	w := newWorld(t)
	template := *w.ca
	template.RawSubject, template.Subject.CommonName = nil, "Other CA"
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, w.key.Public(), w.key)
	must(t, err)
	for _, old := range []string{".0", ".signing_policy"} {
		must(t, os.Remove(w.path(old)))
	}
	w.ca, err = x509.ParseCertificate(der)
	must(t, err)
	w.write(".0", pemCert(der))
	w.write(".signing_policy", []byte("access_id_CA X509 '/C=XX/CN=Other CA'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/*\"'\n"))
	return w
}

func with(files map[string][]byte, more ...any) map[string][]byte {
	files = maps.Clone(files)
	for i := 0; i < len(more); i += 2 {
		files[more[i].(string)] = more[i+1].([]byte)
	}
	return files
}

func join(maps ...map[string][]byte) map[string][]byte {
	all := map[string][]byte{}
	for _, m := range maps {
		for name, data := range m {
			all[name] = data
		}
	}
	return all
}

// An update renews what belongs to CAs that are there and trusts nobody new:
// not another CA, not the same name with another key, in whatever place, and not
// a renewed certificate that the CA did not sign. Nor does it take a renewal back.
func TestInstallTrustRootsUpdate(t *testing.T) {
	w, other, rekeyed := newWorld(t), otherWorld(t), newWorld(t)
	w.crl(w.now.Add(time.Hour))
	rekeyed.crl(w.now.Add(time.Hour))
	hash := w.hash()
	policy := []byte("access_id_CA X509 '/C=XX/CN=Test CA'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/O=New/*\"'\n")
	for _, tc := range []struct {
		name    string
		sent    map[string][]byte
		updated string // names, with blanks between
		fresh   string // installed
		left    string
		news    []*world
	}{
		{"nothing new", w.roots(), "", "", "", nil},
		{"a renewed certificate", map[string][]byte{hash + ".0": w.renewed(w)}, hash + ".0", "", "", nil},
		{"under its other hash", map[string][]byte{gsi.SubjectHashOld(w.ca.RawSubject) + ".0": w.renewed(w)}, "", gsi.SubjectHashOld(w.ca.RawSubject) + ".0", "", nil},
		{"a policy", map[string][]byte{hash + ".signing_policy": policy}, hash + ".signing_policy", "", "", nil},
		{"a revocation list's address", map[string][]byte{hash + ".crl_url": []byte("http://example.org/crl\n")}, "", hash + ".crl_url", "", nil},
		{"another CA", join(w.roots(), other.roots()), "", "", other.hash() + ".0 " + other.hash() + ".signing_policy", []*world{other}},
		{"another key in the CA's place", with(w.roots(), hash+".0", rekeyed.roots()[hash+".0"]), "", "", hash + ".0", []*world{rekeyed}},
		{"another key beside it, with its list", with(w.roots(), hash+".1", rekeyed.roots()[hash+".0"], hash+".r1", rekeyed.roots()[hash+".r0"]),
			"", "", hash + ".1 " + hash + ".r1", []*world{rekeyed}},
		{"an older certificate", map[string][]byte{hash + ".0": w.superseded()}, "", "", hash + ".0", nil},
		{"an older certificate beside it", map[string][]byte{hash + ".1": w.superseded()}, "", "", hash + ".1", nil},
		{"renewed by somebody else", map[string][]byte{hash + ".0": w.renewed(other)}, "", "", hash + ".0", []*world{nil}},
		{"other files", map[string][]byte{"README": nil, "x.info": []byte("alias = x\n"), "deadbeef.signing_policy": policy}, "", "", "README deadbeef.signing_policy x.info", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range w.roots() {
				file(t, dir, name, data, 0o644)
			}
			got, err := InstallTrustRoots(t.Context(), dir, tc.sent, UpdateOnly)
			must(t, err)
			if strings.Join(got.Updated, " ") != tc.updated || strings.Join(got.Installed, " ") != tc.fresh || strings.Join(got.LeftOut, " ") != tc.left {
				t.Errorf("got %+v", got)
			}
			for _, name := range slices.Concat(got.Updated, got.Installed) {
				if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(data, tc.sent[name]) {
					t.Errorf("%s is not what was sent: %v", name, err)
				}
			}
			for name, data := range w.roots() {
				if now, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(now, data) && !slices.Contains(got.Updated, name) {
					t.Errorf("%s was changed: %v", name, err)
				}
			}
			if len(got.New) != len(tc.news) {
				t.Fatalf("new CAs: got %+v", got.New)
			}
			for i, n := range tc.news {
				if n != nil && got.New[i].Fingerprint != fmt.Sprintf("sha256:%x", sha256.Sum256(n.ca.Raw)) {
					t.Errorf("got %+v", got.New[i])
				}
			}
		})
	}
}

// With a yes everything is installed, into a directory that need not be there.
func TestInstallTrustRootsAll(t *testing.T) {
	w, other := newWorld(t), otherWorld(t)
	sent := join(w.roots(), other.roots())
	dir := filepath.Join(t.TempDir(), "globus", "certificates")
	news, err := NewAuthorities(dir, sent)
	if err != nil || len(news) != 2 || news[0].Subject != "/C=XX/CN=Other CA" || news[1].Subject != "/C=XX/CN=Test CA" ||
		!slices.Equal(news[1].Files, []string{w.hash() + ".0"}) {
		t.Fatalf("got %+v, %v", news, err)
	}
	got, err := InstallTrustRoots(t.Context(), dir, sent, UpdateOnly)
	if _, gone := os.Lstat(dir); err != nil || gone == nil || len(got.New) != 2 || len(got.LeftOut) != 4 {
		t.Errorf("an update made the directory: %+v, %v", got, err)
	}
	got, err = InstallTrustRoots(t.Context(), dir, sent, All)
	if err != nil || len(got.New) != 2 || len(got.Installed) != 4 || len(got.LeftOut) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	trust, err := gsi.OpenTrustDir(dir)
	must(t, err)
	for _, x := range []*world{w, other} {
		must(t, trust.Verify(x.eec("Jane", time.Hour).Chain, time.Now(), gsi.TrustOptions{SigningPolicy: gsi.PolicyRequire}))
	}
	if news, err := NewAuthorities(dir, sent); err != nil || len(news) != 0 {
		t.Errorf("a second time: got %+v, %v", news, err)
	}
}

// One name that could lead elsewhere, or too much of anything, and nothing at
// all is installed.
func TestInstallTrustRootsHostile(t *testing.T) {
	w := newWorld(t)
	many := func(n int) map[string][]byte {
		files := map[string][]byte{}
		for i := range n {
			files[fmt.Sprintf("%06d.txt", i)] = nil
		}
		return files
	}
	for _, tc := range []struct {
		name   string
		sent   map[string][]byte
		reason gsi.InstallReason // "" is good
	}{
		{"parent", with(w.roots(), "../evil", []byte("x")), gsi.InstallUnsafeName},
		{"absolute", with(w.roots(), "/tmp/evil", []byte("x")), gsi.InstallUnsafeName},
		{"hidden", with(w.roots(), ".hidden", []byte("x")), gsi.InstallUnsafeName},
		{"NUL", with(w.roots(), "a\x00b", []byte("x")), gsi.InstallUnsafeName},
		{"line feed", with(w.roots(), "a\n", []byte("x")), gsi.InstallUnsafeName},
		{"escape", with(w.roots(), "a\x1b[2J", []byte("x")), gsi.InstallUnsafeName},
		{"empty", with(w.roots(), "", []byte("x")), gsi.InstallUnsafeName},
		{"backslash", with(w.roots(), `a\..\b`, []byte("x")), gsi.InstallUnsafeName},
		{"option", with(w.roots(), "-rf", []byte("x")), gsi.InstallUnsafeName},
		{"long", with(w.roots(), strings.Repeat("a", 256), []byte("x")), gsi.InstallUnsafeName},
		{"10,000 files", many(10000), gsi.InstallBadFile},
		{"one file too many", many(maxTrustFiles + 1), gsi.InstallBadFile},
		{"as many as may be", many(maxTrustFiles), ""},
		{"one byte too many", map[string][]byte{"a": make([]byte, maxTrustRoots), "b": {1}}, gsi.InstallBadFile},
		{"as much as may be", map[string][]byte{"a": make([]byte, maxTrustRoots-1), "b": {1}}, ""},
		{"no certificate", with(w.roots(), "deadbeef.0", []byte("x")), gsi.InstallBadFile},
	} {
		for _, mode := range []InstallMode{UpdateOnly, All} {
			t.Run(fmt.Sprint(tc.name, " ", mode), func(t *testing.T) {
				top := t.TempDir()
				dir := filepath.Join(top, "certificates")
				_, err := InstallTrustRoots(t.Context(), dir, tc.sent, mode)
				var e *gsi.InstallError
				wanted := tc.reason != "" && !(tc.name == "no certificate" && mode == UpdateOnly) // not even read then
				if wanted && (!errors.As(err, &e) || e.Reason != tc.reason) || !wanted && err != nil {
					t.Errorf("got %v, want %q", err, tc.reason)
				}
				if err != nil && strings.ContainsAny(err.Error(), "\x00\x1b\n") {
					t.Errorf("the text is %q", err)
				}
				if names := entries(t, top); names != "" {
					t.Errorf("written: %q", names)
				}
			})
		}
	}
	if maxTrustFiles != 4096 || maxTrustRoots != 16<<20 {
		t.Error("the limits are not those of the documentation")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := filepath.Join(t.TempDir(), "d")
	if _, err := InstallTrustRoots(ctx, dir, w.roots(), All); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("cancelled, and yet there is a directory")
	}
}

// A directory that leads elsewhere, or that others can write to, is not ours.
func TestInstallTrustRootsElsewhere(t *testing.T) {
	w := newWorld(t)
	real := t.TempDir()
	for name, data := range w.roots() {
		file(t, real, name, data, 0o644)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Skip(err)
	}
	sent := map[string][]byte{w.hash() + ".0": w.renewed(w)}
	for _, mode := range []InstallMode{UpdateOnly, All} {
		var e *gsi.InstallError
		if _, err := InstallTrustRoots(t.Context(), link, sent, mode); !errors.As(err, &e) || e.Reason != gsi.InstallDirectory {
			t.Errorf("got %v", err)
		}
	}
	if data, err := os.ReadFile(filepath.Join(real, w.hash()+".0")); err != nil || bytes.Equal(data, sent[w.hash()+".0"]) {
		t.Errorf("written through the link: %v", err)
	}
}

// Where the directory knows a CA under two keys, an update does not let the one
// take the other's place: whoever needs that would be locked out.
func TestInstallTrustRootsTwoKeys(t *testing.T) {
	w, rekeyed := newWorld(t), newWorld(t)
	hash, dir := w.hash(), t.TempDir()
	first, second := w.roots()[hash+".0"], rekeyed.roots()[hash+".0"]
	file(t, dir, hash+".0", first, 0o644)
	file(t, dir, hash+".1", second, 0o644)
	got, err := InstallTrustRoots(t.Context(), dir, map[string][]byte{hash + ".0": second}, UpdateOnly)
	must(t, err)
	if len(got.Updated)+len(got.Installed)+len(got.New) > 0 || strings.Join(got.LeftOut, " ") != hash+".0" {
		t.Errorf("got %+v", got)
	}
	if data, err := os.ReadFile(filepath.Join(dir, hash+".0")); err != nil || !bytes.Equal(data, first) {
		t.Errorf("the first key is gone: %v", err)
	}
}
