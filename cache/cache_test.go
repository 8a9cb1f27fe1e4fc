package cache

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

var stores = []Store{Auto, Keyring, Kernel, Runtime, File}

// files says where the entries of a store are.
func (w *world) files(store Store) (root, ext string) {
	if store == Runtime || store == File {
		return w.run, ".cred"
	}
	return w.cache, ".xche"
}

func TestPutGet(t *testing.T) {
	for _, store := range stores {
		t.Run(string(store), func(t *testing.T) {
			w := newWorld(t, store, None)
			want := entry(t, binding("atlas"), 12*time.Hour)
			if _, err := w.Get(t.Context(), want.Binding); !isMiss(err) {
				t.Errorf("before: %v", err)
			}
			where, err := w.Put(t.Context(), want)
			must(t, err)
			w.reopen(store, None)
			got, err := w.Get(t.Context(), want.Binding)
			must(t, err)
			want.StoredIn = store
			if store == Auto {
				want.StoredIn = Keyring
			}
			if where != (Stored{In: want.StoredIn}) || !reflect.DeepEqual(got, want) {
				t.Errorf("in %v: got %+v\nwant %+v", where, got, want)
			}
			must(t, w.Delete(t.Context(), want.Binding))
			must(t, w.Delete(t.Context(), want.Binding))
			if _, err := w.Get(t.Context(), want.Binding); !isMiss(err) {
				t.Errorf("deleted: %v", err)
			}
		})
	}
}

func TestNone(t *testing.T) {
	w := newWorld(t, None, None)
	e := entry(t, binding("atlas"), time.Hour)
	if where, err := w.Put(t.Context(), e); where.In != None || err != nil {
		t.Errorf("Put: %v, %v", where, err)
	}
	if _, err := w.Get(t.Context(), e.Binding); !isMiss(err) {
		t.Errorf("Get: %v", err)
	}
	if list, err := w.List(t.Context()); len(list) != 0 || err != nil {
		t.Errorf("List: %v, %v", list, err)
	}
	must(t, w.Delete(t.Context(), e.Binding))
	for _, dir := range []string{w.cache, w.run} {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s was made", dir)
		}
	}
	if n := w.keys.(*Memory).Calls("get"); n != 0 {
		t.Errorf("the keyring was asked %d times", n)
	}
}

// TestNothingPlain: neither the credential nor whose it is can be seen in the
// sealed file or its name; modes are those that tools ask for.
func TestNothingPlain(t *testing.T) {
	w := newWorld(t, Keyring, None)
	e := entry(t, binding("atlas"), time.Hour)
	_, err := w.Put(t.Context(), e)
	must(t, err)
	path := only(t, w.cache, ".xche")
	data, err := os.ReadFile(path)
	must(t, err)
	for _, s := range []string{"secret", "CERTIFICATE", "atlas", "jane", "example"} {
		if bytes.Contains(data, []byte(s)) || strings.Contains(filepath.Base(path), s) {
			t.Errorf("%q can be seen", s)
		}
	}
	for p := path; p != filepath.Dir(w.cache); p = filepath.Dir(p) {
		fi, err := os.Lstat(p)
		must(t, err)
		if fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", p, fi.Mode())
		}
	}
	rel, _ := filepath.Rel(w.cache, path)
	if parts := strings.Split(rel, "/"); len(parts) != 3 || parts[0] != "v1" || len(parts[1]) != 16 || len(parts[2]) != 64+5 {
		t.Errorf("path %s", rel)
	}
	if hex.EncodeToString(data[:8]) != "5843484501010000" {
		t.Errorf("header %x", data[:8])
	}
}

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

func TestExpiry(t *testing.T) {
	for _, store := range stores {
		t.Run(string(store), func(t *testing.T) {
			w := newWorld(t, store, None)
			short, long := binding("short"), binding("long")
			for b, d := range map[string]time.Duration{"short": time.Hour, "long": 10 * time.Hour} {
				_, err := w.Put(t.Context(), entry(t, binding(b), d))
				must(t, err)
			}
			w.pass(time.Hour - time.Second)
			if _, err := w.Get(t.Context(), short); err != nil {
				t.Errorf("a second before the end: %v", err)
			}
			w.pass(time.Second)
			if _, err := w.Get(t.Context(), short); !isMiss(err) {
				t.Errorf("at the end: %v", err)
			}
			list, err := w.List(t.Context())
			if err != nil || len(list) != 1 || list[0].Binding.Profile != "long" || list[0].PEM != nil {
				t.Errorf("listed: %+v, %v", list, err)
			}
			if _, err := w.Get(t.Context(), long); err != nil {
				t.Errorf("the other: %v", err)
			}
		})
	}
}

// TestLeafEndsFirst: the description cannot make a certificate live longer
// than it does.
func TestLeafEndsFirst(t *testing.T) {
	w := newWorld(t, Keyring, None)
	e := entry(t, binding("atlas"), time.Hour)
	e.NotAfter = noon.Add(100 * time.Hour)
	_, err := w.Put(t.Context(), e)
	must(t, err)
	got, err := w.Get(t.Context(), e.Binding)
	must(t, err)
	if !got.NotAfter.Equal(noon.Add(time.Hour)) {
		t.Errorf("ends %v", got.NotAfter)
	}
}

// TestSweep: Put removes what has expired and is ours, and nothing else.
func TestSweep(t *testing.T) {
	for _, store := range stores {
		t.Run(string(store), func(t *testing.T) {
			w := newWorld(t, store, None)
			root, ext := w.files(store)
			_, err := w.Put(t.Context(), entry(t, binding("old"), time.Hour))
			must(t, err)
			old := only(t, root, ext)
			foreign := filepath.Join(filepath.Dir(old), "README")
			future := filepath.Join(filepath.Dir(old), strings.Repeat("a", 64)+ext)
			must(t, os.WriteFile(foreign, nil, 0o600))
			must(t, os.WriteFile(future, []byte("XCHE\x02"), 0o600))
			w.pass(2 * time.Hour)
			_, err = w.Put(t.Context(), entry(t, binding("new"), 10*time.Hour))
			must(t, err)
			for path, want := range map[string]bool{old: false, foreign: true, future: true} {
				if _, err := os.Stat(path); (err == nil) != want {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
}

func TestList(t *testing.T) {
	for _, store := range stores {
		t.Run(string(store), func(t *testing.T) {
			w := newWorld(t, store, None)
			if list, err := w.List(t.Context()); len(list) != 0 || err != nil {
				t.Errorf("empty: %v, %v", list, err)
			}
			for _, p := range []string{"b", "a", "c"} {
				_, err := w.Put(t.Context(), entry(t, binding(p), time.Hour))
				must(t, err)
			}
			list, err := w.List(t.Context())
			must(t, err)
			var got string
			for _, e := range list {
				got += e.Binding.Profile
				if e.PEM != nil || e.StoredIn != store && store != Auto || e.Identity == "" {
					t.Errorf("%+v", e)
				}
			}
			if got != "abc" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestListAll: what has expired lies there until somebody fetches the next one.
// It is not listed, but who tells people of it, or erases, sees it; of two for
// the same purpose the one that lives counts.
func TestListAll(t *testing.T) {
	for _, store := range stores {
		t.Run(string(store), func(t *testing.T) {
			w := newWorld(t, store, None)
			for p, life := range map[string]time.Duration{"a": time.Minute, "b": time.Hour} {
				_, err := w.Put(t.Context(), entry(t, binding(p), life))
				must(t, err)
			}
			w.now = w.now.Add(2 * time.Minute)
			list, err := w.List(t.Context())
			if err != nil || len(list) != 1 || list[0].Binding.Profile != "b" {
				t.Errorf("alive: %+v, %v", list, err)
			}
			list, err = w.ListAll(t.Context())
			if err != nil || len(list) != 2 || list[0].Binding.Profile != "a" || list[0].PEM != nil {
				t.Errorf("all: %+v, %v", list, err)
			}
		})
	}
	now := noon
	dead, alive := &Entry{FetchedAt: now, NotAfter: now}, &Entry{FetchedAt: now.Add(-time.Hour), NotAfter: now.Add(time.Second)}
	if better(dead, alive, now) != alive || better(alive, dead, now) != alive {
		t.Error("one that expired goes before one that lives")
	}
}

func TestPutRefuses(t *testing.T) {
	w := newWorld(t, Keyring, None)
	e := entry(t, binding("atlas"), time.Hour)
	for name, pem := range map[string][]byte{"no certificate": []byte("x"), "too big": append(credential(t, noon), make([]byte, 1<<20)...)} {
		e.PEM = pem
		if _, err := w.Put(t.Context(), e); err == nil {
			t.Errorf("%s was kept", name)
		}
	}
}
