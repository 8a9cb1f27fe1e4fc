package helper

import (
	"slices"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
)

func TestListAndStatus(t *testing.T) {
	w := newWorld(t, "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\n[profile.bad]\nbackend = \"test\"\nlimitd = true\n")
	w.storePass(t, "right")
	w.must(t, `{}`)
	list, err := w.List(t.Context())
	if err != nil || len(list.Entries) != 1 || list.Entries[0].Profile != "p" || list.Entries[0].ExpiresIn != 12*3600 || list.Entries[0].StoredIn != "keyring" {
		t.Errorf("list: %+v, %v", list, err)
	}
	status, err := w.Status(t.Context())
	if err != nil || len(status.Profiles) != 2 {
		t.Fatalf("status: %+v, %v", status, err)
	}
	bad, p := status.Profiles[0], status.Profiles[1]
	if bad.State != StateError || bad.Error == nil || p.State != StateValid || p.Passphrase != "keyring" || p.Lifetime != 12*3600 {
		t.Errorf("status: %+v, %+v", bad, p)
	}
}

// TestStatusExpired: a proxy that has expired is told from none, until there is
// another one; erase takes its key, too.
func TestStatusExpired(t *testing.T) {
	w := newWorld(t, "")
	state := func(want ...string) {
		t.Helper()
		s, err := w.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range s.Profiles {
			got = append(got, p.State)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	state(StateNone)
	w.storePass(t, "right")
	end := w.must(t, `{"limited":true}`).Credential.NotAfter
	state(StateValid)
	w.now = end
	state(StateExpired)
	if list, err := w.List(t.Context()); err != nil || len(list.Entries) > 0 {
		t.Errorf("list: %+v, %v", list, err)
	}
	if a, err := w.Erase(t.Context(), &EraseRequest{Selection: Selection{Profile: "p"}, What: []string{"credential"}}); err != nil || a.Erased.Credentials != 1 {
		t.Errorf("erase: %+v, %v", a, err)
	}
	state(StateNone)
}

// TestPartialList: what lies in other stores is shown, and that a locked keyring
// may have more. A list that is empty because nobody could look is an error.
func TestPartialList(t *testing.T) {
	w := newWorld(t, "")
	w.failWith(cache.ErrUnavailable)
	if _, err := w.Login(t.Context(), LoginRequest{Passphrase: []byte("right")}); err != nil {
		t.Fatal(err)
	}
	w.useKeys(w.keys)
	w.failWith(cache.ErrLocked)
	list, err := w.List(t.Context())
	if err != nil || len(list.Entries) != 1 || list.Entries[0].StoredIn != "kernel" || warningOf(list.Warnings, "keyring_locked") != "the keyring is out" {
		t.Errorf("list: %+v, %v", list, err)
	}
	s, err := w.Status(t.Context())
	if err != nil || len(s.Profiles) != 1 || s.Incomplete == nil || s.Incomplete.Code != CodeKeyringLocked {
		t.Fatalf("status: %+v, %v", s, err)
	}
	if p := s.Profiles[0]; p.State != StateValid || p.StoredIn != "kernel" || p.Passphrase != "unknown" || p.Error != nil {
		t.Errorf("status: %+v", p)
	}
	if first := s.Stores[0]; first.Store != "keyring" || first.Usable || first.Reason != "the keyring is out" || first.Hint != "mend it" {
		t.Errorf("stores: %+v", s.Stores)
	}
	if second := s.Stores[1]; second.Store != "kernel" || !second.Usable || second.Reason != "" {
		t.Errorf("stores: %+v", s.Stores)
	}

	w = newWorld(t, "")
	w.failWith(cache.ErrLocked)
	if _, err := w.List(t.Context()); code(err) != CodeKeyringLocked {
		t.Errorf("an empty list: %v", err)
	}
	if s, err = w.Status(t.Context()); err != nil || s.Profiles[0].State != StateError || s.Profiles[0].Error.Code != CodeKeyringLocked {
		t.Errorf("status: %+v, %v", s, err)
	}
	w.failWith(cache.ErrUnavailable)
	if list, err := w.List(t.Context()); err != nil || len(list.Entries)+len(list.Warnings) > 0 {
		t.Errorf("no keyring has nothing: %+v, %v", list, err)
	}
	if s, err = w.Status(t.Context()); err != nil || s.Profiles[0].State != StateNone || s.Stores[0].Usable {
		t.Errorf("status: %+v, %v", s, err)
	}
}

// TestStatusTellsPassphrases: where credentials need no keyring but pass phrases
// do, the status says what is wrong with it.
func TestStatusTellsPassphrases(t *testing.T) {
	w := newWorld(t, plainProfile("credentials = \"runtime\""))
	s, err := w.Status(t.Context())
	if err != nil || s.Profiles[0].Passphrase != "none" || len(s.Stores) != 1 || s.Stores[0] != (StoreStatus{Store: "runtime", Usable: true}) {
		t.Errorf("got %+v, %v", s, err)
	}
	w.failWith(cache.ErrUnavailable)
	s, err = w.Status(t.Context())
	if err != nil || s.Profiles[0].Passphrase != "unknown" || len(s.Stores) != 2 || s.Stores[1].Store != "keyring" || s.Stores[1].Usable {
		t.Errorf("got %+v, %v", s, err)
	}
}
