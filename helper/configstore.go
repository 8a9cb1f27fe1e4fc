package helper

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
)

// StoreConfig is the table [store].
type StoreConfig struct {
	Credentials cache.Store
	Passphrases cache.Store
	KeyTTL      time.Duration // 0: data keys are not kept in the kernel
	RuntimeDir  string        // absolute, or "" for the default
	FileDir     string        // absolute, or "" for the default
}

// storeVariable chooses the store of credentials where the configuration leaves
// that open: on a batch node the job's environment is all that a user can set.
const storeVariable = "X509_CREDENTIAL_HELPER_STORE"

var (
	storeKeys        = []string{"credentials", "passphrases", "key_ttl", "runtime_dir", "file_dir"}
	credentialStores = []cache.Store{cache.Auto, cache.Keyring, cache.Kernel, cache.Runtime, cache.File, cache.None}
	passphraseStores = []cache.Store{cache.Keyring, cache.None}
)

func (s *StoreConfig) set(key string, v value, home string) *Error {
	if !slices.Contains(storeKeys, key) {
		return unknownKey(v.file, "store", key, storeKeys)
	}
	wrong := func(what string) *Error { return Errorf(CodeNotConfigured, "%s: store.%s %s", v.file, key, what) }
	text, ok := v.v.(string)
	if !ok {
		return wrong("must be a string")
	}
	dir := func(dst *string) *Error {
		if rest, below := strings.CutPrefix(text, "~/"); below && filepath.IsAbs(home) {
			text = filepath.Join(home, rest)
		}
		if !filepath.IsAbs(text) {
			return wrong("must be an absolute path or begin with ~/")
		}
		*dst = text
		return nil
	}
	choice := func(dst *cache.Store, allowed []cache.Store) *Error {
		if !slices.Contains(allowed, cache.Store(text)) {
			return wrong("is " + quoteName(text) + ", but must be one of " + names(allowed))
		}
		*dst = cache.Store(text)
		return nil
	}
	switch key {
	case "credentials":
		return choice(&s.Credentials, credentialStores)
	case "passphrases":
		return choice(&s.Passphrases, passphraseStores)
	case "runtime_dir":
		return dir(&s.RuntimeDir)
	case "file_dir":
		return dir(&s.FileDir)
	}
	if s.KeyTTL, ok = parseKeyTTL(text); !ok {
		return wrong("is " + quoteName(text) + ", but must be \"0\" or a duration from 1s to 24h")
	}
	return nil
}

// maxKeyTTL bounds how long a data key outlives a locked screen.
const maxKeyTTL = 24 * time.Hour

func parseKeyTTL(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	if err != nil || d != 0 && d < time.Second || d > maxKeyTTL {
		return 0, false
	}
	return d.Truncate(time.Second), true
}

// fill takes the environment's word where the configuration has none of its
// own. A word that is not known is told, whether it counts or not: a mistyped
// "file" must not make a thousand jobs look for a keyring.
func (s *StoreConfig) fill(word string) *Error {
	if word == "" {
		return nil
	}
	if !slices.Contains(credentialStores, cache.Store(word)) {
		return Errorf(CodeNotConfigured, "%s is %s, but must be one of %s", storeVariable, quoteName(word), names(credentialStores[1:]))
	}
	if s.Credentials == cache.Auto {
		s.Credentials = cache.Store(word)
	}
	return nil
}

func names(stores []cache.Store) string {
	list := make([]string, len(stores))
	for i, s := range stores {
		list[i] = string(s)
	}
	return strings.Join(list, ", ")
}
