package cache

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
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
