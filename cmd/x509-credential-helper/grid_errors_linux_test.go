package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// TestRefusals: what the server says no to.
func TestRefusals(t *testing.T) {
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		g.refused(`{}`, helper.CodeInteractionRequired)
		if n := g.connections(); n != 0 {
			t.Errorf("%d connections without a pass phrase", n)
		}
		g.store("not the right one")
		e := g.refused(`{}`, helper.CodeAuthenticationFailed)
		if e.Retryable || e.Action == nil || e.Action.Argv[0] != g.program {
			t.Errorf("got %+v", e)
		}
	})
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		config, err := os.ReadFile(g.path("config.toml"))
		if err != nil {
			t.Fatal(err)
		}
		other := strings.Replace(string(config), `"jane"`, `"nobody"`, 1)
		if err := os.WriteFile(g.path("config.toml"), []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		g.store(passphrase)
		g.refused(`{}`, helper.CodeAuthenticationFailed) // unknown user
	})
}

// TestUntrusted: servers that cannot be told from an impostor never see the
// pass phrase.
func TestUntrusted(t *testing.T) {
	for _, kind := range []lab.HostKind{lab.HostWrongName, lab.HostExpired, lab.HostRevoked, lab.HostUntrusted} {
		t.Run(string(kind), func(t *testing.T) {
			onBoth(t, gridOptions{host: kind}, func(t *testing.T, g *grid) {
				g.store(passphrase)
				g.refused(`{}`, helper.CodeUntrustedServer)
				if g.server != nil && g.server.Requests(0) != 0 {
					t.Error("the request was sent")
				}
			})
		})
	}
}

// TestTrustFailsClosed: a trust directory that cannot vouch for the server is
// an error that names the file; each can be relaxed in the profile.
func TestTrustFailsClosed(t *testing.T) {
	tests := []struct {
		name    string
		trust   lab.Trust
		mention string
		relax   string
	}{
		{"no signing policy", lab.Trust{NoPolicy: true}, ".signing_policy", `signing_policy = "if_present"`},
		{"signing policy forbids", lab.Trust{Policy: `"/C=XX/O=Elsewhere/*"`}, ".signing_policy", `signing_policy = "ignore"`},
		{"expired CRL", lab.Trust{CRL: lab.CRLExpired}, ".r0", `crl = "allow_expired"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
				g.setTrust(test.trust)
				g.write("")
				g.store(passphrase)
				if e := g.refused(`{}`, helper.CodeUntrustedServer); !strings.Contains(e.Message, test.mention) {
					t.Errorf("does not name the file: %s", e.Message)
				}
				g.write(test.relax)
				g.get(`{}`)
			})
		})
	}
	t.Run("no directory", func(t *testing.T) {
		onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
			g.trustDir = g.path("nowhere")
			g.write("")
			g.store(passphrase)
			g.refused(`{}`, helper.CodeUntrustedServer)
		})
	})
}

// TestUnreachable: a server that is not there, or that says nothing.
func TestUnreachable(t *testing.T) {
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		t.Parallel()
		g.store(passphrase)
		speak := g.silence()
		begin := time.Now()
		e := g.outOfTime(helper.CodeTimeout)
		if took := time.Since(begin); took > patience/2 {
			t.Errorf("gave up after %v, with a timeout of 3 s", took)
		}
		if !e.Retryable {
			t.Error("a time-out is worth another try")
		}
		speak()
		g.stop()
		if e := g.refused(`{}`, helper.CodeBackendUnavailable); !e.Retryable {
			t.Error("a server that is down is worth another try")
		}
	})
}

// TestSilentServer: a server that accepts a connection and says nothing is given
// up after the client's ten seconds, not at the end of the request's five minutes.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	g := sandboxGrid(t, gridOptions{})
	g.store(passphrase)
	g.env = append(g.env, patientVar+"=0")
	defer g.silence()()
	e := g.refused(`{"timeout":300}`, helper.CodeTimeout) // or is killed before
	if !strings.Contains(e.Message, "said nothing") {
		t.Errorf("got %v", e)
	}
}

// outOfTime is the refusal of a get whose time runs out while it waits for
// somebody. On a busy machine it may be over before the keyring has answered;
// then there is more of it.
func (g *grid) outOfTime(code helper.Code) *helper.Error {
	g.t.Helper()
	for seconds := 3; ; seconds *= 2 {
		r := g.run(fmt.Sprintf(`{"timeout":%d}`, seconds), "get")
		if g.code(r) != string(helper.CodeKeyringUnavailable) || seconds > 12 {
			return g.refusal(r, code)
		}
	}
}

// deadAddr is an address where nobody listens. The port is taken, so that it is
// given to nobody else.
func deadAddr(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	var port int
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		var bound unix.Sockaddr
		if bound, err = unix.Getsockname(fd); err == nil {
			port = bound.(*unix.SockaddrInet4).Port
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// TestFailOver: the next server of a list is asked only where none answered.
func TestFailOver(t *testing.T) {
	addr := deadAddr(t)
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		good := g.addr
		rewrite := func(list ...string) {
			g.addr = strings.Join(list, `", "`)
			g.write("")
			config, err := os.ReadFile(g.path("config.toml"))
			if err != nil {
				t.Fatal(err)
			}
			fixed := strings.Replace(string(config), fmt.Sprintf("server = %q", g.addr), fmt.Sprintf("server = [\"%s\"]", g.addr), 1)
			if err := os.WriteFile(g.path("config.toml"), []byte(fixed), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		rewrite(addr, good)
		g.store(passphrase)
		g.get(`{}`)
		if n := g.connections(); n != 1 {
			t.Errorf("%d connections", n)
		}
		rewrite(good, good) // the same one twice: a refusal is final
		g.store("not the right one")
		before := g.connections()
		g.refused(`{"cache":"bypass"}`, helper.CodeAuthenticationFailed)
		if n := g.connections() - before; n != 1 {
			t.Errorf("%d connections after a refusal", n)
		}
	})
}

// TestClearTextRefusal: where GSI fails the real server answers outside TLS.
func TestClearTextRefusal(t *testing.T) {
	t.Run("real", func(t *testing.T) {
		g := realGrid(t, gridOptions{host: lab.HostLapsed})
		g.store(passphrase)
		g.refused(`{}`, helper.CodeServerRefused)
	})
	t.Run("sandbox", func(t *testing.T) {
		g := sandboxGrid(t, gridOptions{})
		g.store(passphrase)
		g.server.SetFaults(sandbox.Faults{ClearText: true})
		g.refused(`{}`, helper.CodeServerRefused)
	})
}

// TestBadAnswers: what no good server sends, and no good client accepts.
func TestBadAnswers(t *testing.T) {
	tests := []struct {
		name   string
		faults sandbox.Faults
		code   helper.Code
	}{
		{"certificate for another key", sandbox.Faults{WrongKey: true}, helper.CodeInvalidCredential},
		{"bad signature", sandbox.Faults{BadSignature: true}, helper.CodeInvalidCredential},
		{"chain cut short", sandbox.Faults{CutChain: true}, helper.CodeInvalidCredential},
		{"count 0", sandbox.Faults{CountZero: true}, helper.CodeInvalidCredential},
		{"garbage in place of TLS", sandbox.Faults{Garbage: sandbox.StageAccept}, helper.CodeServerRefused},
		{"closed after the request", sandbox.Faults{Close: sandbox.StageRequest}, helper.CodeBackendUnavailable},
		{"escape sequences", sandbox.Faults{Refuse: "\x1b[31mno\x1b[0m\u202e way\nsecond line"}, helper.CodeServerRefused},
		{"clock an hour ahead", sandbox.Faults{Skew: time.Hour}, helper.CodeClockSkew},
		{"limited, unasked", sandbox.Faults{Limited: true}, ""},
	}
	g := sandboxGrid(t, gridOptions{})
	g.store(passphrase)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g.t = t
			g.server.SetFaults(test.faults)
			if test.code != "" {
				g.refused(`{"cache":"bypass"}`, test.code)
			} else if a := g.get(`{"cache":"bypass"}`); len(a.Warnings) == 0 {
				t.Error("no warning")
			}
		})
	}
	g.t = t
	g.server.SetFaults(sandbox.Faults{})
	g.get(`{"cache":"bypass"}`)
}

// TestSecretsThatCannotBeSent: the server looks for field names anywhere in a
// request, so some pass phrases can never work, with any client.
func TestSecretsThatCannotBeSent(t *testing.T) {
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		for _, value := range []string{"two\\nlines", "myLIFETIME=5pass", "x\\u0000y", "USERNAME=root", "tab\\there"} {
			request := `{"secret":{"kind":"passphrase","value":"` + value + `"}}`
			g.refusal(g.run(request, "store"), helper.CodeInvalidRequest)
		}
		if n := g.connections(); n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestHostileSurroundings: neither configuration nor environment sends a pass
// phrase somewhere else.
func TestHostileSurroundings(t *testing.T) {
	g := sandboxGrid(t, gridOptions{})
	g.store(passphrase)
	with := func(env ...string) *grid {
		w := *g.world
		w.env = append(append([]string{}, g.env...), env...)
		h := *g
		h.world = &w
		return &h
	}
	elsewhere := sandboxGrid(t, gridOptions{})
	with("MYPROXY_SERVER=" + elsewhere.addr).get(`{"cache":"bypass"}`)
	if n := elsewhere.connections(); n != 0 {
		t.Error("the environment redirected a profile that names its server")
	}
	with("DBUS_SESSION_BUS_ADDRESS=tcp:host=127.0.0.1,port=1").refused(`{}`, helper.CodeKeyringUnavailable)
	with("X509_CREDENTIAL_PROFILE=../../x").refused(`{}`, helper.CodeInvalidRequest)
	for _, url := range []string{"root://user@h/x", "root://h/%2e%2e/x", "root://h/..", "file:///x"} {
		g.refused(`{"url":"`+url+`"}`, helper.CodeInvalidRequest)
	}
	g.get(`{"url":"root://h//a//b"}`) // the default profile has no patterns

	config := g.path("config.toml")
	if err := os.Chmod(config, 0o620); err != nil {
		t.Fatal(err)
	}
	g.refused(`{}`, helper.CodePolicyRefused)
	if err := os.Chmod(config, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	hostile := string(text) + "\n[profile.\"../../x\"]\nbackend = \"myproxy\"\n"
	if err := os.WriteFile(config, []byte(hostile), 0o600); err != nil {
		t.Fatal(err)
	}
	g.refused(`{"profile":"../../x"}`, helper.CodeInvalidRequest)
	g.get(`{}`)
}

// TestTamperedCache: a changed entry is a miss; a file that others may read or
// replace is refused.
func TestTamperedCache(t *testing.T) {
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		g.store(passphrase)
		g.get(`{}`)
		entries, err := filepath.Glob(filepath.Join(g.keyring.Home, ".cache/x509-credential-helper/v1/*/*.xche"))
		if err != nil || len(entries) != 1 {
			t.Fatalf("entries: %v, %v", entries, err)
		}
		data, err := os.ReadFile(entries[0])
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(entries[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		if a := g.get(`{}`); a.Source != helper.SourceBackend {
			t.Error("a flipped byte was served")
		}
		if err := os.Chmod(entries[0], 0o644); err != nil {
			t.Fatal(err)
		}
		g.refused(`{}`, helper.CodeStorageError)
		if err := os.Remove(entries[0]); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/dev/zero", entries[0]); err != nil {
			t.Fatal(err)
		}
		g.refused(`{}`, helper.CodeStorageError)
	})
}
