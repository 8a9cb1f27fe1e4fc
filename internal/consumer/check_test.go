package consumer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// proxyPEM is a certificate and its key, valid from now for life.
func proxyPEM(t *testing.T, life time.Duration) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Jane"},
		NotBefore: now, NotAfter: now.Add(life),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	data, err := (&gsi.Credential{Chain: []*x509.Certificate{cert}, Key: key}).PEM()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestCheck: each way in which a proxy file makes tools fail, or crash, without
// saying why has a sentence here.
func TestCheck(t *testing.T) {
	good := proxyPEM(t, time.Hour)
	write := func(data []byte, mode os.FileMode) func(string) error {
		return func(path string) error { return os.WriteFile(path, data, mode) }
	}
	for _, tc := range []struct {
		name string
		make func(path string) error
		at   time.Time
		want string // a part of the error; "" is good
	}{
		{"good", write(good, 0o600), now, ""},
		{"read only", write(good, 0o400), now, ""},
		{"missing", func(string) error { return nil }, now, "no such file"},
		{"empty", write(nil, 0o600), now, "cannot be used"},
		{"garbage", write([]byte("garbage"), 0o600), now, "cannot be used"},
		{"no key", write([]byte(strings.SplitAfter(string(good), "-----END CERTIFICATE-----\n")[0]), 0o600), now, "cannot be used"},
		{"for others too", write(good, 0o640), now, "mode 0640"},
		{"too large", write(append([]byte(strings.Repeat("\n", maxProxy)), good...), 0o600), now, "larger than"},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o700) }, now, "no regular file"},
		{"a symbolic link", func(path string) error { return os.Symlink("/dev/null", path) }, now, "too many levels"},
		{"expired", write(good, 0o600), now.Add(time.Hour), "expired at 2026-11-21T13:00:00Z"},
		{"too short", write(good, 0o600), now.Add(56 * time.Minute), "lives only until"},
		{"just enough", write(good, 0o600), now.Add(55 * time.Minute), ""},
		{"not yet valid", write(good, 0o600), now.Add(-time.Second), "not valid before"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("modes and links are those of Unix")
			}
			path := filepath.Join(t.TempDir(), "proxy.pem")
			if err := tc.make(path); err != nil {
				t.Fatal(err)
			}
			info, err := Check(path, 5*time.Minute, tc.at)
			switch {
			case tc.want == "" && (err != nil || info == nil):
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("expected %q, got %v", tc.want, err)
			}
		})
	}
}
