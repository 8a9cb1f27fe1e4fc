package myproxy

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// eec is an end-entity certificate of the world's CA.
func (w *world) eec(name string, life time.Duration) *gsi.Credential {
	w.t.Helper()
	key := newKey(w.t)
	cert := w.sign(&x509.Certificate{
		SerialNumber: big.NewInt(w.now.UnixNano()), Subject: pkix.Name{Country: []string{"XX"}, CommonName: name},
		NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.Add(life), KeyUsage: x509.KeyUsageDigitalSignature,
	}, key.Public())
	return &gsi.Credential{Chain: []*x509.Certificate{cert}, Key: key}
}

// proxyOf derives proxies, one from the other.
func (w *world) proxyOf(c *gsi.Credential, life time.Duration, levels int) *gsi.Credential {
	w.t.Helper()
	for range levels {
		next, err := c.Derive(newKey(w.t), gsi.IssueOptions{Now: w.now, Lifetime: life})
		if err != nil {
			w.t.Fatal(err)
		}
		c = next
	}
	return c
}

func pemOf(t testing.TB, c *gsi.Credential) []byte {
	t.Helper()
	data, err := c.PEM()
	must(t, err)
	return data
}

func blockTypes(data []byte) string {
	var types []string
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		types = append(types, block.Type)
	}
	return strings.Join(types, ", ")
}

// The order is that of myproxy-logon: proxy, key, issuers. An EEC has no issuers
// and a root is not written.
func TestProxyFileOrder(t *testing.T) {
	w := newWorld(t)
	jane := w.eec("Jane", time.Hour)
	withRoot := &gsi.Credential{Chain: append(jane.Chain[:1:1], w.ca), Key: jane.Key}
	const cert, key = "CERTIFICATE", "PRIVATE KEY"
	for _, tc := range []struct {
		name string
		cred *gsi.Credential
		want string
	}{
		{"EEC", jane, cert + ", " + key},
		{"EEC and root", withRoot, cert + ", " + key},
		{"proxy", w.proxyOf(jane, time.Hour, 1), cert + ", " + key + ", " + cert},
		{"three levels", w.proxyOf(jane, time.Hour, 3), cert + ", " + key + strings.Repeat(", "+cert, 3)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "proxy.pem")
			must(t, WriteProxyFile(path, tc.cred))
			data, err := os.ReadFile(path)
			must(t, err)
			if got := blockTypes(data); got != tc.want {
				t.Errorf("the file holds %s, want %s", got, tc.want)
			}
			back, err := ReadProxyFile(path)
			must(t, err)
			if !back.Leaf().Equal(tc.cred.Leaf()) || !sameKey(tc.cred.Leaf().PublicKey, back.Key.Public()) {
				t.Error("what was read is not what was written")
			}
			if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
				t.Errorf("got %v, %v", info.Mode(), err)
			}
		})
	}
}

// What Logon returned goes into a file as it is.
func TestProxyFileTakesLogonResult(t *testing.T) {
	w := newWorld(t)
	req, key := logon(t)
	got, err := w.client(w.serve(nil, grants).addr).Logon(t.Context(), req)
	must(t, err)
	path := filepath.Join(t.TempDir(), "proxy.pem")
	must(t, WriteProxyFile(path, &gsi.Credential{Chain: got.Chain, Key: key}))
	back, err := ReadProxyFile(path)
	must(t, err)
	must(t, back.Verify(gsi.VerifyOptions{Now: time.Now()}))
}

// The default path is the programs', x509up_u and not x509up_; a path that is
// given is used, and only that one.
func TestProxyFilePath(t *testing.T) {
	if got := proxyFileOf(1000); got != "/tmp/x509up_u1000" {
		t.Errorf("got %q", got)
	}
	if runtime.GOOS != "windows" {
		path, err := orDefaultFile("")
		if err != nil || path != DefaultProxyFile() || path != proxyFileOf(os.Geteuid()) {
			t.Errorf("the default: got %q, %v", path, err)
		}
	}
	if path, err := orDefaultFile("/x/y"); err != nil || path != "/x/y" {
		t.Errorf("an explicit path: got %q, %v", path, err)
	}
	before, _ := os.Stat(DefaultProxyFile())
	w := newWorld(t)
	dir := t.TempDir()
	must(t, WriteProxyFile(filepath.Join(dir, "mine"), w.eec("Jane", time.Hour)))
	if names := entries(t, dir); names != "mine" {
		t.Errorf("the directory holds %q", names)
	}
	if after, _ := os.Stat(DefaultProxyFile()); (before == nil) != (after == nil) || before != nil && !os.SameFile(before, after) {
		t.Error("the default file was touched")
	}
	if _, err := ReadProxyFile(filepath.Join(dir, "mine")); err != nil {
		t.Error(err)
	}
}

func entries(t testing.TB, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Name()
	}
	return strings.Join(names, " ")
}

// What lies in the place of the file: a file of ours is replaced and never
// changed, anything else is refused and left alone.
func TestWriteProxyFilePlaces(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes, owners and links are those of Unix")
	}
	w := newWorld(t)
	cred := w.eec("Jane", time.Hour)
	old := []byte("old")
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, dir, path string)
		refused string // part of the error; "" is written
	}{
		{"nothing", func(*testing.T, string, string) {}, ""},
		{"a file for everybody", func(t *testing.T, _, path string) { must(t, os.WriteFile(path, old, 0o644)) }, ""},
		{"a read-only file", func(t *testing.T, _, path string) { must(t, os.WriteFile(path, old, 0o400)) }, ""},
		{"a file with a second name", func(t *testing.T, dir, path string) {
			must(t, os.WriteFile(filepath.Join(dir, "other"), old, 0o600))
			must(t, os.Link(filepath.Join(dir, "other"), path))
		}, ""},
		{"a link to a file", func(t *testing.T, dir, path string) {
			must(t, os.WriteFile(filepath.Join(dir, "other"), old, 0o600))
			must(t, os.Symlink("other", path))
		}, "symbolic link"},
		{"a link to nothing", func(t *testing.T, _, path string) { must(t, os.Symlink("nowhere", path)) }, "symbolic link"},
		{"a directory", func(t *testing.T, _, path string) { must(t, os.Mkdir(path, 0o700)) }, "no regular file"},
		{"a pipe", func(t *testing.T, _, path string) { mkfifo(t, path) }, "no regular file"},
		{"another's file", func(t *testing.T, _, path string) {
			must(t, os.WriteFile(path, old, 0o666))
			if err := os.Chown(path, 65534, -1); err != nil {
				t.Skipf("only root can give files away: %v", err)
			}
		}, "belongs to uid 65534"},
		{"no directory", func(t *testing.T, dir, _ string) { must(t, os.Remove(dir)) }, "no such file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			must(t, os.Mkdir(dir, 0o755))
			path := filepath.Join(dir, "x509up_u1")
			tc.prepare(t, dir, path)
			before, _ := os.Lstat(path)
			err := WriteProxyFile(path, cred)
			if tc.refused != "" {
				var e *FileError
				if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.refused) || !strings.Contains(err.Error(), path) {
					t.Errorf("got %v, want %q", err, tc.refused)
				}
				if after, _ := os.Lstat(path); before != nil && (after == nil || !os.SameFile(before, after)) {
					t.Error("it was replaced all the same")
				}
			} else if err != nil {
				t.Error(err)
			} else if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
				t.Errorf("got %v, %v", info, err)
			}
			if data, err := os.ReadFile(filepath.Join(dir, "other")); err == nil && !bytes.Equal(data, old) {
				t.Error("the other name of the file was written to")
			}
			if found, _ := filepath.Glob(filepath.Join(dir, ".*")); len(found) > 0 {
				t.Errorf("left behind: %q", found)
			}
		})
	}
}

// A rename that fails leaves nothing behind.
func TestReplaceFileCleansUp(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	if err := replaceFile(filepath.Join(dir, "d"), []byte("x")); err == nil {
		t.Error("a directory was replaced")
	}
	if names := entries(t, dir); names != "d" {
		t.Errorf("the directory holds %q", names)
	}
}

func TestWriteProxyFileNeedsAKey(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "p")
	if err := WriteProxyFile(path, &gsi.Credential{Chain: w.eec("Jane", time.Hour).Chain}); !errors.Is(err, gsi.ErrNoKey) {
		t.Errorf("no key: got %v", err)
	}
	if err := WriteProxyFile(path, nil); !errors.Is(err, gsi.ErrNoCertificate) {
		t.Errorf("nothing: got %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file was written all the same")
	}
}

// Who else could have read the key, or changed the file, makes it useless.
func TestReadProxyFileRefuses(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes and links are those of Unix")
	}
	w := newWorld(t)
	good := pemOf(t, w.proxyOf(w.eec("Jane", time.Hour), time.Hour, 1))
	noKey := []byte(strings.SplitAfter(string(good), "-----END CERTIFICATE-----\n")[0])
	for _, tc := range []struct {
		name   string
		data   []byte
		mode   os.FileMode
		want   error  // "" and nil is good
		reason string // part of the text
		unsafe bool
	}{
		{"good", good, 0o600, nil, "", false},
		{"read only", good, 0o400, nil, "", false},
		{"for the group", good, 0o640, nil, "0640", true},
		{"for everybody", good, 0o604, nil, "0604", true},
		{"writable", good, 0o620, nil, "lets others write", true},
		{"garbage", []byte("garbage"), 0o600, gsi.ErrNoCertificate, "", false},
		{"empty", nil, 0o600, gsi.ErrNoCertificate, "", false},
		{"no key", noKey, 0o600, gsi.ErrNoKey, "", false},
		{"too large", append(bytes.Repeat([]byte("\n"), gsi.MaxCredentialBytes), good...), 0o600, nil, "more than", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "p")
			must(t, os.WriteFile(path, tc.data, 0o600))
			must(t, os.Chmod(path, tc.mode))
			link := path + ".link" // leads to it and changes nothing
			must(t, os.Symlink(path, link))
			for _, path := range []string{path, link} {
				_, err := ReadProxyFile(path)
				if tc.want == nil && tc.reason == "" {
					if err != nil {
						t.Error(err)
					}
					continue
				}
				var e *FileError
				if !errors.As(err, &e) || e.Unsafe != tc.unsafe || !strings.Contains(err.Error(), tc.reason) || tc.want != nil && !errors.Is(err, tc.want) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	if _, err := ReadProxyFile(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: got %v", err)
	}
}
