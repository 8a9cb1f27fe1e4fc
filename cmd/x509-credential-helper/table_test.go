package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

func states() []helper.ProfileStatus {
	end := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	later := showTime.Add(250 * time.Hour)
	dn := "/DC=org/DC=terena/DC=tcs/C=NL/O=Nikhef/CN=Jane Doe jane@example.org"
	return []helper.ProfileStatus{
		{Profile: "atlas", Default: true, State: helper.StateValid, Identity: dn, VOMS: []string{"atlas:/atlas/Role=production"},
			NotAfter: &end, ExpiresIn: 43021, Lifetime: 43200, StoredIn: "keyring", Passphrase: "keyring"},
		{Profile: "dteam", State: helper.StateValid, Identity: dn, Limited: true, VOMS: []string{"dteam"},
			NotAfter: &end, ExpiresIn: 1799, Lifetime: 43200, StoredIn: "runtime", Passphrase: "none"},
		{Profile: "old", State: helper.StateExpired, Identity: dn, ExpiresIn: -9000, Lifetime: 43200, StoredIn: "keyring", Passphrase: "keyring"},
		{Profile: "new", State: helper.StateNone, Passphrase: "none"},
		{Profile: "locked", State: helper.StateError, Passphrase: "unknown",
			Error: helper.Errorf(helper.CodeKeyringLocked, "the keyring is locked").WithHint("unlock it and try again")},
		{Profile: "egi", State: helper.StateValid, Identity: dn, NotAfter: &end, ExpiresIn: 41000, Lifetime: 43200, StoredIn: "keyring", Passphrase: "keyring", NextLogin: &later},
		{Profile: "egi", State: helper.StateValid, Identity: dn, NotAfter: &end, ExpiresIn: 41000, Lifetime: 43200, StoredIn: "keyring", Passphrase: "keyring", NextLogin: &later,
			VOMS: []string{"dteam"}},
		{Profile: "over", State: helper.StateNone, Passphrase: "keyring", NextLogin: &end},
	}
}

// TestTable compares with testdata/status: an 80 column terminal with Unicode
// and colours, and a file in the C locale. UPDATE_GOLDEN=1 writes them anew.
func TestTable(t *testing.T) {
	for file, table := range map[string]table{
		"status-terminal.golden": {style: style{color: true, unicode: true}, width: 80, now: showTime},
		"status-file.golden":     {now: showTime},
	} {
		got := table.render(states())
		path := filepath.Join("testdata", file)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nexpected\n%s", file, got, want)
		}
	}
}

// TestTableWidth: where a terminal is wide enough a profile is one line, and no
// terminal hides a part of an identity.
func TestTableWidth(t *testing.T) {
	for _, tc := range []struct{ width, lines int }{{0, 3}, {40, 7}, {80, 7}, {200, 3}} {
		text := table{style: style{unicode: true}, width: tc.width}.render(states()[:2])
		if n := strings.Count(text, "\n"); n != tc.lines {
			t.Errorf("width %d: %d lines, expected %d:\n%s", tc.width, n, tc.lines, text)
		}
		if n := strings.Count(text, states()[0].Identity); n != 2 {
			t.Errorf("width %d: the identity shows %d times, expected twice:\n%s", tc.width, n, text)
		}
	}
}

// TestBar: what lives shows at least one cell, what is new shows all.
func TestBar(t *testing.T) {
	for _, tc := range []struct {
		left, life int64
		want       string
	}{
		{1, 43200, "#........."}, {43200, 43200, "##########"}, {21600, 43200, "#####....."},
		{50000, 43200, "##########"}, {10, 0, "#........."},
	} {
		if got := (table{}).bar(tc.left, tc.life); got != tc.want {
			t.Errorf("%d of %d: %s, expected %s", tc.left, tc.life, got, tc.want)
		}
	}
}

func TestSpan(t *testing.T) {
	for seconds, want := range map[int64]string{
		-1: "0 s", 0: "0 s", 59: "59 s", 60: "1 min", 61: "1 min 1 s", 3599: "59 min 59 s", 3600: "1 h",
		43199: "12 h", 43021: "11 h 57 min", 172799: "48 h", 172800: "2 d", 180000: "2 d 2 h", 864000: "10 d", 63071999: "730 d", 63072000: "2 y", 315446400: "10 y 1 d",
	} {
		if got := helper.Span(seconds); got != want {
			t.Errorf("%d: %q, expected %q", seconds, got, want)
		}
	}
}

// TestStyle: colours need a terminal, and NO_COLOR wins.
func TestStyle(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, tc := range []struct {
		env  []string
		want style
	}{
		{nil, style{}},
		{[]string{"LANG=en_US.UTF-8"}, style{unicode: true}},
		{[]string{"LANG=en_US.utf8"}, style{unicode: true}},
		{[]string{"LANG=en_US.UTF-8", "LC_ALL=C"}, style{}},
	} {
		p := &process{environ: tc.env, stdout: file}
		if got := p.style(); got != tc.want {
			t.Errorf("%q: %+v, expected %+v", tc.env, got, tc.want)
		}
	}
}

// TestTableStores: a store that cannot be used is worth a line only where it
// makes a difference, and nothing is said twice.
func TestTableStores(t *testing.T) {
	keyring := helper.StoreStatus{Store: "keyring", Reason: "the keyring is locked", Hint: "unlock it and try again"}
	kernel := helper.StoreStatus{Store: "kernel", Reason: "the kernel has none"}
	good := func(s string) helper.StoreStatus { return helper.StoreStatus{Store: s, Usable: true} }
	const keyringLine, kernelLine = "keyring not usable: the keyring is locked\n  unlock it and try again\n", "kernel not usable: the kernel has none\n"
	locked := helper.Errorf(helper.CodeKeyringLocked, "the keyring is locked").WithHint("unlock it and try again")
	unsafe := helper.Errorf(helper.CodeStorageError, "/x is not safe to use").WithHint("remove it")
	foreign := func(s string) helper.StoreStatus {
		return helper.StoreStatus{Store: s, Reason: unsafe.Message, Hint: unsafe.Hint}
	}
	tests := []struct {
		name       string
		stores     []helper.StoreStatus
		incomplete *helper.Error
		want       string
	}{
		{"all is well", []helper.StoreStatus{good("keyring"), good("kernel"), good("runtime")}, nil, ""},
		{"nobody needs the second", []helper.StoreStatus{good("keyring"), kernel, good("runtime")}, nil, ""},
		{"the second is used", []helper.StoreStatus{keyring, good("kernel"), good("runtime")}, nil, keyringLine},
		{"the third is used", []helper.StoreStatus{keyring, kernel, good("runtime")}, nil, keyringLine + kernelLine},
		{"wanted for pass phrases", []helper.StoreStatus{good("runtime"), keyring}, nil, keyringLine},
		{"it may have more", []helper.StoreStatus{keyring, good("kernel")}, locked, keyringLine},
		{"two for one reason", []helper.StoreStatus{foreign("keyring"), foreign("kernel"), good("runtime")}, nil, "keyring, kernel not usable: /x is not safe to use\n  remove it\n"},
		{"the last may have more", []helper.StoreStatus{good("keyring"), foreign("runtime")}, unsafe, "runtime not usable: /x is not safe to use\n  remove it\n"},
		{"no store has said why", []helper.StoreStatus{good("keyring")}, unsafe, "/x is not safe to use\n  remove it\n"},
	}
	for _, tc := range tests {
		a := &helper.StatusAnswer{Stores: tc.stores, Incomplete: tc.incomplete, Profiles: states()}
		if got := (table{}).stores(a); got != tc.want {
			t.Errorf("%s: got %q", tc.name, got)
		}
	}
	a := &helper.StatusAnswer{Stores: []helper.StoreStatus{keyring}, Incomplete: locked, Profiles: states()}
	if text := (table{}).text(a); strings.Count(text, locked.Message) != 1 || a.Profiles[4].Error == nil {
		t.Errorf("said twice, or dropped from the answer:\n%s", text)
	}
	const command = "unlock it with: gnome-keyring-daemon --unlock"
	long := table{width: 30}.stores(&helper.StatusAnswer{Stores: []helper.StoreStatus{{Store: "keyring", Reason: "it is locked", Hint: command}}})
	if !strings.Contains(long, command) {
		t.Errorf("nobody can copy that:\n%s", long)
	}
	narrow := table{width: 30}.stores(&helper.StatusAnswer{Stores: []helper.StoreStatus{keyring}})
	for _, line := range strings.Split(narrow, "\n") {
		if len(line) > 30 {
			t.Errorf("longer than the terminal is wide: %q", line)
		}
	}
}
