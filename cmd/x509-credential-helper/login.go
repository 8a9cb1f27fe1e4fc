package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

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
		Usage:     "ask for a pass phrase, try it, and keep it in the keyring",
		ArgsUsage: "[PROFILE]",
		Category:  forPeople,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "passphrase-stdin", Usage: "take the first line of standard input instead of asking"},
		},
		Description: `The pass phrase is asked for on the terminal and tried with the server at once;
one that the server refuses replaces nothing. Where there is no keyring, or with
store.passphrases = "none" in the configuration, it is not kept: then only the
proxy is. A keyring that is locked has to be unlocked first. A profile that needs
no pass phrase is only tried.

Without PROFILE it is that of X509_CREDENTIAL_PROFILE, else default_profile.`,
		Action: func(c *cli.Context) error {
			if err := atMost(c, 1); err != nil {
				return err
			}
			return p.login(c.Context, c.Args().First(), c.Bool("passphrase-stdin"))
		},
	}
}

func (p *process) login(ctx context.Context, profile string, fromStdin bool) error {
	h := p.newHelper("login")
	request := helper.LoginRequest{Profile: profile}
	if fromStdin {
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
			e.Hint = "check the pass phrase and, in the configuration, username and server" // not: run login
			return nil, e
		}
		p.complain(e.Message, "try again, or press Ctrl-C")
	}
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

// welcome says what was got and what is kept.
func (p *process) welcome(a *helper.LoginAnswer) error {
	kept := "the pass phrase is not kept"
	switch {
	case a.Kept != "":
		kept = "the pass phrase is kept in the " + a.Kept
	case a.NoSecret:
		kept = "no pass phrase is needed for the next one"
	case a.Why != nil:
		kept += " (" + a.Why.Message + "), so the next proxy needs another login"
	default:
		kept += ", so the next proxy needs another login"
	}
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
