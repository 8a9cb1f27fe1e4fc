package main

import (
	"net"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term/ptytest"
)

// TestTakenPort: somebody else's listener could get the code, so there is no
// login with the port that they have.
func TestTakenPort(t *testing.T) {
	w := newPortalWorld(t, lab.StartKeyring(t))
	w.remember(portalSecret)
	socket, err := net.Listen("tcp", "127.0.0.1:"+portOf(w.redirect))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if r := w.run("", "login"); r.status != 6 || !strings.Contains(r.stderr, "none of the registered ports is free") {
		t.Errorf("%+v", r)
	}
}

// TestLoginWithoutKeyring: a login node has none; the proxy is worth having. The
// terminal and the page say that it is all there is.
func TestLoginWithoutKeyring(t *testing.T) {
	w := newPortalWorld(t, nil)
	if r := w.run("", "login"); r.status != 4 || !strings.Contains(r.stderr, "login asks for the client secret on a terminal, and there is none") {
		t.Errorf("without a terminal: %+v", r)
	}
	for _, pasted := range []bool{true, false} {
		c := ptytest.Start(t, w.command("login"))
		c.Expect(portalQuestion)
		c.Type(portalSecret + "\n")
		c.Expect("Address: ")
		if pasted {
			c.Type(w.authorize(c) + "\n")
		} else if _, page, err := w.portal.Browser().Login(t.Context(), shown(c)); err != nil || !sameTime(page) {
			t.Errorf("the next login is not when the proxy ends: %v\n%s", err, page)
		}
		c.Expect("the session is not kept, so the next proxy needs another login")
		if status := c.Wait(); status != 0 {
			t.Errorf("status %d", status)
		}
	}
	check(t, w.world, "get", w.run("{}", "get"), "")
	check(t, w.world, "bypass", w.run(`{"cache":"bypass"}`, "get"), "interaction_required")
}

// sameTime says whether a page has one time for the proxy's end and the next login.
func sameTime(page string) bool {
	_, proxy, _ := strings.Cut(page, "<dt>Proxy until</dt>")
	proxy, next, found := strings.Cut(proxy, "<dt>Next login by</dt>")
	time := func(s string) string { s, _, _ = strings.Cut(s, "</dd>"); return s }
	return found && time(proxy) == time(next)
}
