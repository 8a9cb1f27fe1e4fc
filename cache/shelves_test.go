package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// trouble is a state of the keyring that a machine can have.
var troubles = map[string]func(t *testing.T, w *world){
	"ok":          func(*testing.T, *world) {},
	"locked":      func(_ *testing.T, w *world) { w.fails(ErrLocked) },
	"timeout":     func(_ *testing.T, w *world) { w.fails(ErrTimeout) },
	"unavailable": func(_ *testing.T, w *world) { w.fails(ErrUnavailable) },
	"bus gone": func(_ *testing.T, w *world) {
		w.osKeys().Fail = func(string, string) error { return unavailable("gone", fs.ErrNotExist) }
	},
	"full": func(t *testing.T, w *world) { // and the key is lost
		must(t, w.keys.DeleteAll(t.Context()))
		w.osKeys().Limit = 10
	},
	"lost key": func(t *testing.T, w *world) { must(t, w.keys.DeleteAll(t.Context())) },
	"other key": func(t *testing.T, w *world) {
		must(t, w.keys.Set(t.Context(), dataKeyAccount, []byte(`{"v":1,"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`)))
	},
	"damaged key": func(t *testing.T, w *world) { must(t, w.keys.Set(t.Context(), dataKeyAccount, []byte("x"))) },
}

// TestStoresAndStates: what becomes of an old entry and of a new one in each
// store while the keyring is in each state, and of both when it is well again.
func TestStoresAndStates(t *testing.T) {
	type want struct {
		old   string // what Get says of the entry from before: "hit", "miss" or "error"
		in    Store  // where the new one goes; "" is an error
		cause error  // of which Get's and Put's errors speak
	}
	same := func(store Store) map[string]want {
		m := map[string]want{}
		for state := range troubles {
			m[state] = want{"hit", store, nil}
		}
		return m
	}
	tests := map[Store]map[string]want{
		Auto: {
			"ok":          {"hit", Keyring, nil},
			"locked":      {"miss", Kernel, ErrLocked},
			"timeout":     {"miss", Kernel, ErrTimeout},
			"unavailable": {"miss", Kernel, nil},
			"bus gone":    {"miss", Kernel, nil},
			"full":        {"miss", Kernel, nil},
			"lost key":    {"miss", Keyring, nil},
			"other key":   {"miss", Keyring, nil},
			"damaged key": {"miss", Kernel, nil},
		},
		Keyring: {
			"ok":          {"hit", Keyring, nil},
			"locked":      {"error", "", ErrLocked},
			"timeout":     {"error", "", ErrTimeout},
			"unavailable": {"error", "", ErrUnavailable},
			"bus gone":    {"error", "", ErrUnavailable},
			"full":        {"miss", "", ErrTooBig},
			"lost key":    {"miss", Keyring, nil},
			"other key":   {"miss", Keyring, nil},
			"damaged key": {"error", "", ErrUnavailable},
		},
		Kernel:  same(Kernel),
		Runtime: same(Runtime),
		File:    same(File),
	}
	for store, states := range tests {
		for state, want := range states {
			t.Run(string(store)+" "+state, func(t *testing.T) {
				w := newWorld(t, store, Keyring)
				old, fresh := entry(t, binding("old"), time.Hour), entry(t, binding("new"), time.Hour)
				_, err := w.Put(t.Context(), old)
				must(t, err)
				troubles[state](t, w)
				w.reopen(store, Keyring)
				before := w.osKeys().Calls("set")

				e, err := w.Get(t.Context(), old.Binding)
				switch {
				case want.old == "hit" && (err != nil || e.Binding.Profile != "old"),
					want.old == "miss" && !isMiss(err),
					want.old == "error" && (err == nil || isMiss(err)),
					want.cause != nil && state != "full" && !errors.Is(err, want.cause):
					t.Errorf("Get of the old one: %v", err)
				}
				if store == Auto && errors.Is(err, ErrUnavailable) {
					t.Errorf("a machine without a keyring has an ordinary miss: %v", err)
				}
				stored, err := w.Put(t.Context(), fresh)
				if stored.In != want.in || (err == nil) != (want.in != "") {
					t.Fatalf("Put: %+v, %v", stored, err)
				}
				if want.cause != nil && !errors.Is(errors.Join(err, stored.Why), want.cause) {
					t.Errorf("Put does not say why: %v, %v", err, stored.Why)
				}
				if (stored.Why != nil) != (store == Auto && want.in == Kernel) {
					t.Errorf("why: %v", stored.Why)
				}
				if errors.Is(want.cause, ErrLocked) || errors.Is(want.cause, ErrTimeout) || state == "damaged key" {
					if w.osKeys().Calls("set") != before {
						t.Error("the keyring was written although it did not tell what it has")
					}
				}
				if want.in != "" {
					if e, err := w.Get(t.Context(), fresh.Binding); err != nil || e.StoredIn != want.in {
						t.Errorf("Get of the new one: %v", err)
					}
				}
				w.fails(nil) // well again: what was left alone is there
				w.reopen(store, Keyring)
				if state == "locked" || state == "timeout" || state == "unavailable" {
					if _, err := w.Get(t.Context(), old.Binding); err != nil {
						t.Errorf("the old one, later: %v", err)
					}
				}
				if list, err := w.List(t.Context()); err != nil && state != "damaged key" || len(list) == 0 && want.in != "" {
					t.Errorf("List: %v, %v", list, err)
				}
			})
		}
	}
}

// TestAutoPlaces: where files cannot be sealed they go to the next store, and
// the last error names every store that refused.
func TestAutoPlaces(t *testing.T) {
	boom := errors.New("no home directory")
	tests := map[string]struct {
		spoil func(o *Options)
		want  Store
		why   string
	}{
		"no home":            {func(o *Options) { o.CacheDir = func() (string, error) { return "", boom } }, Runtime, "no home"},
		"no kernel, no ring": {func(o *Options) { o.Kernel, o.Keys = nil, nil }, Runtime, "no keyring"},
		"no keyring":         {func(o *Options) { o.Keys = nil }, Kernel, "no keyring"},
		"home is read-only":  {func(o *Options) { o.CacheDir = func() (string, error) { return "/proc/x", nil } }, Runtime, "/proc/x"},
		"nothing to be had": {func(o *Options) {
			o.Kernel, o.Keys, o.RuntimeDir = nil, nil, o.CacheDir
			o.CacheDir = nil
			o.RuntimeDir = func() (string, error) { return "", boom }
		}, "", "no keyring"},
		"only a runtime place": {func(o *Options) { o.Keys, o.CacheDir = nil, nil }, Runtime, "no keyring"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Auto, Keyring)
			o := w.options(Auto, Keyring)
			tt.spoil(&o)
			c := New(o)
			e := entry(t, binding("a"), time.Hour)
			if _, err := c.Get(t.Context(), e.Binding); !isMiss(err) {
				t.Errorf("before: %v", err)
			}
			stored, err := c.Put(t.Context(), e)
			if stored.In != tt.want || !strings.Contains(fmt.Sprint(stored.Why, err), tt.why) {
				t.Errorf("%+v, %v", stored, err)
			}
			if list, err := c.List(t.Context()); err != nil || (len(list) == 1) != (tt.want != "") {
				t.Errorf("%v, %v", list, err)
			}
			must(t, c.Delete(t.Context(), e.Binding))
			if _, err := c.Get(t.Context(), e.Binding); !isMiss(err) {
				t.Errorf("deleted: %v", err)
			}
		})
	}
}

// TestAutoUnsafe: a directory that others can write to is never a reason to
// look somewhere else, and none to be content with what is in the keyring.
func TestAutoUnsafe(t *testing.T) {
	for _, spoil := range []Store{Keyring, Runtime} {
		w := newWorld(t, Auto, Keyring)
		e := entry(t, binding("a"), time.Hour)
		_, err := w.Put(t.Context(), e)
		must(t, err)
		path := filepath.Dir(only(t, w.cache, ".xche"))
		if spoil == Runtime {
			path = w.run
			must(t, os.MkdirAll(path, 0o700))
		}
		must(t, os.Chmod(path, 0o777))
		var unsafe *safefile.UnsafeError
		_, getErr := w.Get(t.Context(), e.Binding)
		_, listErr := w.List(t.Context())
		for what, err := range map[string]error{"Get": getErr, "List": listErr, "Delete": w.Delete(t.Context(), e.Binding)} {
			if !errors.As(err, &unsafe) {
				t.Errorf("%s %s: %v", spoil, what, err)
			}
		}
		if stored, err := w.Put(t.Context(), e); spoil == Keyring && !errors.As(err, &unsafe) {
			t.Errorf("Put: %+v, %v", stored, err)
		}
		if _, err := w.EraseAll(t.Context()); !errors.As(err, &unsafe) {
			t.Errorf("%s EraseAll: %v", spoil, err)
		}
	}
}

// TestNewestWins: an entry that went elsewhere while the keyring was locked is
// newer than the one in the keyring, and one that comes later is newer again.
func TestNewestWins(t *testing.T) {
	b := binding("a")
	for _, at := range []time.Duration{0, time.Minute} { // also within one tick
		w := newWorld(t, Auto, Keyring)
		put := func(print string, kind error, lifetime time.Duration) {
			t.Helper()
			w.fails(kind)
			w.pass(at)
			e := entry(t, b, lifetime)
			e.Fingerprint, e.FetchedAt = print, w.now
			_, err := w.Put(t.Context(), e)
			must(t, err)
			for _, again := range []error{kind, nil} {
				w.fails(again)
				w.reopen(Auto, Keyring)
				got, err := w.Get(t.Context(), b)
				if err != nil || got.Fingerprint != print {
					t.Errorf("after %s got %v, %v", print, got, err)
				}
			}
			list, err := w.List(t.Context())
			if err != nil || len(list) != 1 || list[0].Fingerprint != print {
				t.Errorf("after %s listed %+v, %v", print, list, err)
			}
		}
		put("one", nil, 5*time.Hour)
		put("two", ErrLocked, 5*time.Hour)
		put("three", nil, 5*time.Hour)
		put("four", nil, 100*time.Hour)
		put("five", nil, 5*time.Hour)
		put("six", nil, 100*time.Hour)
		put("seven", ErrTimeout, 5*time.Hour)
		put("eight", nil, 100*time.Hour)
		must(t, w.Delete(t.Context(), b))
		if _, err := w.Get(t.Context(), b); !isMiss(err) {
			t.Errorf("deleted: %v", err)
		}
	}
}

// TestDeleteLocked: an erase does not lie about what it could not reach, and
// still does what it can.
func TestDeleteLocked(t *testing.T) {
	for _, kind := range []error{ErrLocked, ErrTimeout} {
		w := newWorld(t, Auto, Keyring)
		w.fails(kind)
		e := entry(t, binding("a"), time.Hour)
		_, err := w.Put(t.Context(), e)
		must(t, err)
		if err := w.Delete(t.Context(), e.Binding); !errors.Is(err, kind) {
			t.Errorf("Delete: %v", err)
		}
		if list, err := w.List(t.Context()); len(list) != 0 || !errors.Is(err, kind) {
			t.Errorf("List: %v, %v", list, err)
		}
	}
}

// TestTwoHosts: hosts with different keyrings do not see, disturb or sweep
// each other's entries in one home, until one has been gone for a month.
func TestTwoHosts(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	other := w.otherHost(t, Auto, Keyring)
	b := binding("a")
	for _, h := range []*world{w, other} {
		_, err := h.Put(t.Context(), entry(t, b, time.Hour))
		must(t, err)
		_, err = h.Put(t.Context(), entry(t, binding("long"), 1000*time.Hour))
		must(t, err)
	}
	_, err := w.EraseAll(t.Context())
	must(t, err)
	if _, err := w.Get(t.Context(), b); !isMiss(err) {
		t.Errorf("erased: %v", err)
	}
	other.reopen(Auto, Keyring)
	for _, profile := range []string{"a", "long"} {
		if _, err := other.Get(t.Context(), binding(profile)); err != nil {
			t.Errorf("the other host's %s: %v", profile, err)
		}
	}
}

// TestStores: what status is told, without any question to the user.
func TestStores(t *testing.T) {
	w := newWorld(t, Auto, Keyring)
	ctx := AllowPrompt(t.Context())
	check := func(what string, want ...StoreState) {
		t.Helper()
		got := w.Stores(ctx)
		same := len(got) == len(want)
		for i := 0; same && i < len(got); i++ {
			same = got[i].Store == want[i].Store && errors.Is(got[i].Err, want[i].Err)
		}
		if !same {
			t.Errorf("%s: %v", what, got)
		}
	}
	check("new", StoreState{Keyring, nil}, StoreState{Kernel, nil}, StoreState{Runtime, nil})
	for mode, unsafe := range map[os.FileMode]bool{0o777: true, 0o500: false} { // before there is any key
		must(t, errors.Join(os.MkdirAll(w.cache, 0o700), os.Chmod(w.cache, mode)))
		for _, s := range w.Stores(ctx)[:2] {
			if os.Geteuid() == 0 && !unsafe {
				continue // root may write there
			}
			if s.Err == nil || errors.As(s.Err, new(*safefile.UnsafeError)) != unsafe {
				t.Errorf("cache directory of mode %o: %s: %v", mode, s.Store, s.Err)
			}
		}
		must(t, os.Chmod(w.cache, 0o700))
	}
	w.fails(ErrLocked)
	check("locked", StoreState{Keyring, ErrLocked}, StoreState{Kernel, nil}, StoreState{Runtime, nil})
	w.kernel.Fail = func(string, string) error { return unavailable("no", nil) }
	check("no kernel", StoreState{Keyring, ErrLocked}, StoreState{Kernel, ErrUnavailable}, StoreState{Runtime, nil})
	for _, s := range []Store{File, Runtime, None} {
		w.reopen(s, Keyring)
		check(string(s), StoreState{s, nil})
	}
	w.reopen(Auto, Keyring)
	w.keys = promptTrap{w.keys, t}
	w.reopen(Auto, Keyring)
	w.Stores(ctx)
}

// promptTrap is a keyring that must not ask anybody.
type promptTrap struct {
	KeyStore
	t *testing.T
}

func (p promptTrap) Get(ctx context.Context, account string) ([]byte, error) {
	if promptAllowed(ctx) {
		p.t.Error("somebody was asked")
	}
	return p.KeyStore.Get(ctx, account)
}
