package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// copyAccount is the copy of the data key in the kernel's keyring, dataKey the
// keyring's own.
const (
	copyAccount = "cached-data-key:v1"
	dataKey     = "data-key:v1"
)

// crowd is how many entries a crowded cache has beside the one asked for.
const crowd = 9_999

// addVariants: the same cached credential where the data key may stay in the
// kernel's keyring for an hour, and where it is one of many.
func (w *world) addVariants(binary string, keyring *lab.Keyring) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	if err := w.addKernel(binary); err != nil {
		return err
	}
	return w.addCrowd(binary, keyring)
}

// addKernel needs the kernel's keyring of whoever measures, where it leaves
// nothing.
func (w *world) addKernel(binary string) error {
	ctx := context.Background()
	kernel := cache.NewKernelKeyring(cache.KernelOptions{})
	// What is there is a copy, yours or that of a run which was killed: whoever
	// misses it reads the keyring once more and makes another.
	if err := kernel.Delete(ctx, copyAccount); err != nil {
		return err
	}
	config, err := write(w.dir, "kernel.toml", []byte(w.config+"\n[store]\nkey_ttl = \"1h\"\n"))
	if err != nil {
		return err
	}
	w.t.Cleanup(func() {
		if err := kernel.Delete(ctx, copyAccount); err != nil {
			w.t.Errorf("%v", err)
		}
	})
	get := program{name: kernelGet, argv: []string{binary, "get"}, stdin: []byte("{}\n"), check: wantSource("cache"),
		env: []string{"X509_CREDENTIAL_HELPER_CONFIG=" + config}}
	if _, err := w.time(get); err != nil {
		return err
	}
	if _, err := kernel.Get(ctx, copyAccount); err != nil {
		return fmt.Errorf("the data key is not in the kernel's keyring: %w", err)
	}
	w.programs = append(w.programs, get)
	return nil
}

// addCrowd fills a second cache with entries of other profiles.
func (w *world) addCrowd(binary string, keyring *lab.Keyring) error {
	home := filepath.Join(w.dir, "crowded")
	get := program{name: crowdedGet, argv: []string{binary, "get"}, stdin: []byte("{}\n"), env: []string{"XDG_CACHE_HOME=" + home}}
	if _, err := w.time(get); err != nil { // from the server
		return err
	}
	stdout, err := os.ReadFile(filepath.Join(w.dir, "stdout"))
	if err != nil {
		return err
	}
	var answer struct{ Credential struct{ PEM string } }
	if err := json.Unmarshal(stdout, &answer); err != nil {
		return err
	}
	keys, err := copyOfKeys(keyring)
	if err != nil {
		return err
	}
	if err := fill(home, filepath.Join(w.dir, "batch"), keys, []byte(answer.Credential.PEM)); err != nil {
		return err
	}
	get.check = wantSource("cache")
	if _, err := w.time(get); err != nil {
		return err
	}
	w.programs = append(w.programs, get)
	return nil
}

// copyOfKeys holds the data key of the keyring, so that thousands of entries do
// not ask for it one by one.
func copyOfKeys(keyring *lab.Keyring) (cache.KeyStore, error) {
	// The client of D-Bus reads the environment of its process.
	if err := os.Setenv("DBUS_SESSION_BUS_ADDRESS", keyring.Address); err != nil {
		return nil, err
	}
	ctx := context.Background()
	key, err := cache.NewKeyring(cache.KeyringOptions{UID: os.Getuid(), Deadline: time.Minute}).Get(ctx, dataKey)
	if err != nil {
		return nil, err
	}
	keys := cache.NewMemory()
	return keys, keys.Set(ctx, dataKey, key)
}

// fill makes valid entries in small batches, each in a directory of its own,
// and moves them together: each Put looks at what is there already.
func fill(cacheHome, batch string, keys cache.KeyStore, proxy []byte) error {
	chain, err := gsi.ParseCertificates(proxy)
	if err != nil {
		return err
	}
	const own = "x509-credential-helper"
	c := cache.New(cache.Options{Credentials: cache.Keyring, Passphrases: cache.Keyring, Keys: keys,
		CacheDir:   func() (string, error) { return filepath.Join(batch, own), nil },
		RuntimeDir: func() (string, error) { return filepath.Join(batch, "run"), nil }})
	for n := range crowd {
		e := &cache.Entry{Binding: cache.Binding{Profile: fmt.Sprintf("other-%d", n), Backend: "myproxy", Key: "rsa2048"},
			NotBefore: time.Now(), NotAfter: chain[0].NotAfter, FetchedAt: time.Now(), PEM: bytes.Clone(proxy)}
		if stored, err := c.Put(context.Background(), e); err != nil || stored.In != cache.Keyring {
			return fmt.Errorf("entry %d is kept in %s: %w", n, stored.In, err)
		}
		if n%10 == 9 || n == crowd-1 {
			if err := moveAll(filepath.Join(batch, own, "v1"), filepath.Join(cacheHome, own, "v1")); err != nil {
				return err
			}
		}
	}
	return nil
}

// moveAll moves the entries of each data key.
func moveAll(from, to string) error {
	files, err := filepath.Glob(filepath.Join(from, "*", "*.xche"))
	if err != nil {
		return err
	}
	for _, file := range files {
		// One key, or the directory is missing and this fails.
		if err := os.Rename(file, filepath.Join(to, filepath.Base(filepath.Dir(file)), filepath.Base(file))); err != nil {
			return err
		}
	}
	return nil
}
