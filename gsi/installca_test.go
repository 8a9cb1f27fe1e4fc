package gsi

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestInstallOlderCA: the certificate of a CA as it was before it was issued
// again does not take the place of the new one; one of another key, or one that
// lives longer, does.
func TestInstallOlderCA(t *testing.T) {
	f := newTrust(t)
	again := func(signer *authority, from, to time.Duration) TrustFile {
		next := *f.root.cert
		next.SerialNumber, next.NotBefore, next.NotAfter = serialNumber(t), f.root.cert.NotBefore.Add(from), f.root.cert.NotAfter.Add(to)
		next.PublicKey = signer.key.Public()
		return TrustFile{filepath.Base(f.name(t, f.root, ".0")), pemOf(issue(t, nil, signer.key, &next))}
	}
	for name, tc := range map[string]struct {
		sent TrustFile
		kept bool
	}{
		"older":               {again(f.root, -time.Hour, -time.Hour), true},
		"ends sooner":         {again(f.root, 0, -time.Hour), true},
		"newer":               {again(f.root, time.Hour, time.Hour), false},
		"newer, ends sooner":  {again(f.root, time.Hour, -time.Hour), false},
		"another key's older": {again(f.sub, -time.Hour, -time.Hour), false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "certificates")
			mustInstall(t, dir, rootsOf(t, f.dir))
			r := mustInstall(t, dir, []TrustFile{tc.sent})
			there, err := os.ReadFile(filepath.Join(dir, tc.sent.Name))
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(r.Kept, tc.sent.Name) != tc.kept || bytes.Equal(there, tc.sent.Data) == tc.kept {
				t.Errorf("%+v, replaced: %v", r, bytes.Equal(there, tc.sent.Data))
			}
		})
	}
}
