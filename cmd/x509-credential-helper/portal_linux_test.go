package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term/ptytest"
)

// The client that is registered at the portals here, and who logs in there. The
// secret is another one in each run, see passphrase.
const (
	portalClientID = "myproxy:oa4mp,2012:/client_id/cli"
	portalDN       = "/C=XX/O=Sandbox/OU=People/CN=Jane Roe"
	portalQuestion = "Client secret of " + portalClientID
)

var portalSecret = "canary-" + canary + "-client"

// portalWorld is a world with a Master Portal and the profile "egi".
type portalWorld struct {
	*world
	t        *testing.T
	portal   *sandbox.Portal
	redirect string
}

// newPortalWorld is in the session of k, which keeps what a login brings; nil is
// a machine without a keyring.
func newPortalWorld(t *testing.T, k *lab.Keyring, change ...func(*sandbox.PortalOptions, *sandbox.PortalClient)) *portalWorld {
	t.Helper()
	p := &portalWorld{t: t}
	if k == nil {
		p.world = newWorld(t, inMemory)
	} else {
		p.world = keyringWorld(t, k)
	}
	port := registeredPort(t)
	p.redirect = "http://127.0.0.1:" + port + "/callback"
	o := sandbox.PortalOptions{Users: []sandbox.PortalUser{{Subject: "jane@sandbox.invalid", Name: "Jane Roe"}}}
	c := sandbox.PortalClient{ID: portalClientID, Secret: portalSecret, Name: "x509-credential-helper", RedirectURIs: []string{p.redirect}, RefreshLife: 30 * 24 * time.Hour}
	for _, f := range change {
		f(&o, &c)
	}
	o.Clients = []sandbox.PortalClient{c}
	var err error
	if p.portal, err = p.server.StartPortal(o); err != nil {
		t.Fatal(err)
	}
	p.profile("redirect_ports = [" + port + "]")
	return p
}

// registeredPort is a port for a login. It is free, and likely to be so when the
// login comes: the system gives higher ones to whoever wants any.
func registeredPort(t testing.TB) string {
	t.Helper()
	for {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		socket, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			socket.Close()
			return port
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// profile writes the profile "egi", with further lines, before the other one.
func (p *portalWorld) profile(lines string) {
	p.t.Helper()
	file := p.path("config.toml")
	before, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(before), "[profile.\"lab\"]")
	if !ok {
		p.t.Fatalf("the configuration:\n%s", before)
	}
	text := fmt.Sprintf("default_profile = \"egi\"\n\n[profile.egi]\nbackend = \"rcauth\"\nportal = %q\nclient_id = %q\nca_dir = %q\n%s\n\n[profile.\"lab\"]%s",
		p.portal.URL(), portalClientID, p.server.TrustDir(), lines, rest)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// withBrowser puts a desktop's xdg-open in front, which is noisy and writes the
// address down.
func (p *portalWorld) withBrowser() (opened string) {
	p.t.Helper()
	dir := p.path("desktop")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		p.t.Fatal(err)
	}
	opened = filepath.Join(dir, "opened")
	script := "#!/bin/sh\necho NOISE; echo NOISE >&2\nprintf '%s' \"$1\" >" + opened + ".new && mv " + opened + ".new " + opened + "\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		p.t.Fatal(err)
	}
	p.env = append(p.env, "PATH="+dir+":"+os.Getenv("PATH"), "DISPLAY=:99")
	return opened
}

// address waits for what was given to the browser.
func (p *portalWorld) address(opened string) string {
	p.t.Helper()
	p.waitFor("the browser", func() bool { _, err := os.Stat(opened); return err == nil })
	address, err := os.ReadFile(opened)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(address)
}

// shown is the last address that a terminal shows.
func shown(c *ptytest.Console) (address string) {
	for _, line := range strings.Split(c.Output(), "\n") {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "https://") && strings.Contains(line, "/authorize?") {
			address = line
		}
	}
	return address
}

// authorize goes to the end of the login in a browser elsewhere.
func (p *portalWorld) authorize(c *ptytest.Console) string {
	p.t.Helper()
	end, err := p.portal.Browser().Authorize(p.t.Context(), shown(c))
	if err != nil {
		p.t.Fatal(err)
	}
	return end
}

// remember keeps the client's secret, so that a login need not ask for it.
func (p *portalWorld) remember(value string) {
	p.t.Helper()
	request := fmt.Sprintf(`{"secret":{"kind":"client_secret","value":%q}}`, value)
	check(p.t, p.world, "store", p.run(request, "store"), "")
}

// browse logs in with a browser on this machine; the page must have that text.
func (p *portalWorld) browse(b *sandbox.Browser, text string) result {
	p.t.Helper()
	opened := p.withBrowser()
	c := p.start(p.command("login"))
	if _, page, err := b.Login(p.t.Context(), p.address(opened)); err != nil || !strings.Contains(page, text) {
		p.t.Errorf("the page has no %q: %v\n%s", text, err, page)
	}
	return c.wait()
}

// TestBrowserLogin: the whole way with a browser on this machine: consent, page,
// session in a real keyring, then proxies without anybody there, and its end.
func TestBrowserLogin(t *testing.T) {
	w := newPortalWorld(t, lab.StartKeyring(t))
	w.remember(portalSecret)
	r := w.browse(w.portal.Browser(), "You are logged in")
	if r.status != 0 || !strings.Contains(r.stdout, "egi: a proxy of "+portalDN+" for 12 h;\nthe session is kept in the keyring: no login is needed for 11 d, until ") {
		t.Errorf("login: %+v", r)
	}
	if strings.Contains(r.stdout+r.stderr, "NOISE") || strings.Contains(r.stdout+r.stderr, portalSecret) {
		t.Errorf("login says too much: %+v", r)
	}
	check(t, w.world, "get", w.run(`{"cache":"bypass"}`, "get"), "")
	for command, want := range map[string]string{"userinfo": "subject DN          CN=Jane Roe,OU=People,O=Sandbox,C=XX", "info": "left without login  11 d"} {
		if r := w.run("", "rcauth", command); r.status != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%s: %+v", command, r)
		}
		r := w.run("", "rcauth", command, "--json")
		if err := conforms(t, "rcauth", []byte(r.stdout)); err != nil {
			t.Errorf("%s --json: %v\n%s", command, err, r.stdout)
		}
	}
	if r := w.run("", "rcauth", "revoke"); r.stdout != "egi: the session has ended, at the portal and here\n" {
		t.Errorf("revoke: %+v", r)
	}
	check(t, w.world, "get after revoke", w.run(`{"cache":"bypass"}`, "get"), "interaction_required")
	check(t, w.world, "get from the cache", w.run("{}", "get"), "")
	if r := w.run("", "rcauth", "revoke"); r.status != 4 {
		t.Errorf("revoke again: %+v", r)
	}
	if r := w.run("", "logout"); r.stdout != "erased: 1 proxy, no pass phrase\nkept: the client secret\n" {
		t.Errorf("logout: %+v", r)
	}
}

// TestPasteLogin: over ssh no browser is started; the way with a tunnel is shown,
// a wrong paste is explained, a right one is the login. Nothing is left of the
// question on the terminal.
func TestPasteLogin(t *testing.T) {
	w := newPortalWorld(t, lab.StartKeyring(t))
	opened := w.withBrowser()
	w.env = append(w.env, "SSH_CONNECTION=192.0.2.1 1 192.0.2.2 22", "LOGNAME=jane")
	c := ptytest.Start(t, w.command("login"))
	c.Expect(portalQuestion)
	c.Type(portalSecret + "\n")
	c.Expect("Open this address in a browser:")
	host := strings.TrimPrefix(strings.TrimSuffix(w.redirect, "/callback"), "http://")
	c.Expect("ssh -N -L " + strings.TrimPrefix(host, "127.0.0.1:") + ":" + host + " jane@")
	c.Expect("Address: ")
	end := w.authorize(c)
	_, state, _ := strings.Cut(end, "state=")
	state, _, _ = strings.Cut(state, "&")
	for _, wrong := range [][2]string{
		{"https://example.org/", "That cannot be used: this is not the URL at which the login ends"},
		{strings.Replace(end, state, "x"+state[1:], 1), "That address belongs to another login"},
		{"", ""},
	} {
		c.Type(wrong[0] + "\n")
		c.Expect(wrong[1])
		c.Expect("Address: ")
	}
	c.Type(end + "\n")
	c.Expect("egi: a proxy of " + portalDN)
	if status := c.Wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	if !c.Echo() || strings.Contains(c.Output(), portalSecret) {
		t.Errorf("the terminal:\n%s", c.Output())
	}
	if _, err := os.Stat(opened); err == nil {
		t.Error("a browser was started over ssh")
	}
}

// TestNoBrowser: nobody wants a browser here, or nobody would see it. The
// listener waits all the same, for a tunnel; Ctrl-C gives up, and leaves the
// terminal and what was kept before as they were.
func TestNoBrowser(t *testing.T) {
	w := newPortalWorld(t, lab.StartKeyring(t))
	w.remember(portalSecret)
	opened := w.withBrowser()
	c := ptytest.Start(t, w.command("login", "--no-browser", "--idp", "https://idp.example.org/a b"))
	c.Expect("Address: ")
	if address := shown(c); !strings.Contains(address, "idphint=https%3A%2F%2Fidp.example.org%2Fa+b") {
		t.Errorf("the address: %s", address)
	}
	if _, page, err := w.portal.Browser().Login(t.Context(), shown(c)); err != nil || !strings.Contains(page, "You are logged in") {
		t.Errorf("through a tunnel: %v, %s", err, page)
	}
	c.Expect("egi: a proxy of " + portalDN)
	if status := c.Wait(); status != 0 || !c.Echo() {
		t.Errorf("status %d, echo %t", status, c.Echo())
	}
	w.env = append(w.env, "DISPLAY=") // --no-browser is not needed then
	c = ptytest.Start(t, w.command("login"))
	c.Expect("ssh -N -L")
	c.Expect("Address: ")
	c.Type("half an addr\x03")
	if status := c.Wait(); status != 130 || !c.Echo() {
		t.Errorf("after Ctrl-C: status %d, echo %t", status, c.Echo())
	}
	if _, err := os.Stat(opened); err == nil {
		t.Error("a browser was started")
	}
	check(t, w.world, "get", w.run(`{"cache":"bypass"}`, "get"), "")
	if r := w.run("", "login", "lab", "--idp", "https://idp.example.org/"); r.status != 2 || !strings.Contains(r.stderr, "no identity provider to choose") {
		t.Errorf("a login without a browser: %+v", r)
	}
	if r := w.run("", "logout", "--all"); r.stdout != "erased: 1 proxy, 1 session, 1 client secret, of all profiles\n" {
		t.Errorf("logout --all: %+v", r)
	}
}

// TestDeclinedLogin: who says no in the browser is told so there and here, and
// nothing is kept.
func TestDeclinedLogin(t *testing.T) {
	w := newPortalWorld(t, lab.StartKeyring(t))
	w.remember(portalSecret)
	b := w.portal.Browser()
	b.Deny = true
	if r := w.browse(b, "The login was declined"); r.status != 5 || !strings.Contains(r.stderr, "access_denied") {
		t.Errorf("login: %+v", r)
	}
	check(t, w.world, "get", w.run("{}", "get"), "interaction_required")
}

// TestHostileLogin: the page says that all is well only when it is: here what
// the portal sent is refused, by the library or by the dispatcher. A clock that
// is wrong looks like an attack at first, and is called what it is.
func TestHostileLogin(t *testing.T) {
	hourAgo := time.Now().Add(-time.Hour).Unix()
	for name, tt := range map[string]struct {
		faults sandbox.PortalFaults
		page   string
		code   helper.Code
	}{
		"wrong key":    {sandbox.PortalFaults{Endpoint: "getproxy", WrongKey: true}, "The login did not work", helper.CodeInvalidCredential},
		"without VOMS": {sandbox.PortalFaults{Endpoint: "getproxy", NoVOMS: true}, "The login did not work", helper.CodeInvalidCredential},
		"wrong nonce":  {sandbox.PortalFaults{Endpoint: "token", Claims: func(c map[string]any) { c["nonce"] = "x" }}, "belongs to another login", helper.CodeInvalidCredential},
		"wrong clock":  {sandbox.PortalFaults{Endpoint: "token", Claims: func(c map[string]any) { c["exp"] = hourAgo }}, "check this machine&#39;s clock", helper.CodeClockSkew},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPortalWorld(t, lab.StartKeyring(t))
			w.profile("voms = \"testvo\"\nredirect_ports = [" + portOf(w.redirect) + "]")
			w.remember(portalSecret)
			w.portal.SetFaults(tt.faults)
			if r := w.browse(w.portal.Browser(), tt.page); r.status != tt.code.ExitStatus() {
				t.Errorf("login: %+v", r)
			}
			w.portal.SetFaults(sandbox.PortalFaults{})
			check(t, w.world, "get", w.run("{}", "get"), "interaction_required")
		})
	}
}

func portOf(redirect string) string {
	return strings.TrimSuffix(strings.TrimPrefix(redirect, "http://127.0.0.1:"), "/callback")
}

// TestWebAddressLogin: with a registered https address nobody listens: the
// address is pasted, and without a terminal the login says so at once.
func TestWebAddressLogin(t *testing.T) {
	const redirect = "https://gateway.example.org/callback"
	w := newPortalWorld(t, lab.StartKeyring(t), func(_ *sandbox.PortalOptions, c *sandbox.PortalClient) { c.RedirectURIs = []string{redirect} })
	w.profile("redirect_uri = \"" + redirect + "\"")
	w.remember(portalSecret)
	if r := w.run("", "login"); r.status != 4 || !strings.Contains(r.stderr, "has to be pasted on a terminal") {
		t.Errorf("without a terminal: %+v", r)
	}
	c := ptytest.Start(t, w.command("login"))
	c.Expect("The login ends at a page of " + redirect)
	c.Expect("Address: ")
	c.Type(w.authorize(c) + "\n")
	c.Expect("egi: a proxy of " + portalDN)
	if status := c.Wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	c = ptytest.Start(t, w.command("login"))
	c.Expect("Address: ")
	c.Type("\x04")
	if status := c.Wait(); status != 130 {
		t.Errorf("after Ctrl-D: status %d\n%s", status, c.Output())
	}
}

// TestWrongClientSecret: the secret is asked for again, though one is kept.
func TestWrongClientSecret(t *testing.T) {
	w := newPortalWorld(t, lab.StartKeyring(t))
	w.remember("another")
	c := ptytest.Start(t, w.command("login", "--no-browser"))
	c.Expect("Address: ")
	if _, page, err := w.portal.Browser().Login(t.Context(), shown(c)); err != nil || !strings.Contains(page, "did not work") {
		t.Errorf("the browser: %v\n%s", err, page)
	}
	c.Expect("try again")
	c.Expect(portalQuestion)
	c.Type(portalSecret + "\n")
	c.Expect("Address: ")
	c.Type(w.authorize(c) + "\n")
	c.Expect("egi: a proxy of " + portalDN)
	if status := c.Wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	check(t, w.world, "get", w.run(`{"cache":"bypass"}`, "get"), "")
}
