package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/consumer"
)

func (p *process) execCommand() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run a command with a fresh proxy",
		ArgsUsage: "-- COMMAND [ARGUMENT]...",
		Category:  forPeople,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "profile", Usage: "use `PROFILE` instead of the default one"},
			&cli.StringFlag{Name: "url", Usage: "use the profile that matches `URL`"},
			&cli.StringFlag{Name: "min-lifetime", Value: "5m", Usage: "the proxy must live at least `TIME` (default 5m)"},
			&cli.StringSliceFlag{Name: "voms", Usage: "ask for the attribute `VO`[:FQAN] instead of the profile's; may be repeated"},
			&cli.BoolFlag{Name: "limited", Usage: "use a limited proxy"},
		},
		Description: `COMMAND gets X509_USER_PROXY, the path of a file that only you can read, and
nothing that tools would prefer to it (X509_USER_CERT, X509_USER_KEY,
XrdSecGSIUSER*, RUCIO_CLIENT_PROXY). If no pass phrase is stored and somebody sits
at the terminal, it is asked for.

The exit status is that of COMMAND, or 125 if there was no proxy, 126 if COMMAND
cannot be run and 127 if it was not found.`,
		Action: func(c *cli.Context) error {
			words := c.Args().Slice()
			switch {
			case len(words) == 0:
				return usagef("for example: "+name+" exec -- gfal-ls davs://se.example.org/", "exec: no command was given")
			case len(words) > 1 && words[1] == "--":
				return usagef("run: "+name+" exec --profile "+helper.CleanText(words[0])+" -- ...", "exec: the profile is an option")
			}
			request, err := execRequest(c)
			if err != nil {
				return err
			}
			return p.exec(c.Context, request, words)
		},
	}
}

func execRequest(c *cli.Context) (*helper.GetRequest, error) {
	r := helper.DefaultGetRequest()
	r.Profile, r.URL = c.String("profile"), c.String("url")
	r.Output = helper.OutputPath
	r.Interactive = helper.InteractiveAuto // asks only in the foreground of a terminal
	r.Timeout = 300 * time.Second
	var err error
	if r.MinLifetime, err = duration(c, "min-lifetime"); err != nil {
		return nil, err
	}
	if c.IsSet("voms") {
		r.VOMS = c.StringSlice("voms")
	}
	if c.Bool("limited") {
		limited := true
		r.Limited = &limited
	}
	return r, nil
}

// exec becomes a tool. It returns only if that was not possible.
func (p *process) exec(ctx context.Context, r *helper.GetRequest, argv []string) error {
	h := p.newHelper("exec")
	answer, err := h.Get(ctx, r)
	if err != nil {
		return err
	}
	p.notes(answer.Warnings)
	proxy := consumer.Proxy{File: answer.Credential.Path}
	if _, err := consumer.Check(proxy.File, r.MinLifetime, time.Now()); err != nil {
		return helper.Errorf(helper.CodeInvalidCredential, "%q was not started: %w", helper.CleanText(argv[0]), err)
	}
	if profile, err := h.Config.Profile(answer.Profile); err == nil {
		proxy.CADir = profile.CADir
	}
	p.limits.restore()
	return consumer.Start(argv, consumer.Environ(p.environ, proxy))
}
