package myproxy

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

func pemCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// typed is a pass phrase that somebody gives when asked.
func typed(pass string) func() (secret.Secret, error) {
	return func() (secret.Secret, error) { return secret.Secret(pass), nil }
}

// sign signs with the world's CA.
func (w *world) sign(template *x509.Certificate, public any) *x509.Certificate {
	w.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, w.ca, public, w.key)
	must(w.t, err)
	cert, err := x509.ParseCertificate(der)
	must(w.t, err)
	return cert
}

// file writes a file and returns its path.
func file(t testing.TB, dir, name string, data []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, data, 0o600))
	must(t, os.Chmod(path, mode))
	return path
}

// certAndKey splits a credential as ~/.globus has it.
func certAndKey(t testing.TB, c *gsi.Credential, pass string) (cert, key []byte) {
	t.Helper()
	all := pemOf(t, c)
	if pass != "" {
		var err error
		all, err = c.TraditionalPEM([]byte(pass))
		must(t, err)
	}
	begin, end := "-----BEGIN ", "PRIVATE KEY-----\n"
	text := string(all)
	stop := strings.LastIndex(text, end) + len(end)
	keyBegin := strings.LastIndex(text[:strings.LastIndex(text[:stop], "-----END ")], begin)
	return []byte(text[:keyBegin] + text[stop:]), []byte(text[keyBegin:stop])
}

func TestLoadIdentity(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	jane, joe := w.eec("Jane", time.Hour), w.eec("Joe", time.Hour)
	proxy := w.proxyOf(jane, time.Hour, 2)
	cert, key := certAndKey(t, jane, "")
	_, locked := certAndKey(t, jane, canary)
	_, foreign := certAndKey(t, joe, "")
	proxyCert, proxyKey := certAndKey(t, proxy, "")
	for name, data := range map[string][]byte{
		"cert": cert, "key": key, "locked": locked, "foreign": foreign, "garbage": []byte("garbage"),
		"proxy": pemOf(t, proxy), "proxycert": proxyCert, "proxykey": proxyKey,
		"certandroot": append(cert[:len(cert):len(cert)], pemCert(w.ca.Raw)...),
	} {
		file(t, dir, name, data, 0o600)
	}
	file(t, dir, "groupkey", key, 0o640)
	file(t, dir, "openkey", key, 0o604)
	file(t, dir, "opencert", cert, 0o644)
	file(t, dir, "weakcert", cert, 0o666)
	errAsk := errors.New("nobody is there")
	for _, tc := range []struct {
		cert, key string
		pass      func() (secret.Secret, error)
		chain     int
		want      error
		reason    string
	}{
		{cert: "cert", key: "key", chain: 1},
		{cert: "opencert", key: "groupkey", chain: 1},
		{cert: "certandroot", key: "key", chain: 1},
		{cert: "proxy", key: "proxy", chain: 3},
		{cert: "proxycert", key: "proxykey", chain: 3},
		{cert: "cert", key: "locked", chain: 1, pass: typed(canary)},
		{cert: "cert", key: "locked", want: gsi.ErrEncryptedKey},
		{cert: "cert", key: "locked", pass: typed("wrong one"), want: gsi.ErrWrongPassphrase},
		{cert: "cert", key: "locked", pass: func() (secret.Secret, error) { return nil, errAsk }, want: errAsk},
		{cert: "cert", key: "foreign", reason: "is not the key of the certificate"},
		{cert: "cert", key: "garbage", want: gsi.ErrNoKey},
		{cert: "garbage", key: "key", want: gsi.ErrNoCertificate},
		{cert: "absent", key: "key", want: fs.ErrNotExist, reason: "absent"},
		{cert: "cert", key: "absent", want: fs.ErrNotExist, reason: "absent"},
		{cert: "cert", key: "openkey", reason: "0604"},
		{cert: "weakcert", key: "key", reason: "lets others write"},
	} {
		t.Run(tc.cert+" "+tc.key, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(tc.cert+tc.key, "open") {
				t.Skip("modes are those of Unix")
			}
			got, err := LoadIdentity(filepath.Join(dir, tc.cert), filepath.Join(dir, tc.key), tc.pass)
			if tc.chain > 0 {
				if err != nil || len(got.Certificate) != tc.chain || got.Leaf == nil || !sameKey(got.Leaf.PublicKey, got.PrivateKey.(crypto.Signer).Public()) {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.reason) {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Error("the pass phrase is in the error")
			}
		})
	}
}
