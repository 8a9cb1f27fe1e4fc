package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term"
)

// browserUI is a login in a browser as somebody at a terminal sees it.
type browserUI struct {
	p         *process
	tty       *term.Terminal
	noBrowser bool // somebody said that there is none
}

var _ helper.LoginUI = (*browserUI)(nil)

// Show implements helper.LoginUI.
func (u *browserUI) Show(_ context.Context, l helper.LoginPrompt) error {
	if l.Problem != "" {
		u.p.note("%s", l.Problem)
		return nil
	}
	asks := u.tty.Foreground()
	if !l.Listening && !asks {
		return helper.Errorf(helper.CodeInteractionRequired, "this login ends at %s, whose address has to be pasted on a terminal, and there is none", l.RedirectURI).
			WithHint("run: %s login %s in a terminal", name, l.Profile)
	}
	u.p.note("%s", u.text(l, u.open(l.URL), asks))
	return nil
}

// Paste implements helper.LoginUI.
func (u *browserUI) Paste(ctx context.Context) (string, error) {
	text, err := u.tty.ReadLine(ctx, "Address: ")
	if errors.Is(err, term.ErrNoTerminal) || errors.Is(err, term.ErrBackground) {
		<-ctx.Done()
		return "", ctx.Err()
	}
	return text, err
}

// open starts a browser and says whether there is one to start. How it fares is
// not waited for: it may run for days.
func (u *browserUI) open(address string) bool {
	argv := u.p.browser()
	if u.noBrowser || argv == nil {
		return false
	}
	cmd := exec.Command(argv[0], append(argv[1:], address)...)
	cmd.Env = u.p.environ
	cmd.SysProcAttr = ownSession() // Ctrl-C here is not meant for the browser
	// Its standard files are the null device: what browsers write would end up
	// between our lines, or in an answer.
	if cmd.Start() != nil {
		return false
	}
	safego.Go(cmd.Wait)
	return true
}

// browser is the command that opens an address, nil where nobody would see it:
// over ssh and without a display.
func (p *process) browser() []string {
	remote := slices.ContainsFunc([]string{"SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"}, func(name string) bool { return p.getenv(name) != "" })
	switch {
	case remote:
		return nil
	case runtime.GOOS == "darwin":
		return []string{"/usr/bin/open"}
	case runtime.GOOS == "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler"}
	case p.getenv("DISPLAY") == "" && p.getenv("WAYLAND_DISPLAY") == "":
		return nil
	}
	return []string{"xdg-open"}
}

// text tells where to go, and what can be done on a machine without a browser.
func (u *browserUI) text(l helper.LoginPrompt, opened, asks bool) string {
	var b strings.Builder
	if opened {
		b.WriteString("Your browser should show the login now. If it does not, open this address in it:\n")
	} else {
		b.WriteString("Open this address in a browser:\n")
	}
	fmt.Fprintf(&b, "\n  %s\n", clean(l.URL))
	switch {
	case !l.Listening:
		fmt.Fprintf(&b, "\nThe login ends at a page of %s. Paste the address of that page here,\n"+
			"all of it, as the browser shows it.\n", clean(l.RedirectURI))
	case opened && asks:
		b.WriteString("\nIf the browser cannot show the last page, paste its address here.\n")
	case asks:
		fmt.Fprintf(&b, "\nA browser on another machine cannot show the last page. Paste its address here\n"+
			"then, all of it, or run this over there before you log in:\n\n  %s\n", u.p.tunnel(l.RedirectURI))
	case !opened:
		fmt.Fprintf(&b, "\nWith a browser on another machine, run this over there before you log in:\n\n  %s\n", u.p.tunnel(l.RedirectURI))
	}
	return b.String()
}

// tunnel is the command that makes a port of ours one of the machine where the
// browser is.
func (p *process) tunnel(redirectURI string) string {
	host, port := "localhost", ""
	if u, err := url.Parse(redirectURI); err == nil {
		host, port = u.Hostname(), u.Port()
	}
	here, err := os.Hostname()
	if err != nil || here == "" {
		here = "THIS-HOST"
	}
	if user := cmp.Or(p.getenv("LOGNAME"), p.getenv("USER")); user != "" {
		here = user + "@" + here
	}
	if strings.Contains(host, ":") { // IPv6: the browser asks for that address
		return fmt.Sprintf("ssh -N -L '%[1]s:%[1]s' %[2]s", net.JoinHostPort(host, port), clean(here))
	}
	return fmt.Sprintf("ssh -N -L %s:%s %s", port, net.JoinHostPort(host, port), clean(here))
}
