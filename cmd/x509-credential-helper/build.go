package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term"
)

// newHelper puts the rooms together. It reads the configuration, unless the
// verb needs none; the keyring and the network wait until they are needed.
func (p *process) newHelper(verb string) *helper.Helper {
	home := p.home()
	backends := map[string]helper.Backend{
		myproxy.Name: myproxy.New(myproxy.Options{Getenv: p.getenv, Home: home, Clock: time.Now,
			DialTimeout: p.serverDeadline, IOTimeout: p.serverDeadline}),
		rcauth.Name: rcauth.New(rcauth.Options{Getenv: p.getenv, Clock: time.Now}),
	}
	config := &helper.Config{}
	if verb != "capabilities" {
		config = helper.LoadConfig(helper.DefaultConfigPaths(p.getenv, home), backends, home)
	}
	return &helper.Helper{
		Config:     config,
		Backends:   backends,
		Cache:      p.newCache(config, home),
		Clock:      time.Now,
		Terminal:   term.New(),
		Identities: helper.NewIdentities(helper.StateDir(p.getenv, home)),
		Getenv:     p.getenv,
		Program:    program(),
		Version:    version(),
		Seed:       seed(),
		Notify:     p.notify,
	}
}

func (p *process) newCache(config *helper.Config, home string) *cache.Cache {
	store := config.Store
	files := sync.OnceValues(func() (string, error) { return runtimeDir(store, p.getenv, home) })
	locks := files
	var others func() []string
	if store.Credentials != cache.File {
		others = func() []string { return safefile.OtherRuntimeDirs(store.RuntimeDir, p.getenv) }
		// Asked each time: keep-fresh may outlive the session that has the directory.
		locks = func() (string, error) { return safefile.LockDir(store.RuntimeDir, p.getenv) }
	}
	keyring := cache.NewKeyring(cache.KeyringOptions{UID: os.Getuid(), Deadline: p.keyringDeadline})
	return cache.New(cache.Options{
		Credentials:      store.Credentials,
		Passphrases:      store.Passphrases,
		CacheDir:         func() (string, error) { return cacheDir(p.getenv, home) },
		RuntimeDir:       files,
		LockDir:          locks,
		OtherRuntimeDirs: others,
		Keys:             cache.TakeTurns(keyring, locks),
		Kernel:           cache.NewKernelKeyring(cache.KernelOptions{Service: p.kernelService}),
		KeyTTL:           store.KeyTTL,
		Clock:            time.Now,
	})
}

// runtimeDir is where locks and plain files are. The store "file" is for
// machines that have no better place than an ordinary directory, so there every
// one of them will do; a runtime_dir that somebody has configured is such a
// place.
func runtimeDir(store helper.StoreConfig, getenv func(string) string, home string) (string, error) {
	if store.Credentials != cache.File {
		return safefile.RuntimeDir(store.RuntimeDir, getenv)
	}
	return safefile.FileDir(cmp.Or(store.FileDir, store.RuntimeDir), getenv, home)
}

// home is the user's home directory, or "" if there is none: containers run
// with uids that nobody knows, daemons with a home that is no directory, and su
// leaves us that of somebody else, which we may not enter.
func (p *process) home() string {
	variable := "HOME"
	if runtime.GOOS == "windows" {
		variable = "USERPROFILE"
	}
	dir := p.getenv(variable)
	if dir == "" {
		u, err := user.Current()
		if err != nil {
			return ""
		}
		dir = u.HomeDir
	}
	_, err := os.Stat(dir + "/.")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) {
		return ""
	}
	return dir
}

// cacheDir is where the XDG base directories, or the system's own rules, put
// what may be lost. The entries in it are sealed.
func cacheDir(getenv func(string) string, home string) (string, error) {
	const own = "x509-credential-helper"
	if dir := getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, own), nil
	}
	if runtime.GOOS == "windows" {
		if dir := getenv("LOCALAPPDATA"); filepath.IsAbs(dir) {
			return filepath.Join(dir, own, "cache"), nil
		}
	}
	if !filepath.IsAbs(home) {
		return "", errors.New("there is no home directory for the cache: set HOME or XDG_CACHE_HOME")
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Caches", own), nil
	}
	return filepath.Join(home, ".cache", own), nil
}

// program is the absolute path of this program, for commands that callers may
// offer to run.
func program() string {
	path, err := os.Executable()
	if err != nil {
		return name
	}
	return path
}

// seed makes refresh times differ between hosts and users.
func seed() string {
	host, _ := os.Hostname() // without one the uid has to do
	return fmt.Sprintf("%s %d", host, os.Getuid())
}

// notify tells people what is waited for.
func (p *process) notify(text string) { _, _ = fmt.Fprintln(p.stderr, text) }
