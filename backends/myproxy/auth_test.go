package myproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

func settingsOf(pairs ...any) helper.Settings {
	s := helper.Settings{keyServer: []string{"host"}, keyUsername: "jane"}
	for i := 0; i < len(pairs); i += 2 {
		s[pairs[i].(string)] = pairs[i+1]
	}
	return s
}

// Keys that do not fit together are found before anything is read or sent, and
// which secrets there are is known then.
func TestAuthKeys(t *testing.T) {
	for _, tc := range []struct {
		name     string
		settings helper.Settings
		secrets  string
		refused  string // part of the error
	}{
		{"the usual", settingsOf(), "passphrase", ""},
		{"in words", settingsOf(keyAuth, "passphrase", keyTLSIdentity, "anonymous", keyTrustRoots, "never", keyMaxLifetime, time.Hour), "passphrase", ""},
		{"renewal", settingsOf(keyAuth, "renewal"), "", ""},
		{"renewal with a seed", settingsOf(keyAuth, "renewal", keySeed, "/seed"), "", ""},
		{"renewal as oneself", settingsOf(keyAuth, "renewal", keyTLSIdentity, "proxy"), "", ""},
		{"renewal as a service", settingsOf(keyAuth, "renewal", keyTLSCert, "/c", keyTLSKey, "/k"), "key_passphrase", ""},
		{"trusted as oneself", settingsOf(keyAuth, "trusted", keyTLSIdentity, "proxy", keySeed, "/seed"), "", ""},
		{"trusted as a service", settingsOf(keyAuth, "trusted", keyTLSCert, "/c", keyTLSKey, "/k"), "key_passphrase", ""},
		{"pass phrase as a service", settingsOf(keyTLSCert, "/c", keyTLSKey, "/k"), "passphrase key_passphrase", ""},
		{"pass phrase with a proxy", settingsOf(keyTLSIdentity, "proxy", keySeed, "/seed"), "passphrase", ""},
		{"updates", settingsOf(keyTrustRoots, "update"), "passphrase", ""},

		{"unknown auth", settingsOf(keyAuth, "proxy"), "", "auth must be one of passphrase, renewal, trusted"},
		{"unknown identity", settingsOf(keyTLSIdentity, "~/.globus"), "", "tls_identity must be one of anonymous, proxy"},
		{"the name of a pair", settingsOf(keyTLSIdentity, "files"), "", "tls_identity must be one of anonymous, proxy"},
		{"unknown trust_roots", settingsOf(keyTrustRoots, "always"), "", "trust_roots must be one of never, update"},
		{"certificate without key", settingsOf(keyTLSCert, "/c"), "", "belong together"},
		{"key without certificate", settingsOf(keyTLSKey, "/k"), "", "belong together"},
		{"two clients", settingsOf(keyTLSCert, "/c", keyTLSKey, "/k", keyTLSIdentity, "proxy"), "", "name one client"},
		{"trusted and anonymous", settingsOf(keyAuth, "trusted"), "", "there is none"},
		{"a seed for nothing", settingsOf(keySeed, "/seed"), "", "no proxy is renewed"},
		{"a seed for a service", settingsOf(keyAuth, "trusted", keySeed, "/seed", keyTLSCert, "/c", keyTLSKey, "/k"), "", "no proxy is renewed"},
		{"a century", settingsOf(keyMaxLifetime, 100*365*24*time.Hour), "", "max_lifetime cannot be used"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			target, err := New(Options{Getenv: env{}.get}).Target(profile(tc.settings))
			if tc.refused != "" {
				if code(err) != helper.CodeNotConfigured || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got %+v, %v", target, err)
				}
				return
			}
			must(t, err)
			var kinds []string
			for _, s := range target.Secrets {
				kinds = append(kinds, s.Kind)
				if s.Local != (s.Kind == KindKeyPassphrase) || s.Account == "" || s.Question == "" {
					t.Errorf("got %+v", s)
				}
			}
			if got := strings.Join(kinds, " "); got != tc.secrets {
				t.Errorf("secrets: got %q, want %q", got, tc.secrets)
			}
		})
	}
}

// heard is what a renewing server saw of a client.
type heard struct {
	request string
	proof   []byte
	client  string // common name of the client's certificate
}

// renews is a server that asks for proof, takes any, and sends trust roots if
// they were asked for.
func renews(got *heard, roots string) handler {
	return func(f *fake, c *tls.Conn, _ net.Conn) {
		got.request = f.request(c)
		if certs := c.ConnectionState().PeerCertificates; len(certs) > 0 {
			got.client = certs[0].Subject.CommonName
		}
		if strings.Contains(got.request, "PASSPHRASE=\n") {
			_, _ = io.WriteString(c, "VERSION=MYPROXYv2\nRESPONSE=2\nAUTHORIZATION_DATA=X509_certificate_SHA256:0123456789abcdef0123456789abcdef\n\x00")
			buf := make([]byte, 64<<10)
			n, _ := c.Read(buf)
			got.proof = buf[:n]
		}
		_, _ = io.WriteString(c, "VERSION=MYPROXYv2\nRESPONSE=0\n"+roots+"\x00")
		buf := make([]byte, 64<<10)
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		_, _ = c.Write(append([]byte{1}, f.w.issue(buf[:n])...))
		_, _ = io.WriteString(c, okResponse)
	}
}

// renewal makes the specification of a profile that renews.
func (w *world) renewal(settings helper.Settings, current *gsi.Credential) *helper.Spec {
	w.t.Helper()
	req, _ := logon(w.t)
	s := spec(profile(settings), "", req)
	s.Secrets = noSecrets{}
	s.Trust = w.trust
	s.Current = func(context.Context) (*gsi.Credential, error) { return current, nil }
	return s
}

// noSecrets are asked by mistake.
type noSecrets struct{ helper.Secrets }

func (noSecrets) Get(_ context.Context, kind string) (secret.Secret, error) {
	return nil, fmt.Errorf("the backend asked for a %s", kind)
}
func (noSecrets) Put(context.Context, string, secret.Secret) error { return errors.New("not expected") }

// What proves the user is the newest proxy of the cache, else the seed; who the
// client is is what the profile says, never what lies in ~/.globus.
func TestRenewalProof(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	jane, service := w.eec("Jane", time.Hour), w.eec("service", time.Hour)
	cached, seed := w.proxyOf(jane, time.Hour, 1), w.proxyOf(jane, time.Hour, 2)
	limited, err := jane.Derive(newKey(t), gsi.IssueOptions{Now: w.now, Lifetime: time.Hour, Rights: gsi.RightsLimited})
	must(t, err)
	seedFile := file(t, dir, "seed", pemOf(t, seed), 0o600)
	newer, err := jane.Derive(newKey(t), gsi.IssueOptions{Now: w.now.Add(time.Minute), Lifetime: 30 * time.Minute})
	must(t, err)
	newerFile := file(t, dir, "newer", pemOf(t, newer), 0o440)
	joe, err := w.eec("Joe", time.Hour).Derive(newKey(t), gsi.IssueOptions{Now: w.now.Add(time.Minute), Lifetime: time.Hour})
	must(t, err)
	joeFile := file(t, dir, "joe", pemOf(t, joe), 0o600)
	readable := file(t, dir, "readable", pemOf(t, seed), 0o644)
	cert, key := certAndKey(t, service, "")
	certFile, keyFile := file(t, dir, "cert", cert, 0o644), file(t, dir, "key", key, 0o600)
	cert, key = certAndKey(t, jane, "") // what Globus's programs would find
	file(t, home, ".globus/usercert.pem", cert, 0o644)
	file(t, home, ".globus/userkey.pem", key, 0o600)
	t.Setenv("HOME", home)
	t.Setenv("X509_USER_PROXY", seedFile)
	for _, tc := range []struct {
		name     string
		settings helper.Settings
		limited  bool
		current  *gsi.Credential
		proof    *gsi.Credential // nil: no proof is asked for
		client   string
		warnings string
	}{
		{"from the cache", settingsOf(keyAuth, "renewal", keySeed, "/nonexistent"), false, cached, cached, "", ""},
		{"from the cache, no seed", settingsOf(keyAuth, "renewal"), false, cached, cached, "", ""},
		{"from the seed", settingsOf(keyAuth, "renewal", keySeed, seedFile), false, nil, seed, "", ""},
		{"explicitly anonymous", settingsOf(keyAuth, "renewal", keySeed, seedFile, keyTLSIdentity, "anonymous"), false, nil, seed, "", ""},
		{"as oneself", settingsOf(keyAuth, "renewal", keySeed, seedFile, keyTLSIdentity, "proxy"), false, cached, cached, cached.Leaf().Subject.CommonName, ""},
		{"as oneself by the seed", settingsOf(keyAuth, "renewal", keySeed, seedFile, keyTLSIdentity, "proxy"), false, nil, seed, seed.Leaf().Subject.CommonName, ""},
		{"as a service", settingsOf(keyAuth, "renewal", keySeed, seedFile, keyTLSCert, certFile, keyTLSKey, keyFile), false, nil, seed, "service", ""},
		{"a seed that is newer", settingsOf(keyAuth, "renewal", keySeed, newerFile), false, cached, newer, "", "seed_readable"},
		{"a newer seed of somebody else", settingsOf(keyAuth, "renewal", keySeed, joeFile), false, cached, cached, "", ""},
		{"a seed that is not used", settingsOf(keyAuth, "renewal", keySeed, readable), false, cached, cached, "", ""},
		{"limited for limited", settingsOf(keyAuth, "renewal", keySeed, seedFile), true, limited, limited, "", ""},
		{"the seed for full rights", settingsOf(keyAuth, "renewal", keySeed, seedFile), false, limited, seed, "", ""},
		{"limited is better than none", settingsOf(keyAuth, "renewal"), false, limited, limited, "", ""},
		{"limited is better than a seed that is gone", settingsOf(keyAuth, "renewal", keySeed, "/nonexistent"), false, limited, limited, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got heard
			config := &tls.Config{Certificates: []tls.Certificate{w.host(nil)}, ClientAuth: tls.RequestClientCert}
			tc.settings[keyServer] = []string{w.serve(config, renews(&got, "")).addr}
			spec := w.renewal(tc.settings, tc.current)
			spec.Limited = tc.limited
			res, err := New(Options{}).Obtain(t.Context(), spec)
			if err != nil || len(res.Chain) == 0 {
				t.Fatalf("got %+v, %v", res, err)
			}
			if got := codes(res.Warnings); got != tc.warnings {
				t.Errorf("warnings: got %q, want %q", got, tc.warnings)
			}
			if !strings.Contains(got.request, "\nPASSPHRASE=\n") || got.client != tc.client {
				t.Errorf("the server saw %q and the client %q, want %q", got.request, got.client, tc.client)
			}
			if !strings.HasSuffix(string(got.proof), string(chainMessage(tc.proof.Chain))) {
				t.Error("another proxy was proved")
			}
		})
	}
}

func codes(warnings []helper.Warning) string {
	var list []string
	for _, w := range warnings {
		list = append(list, w.Code)
	}
	return strings.Join(list, " ")
}

// Trusted retrieval: the client's certificate, an empty pass phrase and no proof.
func TestTrustedRetrieval(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	cert, key := certAndKey(t, w.eec("service", time.Hour), canary)
	s := settingsOf(keyAuth, "trusted", keyTLSCert, file(t, dir, "cert", cert, 0o644), keyTLSKey, file(t, dir, "key", key, 0o600))
	var got heard
	trusting := func(f *fake, c *tls.Conn, raw net.Conn) {
		got.request, got.client = "", ""
		if certs := c.ConnectionState().PeerCertificates; len(certs) > 0 {
			got.client = certs[0].Subject.CommonName
		}
		grants(f, c, raw)
	}
	s[keyServer] = []string{w.serve(&tls.Config{Certificates: []tls.Certificate{w.host(nil)}, ClientAuth: tls.RequestClientCert}, trusting).addr}
	obtain := func(secrets helper.Secrets) error {
		spec := w.renewal(s, nil)
		spec.Secrets = secrets
		_, err := New(Options{Getenv: env{}.get}).Obtain(t.Context(), spec)
		return err
	}
	if err := obtain(fixed{pass: []byte(canary)}); err != nil || got.client != "service" {
		t.Errorf("got %v, client %q", err, got.client)
	}
	if err := obtain(fixed{pass: []byte("wrong one")}); code(err) != helper.CodeInteractionRequired || strings.Contains(err.Error(), "wrong one") {
		t.Errorf("a wrong pass phrase of the key: got %v", err)
	}
	own := helper.Errorf(helper.CodeInteractionRequired, "none is stored")
	if err := obtain(fixed{err: own}); !errors.Is(err, own) {
		t.Errorf("no pass phrase of the key: got %v", err)
	}
	s[keyTLSCert] = filepath.Join(dir, "absent")
	if err := obtain(fixed{pass: []byte(canary)}); code(err) != helper.CodeNotConfigured || !strings.Contains(err.Error(), "absent") {
		t.Errorf("no certificate: got %v", err)
	}
	cert, key = certAndKey(t, w.eec("service", -time.Minute), "")
	s[keyTLSCert], s[keyTLSKey] = file(t, dir, "oldcert", cert, 0o644), file(t, dir, "oldkey", key, 0o600)
	if err := obtain(noSecrets{}); code(err) != helper.CodeInvalidCredential || !strings.Contains(err.Error(), "expired at") {
		t.Errorf("an expired certificate: got %v", err)
	}
	must(t, os.Chmod(s[keyTLSKey].(string), 0o604))
	if err := obtain(noSecrets{}); code(err) != helper.CodePolicyRefused {
		t.Errorf("a key for everybody: got %v", err)
	}
}

// A refusal where there is no pass phrase is never about one: it says which
// policy, or which file, is in the way. The texts are the real server's.
func TestUnattendedRefusals(t *testing.T) {
	w := newWorld(t)
	proxy := w.proxyOf(w.eec("Jane", time.Hour), time.Hour, 1)
	dir := t.TempDir()
	cert, key := certAndKey(t, w.eec("service", time.Hour), "")
	files := []any{keyTLSCert, file(t, dir, "cert", cert, 0o644), keyTLSKey, file(t, dir, "key", key, 0o600)}
	trusted := append([]any{keyAuth, "trusted"}, files...)
	renewal := []any{keyAuth, "renewal"}
	for _, tc := range []struct {
		name     string
		settings []any
		texts    string // separated by semicolons
		code     helper.Code
		hint     string
	}{
		{"no policy", renewal, "no passphrase;authentication failed", helper.CodeAuthorizationDenied, "policy of renewers"},
		{"the server's policy", renewal, `"<anonymous>" not authorized by server's authorized_renewers policy`, helper.CodeAuthorizationDenied, "authorized_renewers"},
		{"oneself", renewal, "self-authz detected;self-authz not allowed for renewer", helper.CodeAuthorizationDenied, "allow_self_authorization"},
		{"another's proxy", renewal, "certificate subject does not match credential to be renewed;authentication failed", helper.CodeAuthorizationDenied, "somebody else"},
		{"a proxy that the server refuses", renewal, "certificate chain verification failed;certificate has expired;authentication failed", helper.CodeAuthorizationDenied, "seed"},
		{"unknown user", renewal, `No credentials exist for username "jane".`, helper.CodeNotFound, "username"},
		{"unknown name", renewal, `No credentials exist with username "jane" and credential name "x".`, helper.CodeNotFound, "credential_name"},
		{"locked", renewal, "credential locked;account under review", helper.CodeAuthorizationDenied, "administrator"},
		{"stored credential expired", renewal, "X509_verify_cert() failed: certificate has expired", helper.CodeServerRefused, "stored there has expired"},
		{"not trusted", trusted, "no passphrase;authentication failed", helper.CodeAuthorizationDenied, "policy of trusted retrievers"},
		{"unknown user of a service", trusted, `No credentials exist for username "jane".`, helper.CodeNotFound, "username"},
		{"by pass phrase", files, "Bad password;invalid credential passphrase", helper.CodeAuthenticationFailed, "login test"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := "VERSION=MYPROXYv2\nRESPONSE=1\nERROR=" + strings.ReplaceAll(tc.texts, ";", "\nERROR=") + "\n\x00"
			spec := w.renewal(settingsOf(append(tc.settings, keyServer, []string{w.serve(nil, says(text)).addr})...), proxy)
			if tc.code == helper.CodeAuthenticationFailed {
				spec.Secrets = fixed{pass: []byte(canary)}
			}
			_, err := New(Options{Getenv: env{}.get}).Obtain(t.Context(), spec)
			var e *helper.Error
			if !errors.As(err, &e) || e.Code != tc.code || !strings.Contains(e.Hint, tc.hint) || !strings.Contains(e.Message, strings.ReplaceAll(tc.texts, ";", "; ")) {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// A server that refuses the client's certificate itself says so in TLS, at the
// handshake in 1.2 and after it in 1.3. No pass phrase is sent without it.
func TestRefusedIdentity(t *testing.T) {
	w, foreign := newWorld(t), newWorld(t)
	dir := t.TempDir()
	cert, key := certAndKey(t, foreign.eec("service", time.Hour), "")
	settings := settingsOf(keyAuth, "trusted", keyTLSCert, file(t, dir, "cert", cert, 0o644), keyTLSKey, file(t, dir, "key", key, 0o600))
	pool := x509.NewCertPool()
	pool.AddCert(w.ca)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		f := w.serve(&tls.Config{Certificates: []tls.Certificate{w.host(nil)}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool,
			MinVersion: version, MaxVersion: version}, grants)
		settings[keyServer] = []string{f.addr}
		_, err := New(Options{Getenv: env{}.get}).Obtain(t.Context(), w.renewal(settings, nil))
		var e *helper.Error
		if !errors.As(err, &e) || e.Code != helper.CodeAuthorizationDenied || !strings.Contains(e.Message, "refuses the client's certificate") || !strings.Contains(e.Hint, "tls_cert") {
			t.Errorf("%s: got %+v", tls.VersionName(version), err)
		}
		if dialled, asked := f.counts(); dialled != 1 || asked != 0 {
			t.Errorf("%s: %d connections, %d requests", tls.VersionName(version), dialled, asked)
		}
	}
}
