package myproxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// repository answers like a repository with the user's credential; spoil may
// change the chain that it sends.
func repository(w *world, user *gsi.Credential, first string, spoil func([]*x509.Certificate) []*x509.Certificate) handler {
	return func(f *fake, c *tls.Conn, _ net.Conn) {
		f.request(c)
		_, _ = io.WriteString(c, first)
		buf := make([]byte, 64<<10)
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		chain, err := gsi.Delegate(user, buf[:n], gsi.IssueOptions{Now: w.now, Lifetime: time.Hour})
		if err != nil {
			w.t.Error(err)
			return
		}
		if spoil != nil {
			chain = spoil(chain)
		}
		_, _ = c.Write(chainMessage(chain))
		_, _ = io.WriteString(c, okResponse)
	}
}

func TestGetDelegation(t *testing.T) {
	w := newWorld(t)
	alice := w.user("Alice")
	f := w.serve(nil, repository(w, alice, okResponse, nil))
	c := w.client(f.addr)
	key := newKey(t)
	csr, err := gsi.NewRequest(key, false)
	must(t, err)
	for _, tc := range []struct {
		name  string
		req   DelegationRequest
		check func(*Delegation) bool
	}{
		{"RSA-2048 by default", DelegationRequest{}, func(d *Delegation) bool { return d.Key.(*rsa.PrivateKey).N.BitLen() == 2048 }},
		{"a kind of key", DelegationRequest{KeyKind: gsi.KeyP256}, func(d *Delegation) bool { return d.Key.(*ecdsa.PrivateKey).Curve == elliptic.P256() }},
		{"a key size", DelegationRequest{KeyBits: 3072}, func(d *Delegation) bool { return d.Key.(*rsa.PrivateKey).N.BitLen() == 3072 }},
		{"a key wins over a kind", DelegationRequest{Key: key, KeyKind: "rsa3072"}, func(d *Delegation) bool { return d.Key == key }},
		{"a request in DER wins over a key", DelegationRequest{Request: csr, Key: newKey(t)}, func(d *Delegation) bool { return d.Key == nil && sameKey(d.Leaf().PublicKey, key.Public()) }},
		{"a request in PEM", DelegationRequest{Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})},
			func(d *Delegation) bool { return d.Key == nil && sameKey(d.Leaf().PublicKey, key.Public()) }},
		{"limited", DelegationRequest{KeyKind: gsi.KeyP256, Limited: true}, func(d *Delegation) bool { return d.Info.Limited }},
		{"renewal", DelegationRequest{KeyKind: gsi.KeyP256, LogonRequest: LogonRequest{Renew: alice}}, func(d *Delegation) bool { return d.Info.Identity == "/C=XX/CN=Alice" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.req.Username = "jane"
			got, err := c.GetDelegation(t.Context(), tc.req)
			must(t, err)
			if !tc.check(got) || got.Server != f.addr || got.Info == nil || got.Info.Limited != tc.req.Limited {
				t.Errorf("got %+v", got.Info)
			}
			if got.Key != nil {
				must(t, got.Verify(gsi.VerifyOptions{Now: w.now}))
			}
		})
	}
}

// What a server sends in place of what was asked for is never returned.
func TestGetDelegationRefuses(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.user("Alice"), w.user("Bob")
	otherKey, err := bob.Derive(newKey(t), gsi.IssueOptions{Now: w.now, Lifetime: time.Hour})
	must(t, err)
	csr, err := gsi.NewRequest(newKey(t), false)
	must(t, err)
	type chain = []*x509.Certificate
	for _, tc := range []struct {
		name   string
		spoil  func(chain) chain
		req    DelegationRequest
		reason string
	}{
		{"a certificate for another key", func(chain) chain { return otherKey.Chain }, DelegationRequest{}, "another key"},
		{"the same, with a given request", func(chain) chain { return otherKey.Chain }, DelegationRequest{Request: csr}, "another key"},
		{"a short chain", func(c chain) chain { return c[:1] }, DelegationRequest{}, "not good"},
		{"somebody else's issuer", func(c chain) chain { return chain{c[0], bob.Chain[0]} }, DelegationRequest{}, "not good"},
		{"the chain twice", func(c chain) chain { return append(c, c...) }, DelegationRequest{}, "not good"},
		{"a full proxy for a limited one", nil, DelegationRequest{Request: csr, Limited: true}, "full proxy"},
		{"no VOMS attributes", nil, DelegationRequest{LogonRequest: LogonRequest{VOMS: []string{"atlas:/atlas/Role=x"}}}, "lacks the VOMS attribute atlas:/atlas/Role=x"},
		{"somebody else's proxy for a renewal", nil, DelegationRequest{LogonRequest: LogonRequest{Renew: bob}}, "somebody else"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.req.Username, tc.req.KeyKind = "jane", gsi.KeyP256
			got, err := w.client(w.serve(nil, repository(w, alice, okResponse, tc.spoil)).addr).GetDelegation(t.Context(), tc.req)
			var bad *CertificateError
			if got != nil || !errors.As(err, &bad) || !strings.Contains(err.Error(), tc.reason) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	c := w.client(w.serve(nil, repository(w, alice, okResponse, nil)).addr)
	c.Clock = func() time.Time { return w.now.Add(2 * time.Hour) }
	var bad *CertificateError
	if _, err := c.GetDelegation(t.Context(), DelegationRequest{LogonRequest: LogonRequest{Username: "jane"}, KeyKind: gsi.KeyP256}); !errors.As(err, &bad) {
		t.Errorf("an expired proxy: got %v", err)
	}
}

func TestGetDelegationRequests(t *testing.T) {
	c := &Client{Hosts: []string{"localhost:1"}, Dial: noDial(t)}
	csr, err := gsi.NewRequest(newKey(t), false)
	must(t, err)
	spoilt := append([]byte{}, csr...)
	spoilt[len(spoilt)-1] ^= 1
	for name, req := range map[string]DelegationRequest{
		"no user name":                   {Bootstrap: &BootstrapRequest{Confirm: func(context.Context, ServerChain) error { return nil }}, TrustRootsDir: t.TempDir()},
		"a CSR function":                 {LogonRequest: LogonRequest{CSR: csrUnused}},
		"garbage":                        {Request: []byte("garbage")},
		"a request signed by nobody":     {Request: spoilt},
		"an odd key size":                {KeyBits: 1024},
		"a size that is not the kind's":  {KeyBits: 2048, KeyKind: gsi.KeyP256},
		"an unknown kind":                {KeyKind: "dsa"},
		"a relative directory":           {UpdateTrustRoots: true, TrustRootsDir: "certs"},
		"a bootstrap without a place":    {Bootstrap: new(BootstrapRequest)},
		"a renewal with a pass phrase":   {Key: newKey(t), LogonRequest: LogonRequest{Renew: &gsi.Credential{}, Passphrase: []byte(canary)}},
		"a renewal without certificates": {Key: newKey(t), LogonRequest: LogonRequest{Renew: &gsi.Credential{}}},
		"a renewal without a key":        {Key: newKey(t), LogonRequest: LogonRequest{Renew: &gsi.Credential{Chain: []*x509.Certificate{{}}}}},
	} {
		var e *RequestError
		if req.Username == "" && name != "no user name" {
			req.Username = "jane"
		}
		if _, err := c.GetDelegation(t.Context(), req); !errors.As(err, &e) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Bootstrap and logon are two connections: the first without a user name, the
// second verified against what the first brought.
func TestGetDelegationBootstrap(t *testing.T) {
	w := newWorld(t)
	alice := w.user("Alice")
	dir := filepath.Join(t.TempDir(), "certificates")
	files, err := os.ReadDir(w.dir)
	must(t, err)
	var list []string
	for _, file := range files {
		list = append(list, file.Name(), string(readFile(t, filepath.Join(w.dir, file.Name()))))
	}
	var said []string
	f := w.serve(nil, func(f *fake, c *tls.Conn, raw net.Conn) {
		if len(said) > 0 {
			said = append(said, "logon")
			repository(w, alice, rootsResponse(list...), nil)(f, c, raw)
			return
		}
		said = append(said, f.request(c))
		_, _ = io.WriteString(c, rootsResponse(list...))
	})
	c := w.client(f.addr)
	c.Trust = nil
	req := DelegationRequest{
		LogonRequest: LogonRequest{Username: "jane", Passphrase: []byte(canary)}, KeyKind: gsi.KeyP256,
		Bootstrap:        &BootstrapRequest{Confirm: func(context.Context, ServerChain) error { return nil }},
		UpdateTrustRoots: true, TrustRootsDir: dir,
	}
	got, err := c.GetDelegation(t.Context(), req)
	must(t, err)
	if len(said) != 2 || said[0] != bootstrapRequest || got.Installed == nil || len(got.Installed.Unchanged) != len(files) {
		t.Errorf("got %+v, the server was told %q", got.Installed, said)
	}
	if now, err := os.ReadDir(dir); err != nil || len(now) < len(files) {
		t.Errorf("%d files, %v", len(now), err)
	}
}

// A logon that brings trust roots along trusts nobody new unless it says so:
// nobody was asked.
func TestGetDelegationNewAuthority(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	other.ca = other.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "Another CA"}, NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}, other.key.Public())
	alice := w.user("Alice")
	name := filepath.Base(other.path(".0"))
	f := w.serve(nil, repository(w, alice, rootsResponse(name, string(certificatePEM(other.ca))), nil))
	for _, tc := range []struct {
		mode InstallMode
		want []string
	}{{UpdateOnly, nil}, {All, []string{name}}} {
		dir := t.TempDir()
		got, err := w.client(f.addr).GetDelegation(t.Context(), DelegationRequest{
			LogonRequest: LogonRequest{Username: "jane", Passphrase: []byte(canary)}, KeyKind: gsi.KeyP256,
			UpdateTrustRoots: true, TrustRootsMode: tc.mode, TrustRootsDir: dir,
		})
		must(t, err)
		there, err := filepath.Glob(filepath.Join(dir, "*.0"))
		must(t, err)
		if got.Installed == nil || len(got.Installed.New) != 1 || len(there) != len(tc.want) {
			t.Errorf("mode %d: %q, %+v", tc.mode, there, got.Installed)
		}
	}
}

// Trust roots with hostile names leave the directory as it is, and what lies
// around it.
func TestHostileTrustRoots(t *testing.T) {
	w := newWorld(t)
	alice := w.user("Alice")
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.ca.Raw}))
	name := filepath.Base(w.path(".0"))
	many := []string{name, ca}
	for range 5000 {
		many = append(many, "x"+rand.Text()+".0", ca)
	}
	for what, files := range map[string][]string{
		"../x":               {name, ca, "../x", ca},
		"/abs":               {name, ca, filepath.Join(os.TempDir(), "abs"), ca},
		".hidden":            {name, ca, ".hidden", ca},
		"NUL":                {name, ca, "a\x00b", ca},
		"more than 4096":     many,
		"no certificate":     {name, "garbage"},
		"somebody else's CA": {"00000000.0", ca},
	} {
		t.Run(what, func(t *testing.T) {
			above := t.TempDir()
			dir := filepath.Join(above, "certificates")
			f := w.serve(nil, repository(w, alice, rootsResponse(files...), nil))
			got, err := w.client(f.addr).GetDelegation(t.Context(), DelegationRequest{
				LogonRequest: LogonRequest{Username: "jane", Passphrase: []byte(canary)}, KeyKind: gsi.KeyP256,
				UpdateTrustRoots: true, TrustRootsMode: All, TrustRootsDir: dir,
			})
			var install *gsi.InstallError
			notInstalled := errors.As(err, &install)
			if !isTyped(err) && !notInstalled {
				t.Errorf("got %v", err)
			}
			if notInstalled && (got == nil || got.Key == nil || got.Installed != nil) { // the server may not give another
				t.Errorf("the credential is lost: %+v", got)
			}
			_ = filepath.WalkDir(above, func(path string, d os.DirEntry, _ error) error {
				if !d.IsDir() {
					t.Errorf("%s was written", path)
				}
				return nil
			})
		})
	}
}

// Only digits are ever signed for a server, by whatever algorithm it offers.
func TestProof(t *testing.T) {
	w := newWorld(t)
	alice := w.user("Alice")
	digits := strings.Repeat("0123456789abcdef", 2)
	for _, tc := range []struct {
		name       string
		challenges []string
		method     byte // 0: refused
	}{
		{"SHA-256 is preferred", []string{challengeSHA1 + digits, challengeSHA256 + digits}, proofSHA256},
		{"SHA-1 alone", []string{challengeSHA1 + digits}, proofSHA1},
		{"unknown kinds are passed over", []string{"SASL:x", challengeSHA256 + digits}, proofSHA256},
		{"unknown kinds alone", []string{"passwd:x"}, 0},
		{"none", nil, 0},
		{"a text", []string{challengeSHA256 + "please sign this certificate"}, 0},
		{"a short one", []string{challengeSHA256 + digits[:minChallenge-1]}, 0},
		{"the shortest", []string{challengeSHA256 + digits[:minChallenge]}, proofSHA256},
		{"the longest", []string{challengeSHA256 + strings.Repeat("0", maxChallenge)}, proofSHA256},
		{"a longer one", []string{challengeSHA256 + strings.Repeat("0", maxChallenge+1)}, 0},
	} {
		proof, err := makeProof(alice, tc.challenges)
		var p *ProtocolError
		if tc.method == 0 {
			if !errors.As(err, &p) {
				t.Errorf("%s: got %v", tc.name, err)
			}
			continue
		}
		if err != nil || proof[0] != tc.method || len(proof) > maxMessageOut {
			t.Errorf("%s: got method %v, %v", tc.name, proof[:1], err)
		}
	}
}
