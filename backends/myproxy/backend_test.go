package myproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// env is an environment for tests.
type env map[string]string

func (e env) get(key string) string { return e[key] }

func profile(settings helper.Settings) *helper.Profile {
	return &helper.Profile{Name: "test", Backend: Name, Settings: settings}
}

func code(err error) helper.Code {
	var e *helper.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

func TestTarget(t *testing.T) {
	jane := helper.Settings{keyServer: []string{"MyProxy.example.org"}, keyUsername: "jane"}
	with := func(key string, value any) helper.Settings {
		s := helper.Settings{}
		for k, v := range jane {
			s[k] = v
		}
		s[key] = value
		return s
	}
	for _, tc := range []struct {
		name      string
		settings  helper.Settings
		env       env
		uid       string
		endpoint  string
		principal string
		account   string
		question  string
		code      helper.Code
	}{
		{name: "the usual", settings: jane, endpoint: "myproxy.example.org:7512", principal: "jane",
			account: "pass:v1:myproxy:myproxy.example.org%3A7512:jane", question: `MyProxy pass phrase of "jane" at myproxy.example.org`},
		{name: "one of several credentials", settings: with(keyCredName, "a b"), endpoint: "myproxy.example.org:7512", principal: "jane",
			account: "pass:v1:myproxy:myproxy.example.org%3A7512:jane:a%20b", question: `MyProxy pass phrase of "jane" (a b) at myproxy.example.org`},
		{name: "a list with ports and an address", settings: with(keyServer, []string{"a:1", "[2001:db8::1]:2,b", "::1"}),
			endpoint: "a:1,[2001:db8::1]:2,b:7512,[::1]:7512", principal: "jane",
			account:  "pass:v1:myproxy:a%3A1%2C%5B2001%3Adb8%3A%3A1%5D%3A2%2Cb%3A7512%2C%5B%3A%3A1%5D%3A7512:jane",
			question: `MyProxy pass phrase of "jane" at a:1, [2001:db8::1]:2, b, [::1]`},
		{name: "the environment fills gaps", env: env{"MYPROXY_SERVER": "a,b:1", "MYPROXY_SERVER_PORT": "99", "LOGNAME": "joe smith"},
			endpoint: "a:99,b:1", principal: "joe smith", account: "pass:v1:myproxy:a%3A99%2Cb%3A1:joe%20smith"},
		{name: "the environment does not override the profile", settings: with(keyServer, []string{"a:1"}),
			env: env{"MYPROXY_SERVER": "evil.example.org", "MYPROXY_SERVER_PORT": "99", "LOGNAME": "mallory"}, endpoint: "a:1", principal: "jane"},
		{name: "the name of the uid", settings: with(keyUsername, ""), uid: "u1000", endpoint: "myproxy.example.org:7512", principal: "u1000"},
		{name: "no server anywhere", settings: with(keyServer, []string(nil)), code: helper.CodeNotConfigured},
		{name: "an empty server", settings: with(keyServer, []string{""}), code: helper.CodeNotConfigured},
		{name: "no user anywhere", settings: with(keyUsername, ""), code: helper.CodeNotConfigured},
		{name: "user with newline", settings: with(keyUsername, "jane\nCOMMAND=3"), code: helper.CodeNotConfigured},
		{name: "credential name that is a field", settings: with(keyCredName, "xLIFETIME=5"), code: helper.CodeNotConfigured},
		{name: "server with user info", settings: with(keyServer, []string{"jane@host"}), code: helper.CodeNotConfigured},
		{name: "server as URL", settings: with(keyServer, []string{"https://host"}), code: helper.CodeNotConfigured},
		{name: "port out of range", settings: with(keyServer, []string{"host:65536"}), code: helper.CodeNotConfigured},
		{name: "port of the environment", settings: jane, env: env{"MYPROXY_SERVER_PORT": "7512;rm"}, code: helper.CodeNotConfigured},
		{name: "server of the environment", env: env{"MYPROXY_SERVER": "a b", "LOGNAME": "jane"}, code: helper.CodeNotConfigured},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := New(Options{Getenv: tc.env.get, Username: func() (string, error) { return tc.uid, nil }})
			got, err := b.Target(profile(tc.settings))
			if tc.code != "" {
				if code(err) != tc.code {
					t.Errorf("got %+v, %v, want %s", got, err, tc.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			ref := got.Secrets[0]
			if got.Endpoint != tc.endpoint || got.Principal != tc.principal || ref.Kind != "passphrase" || len(got.Secrets) != 1 {
				t.Errorf("got %+v", got)
			}
			if tc.account != "" && ref.Account != tc.account {
				t.Errorf("account %s, want %s", ref.Account, tc.account)
			}
			if tc.question != "" && ref.Question != tc.question {
				t.Errorf("question %s", ref.Question)
			}
			if ref.Check([]byte("good pass phrase")) != nil || ref.Check([]byte("myLIFETIME=5pass")) == nil {
				t.Error("Check does not tell a good pass phrase from a bad one")
			}
		})
	}
}

func TestServerDNFromEnvironment(t *testing.T) {
	b := New(Options{Getenv: env{"MYPROXY_SERVER_DN": "/CN=env"}.get}).(*backend)
	s := helper.Settings{keyServer: []string{"a"}, keyUsername: "jane"}
	if got, err := b.settings(profile(s)); err != nil || got.serverDN != "/CN=env" {
		t.Errorf("the environment fills the gap: got %+v, %v", got, err)
	}
	s[keyServerDN] = "/CN=profile"
	if got, err := b.settings(profile(s)); err != nil || got.serverDN != "/CN=profile" {
		t.Errorf("the profile comes first: got %+v, %v", got, err)
	}
}

// fixed are secrets that do not change.
type fixed struct {
	helper.Secrets

	pass secret.Secret
	err  error
}

func (f fixed) Get(context.Context, string) (secret.Secret, error) { return f.pass, f.err }
func (f fixed) Put(context.Context, string, secret.Secret) error   { return errors.New("not expected") }
func (w *world) backend(opts Options) *backend                     { opts.Getenv = env{}.get; return New(opts).(*backend) }
func (r *recording) clock() time.Time                              { return r.RecordedAt }
func (r *recording) trust() (*gsi.TrustDir, error) {
	return gsi.OpenTrustDir(filepath.Join(r.dir, "trust"))
}
func spec(p *helper.Profile, pass string, from LogonRequest) *helper.Spec {
	return &helper.Spec{Profile: p, Lifetime: from.Lifetime, CSR: from.CSR, Secrets: fixed{pass: []byte(pass)}}
}

// What is not in the recordings: servers that do not answer, that cannot be
// trusted, that send rubbish. No error holds the pass phrase, in any form.
func TestErrorCodes(t *testing.T) {
	w := newWorld(t)
	foreign := newWorld(t)
	bad := func(change func(*x509.Certificate)) string {
		return w.serve(&tls.Config{Certificates: []tls.Certificate{w.host(change)}}, grants).addr
	}
	hang := func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<16)); _, _ = c.Read(make([]byte, 1<<16)) }
	for _, tc := range []struct {
		name, addr string
		pass       string
		code       helper.Code
		hint       string
	}{
		{name: "connection refused", addr: closedPort(t), code: helper.CodeBackendUnavailable},
		{name: "silent server", addr: w.serveTCP(hang).addr, code: helper.CodeTimeout},
		{name: "silent after the request", addr: w.serve(nil, waits).addr, code: helper.CodeTimeout},
		{name: "closes after the request", addr: w.serve(nil, says("")).addr, code: helper.CodeBackendUnavailable},
		{name: "not MyProxy", addr: w.serve(nil, says("HTTP/1.1 400 Bad Request\r\n\r\n")).addr, code: helper.CodeServerRefused},
		{name: "not TLS", addr: w.serveTCP(func(c net.Conn) { _, _ = c.Write([]byte("220 hello\r\n")) }).addr, code: helper.CodeServerRefused},
		{name: "wrong host name", addr: bad(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"x.example.org"}, nil }),
			code: helper.CodeUntrustedServer, hint: "server_dn"},
		{name: "untrusted CA", addr: foreign.serve(nil, grants).addr, code: helper.CodeUntrustedServer},
		{name: "expired host certificate", addr: bad(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }),
			code: helper.CodeUntrustedServer, hint: "clock"},
		{name: "count 0", addr: w.serve(nil, gives("\x00"+okResponse)).addr, code: helper.CodeInvalidCredential},
		{name: "chain cut short", addr: w.serve(nil, gives("\x02"+string(w.ca.Raw))).addr, code: helper.CodeInvalidCredential},
		{name: "pass phrase with newline", addr: closedPort(t), pass: canary + "\n", code: helper.CodePolicyRefused},
		{name: "pass phrase with a field", addr: closedPort(t), pass: canary + "LIFETIME=5", code: helper.CodePolicyRefused},
		{name: "wrong pass phrase", addr: w.serve(nil, says(badPass)).addr, code: helper.CodeAuthenticationFailed, hint: "login test"},
		{name: "repeats the pass phrase", addr: w.serve(nil, says("VERSION=MYPROXYv2\nRESPONSE=1\nERROR=bad "+canary+"\n\x00")).addr, code: helper.CodeServerRefused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, _ := logon(t)
			if tc.pass == "" {
				tc.pass = canary
			}
			s := spec(profile(helper.Settings{keyServer: []string{tc.addr}, keyUsername: "jane"}), tc.pass, req)
			s.Trust = w.trust
			wait := patience
			if tc.code == helper.CodeTimeout {
				wait = 500 * time.Millisecond
			}
			_, err := w.backend(Options{DialTimeout: wait, IOTimeout: wait}).Obtain(t.Context(), s)
			var e *helper.Error
			if !errors.As(err, &e) || e.Code != tc.code {
				t.Fatalf("got %v (%s), want %s", err, code(err), tc.code)
			}
			if retry := tc.code.ExitStatus() == 6; e.Retryable != retry || !strings.Contains(e.Hint, tc.hint) {
				t.Errorf("got %+v", e)
			}
			out, _ := json.Marshal(e)
			for cause := error(e); cause != nil; cause = errors.Unwrap(cause) {
				out = append(out, cause.Error()...)
			}
			if bytes.Contains(out, []byte(canary)) {
				t.Errorf("the pass phrase is in %s", out)
			}
		})
	}
}

// What the dispatcher's callbacks say goes back unchanged, and so does the
// reason why it gave up.
func TestErrorsOfTheDispatcher(t *testing.T) {
	w := newWorld(t)
	p := profile(helper.Settings{keyServer: []string{w.serve(nil, grants).addr}, keyUsername: "jane"})
	b := w.backend(Options{})
	want := helper.Errorf(helper.CodeInteractionRequired, "no pass phrase is stored")

	req, _ := logon(t)
	s := spec(p, canary, req)
	s.Secrets = fixed{err: want}
	if _, err := b.Obtain(t.Context(), s); !errors.Is(err, want) {
		t.Errorf("Secrets.Get: %v", err)
	}
	s = spec(p, canary, req)
	s.Trust = func() (*gsi.TrustDir, error) { return nil, want }
	if _, err := b.Obtain(t.Context(), s); code(err) != want.Code {
		t.Errorf("Trust: %v", err)
	}
	s = spec(p, canary, req)
	s.Trust, s.CSR = w.trust, func(context.Context) ([]byte, error) { return nil, want }
	if _, err := b.Obtain(t.Context(), s); code(err) != want.Code {
		t.Errorf("CSR: %v", err)
	}
	s.CSR = func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := b.Obtain(ctx, s); code(err) != helper.CodeTimeout {
		t.Errorf("deadline: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s.CSR = func(ctx context.Context) ([]byte, error) { stop(); <-ctx.Done(); return nil, ctx.Err() }
	if _, err := b.Obtain(ctx, s); code(err) != helper.CodeCancelled {
		t.Errorf("cancelled: %v", err)
	}
}

// Servers that did not answer are a warning where another did, and causes
// where none did or the one that did refused.
func TestUnansweredServersAreNamed(t *testing.T) {
	w := newWorld(t)
	dead, alsoDead := closedPort(t), closedPort(t)
	obtain := func(hosts ...string) (*helper.Result, error) {
		req, _ := logon(t)
		s := spec(profile(helper.Settings{keyServer: hosts, keyUsername: "jane"}), canary, req)
		s.Trust = w.trust
		return w.backend(Options{}).Obtain(t.Context(), s)
	}
	got, err := obtain(dead, w.serve(nil, grants).addr)
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0].Message, dead) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, hosts := range [][]string{{dead, alsoDead}, {dead, alsoDead, w.serve(nil, says(badPass)).addr}} {
		var e *helper.Error
		if _, err = obtain(hosts...); !errors.As(err, &e) || len(e.Causes) != 2 || !strings.Contains(e.Causes[1], alsoDead) {
			t.Errorf("got %+v", e)
		}
	}
}

// The keys that a profile may have are those that settings reads.
func TestKeys(t *testing.T) {
	keys := New(Options{}).Keys()
	if want := []helper.Key{{Name: "server", Kind: helper.KindStrings}, {Name: "username", Kind: helper.KindString},
		{Name: "credential_name", Kind: helper.KindString}, {Name: "server_dn", Kind: helper.KindString},
		{Name: "auth", Kind: helper.KindString}, {Name: "seed", Kind: helper.KindPath}, {Name: "tls_identity", Kind: helper.KindString},
		{Name: "tls_cert", Kind: helper.KindPath}, {Name: "tls_key", Kind: helper.KindPath},
		{Name: "trust_roots", Kind: helper.KindString}, {Name: "max_lifetime", Kind: helper.KindDuration}}; !slices.Equal(keys, want) {
		t.Errorf("got %q", keys)
	}
}
