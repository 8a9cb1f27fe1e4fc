package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

func (p *process) logoutCommand() *cli.Command {
	return &cli.Command{
		Name:      "logout",
		Usage:     "forget a profile's pass phrase and proxies",
		ArgsUsage: "[PROFILE]",
		Category:  forPeople,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "of all profiles, also former ones, and the keys"},
		},
		Description: `Nothing there is success. Proxies that were handed out before live on until they
expire; so does what is stored on the server. With --all every keyring item of
this program goes, and with its keys whatever is sealed under them.

Without PROFILE it is that of X509_CREDENTIAL_PROFILE, else default_profile.`,
		Action: func(c *cli.Context) error {
			if err := atMost(c, 1); err != nil {
				return err
			}
			if c.Bool("all") {
				if err := atMost(c, 0); err != nil {
					return usagef("leave out one of them", "logout: --all is for all profiles, not for %q", helper.CleanText(c.Args().First()))
				}
				return p.logoutAll(c.Context, p.newHelper("logout"))
			}
			return p.logout(c.Context, p.newHelper("logout"), c.Args().First())
		},
	}
}

func (p *process) logout(ctx context.Context, h *helper.Helper, profile string) error {
	answer, err := h.Logout(ctx, profile)
	if err != nil {
		return err
	}
	p.notes(answer.Warnings)
	secrets := "no pass phrase"
	if len(answer.Erased.Secrets) > 0 {
		secrets = "the pass phrase"
	}
	_, err = fmt.Fprintf(p.stdout, "erased: %s, %s\n", proxies(answer), secrets)
	return err
}

func (p *process) logoutAll(ctx context.Context, h *helper.Helper) error {
	answer, err := h.EraseAll(ctx)
	if err != nil {
		return err
	}
	p.notes(answer.Warnings)
	secrets := count(len(answer.Erased.Secrets), "pass phrase", "pass phrases")
	_, err = fmt.Fprintf(p.stdout, "erased: %s, %s, of all profiles\n", proxies(answer), secrets)
	return err
}

func proxies(a *helper.EraseAnswer) string { return count(a.Erased.Credentials, "proxy", "proxies") }

func count(n int, one, many string) string {
	switch n {
	case 0:
		return "no " + one
	case 1:
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
