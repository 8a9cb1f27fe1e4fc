package cache

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// TestLong: the long-lived credential of a session is sealed under the key that
// is nowhere but in the keyring, survives a rotation, is in nobody's list, and
// goes with its secret.
func TestLong(t *testing.T) {
	w := newWorld(t, Runtime, Keyring) // whatever the store of other credentials is
	pem := entry(t, binding("a"), 240*time.Hour).PEM
	l, err := w.LockSecret(t.Context(), "session:v1:x")
	must(t, err)
	if _, err := l.Long(t.Context()); !isMiss(err) {
		t.Errorf("none was kept: %v", err)
	}
	must(t, l.Put(t.Context(), []byte("session")))
	must(t, l.PutLong(t.Context(), pem))
	has := func(want bool) {
		t.Helper()
		got, err := l.Long(t.Context())
		if want && (err != nil || !bytes.Equal(got, pem)) || !want && !isMiss(err) {
			t.Errorf("want %v: %d bytes, %v", want, len(got), err)
		}
	}
	has(true)
	if list, err := w.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("listed: %+v, %v", list, err)
	}
	for _, file := range filesBelow(t, w.cache, w.run) {
		data, err := os.ReadFile(file)
		must(t, err)
		if bytes.Contains(data, []byte("CERTIFICATE")) {
			t.Errorf("%s is not sealed", file)
		}
	}
	must(t, l.Close())
	must(t, w.Rotate(t.Context()))
	if l, err = w.LockSecret(t.Context(), "session:v1:x"); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	has(true)
	other, err := w.LockSecret(t.Context(), "session:v1:y")
	must(t, err)
	defer other.Close()
	if _, err := other.Long(t.Context()); !isMiss(err) {
		t.Errorf("another session's: %v", err)
	}
	must(t, other.DeleteLong(t.Context()))
	has(true)
	must(t, l.Delete(t.Context()))
	has(false)
	must(t, l.PutLong(t.Context(), pem))
	w.now = w.now.Add(241 * time.Hour)
	has(false)
}

// TestLongNowhere: without a keyring it is kept nowhere.
func TestLongNowhere(t *testing.T) {
	w := newWorld(t, Runtime, None)
	l, err := w.LockSecret(t.Context(), "session:v1:x")
	must(t, err)
	defer l.Close()
	if err := l.PutLong(t.Context(), entry(t, binding("a"), 240*time.Hour).PEM); err == nil {
		t.Error("kept")
	}
	if _, err := l.Long(t.Context()); !isMiss(err) {
		t.Error(err)
	}
	must(t, l.DeleteLong(t.Context()))
	if files := filesBelow(t, w.cache); len(files) != 0 {
		t.Errorf("files: %v", files)
	}
}

// TestReadyMark: what Ready writes is what was given, in place of what was there,
// a rescued one included.
func TestReadyMark(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	l, err := w.LockSecret(t.Context(), "session:v1:x")
	must(t, err)
	defer l.Close()
	must(t, l.Put(t.Context(), []byte("one")))
	must(t, l.Ready(t.Context(), nil))
	must(t, l.Rescue([]byte("two")))
	must(t, l.Ready(t.Context(), []byte("three")))
	if got, err := l.Get(t.Context()); err != nil || string(got) != "three" {
		t.Errorf("%q, %v", []byte(got), err)
	}
}
