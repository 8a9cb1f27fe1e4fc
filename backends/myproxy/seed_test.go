package myproxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// The seed is read with the rules of the file that decides whose proxy we get;
// what is wrong with it is said before a connection is made.
func TestSeed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes and links are those of Unix")
	}
	w := newWorld(t)
	jane := w.eec("Jane", time.Hour)
	good := pemOf(t, w.proxyOf(jane, time.Hour, 1))
	expired := pemOf(t, w.eec("Jane", -time.Minute))
	early := w.eec("Jane", time.Hour)
	mixed := pemOf(t, &gsi.Credential{Chain: jane.Chain, Key: newKey(t)})
	for _, tc := range []struct {
		name     string
		data     []byte
		mode     os.FileMode
		link     bool
		identity string
		at       time.Duration // the clock, from now
		code     helper.Code
		text     string // part of the error
		warnings string // codes, with blanks between
	}{
		{name: "good", data: good, mode: 0o600},
		{name: "read only", data: good, mode: 0o400},
		{name: "an EEC with its key", data: pemOf(t, jane), mode: 0o600},
		{name: "for the group", data: good, mode: 0o440, warnings: "seed_readable"},
		{name: "for everybody", data: good, mode: 0o644, warnings: "seed_readable"},
		{name: "as in Kubernetes", data: good, mode: 0o440, link: true, warnings: "seed_readable seed_link"},
		{name: "a link", data: good, mode: 0o600, link: true, warnings: "seed_link"},
		{name: "the right identity", data: good, mode: 0o600, identity: "CN=Jane,C=XX"},
		{name: "writable for the group", data: good, mode: 0o660, code: helper.CodePolicyRefused, text: "lets others write"},
		{name: "writable for everybody", data: good, mode: 0o606, code: helper.CodePolicyRefused, text: "lets others write"},
		{name: "writable behind a link", data: good, mode: 0o666, link: true, code: helper.CodePolicyRefused, text: "lets others write"},
		{name: "expired", data: expired, mode: 0o600, code: helper.CodeInteractionRequired, text: "an expired proxy cannot renew anything"},
		{name: "expires now", data: pemOf(t, jane), mode: 0o600, at: jane.Leaf().NotAfter.Sub(w.now), code: helper.CodeInteractionRequired, text: "expired at " + jane.Leaf().NotAfter.UTC().Format(time.RFC3339)},
		{name: "of tomorrow", data: pemOf(t, early), mode: 0o600, at: -2 * time.Hour, code: helper.CodeClockSkew, text: "not valid before"},
		{name: "somebody else's", data: good, mode: 0o600, identity: "/C=XX/CN=Joe", code: helper.CodeInvalidCredential, text: `is for /C=XX/CN=Joe, but the seed`},
		{name: "garbage", data: []byte("garbage"), mode: 0o600, code: helper.CodeInvalidCredential, text: "no certificate"},
		{name: "empty", mode: 0o600, code: helper.CodeInvalidCredential, text: "no certificate"},
		{name: "another key", data: mixed, mode: 0o600, code: helper.CodeInvalidCredential, text: "its key is not that"},
		{name: "too large", data: append(bytes.Repeat([]byte("\n"), gsi.MaxCredentialBytes), good...), mode: 0o600, code: helper.CodePolicyRefused, text: "more than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := file(t, t.TempDir(), "data/proxy.pem", tc.data, tc.mode)
			if tc.link { // a volume's: the file is a link into a directory that is one
				dir := filepath.Dir(filepath.Dir(path))
				must(t, os.Symlink("data", filepath.Join(dir, "..data")))
				must(t, os.Symlink("..data/proxy.pem", filepath.Join(dir, "proxy.pem")))
				path = filepath.Join(dir, "proxy.pem")
			}
			before, err := os.Stat(path)
			must(t, err)
			spec := w.renewal(settingsOf(keyAuth, "renewal", keySeed, path), nil)
			spec.Identity = tc.identity
			b := New(Options{Getenv: env{}.get, Clock: func() time.Time { return w.now.Add(tc.at) }}).(*backend)
			s, err := b.settings(spec.Profile)
			must(t, err)
			a := &authentication{b: b, s: s, spec: spec}
			cred, err := a.newest(t.Context())
			var e *helper.Error
			switch {
			case tc.code == "" && (err != nil || cred == nil):
				t.Errorf("refused: %v", err)
			case tc.code != "" && (!errors.As(err, &e) || e.Code != tc.code || !strings.Contains(e.Message, tc.text) || !strings.Contains(e.Message, path)):
				t.Errorf("got %s: %v", code(err), err)
			}
			var codes []string
			for _, warning := range a.warnings {
				codes = append(codes, warning.Code)
			}
			if got := strings.Join(codes, " "); tc.code == "" && got != tc.warnings {
				t.Errorf("warnings: got %q, want %q", got, tc.warnings)
			}
			after, err := os.Stat(path)
			must(t, err)
			if data, _ := os.ReadFile(path); !os.SameFile(before, after) || after.ModTime() != before.ModTime() || !bytes.Equal(data, tc.data) {
				t.Error("the seed was written to")
			}
		})
	}
}

// What is no file at all, another's, or absent.
func TestSeedPlaces(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes and links are those of Unix")
	}
	w := newWorld(t)
	dir := t.TempDir()
	foreign := file(t, dir, "foreign", pemOf(t, w.eec("Jane", time.Hour)), 0o600)
	given := os.Chown(foreign, 65534, -1) == nil
	mkfifo(t, filepath.Join(dir, "pipe"))
	for _, tc := range []struct {
		seed, text string
		code       helper.Code
	}{
		{filepath.Join(dir, "absent"), "does not exist", helper.CodeInteractionRequired},
		{dir, "no regular file", helper.CodePolicyRefused},
		{filepath.Join(dir, "pipe"), "no regular file", helper.CodePolicyRefused},
		{"", "none in the cache, and no seed", helper.CodeInteractionRequired},
		{foreign, "belongs to uid 65534", helper.CodePolicyRefused},
	} {
		if tc.seed == foreign && !given {
			continue // only root can give files away
		}
		_, err := New(Options{Getenv: env{}.get}).Obtain(t.Context(), w.renewal(settingsOf(keyAuth, "renewal", keySeed, tc.seed), nil))
		if code(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%q: got %s: %v", tc.seed, code(err), err)
		}
	}
}

// TestHeld: a seed that lives long enough is used as it is, but only one that
// would pass if a server had sent it: nobody could tell a forged one else, and
// what is only old-fashioned is still renewed.
func TestHeld(t *testing.T) {
	w := newWorld(t)
	jane, other := w.eec("Jane", time.Hour), w.eec("Jane", time.Hour)
	forged := w.proxyOf(other, time.Hour, 1)
	forged.Chain[len(forged.Chain)-1] = jane.Leaf()
	for _, tc := range []struct {
		name   string
		cred   *gsi.Credential
		enough time.Duration
		want   bool
	}{
		{"good", w.proxyOf(jane, time.Hour, 1), time.Minute, true},
		{"too short", w.proxyOf(jane, time.Hour, 1), 2 * time.Hour, false},
		{"a new one is wanted", w.proxyOf(jane, time.Hour, 1), 0, false},
		{"forged", forged, time.Minute, false},
	} {
		path := file(t, t.TempDir(), "seed", pemOf(t, tc.cred), 0o600)
		spec := w.renewal(settingsOf(keyAuth, "renewal", keySeed, path), nil)
		spec.Enough, spec.Profile.Key = tc.enough, gsi.KeyP256
		b := New(Options{Getenv: env{}.get, Clock: func() time.Time { return w.now }}).(*backend)
		s, err := b.settings(spec.Profile)
		must(t, err)
		a := &authentication{b: b, s: s, spec: spec}
		_, err = a.newest(t.Context())
		must(t, err)
		if got := a.held(spec.Enough) != nil; got != tc.want {
			t.Errorf("%s: held is %v", tc.name, got)
		}
	}
}

// TestHeldWithoutServer: a job does not end because a server is silent while its
// seed will do for now. A refusal ends it, and so does a seed that is too short.
func TestHeldWithoutServer(t *testing.T) {
	w := newWorld(t)
	refusing := w.serve(nil, func(f *fake, c *tls.Conn, _ net.Conn) {
		f.request(c)
		_, _ = io.WriteString(c, "VERSION=MYPROXYv2\nRESPONSE=1\nERROR=no policy for you\n\x00")
	})
	for _, tc := range []struct {
		name   string
		server string
		least  time.Duration
		held   bool
	}{
		{"silent", "localhost:1", time.Minute, true},
		{"silent, too short", "localhost:1", 2 * time.Hour, false},
		{"silent, a new one is wanted", "localhost:1", 0, false},
		{"refused", refusing.addr, time.Minute, false},
	} {
		path := file(t, t.TempDir(), "seed", pemOf(t, w.proxyOf(w.eec("Jane", time.Hour), time.Hour, 1)), 0o600)
		spec := w.renewal(settingsOf(keyAuth, "renewal", keySeed, path, keyServer, []string{tc.server}), nil)
		spec.Enough, spec.Least, spec.Profile.Key = 3*time.Hour, tc.least, gsi.KeyP256
		got, err := New(Options{Getenv: env{}.get, Clock: func() time.Time { return w.now }}).Obtain(t.Context(), spec)
		if (err == nil) != tc.held || tc.held && (!got.Held || len(got.Warnings) != 1 || got.Warnings[0].Code != "renewal_failed") {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		}
	}
}
