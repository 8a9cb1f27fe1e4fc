package cache

import (
	"bytes"
	"testing"
	"time"

	dbus "github.com/godbus/dbus/v5"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab/fakesecret"
)

// item is the keyring item of an account as go-keyring makes it.
func item(account, secret string) fakesecret.Item {
	return fakesecret.Item{Attributes: map[string]string{"service": Service, "username": account}, Secret: []byte(secret)}
}

// away is what gnome-keyring 42.1 says about an item that another process
// removed or replaced between the search and the call.
var away = dbus.NewError("org.freedesktop.DBus.Error.UnknownMethod", []any{"Object does not exist at path “/org/freedesktop/secrets/collection/login/1”"})

// once does something at the first call of a method, and answers it with err.
func once(method string, err *dbus.Error, do func(*fakesecret.Service)) func(*fakesecret.Service, string) *dbus.Error {
	done := make(chan struct{}, 1)
	return func(s *fakesecret.Service, m string) *dbus.Error {
		if m != method {
			return nil
		}
		select {
		case done <- struct{}{}:
			do(s)
			return err
		default:
			return nil
		}
	}
}

// TestItemVanishes: others may remove or replace an item at any moment; what
// was found a moment ago is then not there. That is no defect of the keyring.
func TestItemVanishes(t *testing.T) {
	remove := func(s *fakesecret.Service) { s.Remove() }
	replace := func(s *fakesecret.Service) {
		s.Remove()
		_ = s.Put(item("test:a", "new"))
	}
	always := func(s *fakesecret.Service, m string) *dbus.Error {
		if m == "GetSecret" {
			return away
		}
		return nil
	}
	tests := []struct {
		name  string
		at    func(*fakesecret.Service, string) *dbus.Error
		op    string
		want  error
		value string
	}{
		{"removed before it is read", once("GetSecret", away, remove), "get", ErrNotFound, ""},
		{"replaced before it is read", once("GetSecret", away, replace), "get", nil, "new"},
		{"in the words of a newer one", once("GetSecret", dbus.NewError("org.freedesktop.DBus.Error.UnknownObject", nil), replace), "get", nil, "new"},
		{"removed before it is unlocked", once("OpenSession", nil, remove), "get", ErrNotFound, ""},
		{"replaced before it is unlocked", once("OpenSession", nil, replace), "get", nil, "new"},
		{"removed before it is deleted", once("Delete", away, remove), "delete", nil, ""},
		{"removed before all are deleted", once("Delete", away, remove), "delete-all", nil, ""},
		{"replaced before it is read back", once("GetSecret", away, func(*fakesecret.Service) {}), "set", nil, ""},
		{"always found and never there", always, "get", ErrUnavailable, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := startFake(t, fakesecret.Behaviour{})
			must(t, f.Put(item("test:a", "old")))
			f.Behave(fakesecret.Behaviour{At: tt.at})
			r := ringProcess(t, tt.op, f.address)
			r.check(t, tt.op, tt.want)
			if r.Value != tt.value {
				t.Errorf("got %q, want %q", r.Value, tt.value)
			}
		})
	}
}

// TestDuplicates: other programs can make items with our attributes and more.
// Delete leaves none behind, or a removed pass phrase would be found again.
func TestDuplicates(t *testing.T) {
	f := startFake(t, fakesecret.Behaviour{})
	for _, schema := range []string{"", "org.freedesktop.Secret.Generic", "other"} {
		i := item("test:a", "of "+schema)
		if schema != "" {
			i.Attributes["xdg:schema"] = schema
		}
		must(t, f.Put(i))
	}
	must(t, f.Put(item("test:b", "the neighbour")))
	ringProcess(t, "delete", f.address).check(t, "delete", nil)
	if left := f.Items(); len(left) != 1 || string(left[0].Secret) != "the neighbour" {
		t.Errorf("left: %v", left)
	}
}

// TestDeleteAll: all of our service, nothing of another's.
func TestDeleteAll(t *testing.T) {
	f := startFake(t, fakesecret.Behaviour{})
	ringProcess(t, "delete-all", f.address).check(t, "nothing there", nil)
	other := item("test:a", "not ours")
	other.Attributes["service"] = "gh:github.com"
	for _, i := range []fakesecret.Item{item("test:a", "1"), item("test:a", "2"), other, item(dataKeyAccount, "3")} {
		must(t, f.Put(i))
	}
	ringProcess(t, "delete-all", f.address).check(t, "delete all", nil)
	if left := f.Items(); len(left) != 1 || string(left[0].Secret) != "not ours" {
		t.Errorf("left: %v", left)
	}
}

// TestDeleteDismissed: a keyring may ask before it deletes. If the user does
// not want that, the item is still there, and he is asked once, not again and
// again.
func TestDeleteDismissed(t *testing.T) {
	for _, op := range []string{"delete", "delete-all"} {
		f := startFake(t, fakesecret.Behaviour{})
		must(t, f.Put(item("test:a", "1")))
		f.Behave(fakesecret.Behaviour{PromptDel: true, OnPrompt: fakesecret.Dismiss})
		ringProcess(t, op, f.address, asks).check(t, op, ErrUnavailable)
		if _, prompts := f.Counts(); prompts != 1 {
			t.Errorf("%s: %d prompts", op, prompts)
		}
	}
}

// TestStrange: a service whose answers have other types, or are far too big,
// ends in an error, not in a panic, and not in a wrong secret.
func TestStrange(t *testing.T) {
	tests := map[string]struct {
		method any
		op     string
	}{
		"Locked":      {func(string, string) (dbus.Variant, *dbus.Error) { return dbus.MakeVariant("yes"), nil }, "get"},
		"Collections": {func(string, string) (dbus.Variant, *dbus.Error) { return dbus.MakeVariant(int32(1)), nil }, "get"},
		"Unlock":      {func([]dbus.ObjectPath) (string, *dbus.Error) { return "yes", nil }, "get"},
		"SearchItems": {func(map[string]string) (uint32, *dbus.Error) { return 7, nil }, "get"},
		"OpenSession": {func(string, dbus.Variant) *dbus.Error { return nil }, "get"},
		"GetSecret":   {func(dbus.ObjectPath) (string, *dbus.Error) { return "the secret", nil }, "get"},
		"CreateItem":  {func(map[string]dbus.Variant, fakesecret.Secret, bool) (bool, *dbus.Error) { return true, nil }, "set"},
		"Delete":      {func() (int32, *dbus.Error) { return 1, nil }, "delete"},
	}
	for method, tt := range tests {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, fakesecret.Behaviour{Strange: map[string]any{method: tt.method}})
			must(t, f.Put(item("test:a", "the secret")))
			r := ringProcess(t, tt.op, f.address)
			r.check(t, tt.op, ErrUnavailable)
			if r.Value != "" {
				t.Errorf("got %q", r.Value)
			}
		})
	}
	for name, size := range map[string]int{"bigger than ours": MaxSecret + 1, "4 MB": 4 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, fakesecret.Behaviour{})
			must(t, f.Put(fakesecret.Item{Attributes: item("test:a", "").Attributes, Secret: bytes.Repeat([]byte("x"), size)}))
			r := ringProcess(t, "get", f.address) // to decode 1 MB takes a tenth of a second
			if r.Kind != ErrUnavailable.Error() && r.Kind != ErrTimeout.Error() || r.Took > 2*time.Minute {
				t.Errorf("%q (%s) after %v", r.Kind, r.Text, r.Took)
			}
		})
	}
}
