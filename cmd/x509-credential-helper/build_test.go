package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// TestHome: a home that is no directory is none, so that everything else goes on
// without one; one that is not there yet may come.
func TestHome(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for home, want := range map[string]string{
		dir: dir, dir + "/none": dir + "/none", file: "", os.DevNull: "",
	} {
		p := &process{environ: []string{"HOME=" + home, "USERPROFILE=" + home}}
		if got := p.home(); got != want {
			t.Errorf("HOME=%s: got %q", home, got)
		}
	}
}

// TestRuntimeDir: the store "file" has a directory of its own, and takes the one
// for locks where that is all that was configured. No other store looks at it.
func TestRuntimeDir(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	tests := []struct {
		store helper.StoreConfig
		want  string
	}{
		{helper.StoreConfig{Credentials: cache.File, FileDir: a, RuntimeDir: b}, a},
		{helper.StoreConfig{Credentials: cache.File, RuntimeDir: b}, b},
		{helper.StoreConfig{Credentials: cache.Auto, FileDir: a, RuntimeDir: b}, b},
		{helper.StoreConfig{Credentials: cache.Runtime, FileDir: a, RuntimeDir: b}, b},
	}
	for _, test := range tests {
		got, err := runtimeDir(test.store, func(string) string { return "" }, "")
		if err != nil || got != test.want {
			t.Errorf("%+v: got %s, %v", test.store, got, err)
		}
	}
}
