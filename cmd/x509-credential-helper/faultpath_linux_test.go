package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// TestPathFaults: something else stands where a file or directory of ours
// should. What others can have put there, or can read, is storage_error and
// names the path; nothing is read through it, written through it or waited
// for, and the pass phrase is not sent. What is only absent is made anew.
func TestPathFaults(t *testing.T) {
	needRoot(t)
	t.Parallel()
	g := sandboxGrid(t, gridOptions{profile: `key = "p256"`})
	g.store(passphrase)
	g.get(`{"output":"path"}`)
	cache, run := g.cacheDir(), g.path("run")
	entry := g.one(filepath.Join(cache, "v1/*/*.xche"))
	entryLock := g.one(filepath.Join(run, "lock/entry-*.lock"))
	secretLock := g.one(filepath.Join(run, "lock/secret-*.lock"))
	record := g.one(filepath.Join(run, "lock/entry-*.lock.rec"))
	toolFile := g.one(filepath.Join(run, "proxy/*.pem"))
	config := g.path("config.toml")
	const refused = string(helper.CodeStorageError)

	dirs := []string{cache, filepath.Join(cache, "v1"), filepath.Dir(entry), run, filepath.Join(run, "lock"), filepath.Join(run, "proxy")}
	spoilDir := map[string]func(path string) error{
		"foreign":          func(p string) error { return os.Chown(p, 65534, 65534) },
		"writable by all":  func(p string) error { return os.Chmod(p, 0o777) },
		"readable by all":  func(p string) error { return os.Chmod(p, 0o755) },
		"a symbolic link":  linked,
		"a file":           func(p string) error { return errors.Join(os.RemoveAll(p), os.WriteFile(p, nil, 0o600)) },
		"a link to itself": func(p string) error { return errors.Join(os.RemoveAll(p), os.Symlink(p, p)) },
	}
	spoilFile := map[string]func(path string) error{
		"foreign":         func(p string) error { return os.Chown(p, 65534, 65534) },
		"readable by all": func(p string) error { return os.Chmod(p, 0o644) },
		"a symbolic link": linked,
		"a hard link":     func(p string) error { return os.Link(p, p+".other") },
		"a pipe":          func(p string) error { return errors.Join(os.Remove(p), unix.Mkfifo(p, 0o600)) },
		"a socket":        socket,
		"a directory":     func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
	}
	try := func(path, what string, spoil func(string) error, want string) {
		t.Run(strings.TrimPrefix(strings.TrimPrefix(path, g.keyring.Home), g.dir)+" is "+what, func(t *testing.T) {
			g := g.at(t)
			g.snapshot(cache, run, config)
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			sent := g.server.Requests(0)
			request := `{"cache":"bypass"}` // takes the locks
			if path == entry || strings.HasPrefix(path, cache) {
				request = `{}`
			} else if strings.HasPrefix(path, filepath.Join(run, "proxy")) {
				request = `{"output":"path"}`
			}
			r := g.run(request, "get")
			if want == right {
				g.right(what, r)
				return
			}
			e := g.refusal(r, helper.Code(want))
			if !strings.Contains(e.Message, path) || e.Hint == "" && !strings.Contains(e.Message, "; ") {
				t.Errorf("no path or no remedy: %s | %s", e.Message, e.Hint)
			}
			if n := g.server.Requests(0); n != sent {
				t.Errorf("the pass phrase was sent")
			}
		})
	}
	for _, dir := range dirs {
		for what, spoil := range spoilDir {
			try(dir, what, spoil, refused)
		}
		try(dir, "missing", os.RemoveAll, right)
	}
	for _, file := range []string{entry, entryLock, secretLock, record, toolFile} {
		for what, spoil := range spoilFile {
			try(file, what, spoil, refused)
		}
		try(file, "missing", os.Remove, right)
		if file != entryLock && file != secretLock { // whose content is nothing
			try(file, "empty", func(p string) error { return os.Truncate(p, 0) }, right)
		}
	}
	for _, what := range []string{"foreign", "a pipe", "a socket", "a directory"} {
		try(config, what, spoilFile[what], string(helper.CodePolicyRefused))
	}
	try(config, "writable by all", func(p string) error { return os.Chmod(p, 0o666) }, string(helper.CodePolicyRefused))
}

func linked(path string) error {
	return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
}

func socket(path string) error {
	dir, err := os.MkdirTemp("", "x509ch-") // the path of a socket must be short
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return err
	}
	return errors.Join(os.Remove(path), os.Rename(filepath.Join(dir, "s"), path), l.Close())
}

// one is the file that fits a pattern.
func (g *grid) one(pattern string) string {
	g.t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		g.t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found[0]
}

// snapshot puts everything below some paths back when the test ends.
func (g *grid) snapshot(paths ...string) {
	g.t.Helper()
	for i, path := range paths {
		kept := g.path(fmt.Sprintf("kept%d", i))
		g.tool("cp", "-a", path, kept)
		g.t.Cleanup(func() {
			g.t.Helper()
			for _, p := range []string{path, path + ".real"} {
				if err := os.RemoveAll(p); err != nil {
					g.t.Fatal(err)
				}
			}
			if err := os.Rename(kept, path); err != nil {
				g.tool("mv", kept, path)
			}
		})
	}
}
