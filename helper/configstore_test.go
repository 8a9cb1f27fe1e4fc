package helper

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
)

// loadStore is the table [store] with that text, and a word of the environment.
func loadStore(t *testing.T, text, word string) *Config {
	t.Helper()
	dir := writeFiles(t, map[string]string{"user.toml": "[store]\n" + text})
	return LoadConfig(ConfigPaths{User: dir + "/user.toml", Store: word}, map[string]Backend{"test": &issuer{}}, "/home/jane")
}

func TestStoreConfig(t *testing.T) {
	auto := StoreConfig{Credentials: cache.Auto, Passphrases: cache.Keyring}
	with := func(change func(*StoreConfig)) StoreConfig { s := auto; change(&s); return s }
	tests := []struct {
		text, word string
		want       StoreConfig
	}{
		{"", "", auto},
		{"credentials = \"auto\"", "", auto},
		{"credentials = \"file\"\nfile_dir = \"~/x\"\nruntime_dir = \"/run/x\"", "",
			with(func(s *StoreConfig) { s.Credentials, s.FileDir, s.RuntimeDir = cache.File, "/home/jane/x", "/run/x" })},
		{"passphrases = \"none\"", "", with(func(s *StoreConfig) { s.Passphrases = cache.None })},
		{"key_ttl = \"0\"", "", auto},
		{"key_ttl = \"0s\"", "", auto},
		{"key_ttl = \"1s\"", "", with(func(s *StoreConfig) { s.KeyTTL = time.Second })},
		{"key_ttl = \"24h\"", "", with(func(s *StoreConfig) { s.KeyTTL = 24 * time.Hour })},
		{"key_ttl = \"1500ms\"", "", with(func(s *StoreConfig) { s.KeyTTL = time.Second })},

		// The environment fills a gap and overrides nothing: who sets it for a
		// user must not send their proxies elsewhere.
		{"", "file", with(func(s *StoreConfig) { s.Credentials = cache.File })},
		{"credentials = \"auto\"", "kernel", with(func(s *StoreConfig) { s.Credentials = cache.Kernel })},
		{"credentials = \"keyring\"", "file", with(func(s *StoreConfig) { s.Credentials = cache.Keyring })},
		{"credentials = \"none\"", "runtime", with(func(s *StoreConfig) { s.Credentials = cache.None })},
		{"", "none", with(func(s *StoreConfig) { s.Credentials = cache.None })}, // of credentials alone
	}
	for _, test := range tests {
		c := loadStore(t, test.text, test.word)
		if c.Err() != nil || c.Store != test.want {
			t.Errorf("%q, %q: got %+v, %v", test.text, test.word, c.Store, c.Err())
		}
	}
}

// TestStoreVariable: a word that is not known is told by name, also where the
// configuration goes before it.
func TestStoreVariable(t *testing.T) {
	for _, text := range []string{"", "credentials = \"keyring\"\n"} {
		for _, word := range []string{"fiel", "FILE", "file ", "keyring,file", "\x1b[2J"} {
			err := loadStore(t, text, word).Err()
			if err == nil || err.Code != CodeNotConfigured || !strings.Contains(err.Message, "X509_CREDENTIAL_HELPER_STORE") || strings.Contains(err.Message, "\x1b") {
				t.Errorf("%q, %q: got %v", text, word, err)
			}
		}
	}
	env := func(string) string { return "file" }
	if p := DefaultConfigPaths(env, "/home/jane"); p.Store != "file" {
		t.Errorf("got %+v", p)
	}
}

// TestStoreExample: the example shows every key of the table.
func TestStoreExample(t *testing.T) {
	example, err := os.ReadFile("../config.toml.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range storeKeys {
		if text := string(example); !strings.Contains(text, "\n"+key+" = ") && !strings.Contains(text, "\n# "+key+" = ") {
			t.Errorf("the example does not show the key %q", key)
		}
	}
}
