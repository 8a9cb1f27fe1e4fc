package cache

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLongLived: what lives longer than a day is kept like a pass phrase or
// not at all, whatever the store, and its key never comes near the kernel.
func TestLongLived(t *testing.T) {
	for _, tt := range []struct {
		credentials, passphrases Store
		trouble                  error
		want                     Store
	}{
		{Auto, Keyring, nil, Keyring},
		{Keyring, Keyring, nil, Keyring},
		{Kernel, Keyring, nil, Keyring},
		{Runtime, Keyring, nil, Keyring},
		{File, Keyring, nil, None},
		{None, Keyring, nil, None},
		{Auto, None, nil, None},
		{Keyring, None, nil, None},
		{Auto, Keyring, ErrLocked, None},
		{Keyring, Keyring, ErrTimeout, None},
		{Auto, Keyring, ErrUnavailable, None},
	} {
		w := newWorld(t, tt.credentials, tt.passphrases)
		w.ttl = time.Hour
		w.fails(tt.trouble)
		w.reopen(tt.credentials, tt.passphrases)
		e := entry(t, binding("portal"), 24*time.Hour+time.Second)
		stored, err := w.Put(t.Context(), e)
		must(t, err)
		if stored.In != tt.want || (stored.Why == nil) != (tt.want == Keyring || tt.credentials == None) {
			t.Errorf("%+v: stored %+v", tt, stored)
		}
		if tt.trouble != nil && !errors.Is(stored.Why, tt.trouble) {
			t.Errorf("%+v: why: %v", tt, stored.Why)
		}
		w.reopen(tt.credentials, tt.passphrases)
		got, err := w.Get(t.Context(), e.Binding)
		if (err == nil) != (tt.want == Keyring) || err == nil && got.StoredIn != Keyring {
			t.Errorf("%+v: Get: %v", tt, err)
		}
		for _, path := range filesBelow(t, w.run, w.cache) {
			if dir := filepath.Base(filepath.Dir(path)); strings.Contains(path, ".cred") || strings.HasSuffix(path, ".xche") && !strings.HasPrefix(dir, longPrefix) {
				t.Errorf("%+v: %s", tt, path)
			}
		}
		if n := w.kernel.Calls("set"); n > 0 && tt.want == Keyring {
			long, _ := w.keys.Get(t.Context(), longKeyAccount)
			for _, account := range []string{dataKeyAccount, copyAccount} {
				if v, _ := w.kernel.Get(t.Context(), account); bytes.Equal(v, long) {
					t.Errorf("%+v: the kernel has the long key", tt)
				}
			}
		}
		w.fails(nil)
		must(t, w.Delete(t.Context(), e.Binding))
		if _, err := w.Get(t.Context(), e.Binding); !isMiss(err) {
			t.Errorf("%+v: deleted: %v", tt, err)
		}
	}
}

// TestLongProxyShortAttributes: what the certificate is good for counts, not
// the attributes in it.
func TestLongProxyShortAttributes(t *testing.T) {
	w := newWorld(t, Runtime, None)
	e := entry(t, binding("a"), 100*time.Hour)
	e.NotAfter = noon.Add(time.Hour)
	if stored, err := w.Put(t.Context(), e); err != nil || stored.In != None {
		t.Errorf("%+v, %v", stored, err)
	}
}

func filesBelow(t *testing.T, roots ...string) (files []string) {
	t.Helper()
	for _, root := range roots {
		err := filepath.Walk(root, func(path string, fi os.FileInfo, err error) error {
			if err == nil && fi.Mode().IsRegular() {
				files = append(files, path)
			}
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return files
}

// TestForeignDirs: the directory of a key that nobody has used for a month
// goes; a rescued secret, what is not ours and our own directories stay.
func TestForeignDirs(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	b := binding("a")
	put := func(profile string, lifetime time.Duration) {
		t.Helper()
		_, err := w.Put(t.Context(), entry(t, binding(profile), lifetime))
		must(t, err)
	}
	put("a", time.Hour)
	put("long", 2000*time.Hour)
	name := strings.Repeat("ab", 32) + ".xche"
	make := func(dir, file string, age time.Duration) string {
		path := filepath.Join(w.cache, "v1", dir)
		must(t, os.MkdirAll(path, 0o700))
		must(t, os.WriteFile(filepath.Join(path, file), []byte("x"), 0o600))
		at := w.now.Add(-age)
		must(t, os.Chtimes(path, at, at))
		return path
	}
	const day = 24 * time.Hour
	gone := []string{
		make("0000000000000001", name, 31*day),
		make("0000000000000002", ".tmp-0123", 31*day),
		make("long-0000000000000003", name, 31*day),
	}
	stay := []string{
		make("0000000000000004", name, 29*day),
		make("0000000000000005", "notes", 31*day),
		make("long-0000000000000006", "rescue-"+name, 31*day),
		make("lost+found", name, 31*day),
		make("long-x", name, 31*day),
	}
	for _, own := range filesBelow(t, w.cache) {
		if strings.Contains(own, name) || strings.Contains(own, ".tmp-") || strings.HasSuffix(own, "notes") {
			continue
		}
		at := w.now.Add(-40 * day) // as if nothing had been fetched for long
		must(t, os.Chtimes(filepath.Dir(own), at, at))
	}
	put("short", time.Hour)
	put("longer", 3000*time.Hour)
	for _, path := range gone {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	for _, path := range stay {
		if files := filesBelow(t, path); len(files) != 1 {
			t.Errorf("%s has %v", path, files)
		}
	}
	for _, profile := range []string{b.Profile, "long", "short", "longer"} {
		if _, err := w.Get(t.Context(), binding(profile)); err != nil {
			t.Errorf("%s: %v", profile, err)
		}
	}
}

// TestForeignDirsBounded: one Put removes some, and the next goes on.
func TestForeignDirsBounded(t *testing.T) {
	w := newWorld(t, Keyring, None)
	path := filepath.Join(w.cache, "v1", "0000000000000001")
	must(t, os.MkdirAll(path, 0o700))
	for i := range maxSwept + 10 {
		must(t, os.WriteFile(filepath.Join(path, strings.Repeat("0", 60)+hex4(i)+".xche"), nil, 0o600))
	}
	at := w.now.Add(-31 * 24 * time.Hour)
	must(t, os.Chtimes(path, at, at))
	for _, want := range []int{10, 0} {
		_, err := w.Put(t.Context(), entry(t, binding("a"), time.Hour))
		must(t, err)
		if n := len(filesBelow(t, path)); n != want {
			t.Errorf("%d are left, want %d", n, want)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the directory is still there")
	}
}

func hex4(i int) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[i>>12&15], digits[i>>8&15], digits[i>>4&15], digits[i&15]})
}
