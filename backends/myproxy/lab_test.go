package myproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// realClient talks to a real myproxy-server.
func realClient(m *lab.MyProxy) *Client {
	return &Client{
		Hosts: []string{m.Addr}, DialTimeout: patience / 2, IOTimeout: patience,
		Trust: func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir(m.TrustDir) },
	}
}

// realLogon asks with a key of that type and verifies what came.
func realLogon(t *testing.T, c *Client, key gsi.KeyType, limited bool, req LogonRequest) (*gsi.Info, error) {
	t.Helper()
	pending := gsi.StartKey(t.Context(), key)
	req.CSR = func(ctx context.Context) ([]byte, error) {
		k, err := pending.Wait(ctx)
		if err != nil {
			return nil, err
		}
		return gsi.NewRequest(k, limited)
	}
	got, err := c.Logon(t.Context(), req)
	if err != nil {
		return nil, err
	}
	k, err := pending.Wait(t.Context())
	must(t, err)
	cred := &gsi.Credential{Chain: got.Chain, Key: k}
	must(t, cred.Verify(gsi.VerifyOptions{Now: time.Now()}))
	trust, err := c.Trust()
	must(t, err)
	must(t, trust.Verify(got.Chain, time.Now(), gsi.TrustOptions{}))
	return gsi.Inspect(got.Chain)
}

func TestRealRepository(t *testing.T) {
	lab.Require(t, lab.MyProxyServer)
	ca := lab.NewCA(t, "X509CH Lab")
	for name, o := range map[string]lab.MyProxyOptions{
		"TLS 1.2":              {TLSMax: tls.VersionTLS12},
		"TLS 1.3":              {TLSMin: tls.VersionTLS13},
		"CN=myproxy/localhost": {Host: lab.HostMyProxyCN},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.CA = ca
			m := lab.StartMyProxy(t, o)
			m.Store("alice", canary, ca.User("Alice"))
			m.Store("alice", canary, ca.User("Alice"), "-k", "second")
			c := realClient(m)
			before := m.Connections()
			for _, tc := range []struct {
				key      gsi.KeyType
				limited  bool
				credName string
			}{{gsi.KeyRSA2048, false, ""}, {gsi.KeyRSA2048, true, ""}, {gsi.KeyP256, false, "second"}} {
				info, err := realLogon(t, c, tc.key, tc.limited,
					LogonRequest{Username: "alice", Passphrase: []byte(canary), CredentialName: tc.credName, Lifetime: time.Hour})
				if err != nil {
					t.Errorf("%+v: %v", tc, err)
					continue
				}
				if left := time.Until(info.NotAfter); info.Type != gsi.TypeRFC3820 || info.Limited != tc.limited || left > time.Hour || left < 55*time.Minute {
					t.Errorf("%+v: got %+v", tc, info)
				}
			}
			if n := m.Connections() - before; n != 3 {
				t.Errorf("%d connections for three certificates", n)
			}
		})
	}
}

func TestRealOnlineCA(t *testing.T) {
	lab.Require(t, lab.MyProxyServer)
	m := lab.StartMyProxy(t, lab.MyProxyOptions{Mode: lab.OnlineCA, Users: map[string]string{"alice": canary}})
	info, err := realLogon(t, realClient(m), gsi.KeyRSA2048, false, LogonRequest{Username: "alice", Passphrase: []byte(canary)})
	if err != nil || info.Type != gsi.TypeEEC {
		t.Errorf("got %+v, %v", info, err)
	}
	var said *ServerError
	_, err = realLogon(t, realClient(m), gsi.KeyP256, false, LogonRequest{Username: "alice", Passphrase: []byte(canary)})
	if !errors.As(err, &said) || said.Kind != KindRefused {
		t.Errorf("P-256: got %v", err)
	}
}

// The codes of refusals by a real server, each with one connection.
func TestRealRefusals(t *testing.T) {
	lab.Require(t, lab.MyProxyServer)
	m := lab.StartMyProxy(t, lab.MyProxyOptions{})
	m.Store("alice", canary, m.CA.User("Alice"))
	for _, tc := range []struct {
		name, user, pass, credName string
		code                       helper.Code
	}{
		{"wrong pass phrase", "alice", "wrong one", "", helper.CodeAuthenticationFailed},
		{"no pass phrase", "alice", "", "", helper.CodeAuthenticationFailed},
		{"unknown user", "nobody", canary, "", helper.CodeAuthenticationFailed},
		{"unknown credential", "alice", canary, "nosuch", helper.CodeNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := m.Connections()
			req, _ := logon(t)
			s := spec(profile(helper.Settings{keyServer: []string{m.Addr}, keyUsername: tc.user, keyCredName: tc.credName}), tc.pass, req)
			s.Trust = realClient(m).Trust
			_, err := New(Options{Getenv: env{}.get}).Obtain(t.Context(), s)
			if code(err) != tc.code {
				t.Errorf("got %s (%v), want %s", code(err), err, tc.code)
			}
			if n := m.Connections() - before; n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// A real server whose host certificate ended while it ran answers in clear text
// in place of the handshake.
func TestRealClearText(t *testing.T) {
	lab.Require(t, lab.MyProxyServer)
	m := lab.StartMyProxy(t, lab.MyProxyOptions{Host: lab.HostLapsed})
	req, _ := logon(t)
	var said *ServerError
	_, err := realClient(m).Logon(t.Context(), req)
	if !errors.Is(err, ErrClearText) || !errors.As(err, &said) || said.Words() != "authentication failed" {
		t.Errorf("got %v", err)
	}
}

func TestRealSilence(t *testing.T) {
	lab.Require(t, lab.MyProxyServer)
	m := lab.StartMyProxy(t, lab.MyProxyOptions{})
	m.Freeze()
	defer m.Thaw()
	c := realClient(m)
	c.DialTimeout = 500 * time.Millisecond
	req, _ := logon(t)
	var e *DialError
	if _, err := c.Logon(t.Context(), req); !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
}
