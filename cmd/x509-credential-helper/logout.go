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
		Description: `Nothing there is success. Proxies that were handed out before live on until they
expire; so does what is stored on the server.

Without PROFILE it is that of X509_CREDENTIAL_PROFILE, else default_profile.`,
		Action: func(c *cli.Context) error {
			if err := atMost(c, 1); err != nil {
				return err
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
	proxies := "no proxy"
	switch n := answer.Erased.Credentials; {
	case n == 1:
		proxies = "1 proxy"
	case n > 1:
		proxies = fmt.Sprintf("%d proxies", n)
	}
	secrets := "no pass phrase"
	if len(answer.Erased.Secrets) > 0 {
		secrets = "the pass phrase"
	}
	_, err = fmt.Fprintf(p.stdout, "erased: %s, %s\n", proxies, secrets)
	return err
}
