package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term/ptytest"
)

// portalTools is a user with the real tools whose proxies come from a Master
// Portal, with attributes of labvo where the profile wants them.
type portalTools struct {
	*toolsGrid
	portal *sandbox.Portal
	port   string
}

func newPortalTools(t *testing.T) *portalTools {
	t.Helper()
	p := &portalTools{toolsGrid: newToolsHome(t)}
	var err error
	p.server, err = sandbox.Start(t.Context(), sandbox.Options{
		Dir: p.path("sandbox"), Keys: sandboxKeys(), VOs: map[string][]string{"labvo": {"/labvo"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.server.Close)
	p.port = registeredPort(t)
	p.portal, err = p.server.StartPortal(sandbox.PortalOptions{
		Users: []sandbox.PortalUser{{Subject: "jane@sandbox.invalid", Name: "Jane Roe"}},
		Clients: []sandbox.PortalClient{{
			ID: portalClientID, Secret: portalSecret, RedirectURIs: []string{"http://127.0.0.1:" + p.port + "/callback"}, RefreshLife: 24 * time.Hour,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// login writes profiles for storage elements, named as theirs, and logs in to
// each in a browser elsewhere.
func (p *portalTools) login(elements []*storage) {
	p.t.Helper()
	for _, s := range elements {
		fmt.Fprintf(&p.text, "[profile.%s]\nbackend = \"rcauth\"\nportal = %q\nclient_id = %q\nca_dir = %q\nredirect_ports = [%s]\nmatch = [\"%s\"]\n",
			s.profile, p.portal.URL(), portalClientID, s.TrustDir, p.port, strings.Join(s.match(), `", "`))
		if s.profile == "vo" {
			fmt.Fprintf(&p.text, "voms = [\"labvo\"]\nvoms_dir = %q\n", p.server.VOMSDir())
		}
	}
	p.configure()
	for _, s := range elements {
		c := ptytest.Start(p.t, p.command("login", s.profile))
		c.Expect(portalQuestion)
		c.Type(portalSecret + "\n")
		c.Expect("Address: ")
		end, err := p.portal.Browser().Authorize(p.t.(*testing.T).Context(), shown(c))
		if err != nil {
			p.t.Fatal(err)
		}
		c.Type(end + "\n")
		c.Expect(s.profile + ": a proxy of " + portalDN)
		if status := c.Wait(); status != 0 {
			p.t.Fatalf("login %s: status %d\n%s", s.profile, status, c.Output())
		}
	}
}
