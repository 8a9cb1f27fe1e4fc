package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

func (p *process) logoutCommand() *cli.Command {
	return &cli.Command{
		Name:      "logout",
		Usage:     "forget a profile's proxies and pass phrase, or session",
		ArgsUsage: "[PROFILE]",
		Category:  forPeople,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "of all profiles, also former ones, and the keys"},
		},
		Description: `Nothing there is success. Proxies that were handed out before live on until they
expire; so does what is stored on the server. The client secret of RCauth stays,
because the portal shows it only once; to forget it, too, use --all, or:

  echo '{"profile":"PROFILE","what":["client_secret"]}' | x509-credential-helper erase

With --all every keyring item of this program goes, and with its keys whatever is
sealed under them.

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
		secrets = secretWords(answer.Erased.Secrets)
	}
	if _, err = fmt.Fprintf(p.stdout, "erased: %s, %s\n", proxies(answer), secrets); err != nil || len(answer.Kept) == 0 {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "kept: %s\n", secretWords(answer.Kept))
	return err
}

// secretWords names kinds of secrets as people call them.
func secretWords(kinds []string) string {
	words := make([]string, len(kinds))
	for i, kind := range kinds {
		switch kind {
		case rcauth.KindSession:
			words[i] = "the session"
		case rcauth.KindClientSecret:
			words[i] = "the client secret"
		default:
			words[i] = "the pass phrase"
		}
	}
	return strings.Join(slices.Compact(words), ", ")
}

func (p *process) logoutAll(ctx context.Context, h *helper.Helper) error {
	answer, err := h.EraseAll(ctx)
	if err != nil {
		return err
	}
	p.notes(answer.Warnings)
	_, err = fmt.Fprintf(p.stdout, "erased: %s, %s, of all profiles\n", proxies(answer), secretCounts(answer.Erased.Secrets))
	return err
}

// secretCounts says how many secrets of which kinds there were.
func secretCounts(kinds []string) string {
	var sessions, clients int
	for _, kind := range kinds {
		switch kind {
		case rcauth.KindSession:
			sessions++
		case rcauth.KindClientSecret:
			clients++
		}
	}
	var words []string
	if phrases := len(kinds) - sessions - clients; phrases > 0 || len(kinds) == 0 {
		words = append(words, count(phrases, "pass phrase", "pass phrases"))
	}
	if sessions > 0 {
		words = append(words, count(sessions, "session", "sessions"))
	}
	if clients > 0 {
		words = append(words, count(clients, "client secret", "client secrets"))
	}
	return strings.Join(words, ", ")
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
