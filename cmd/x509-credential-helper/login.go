package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term"
)

// attempts is how often a pass phrase may be typed. Servers lock accounts, so
// it is no more than what ssh(1) and sudo(8) allow.
const attempts = 3

func (p *process) loginCommand() *cli.Command {
	return &cli.Command{
		Name:      "login",
		Usage:     "ask for a pass phrase, or open a browser, and keep what comes of it",
		ArgsUsage: "[PROFILE]",
		Category:  forPeople,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "passphrase-stdin", Usage: "take the first line of standard input instead of asking"},
			&cli.BoolFlag{Name: "no-browser", Usage: "RCauth: start no browser, only show the address"},
			&cli.StringFlag{Name: "idp", Usage: "RCauth: begin at the identity provider `ENTITYID`"},
			&cli.BoolFlag{Name: "print-registration", Usage: "RCauth: print what to type into the portal's form, and end"},
		},
		Description: loginText,
		Action: func(c *cli.Context) error {
			if err := atMost(c, 1); err != nil {
				return err
			}
			o := loginOptions{
				profile: c.Args().First(), fromStdin: c.Bool("passphrase-stdin"),
				noBrowser: c.Bool("no-browser"), idp: c.String("idp"),
			}
			if c.Bool("print-registration") {
				return p.printRegistration(c.Context, o.profile)
			}
			return p.login(c.Context, o)
		},
	}
}

const loginText = `MyProxy: the pass phrase is asked for on the terminal and tried with the server at
once; one that the server refuses replaces nothing. A profile that needs no pass
phrase is only tried.

RCauth: a browser is opened at the portal, unless there is none: over ssh, without
a display, with --no-browser. Then the address is shown, and with it two ways to use
a browser elsewhere. The session is kept; from then on proxies come without a
login, for as long as the portal allows. The client secret is asked for once.

Where there is no keyring, or with store.passphrases = "none" in the configuration,
nothing is kept but the proxy. A keyring that is locked has to be unlocked first.

Without PROFILE it is that of X509_CREDENTIAL_PROFILE, else default_profile.`

type loginOptions struct {
	profile   string
	fromStdin bool
	noBrowser bool
	idp       string
}

func (p *process) login(ctx context.Context, o loginOptions) error {
	h := p.newHelper("login")
	h.UI = &browserUI{p: p, tty: term.New(), noBrowser: o.noBrowser}
	request := helper.LoginRequest{Profile: o.profile, IdentityProvider: o.idp}
	if o.fromStdin {
		line, err := p.passphraseLine(ctx)
		if err != nil {
			return err
		}
		defer line.Wipe()
		request.Passphrase = line
	}
	answer, err := p.tryLogin(ctx, h, request)
	if err != nil {
		return err
	}
	p.notes(answer.Get.Warnings)
	return p.welcome(answer)
}

// tryLogin lets somebody at a terminal type again after a mistake.
func (p *process) tryLogin(ctx context.Context, h *helper.Helper, r helper.LoginRequest) (*helper.LoginAnswer, error) {
	for try := 1; ; try++ {
		answer, err := h.Login(ctx, r)
		var e *helper.Error
		if !errors.As(err, &e) || e.Code != helper.CodeAuthenticationFailed {
			return answer, err
		}
		if r.Passphrase != nil || try == attempts {
			e.Hint = loginHint[e.Backend]
			return nil, e
		}
		p.complain(e.Message, "try again, or press Ctrl-C")
		r.AskAgain = true // what is kept may be what is wrong
	}
}

// loginHint is what to look after when a login was refused, and login itself is
// no remedy.
var loginHint = map[string]string{
	myproxy.Name: "check the pass phrase and, in the configuration, username and server",
	rcauth.Name:  "check client_id in the configuration, and the client secret that was typed",
}

// passphraseLine reads the first line of standard input, which must not be a
// terminal: it would show what is typed.
func (p *process) passphraseLine(ctx context.Context) (secret.Secret, error) {
	if term.IsTerminal(p.stdin) {
		return nil, usagef("leave out --passphrase-stdin to be asked", "login: standard input is a terminal, which would show the pass phrase")
	}
	return p.stdinLine(ctx, bufio.NewReaderSize(p.stdin, longestLine))
}

// longestLine is longer than any pass phrase that can be kept, in bytes.
const longestLine = 4096

// stdinLine reads the next line of standard input, through a reader of
// longestLine.
func (p *process) stdinLine(ctx context.Context, r *bufio.Reader) (secret.Secret, error) {
	var line []byte
	done := safego.Go(func() (err error) {
		line, err = r.ReadSlice('\n')
		return err
	})
	select {
	case err := <-done:
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, helper.Errorf(helper.CodeInvalidRequest, "the first line of standard input is no pass phrase: it is longer than %d bytes", longestLine)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, helper.Errorf(helper.CodeInvalidRequest, "the pass phrase cannot be read from standard input: %w", err)
		}
	case <-ctx.Done():
		return nil, helper.Errorf(helper.CodeCancelled, "cancelled")
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if len(line) == 0 {
		return nil, helper.Errorf(helper.CodeInvalidRequest, "there is no pass phrase on standard input")
	}
	return bytes.Clone(line), nil // the reader's own bytes are overwritten by the next line
}

// welcome says who somebody is now, and until when.
func (p *process) welcome(a *helper.LoginAnswer) error {
	kept := keptText(a)
	switch {
	case a.Get.StoredIn != string(cache.None):
	case a.Kept != "":
		kept += ";\nthe proxy is not kept"
	default:
		kept += ";\nthe proxy is not kept either"
	}
	c := a.Get.Credential
	_, err := fmt.Fprintf(p.stdout, "%s: a proxy of %s for %s;\n%s\n", a.Get.Profile, c.Identity, helper.Span(c.ExpiresIn), kept)
	return err
}

// keptText says what the next proxy needs.
func keptText(a *helper.LoginAnswer) string {
	const again = ", so the next proxy needs another login"
	what := "the pass phrase"
	if a.Browser {
		what = "the session"
	}
	switch {
	case a.Kept != "" && a.Browser:
		return "the session is kept in the " + a.Kept + nextLogin(a.Until)
	case a.Kept != "":
		return what + " is kept in the " + a.Kept
	case a.NoSecret:
		return "no pass phrase is needed for the next one"
	case a.Why != nil:
		return what + " is not kept (" + a.Why.Message + ")" + again
	}
	return what + " is not kept" + again
}

// nextLogin says until when there are proxies without a human.
func nextLogin(until time.Time) string {
	if until.IsZero() {
		return ", and the portal does not say for how long it is good"
	}
	left := int64(time.Until(until).Seconds())
	return fmt.Sprintf(": no login is needed for %s, until %s", helper.Span(left), clock(until))
}
