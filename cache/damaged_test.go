package cache

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// TestBadContent: whatever is wrong with what a file says makes it a miss, and
// the next Put heals it.
func TestBadContent(t *testing.T) {
	edit := func(f func(data []byte) []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, f(data), 0o600))
		}
	}
	flip := func(i int) func(*testing.T, string) {
		return edit(func(d []byte) []byte {
			if i < 0 {
				i += len(d)
			}
			d[i] ^= 1
			return d
		})
	}
	tests := map[string]func(t *testing.T, path string){
		"magic":          flip(0),
		"future version": edit(func(d []byte) []byte { d[4] = 2; return d }),
		"other suite":    edit(func(d []byte) []byte { d[5] = 2; return d }),
		"flags":          flip(7),
		"kid":            flip(8),
		"salt":           flip(16),
		"last of salt":   flip(47),
		"nonce":          flip(48),
		"ciphertext":     flip(60),
		"tag":            flip(-1),
		"empty":          edit(func(d []byte) []byte { return nil }),
		"header only":    edit(func(d []byte) []byte { return d[:60] }),
		"truncated":      edit(func(d []byte) []byte { return d[:len(d)-1] }),
		"longer":         edit(func(d []byte) []byte { return append(d, 0) }),
		"over 1 MiB":     edit(func(d []byte) []byte { return append(d, make([]byte, 1<<20)...) }),
		"plain":          edit(func(d []byte) []byte { return []byte("-----BEGIN CERTIFICATE-----") }),
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Keyring, None)
			e := entry(t, binding("atlas"), time.Hour)
			_, err := w.Put(t.Context(), e)
			must(t, err)
			damage(t, only(t, w.cache, ".xche"))
			if _, err := w.Get(t.Context(), e.Binding); !isMiss(err) || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("got %v", err)
			}
			if list, err := w.List(t.Context()); len(list) != 0 || err != nil {
				t.Errorf("listed: %v, %v", list, err)
			}
			_, err = w.Put(t.Context(), e)
			must(t, err)
			if _, err := w.Get(t.Context(), e.Binding); err != nil {
				t.Errorf("not healed: %v", err)
			}
		})
	}
}

// TestSwapped: an entry copied over another's name must not answer for it, in
// neither store.
func TestSwapped(t *testing.T) {
	for _, store := range stores {
		t.Run(string(store), func(t *testing.T) {
			w := newWorld(t, store, None)
			weak, strong := binding("weak"), binding("strong")
			root, ext := w.files(store)
			_, err := w.Put(t.Context(), entry(t, weak, time.Hour))
			must(t, err)
			first := only(t, root, ext)
			data, err := os.ReadFile(first)
			must(t, err)
			must(t, os.Remove(first))
			_, err = w.Put(t.Context(), entry(t, strong, time.Hour))
			must(t, err)
			must(t, os.WriteFile(only(t, root, ext), data, 0o600))
			for _, b := range []Binding{weak, strong} {
				if e, err := w.Get(t.Context(), b); !isMiss(err) {
					t.Errorf("%s is answered by %v, %v", b.Profile, e, err)
				}
			}
		})
	}
}

// TestOtherBinding: every field of a binding counts, and the border between
// two fields does.
func TestOtherBinding(t *testing.T) {
	w := newWorld(t, Keyring, None)
	b := binding("atlas")
	_, err := w.Put(t.Context(), entry(t, b, time.Hour))
	must(t, err)
	others := map[string]func(*Binding){
		"profile":         func(b *Binding) { b.Profile = "cms" },
		"backend":         func(b *Binding) { b.Backend = "rcauth" },
		"endpoint":        func(b *Binding) { b.Endpoint = "px.example.org:7513" },
		"principal":       func(b *Binding) { b.Principal = "joe" },
		"credential name": func(b *Binding) { b.CredentialName = "x" },
		"no voms":         func(b *Binding) { b.VOMS = nil },
		"one more":        func(b *Binding) { b.VOMS = append(b.VOMS, "") },
		"limited":         func(b *Binding) { b.Limited = true },
		"key":             func(b *Binding) { b.Key = "p256" },
		"border":          func(b *Binding) { b.Backend, b.Endpoint = "myproxyp", "x.example.org:7512" },
	}
	for name, change := range others {
		other := binding("atlas")
		change(&other)
		if _, err := w.Get(t.Context(), other); !isMiss(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if bytes.Equal(Binding{VOMS: []string{"a", "b"}}.canon(), Binding{VOMS: []string{"b", "a"}}.canon()) {
		t.Error("the order of VOMS attributes must count: the first is the primary one")
	}
}

// TestKeyReplaced: with a new data key the old entries are garbage in a
// directory that nobody looks into; a host that still has the old key finds
// its own as they were.
func TestKeyReplaced(t *testing.T) {
	w := newWorld(t, Keyring, None)
	e := entry(t, binding("atlas"), time.Hour)
	_, err := w.Put(t.Context(), e)
	must(t, err)
	oldKeys := w.keys
	w.keys = NewMemory()
	w.reopen(Keyring, None)
	if _, err := w.Get(t.Context(), e.Binding); !isMiss(err) {
		t.Errorf("without a key: %v", err)
	}
	_, err = w.Put(t.Context(), entry(t, binding("cms"), time.Hour))
	must(t, err)
	if _, err := w.Get(t.Context(), e.Binding); !isMiss(err) {
		t.Errorf("with another key: %v", err)
	}
	w.keys = oldKeys
	w.reopen(Keyring, None)
	if _, err := w.Get(t.Context(), e.Binding); err != nil {
		t.Errorf("with the old key again: %v", err)
	}
}

// TestUnsafe: owner, mode and links are no misses, for the file and for every
// directory above it that is ours.
func TestUnsafe(t *testing.T) {
	for _, store := range stores {
		tests := map[string]func(t *testing.T, path string){
			"0644":      func(t *testing.T, p string) { must(t, os.Chmod(p, 0o644)) },
			"link":      func(t *testing.T, p string) { must(t, os.Rename(p, p+"x")); must(t, os.Symlink(p+"x", p)) },
			"hard link": func(t *testing.T, p string) { must(t, os.Link(p, p+"x")) },
			"dir 0755":  func(t *testing.T, p string) { must(t, os.Chmod(filepath.Dir(p), 0o755)) },
			"its dir 0755": func(t *testing.T, p string) {
				must(t, os.Chmod(filepath.Dir(filepath.Dir(p)), 0o755))
			},
			"foreign": func(t *testing.T, p string) {
				if os.Geteuid() != 0 {
					t.Skip("only root can make a file of another owner")
				}
				must(t, os.Chown(p, 65534, 65534))
			},
		}
		for name, spoil := range tests {
			t.Run(string(store)+" "+name, func(t *testing.T) {
				w := newWorld(t, store, None)
				e := entry(t, binding("atlas"), time.Hour)
				_, err := w.Put(t.Context(), e)
				must(t, err)
				path, ext := w.files(store)
				spoil(t, only(t, path, ext))
				_, err = w.Get(t.Context(), e.Binding)
				if !errors.As(err, new(*safefile.UnsafeError)) || isMiss(err) {
					t.Errorf("Get: %v", err)
				}
				if _, err := w.List(t.Context()); !errors.As(err, new(*safefile.UnsafeError)) {
					t.Errorf("List: %v", err)
				}
			})
		}
	}
}
