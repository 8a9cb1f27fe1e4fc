package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// TestMainJob is what the program is for: store a pass phrase in the system
// keyring, get < request.json, a verified proxy, and again from the cache
// without any network or trust anchor.
func TestMainJob(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			onBoth(t, gridOptions{maximum: version}, func(t *testing.T, g *grid) {
				g.store(passphrase)
				first := g.get(`{"min_lifetime":3600}`)
				if first.Source != helper.SourceBackend || first.StoredIn != "keyring" || first.Credential.Type != "rfc3820" {
					t.Errorf("first: %+v", first)
				}
				if len(first.Warnings) != 0 {
					t.Errorf("warnings: %+v", first.Warnings)
				}
				g.judge(first)
				g.stop()
				g.hide(g.trustDir)
				second := g.get(`{"min_lifetime":3600}`)
				if len(second.Warnings) != 0 {
					t.Errorf("warnings from the cache: %+v", second.Warnings)
				}
				if second.Source != helper.SourceCache || second.Credential.Fingerprint != first.Credential.Fingerprint {
					t.Errorf("second: %+v", second)
				}
				if n := g.connections(); n != 1 {
					t.Errorf("%d connections, expected 1", n)
				}
				g.onlySealed()
			})
		})
	}
}

// hide takes a file or directory away until the test ends.
func (g *grid) hide(path string) {
	g.t.Helper()
	away := path + ".away"
	if err := os.Rename(path, away); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		if err := os.Rename(away, path); err != nil {
			g.t.Error(err)
		}
	})
}

// judge lets other programs look at a proxy: OpenSSL and Globus.
func (g *grid) judge(a *helper.GetAnswer) {
	g.t.Helper()
	cred, err := gsi.ParseCredential(a.Credential.PEM) // fails unless key and certificate fit
	if err != nil {
		g.t.Fatal(err)
	}
	if len(cred.Chain) < 2 {
		g.t.Errorf("%d certificates", len(cred.Chain))
	}
	file := g.path("judged.pem")
	if err := os.WriteFile(file, a.Credential.PEM, 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.tool("openssl", "verify", "-allow_proxy_certs", "-CApath", g.trustDir, "-untrusted", file, file)
	certificate := g.tool("openssl", "x509", "-in", file, "-noout", "-pubkey")
	key := g.tool("openssl", "pkey", "-in", file, "-pubout")
	if certificate != key {
		g.t.Error("the key is not that of the certificate")
	}
	lab.Require(g.t, lab.GridTools)
	info := g.tool("grid-proxy-info", "-file", file)
	if !strings.Contains(info, "RFC 3820 compliant impersonation proxy") || !strings.Contains(info, a.Credential.Identity) {
		g.t.Errorf("grid-proxy-info says:\n%s", info)
	}
	g.tool("grid-proxy-info", "-file", file, "-exists", "-valid", "1:00")
}

// tool runs another program, which has to succeed.
func (g *grid) tool(program string, args ...string) string {
	g.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "X509_CERT_DIR="+g.trustDir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Errorf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// onlySealed looks through everything below the machine's home and cache for a
// private key: with credentials in the keyring's care none lies about.
func (g *grid) onlySealed() {
	g.t.Helper()
	for _, root := range []string{g.keyring.Home, g.path("run"), g.keyring.Runtime} {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.Type() != 0 && !d.IsDir() {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			ours := strings.Contains(path, "x509-credential-helper") || strings.HasPrefix(path, g.path("run"))
			if ours && info.Mode().Perm()&0o077 != 0 {
				g.t.Errorf("%s has mode %o", path, info.Mode().Perm())
			}
			if d.IsDir() {
				return nil
			}
			data, err := os.ReadFile(path)
			if err == nil && (bytes.Contains(data, []byte("PRIVATE KEY")) || bytes.Contains(data, []byte(passphrase))) {
				g.t.Errorf("%s holds a secret", path)
			}
			return nil
		})
		if err != nil {
			g.t.Error(err)
		}
	}
}

// TestXrdcp: a real xrootd lets a real xrdcp in with what exec gives it.
func TestXrdcp(t *testing.T) {
	lab.Require(t, lab.XRootDServer, lab.XRootDClient)
	g := newGrid(t)
	mp := lab.StartMyProxy(t, lab.MyProxyOptions{})
	user := mp.CA.User("Jane Doe")
	mp.Store(jane, passphrase, user)
	g.addr, g.trustDir, g.connections = mp.Addr, mp.TrustDir, mp.Connections
	g.write("")
	x := lab.StartXRootD(t, mp.CA, user.DN())
	if err := os.WriteFile(filepath.Join(x.Data, "file"), []byte("from afar"), 0o644); err != nil {
		t.Fatal(err)
	}
	g.store(passphrase)
	copied := g.path("copied")
	r := g.run("", "exec", "--", "xrdcp", "--nopbar", x.URL+"//data/file", copied)
	if r.status != 0 {
		t.Fatalf("status %d: %s%s", r.status, r.stdout, r.stderr)
	}
	if data, err := os.ReadFile(copied); err != nil || string(data) != "from afar" {
		t.Errorf("got %q, %v", data, err)
	}
	mp.Stop()
	for range 2 { // the same proxy, no server
		if r := g.run("", "exec", "--", "xrdfs", strings.Replace(x.URL, "root://", "root://", 1), "stat", "/data/file"); r.status != 0 {
			t.Errorf("status %d: %s%s", r.status, r.stdout, r.stderr)
		}
	}
	if n := g.connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestOnlineCA: a server in CA mode gives an end-entity certificate.
func TestOnlineCA(t *testing.T) {
	onBoth(t, gridOptions{ca: true}, func(t *testing.T, g *grid) {
		g.store(passphrase)
		a := g.get(`{}`)
		if a.Credential.Type != "eec" || a.Credential.Subject != a.Credential.Identity || strings.Count(string(a.Credential.PEM), "BEGIN CERTIFICATE") != 1 {
			t.Errorf("got %+v", a)
		}
		limited := g.get(`{"limited":true}`) // which such a server cannot make
		if limited.Credential.Type != "rfc3820" || !limited.Credential.Limited {
			t.Errorf("limited: %+v", limited)
		}
	})
	onBoth(t, gridOptions{ca: true, profile: `key = "p256"`}, func(t *testing.T, g *grid) {
		g.store(passphrase)
		g.refused(`{}`, helper.CodeServerRefused)
	})
}

func TestNamedCredential(t *testing.T) {
	onBoth(t, gridOptions{profile: `credential_name = "second"`}, func(t *testing.T, g *grid) {
		g.store(passphrase)
		g.refused(`{}`, helper.CodeNotFound)
		g.named("second")
		g.get(`{}`)
	})
}

// TestLimitedAndKeys: what the certificate request asks for is what comes, for
// every kind of key.
func TestLimitedAndKeys(t *testing.T) {
	for _, key := range []string{"rsa2048", "rsa3072", "p256"} {
		t.Run(key, func(t *testing.T) {
			onBoth(t, gridOptions{profile: fmt.Sprintf("key = %q\nlimited = true", key)}, func(t *testing.T, g *grid) {
				g.store(passphrase)
				a := g.get(`{}`)
				if !a.Credential.Limited || strings.Count(string(a.Credential.PEM), "BEGIN CERTIFICATE") != 2 {
					t.Errorf("got %+v", a)
				}
				g.refused(`{"limited":false}`, helper.CodePolicyRefused)
			})
		})
	}
}

// TestLifetimes: a server that grants less than was asked for says nothing
// about it; we do, and do not ask it twice for what it does not grant.
func TestLifetimes(t *testing.T) {
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		g.store(passphrase)
		a := g.get(`{"lifetime":86400}`)
		if len(a.Warnings) != 1 || a.Warnings[0].Code != "lifetime_clipped" {
			t.Errorf("warnings: %+v", a.Warnings)
		}
		before := g.connections()
		e := g.refused(`{"min_lifetime":86400}`, helper.CodeLifetimeUnavailable)
		if e.Granted < 43100 || e.Granted > 43200 {
			t.Errorf("granted %d", e.Granted)
		}
		g.refused(`{"min_lifetime":86400}`, helper.CodeLifetimeUnavailable)
		if n := g.connections() - before; n != 0 { // the first call was clipped already
			t.Errorf("%d connections for what the server does not grant", n)
		}
	})
	onBoth(t, gridOptions{}, func(t *testing.T, g *grid) {
		g.store(passphrase)
		g.refused(`{"min_lifetime":86400}`, helper.CodeLifetimeUnavailable)
		g.refused(`{"min_lifetime":86400}`, helper.CodeLifetimeUnavailable)
		if n := g.connections(); n != 1 {
			t.Errorf("%d connections, expected 1", n)
		}
		if a := g.get(`{}`); a.Source != helper.SourceCache {
			t.Error("what was granted is not kept")
		}
	})
}

// TestVOMSMissing: a server that does no VOMS says nothing and sends a plain
// proxy.
func TestVOMSMissing(t *testing.T) {
	onBoth(t, gridOptions{strict: true, profile: `voms = ["testvo:/testvo/Role=pilot"]`}, func(t *testing.T, g *grid) {
		g.store(passphrase)
		g.refused(`{}`, helper.CodeInvalidCredential)
		g.get(`{"voms":[]}`)
	})
	onBoth(t, gridOptions{profile: "voms = \"testvo\"\nvomses = ['\"testvo\" \"127.0.0.1\" \"9\" \"/C=XX/CN=voms\" \"testvo\"']"}, func(t *testing.T, g *grid) {
		g.store(passphrase)
		g.refused(`{}`, helper.CodeServerRefused)
	})
}

// TestVOMS: attributes that were asked for are in the answer and in what other
// programs read of it.
func TestVOMS(t *testing.T) {
	g := sandboxGrid(t, gridOptions{member: true, profile: `voms = ["testvo:/testvo/Role=pilot"]`})
	g.store(passphrase)
	a := g.get(`{}`)
	if v := a.Credential.VOMS; len(v) != 1 || v[0].VO != "testvo" || v[0].FQANs[0] != "/testvo/Role=pilot" || v[0].NotAfter.Before(a.Credential.NotAfter) {
		t.Errorf("got %+v", v)
	}
	if b := g.get(`{"voms":[]}`); len(b.Credential.VOMS) != 0 || b.Credential.Fingerprint == a.Credential.Fingerprint {
		t.Errorf("without: %+v", b.Credential)
	}
	g.refused(`{"voms":["testvo:/testvo/Role=king"]}`, helper.CodeServerRefused)

	lab.Require(t, lab.GridTools)
	file := g.path("voms.pem")
	if err := os.WriteFile(file, a.Credential.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("voms-proxy-info", "-file", file, "-all")
	cmd.Env = append(os.Environ(), "X509_CERT_DIR="+g.trustDir, "X509_VOMS_DIR="+g.server.VOMSDir())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "/testvo/Role=pilot") {
		t.Errorf("voms-proxy-info: %v\n%s", err, out)
	}
}

// TestHostNames: the forms in which a grid's host certificates name their host.
func TestHostNames(t *testing.T) {
	for _, kind := range []lab.HostKind{lab.HostCN, lab.HostHostCN, lab.HostMyProxyCN} {
		t.Run(string(kind), func(t *testing.T) {
			onBoth(t, gridOptions{host: kind}, func(t *testing.T, g *grid) {
				g.store(passphrase)
				g.get(`{}`)
			})
		})
	}
}
