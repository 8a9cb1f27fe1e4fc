package gsi

import (
	"math/big"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestInstallCRL: a list may be of a CA that is there already; an older one
// does not replace a newer one, or a server could take back what is revoked;
// one of no CA known is left out.
func TestInstallCRL(t *testing.T) {
	f := newTrust(t)
	dir := filepath.Join(t.TempDir(), "certificates")
	mustInstall(t, dir, rootsOf(t, f.dir))
	name := filepath.Base(f.name(t, f.sub, ".r0"))
	list := func(from time.Time, revoked ...*big.Int) []TrustFile {
		return []TrustFile{{name, makeCRL(t, f.sub, from, testTime.Add(time.Hour), revoked...)}}
	}
	fresh := list(testTime.Add(-time.Minute), f.user.Leaf().SerialNumber)
	if r := mustInstall(t, dir, fresh); !slices.Equal(r.Installed, []string{name}) {
		t.Errorf("%+v", r)
	}
	before := snapshot(t, dir)
	if r := mustInstall(t, dir, list(testTime.Add(-time.Hour))); !slices.Equal(r.Kept, []string{name}) || !sameSnapshot(before, snapshot(t, dir)) {
		t.Errorf("%+v", r)
	}
	if r := mustInstall(t, dir, list(testTime)); !slices.Equal(r.Updated, []string{name}) {
		t.Errorf("%+v", r)
	}
	write(t, filepath.Join(dir, name), forgedCRL(t, f.sub)) // newer, but not the CA's
	if r := mustInstall(t, dir, fresh); !slices.Equal(r.Updated, []string{name}) {
		t.Errorf("%+v", r)
	}
	stray := newCA(t, "Stray", nil)
	strayName := filepath.Base(f.name(t, stray, ".r0"))
	if r := mustInstall(t, dir, []TrustFile{{strayName, makeCRL(t, stray, testTime, testTime.Add(time.Hour))}}); !slices.Equal(r.Skipped, []string{strayName}) {
		t.Errorf("%+v", r)
	}
}

// TestInstallCRLOfAnother: the list of a second CA of the name does not push out
// that of the first one, whose revocations would be forgotten; where the second
// takes the place of the first it does.
func TestInstallCRLOfAnother(t *testing.T) {
	f := newTrust(t)
	f.crl(t, f.sub, ".r0", testTime.Add(time.Hour), f.user.Leaf().SerialNumber)
	dir := filepath.Join(t.TempDir(), "certificates")
	mustInstall(t, dir, rootsOf(t, f.dir))
	base := func(ext string) string { return filepath.Base(f.name(t, f.sub, ext)) }
	second := newCA(t, "Sub CA", f.root)
	list := TrustFile{base(".r0"), makeCRL(t, second, testTime, testTime.Add(time.Hour))}
	r := mustInstall(t, dir, []TrustFile{{base(".1"), pemOf(second.cert)}, list})
	if !slices.Equal(r.Kept, []string{list.Name}) || !slices.Equal(r.Installed, []string{base(".1")}) {
		t.Errorf("%+v", r)
	}
	trust, err := OpenTrustDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantTrust(t, trust.Verify(f.user.Chain, testTime, TrustOptions{}), TrustRevoked, filepath.Join(dir, list.Name))

	dir = filepath.Join(t.TempDir(), "certificates")
	mustInstall(t, dir, rootsOf(t, f.dir))
	r = mustInstall(t, dir, []TrustFile{{base(".0"), pemOf(second.cert)}, list})
	if !slices.Equal(r.Updated, []string{base(".0"), list.Name}) {
		t.Errorf("%+v", r)
	}
}
