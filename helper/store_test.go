package helper

import "testing"

// TestStoreNothing: a secret that the configuration keeps nowhere is refused by
// its name, with what helps.
func TestStoreNothing(t *testing.T) {
	w := newWorld(t, "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\n[store]\npassphrases = \"none\"\n")
	_, err := w.Store(t.Context(), &StoreRequest{Kind: "passphrase", Value: []byte("right")})
	if e := AsError(err); e.Code != CodePolicyRefused || e.Hint == "" {
		t.Errorf("got %v (%s)", err, e.Hint)
	}
}
