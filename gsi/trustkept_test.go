package gsi

import (
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestTrustKept: what has been parsed once is not older than the directory: a
// policy, a list or a CA that changes counts at once, good news and bad.
func TestTrustKept(t *testing.T) {
	f := newTrust(t)
	f.crl(t, f.sub, ".r0", testTime.Add(time.Hour))
	dir := f.open(t)
	verify := func() error { return dir.Verify(f.user.Chain, testTime, TrustOptions{}) }
	for range 2 {
		if err := verify(); err != nil {
			t.Fatal(err)
		}
	}
	f.crl(t, f.sub, ".r0", testTime.Add(time.Hour), f.user.Leaf().SerialNumber)
	wantTrust(t, verify(), TrustRevoked, f.name(t, f.sub, ".r0"))
	f.crl(t, f.sub, ".r0", testTime.Add(time.Hour))
	f.policy(t, f.sub, "/C=YY/*")
	wantTrust(t, verify(), TrustPolicy, f.name(t, f.sub, ".signing_policy"))
	f.policy(t, f.sub, "/C=XX/O=Lab/*")
	f.add(t, f.sub, ".0", pemOf(newCA(t, "Sub CA", f.root).cert))
	wantTrust(t, verify(), TrustSignature, f.name(t, f.sub, ".0"))
	f.add(t, f.sub, ".0", pemOf(f.sub.cert))
	if err := verify(); err != nil {
		t.Error(err)
	}
}

// TestTrustKeptList: a list that was verified with one CA is nothing to another
// of the same name.
func TestTrustKeptList(t *testing.T) {
	f := newTrust(t)
	other := newCA(t, "Sub CA", f.root)
	f.add(t, other, ".1", pemOf(other.cert))
	f.crl(t, f.sub, ".r0", testTime.Add(time.Hour))
	dir := f.open(t)
	name := filepath.Base(f.name(t, f.sub, ".r0"))
	for range 2 {
		if crl, e := dir.loadCRL(name, anchor{f.sub.cert, "x.0"}); crl == nil || e != nil {
			t.Errorf("%v, %v", crl, e)
		}
		if crl, _ := dir.loadCRL(name, anchor{other.cert, "x.1"}); crl != nil {
			t.Error("the list of one CA is another's")
		}
	}
}

// TestTrustKeptBounds: what does not fit is parsed each time, and counts the
// same.
func TestTrustKeptBounds(t *testing.T) {
	f := newTrust(t)
	f.crl(t, f.sub, ".r0", testTime.Add(time.Hour), f.user.Leaf().SerialNumber)
	dir := f.open(t)
	dir.kept.used = maxKeptBytes
	for range 2 {
		wantTrust(t, dir.Verify(f.user.Chain, testTime, TrustOptions{}), TrustRevoked, f.name(t, f.sub, ".r0"))
	}
	if len(dir.kept.files) > 0 {
		t.Errorf("%d files are kept", len(dir.kept.files))
	}
	for range maxKeptNames + 10 {
		dir.kept.stems(labName(time.Now().Format(time.RFC3339Nano)))
	}
	dir.kept.stems(make([]byte, maxKeptName+1))
	if n := len(dir.kept.hashes); n > maxKeptNames {
		t.Errorf("%d names are kept", n)
	}
}

// TestTrustTogether: one TrustDir serves several goroutines.
func TestTrustTogether(t *testing.T) {
	f := newTrust(t)
	f.crl(t, f.sub, ".r0", testTime.Add(time.Hour))
	f.crl(t, f.root, ".r0", testTime.Add(time.Hour))
	dir := f.open(t)
	var together sync.WaitGroup
	for i := range 8 {
		together.Go(func() {
			for range 5 {
				if err := dir.Verify(f.user.Chain, testTime, TrustOptions{}); err != nil {
					t.Error(err)
				}
				if i == 0 && len(dir.Anchors(testTime, TrustOptions{})) != 2 {
					t.Error("CAs are missing")
				}
			}
		})
	}
	together.Wait()
}

// TestTrustHidden: a hidden file is no trusted CA, such as an editor or a
// program that copies files leaves behind.
func TestTrustHidden(t *testing.T) {
	f := newTrust(t)
	path := f.name(t, f.root, ".0")
	f.remove(t, f.root, ".0")
	write(t, filepath.Join(f.dir, "."+filepath.Base(path)), pemOf(f.root.cert))
	wantTrust(t, f.open(t).Verify(f.user.Chain, testTime, TrustOptions{}), TrustUnknownIssuer, f.dir)
}
