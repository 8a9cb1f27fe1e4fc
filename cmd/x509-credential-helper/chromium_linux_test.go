package main

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

const consentTitle, goodTitle = "Sandbox: log in", "You are logged in – x509-credential-helper"

// TestChromiumLogin: the whole way in a real browser that allows no scripts:
// consent, page, session in a real keyring, get, real storage. A screen reader finds the page's
// main part and heading; it fits a telephone, and dark is not light. With
// X509CH_SCREENSHOTS=DIR the pictures go there.
func TestChromiumLogin(t *testing.T) {
	w := newPortalWorld(t, lab.StartKeyring(t))
	w.remember(portalSecret)
	b := lab.StartChromium(t, w.server.HostCertificate())
	b.NoScripts()
	opened := w.withBrowser()
	c := w.start(w.command("login"))
	b.Open(w.address(opened))
	b.WaitTitle(consentTitle)
	b.Evaluate(`void(document.querySelector("button[value=allow]").click())`)
	b.WaitTitle(goodTitle)
	if r := c.wait(); r.status != 0 {
		t.Fatalf("login: %+v", r)
	}
	check(t, w.world, "get", w.run(`{"cache":"bypass"}`, "get"), "")
	w.reachStorage()
	if text := b.Evaluate("document.body.innerText"); !bytes.Contains([]byte(text), []byte(portalDN)) {
		t.Errorf("the page says\n%s", text)
	}
	looks(t, b, "good")
}

// reachStorage copies a file from a real xrootd, with real tools that exec gives
// the proxy to. The server trusts the CA of the proxies, and the tools its own.
func (p *portalWorld) reachStorage() {
	p.t.Helper()
	lab.Require(p.t, lab.XRootDServer, lab.XRootDHTTP, lab.XRootDClient, lab.GFAL)
	x := lab.StartXRootDWith(p.t, lab.NewCA(p.t, "X509CH Lab"), lab.XRootDOptions{HTTP: true, Users: []string{portalDN}})
	if err := os.CopyFS(x.TrustDir, os.DirFS(p.server.TrustDir())); err != nil {
		p.t.Fatal(err)
	}
	const text = "from afar"
	if err := os.WriteFile(filepath.Join(x.Data, "file"), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	for tool, argv := range map[string][]string{
		"xrdcp":     {"xrdcp", "--nopbar", x.URL + "//data/file"},
		"gfal-copy": {"gfal-copy", x.DAVS() + "/data/file"},
	} {
		copied := p.path(tool)
		to := map[string]string{"xrdcp": copied, "gfal-copy": "file://" + copied}[tool]
		env := []string{"env", "X509_CERT_DIR=" + x.TrustDir, "XrdSecGSICREATEPROXY=0", "GFAL_PYTHONBIN=/usr/bin/python3"}
		r := p.run("", append(append([]string{"exec", "--"}, env...), append(argv, to)...)...)
		if data, err := os.ReadFile(copied); r.status != 0 || err != nil || string(data) != text {
			p.t.Errorf("%s: %+v, %q, %v\n%s", tool, r, data, err, x.Log())
		}
	}
}

// TestChromiumDeclined: the other page, after the user said no.
func TestChromiumDeclined(t *testing.T) {
	w := newPortalWorld(t, lab.StartKeyring(t))
	w.remember(portalSecret)
	b := lab.StartChromium(t, w.server.HostCertificate())
	opened := w.withBrowser()
	c := w.start(w.command("login"))
	address := w.address(opened)
	b.Open(w.redirect + "?state=wrong&code=x")
	b.WaitTitle("This page belongs to another login – x509-credential-helper")
	looks(t, b, "other")
	b.Open(address)
	b.WaitTitle(consentTitle)
	b.Evaluate(`void(document.querySelector("button[value=deny]").click())`)
	b.WaitTitle("The login was declined – x509-credential-helper")
	looks(t, b, "declined")
	if r := c.wait(); r.status != 5 {
		t.Errorf("login: %+v", r)
	}
}

// looks judges a page by its looks, as far as a program can.
func looks(t *testing.T, b *lab.Chromium, name string) {
	t.Helper()
	spoken := b.Spoken()
	title := b.Evaluate("document.querySelector('h1').innerText")
	for _, want := range []lab.Node{{Role: "main"}, {Role: "heading", Name: title}} {
		if !slices.Contains(spoken, want) {
			t.Errorf("%s: a screen reader finds no %+v in %+v", name, want, spoken)
		}
	}
	pictures := map[string][]byte{}
	for _, width := range []int{900, 360} {
		for _, scheme := range []string{"light", "dark"} {
			b.Scheme(scheme, width)
			if wide := b.Evaluate("document.documentElement.scrollWidth<=innerWidth"); wide != "true" {
				t.Errorf("%s: a window of %d has to be scrolled sideways", name, width)
			}
			picture := b.Picture()
			pictures[scheme] = picture
			if dir := os.Getenv("X509CH_SCREENSHOTS"); dir != "" {
				file := filepath.Join(dir, name+"-"+scheme+map[int]string{900: "", 360: "-narrow"}[width]+".png")
				if err := os.WriteFile(file, picture, 0o644); err != nil {
					t.Error(err)
				}
			}
		}
		if light, dark := corner(t, pictures["light"]), corner(t, pictures["dark"]); light < 0xe000 || dark > 0x3000 {
			t.Errorf("%s: the light page is of brightness %x, the dark one of %x", name, light, dark)
		}
	}
}

// corner is the brightness of a page's background.
func corner(t *testing.T, picture []byte) uint32 {
	t.Helper()
	image, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	r, g, b, _ := image.At(2, 2).RGBA()
	return (r + g + b) / 3
}
