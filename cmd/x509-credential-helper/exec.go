package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/consumer"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

func (p *process) execCommand() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run a command with a fresh proxy",
		ArgsUsage: "-- COMMAND [ARGUMENT]...",
		Category:  forPeople,
		Flags:     append(proxyFlags(), &cli.BoolFlag{Name: "keep-fresh", Usage: "replace the proxy while COMMAND runs"}),
		Description: `COMMAND gets X509_USER_PROXY, the path of a file that only you can read, and
nothing that tools would prefer to it (X509_USER_CERT, X509_USER_KEY,
XrdSecGSIUSER*, RUCIO_CLIENT_PROXY). curl, which knows no such variable, gets
--cert, --key and --capath, davix gets -P grid. If no pass phrase is stored and
somebody sits at the terminal, it is asked for.

Without --profile and X509_CREDENTIAL_PROFILE, the URLs among the arguments choose
the profile by its match list, and default_profile is for those that no profile
matches. xrdcp gets two proxies where its root:// URLs need two profiles.

With --keep-fresh this program stays beside COMMAND. It puts a new proxy into the
same file between half and three quarters of each one's life, says in a line if
it cannot, and passes signals on. Without, COMMAND takes its place.

The exit status is that of COMMAND, or 125 if there was no proxy, 126 if COMMAND
cannot be run and 127 if it was not found.`,
		Action: func(c *cli.Context) error {
			words := c.Args().Slice()
			if len(words) == 0 {
				return usagef("for example: "+name+" exec -- gfal-ls davs://se.example.org/", "exec: no command was given")
			}
			request, err := proxyRequest(c)
			if err != nil {
				return err
			}
			return p.exec(c.Context, request, words, c.Bool("keep-fresh"))
		},
	}
}

// exec becomes a tool, or starts it and stays beside it. It returns only if the
// former was not possible, or after the latter. Below it shims are off: what to
// use was decided here.
func (p *process) exec(ctx context.Context, r *helper.GetRequest, argv []string, keep bool) error {
	h := p.newHelper("exec")
	plan, err := p.planFor(h, r, argv)
	if err != nil {
		return notStarted(h, argv, err)
	}
	return p.startPlanned(ctx, h, r, plan, command{argv, consumer.WithoutShims(p.environ), keep})
}

// command is what is to be started.
type command struct {
	argv, environ []string
	keep          bool // its proxies fresh, beside it
}

// startPlanned gets the proxies of a plan and starts a command with them.
func (p *process) startPlanned(ctx context.Context, h *helper.Helper, r *helper.GetRequest, plan *consumer.Plan, c command) error {
	proxies, err := p.proxiesOf(ctx, h, r, plan, c.argv)
	if err != nil {
		return notStarted(h, c.argv, err)
	}
	files := map[string]string{}
	for _, out := range proxies {
		files[out.profile] = out.proxy.File
	}
	argv, err := plan.Apply(c.argv, files)
	if err != nil {
		return notStarted(h, c.argv, helper.Errorf(helper.CodeStorageError, "%w", err))
	}
	proxy := proxies[0].proxy
	argv, env := consumer.Adapt(argv[0], argv, proxy), consumer.Environ(c.environ, proxy)
	p.limits.restore()
	if !c.keep {
		return consumer.Start(argv, env)
	}
	return consumer.Run(ctx, argv, env, func(ctx context.Context) { p.keepAll(ctx, proxies) })
}

// proxiesOf hands out the proxies of a plan, the main one first.
func (p *process) proxiesOf(ctx context.Context, h *helper.Helper, r *helper.GetRequest, plan *consumer.Plan, argv []string) ([]*handedOut, error) {
	profiles := plan.Profiles()
	if len(profiles) == 0 {
		profiles = []string{r.Profile}
	}
	var list []*handedOut
	for _, profile := range profiles {
		request := *r
		request.Profile = profile
		out, err := p.handOut(ctx, h, &request)
		if err != nil {
			return nil, err
		}
		if err := consumer.Fit(argv, out.info); err != nil {
			return nil, helper.Errorf(helper.CodeInvalidCredential, "%w", err)
		}
		list = append(list, out)
	}
	return list, nil
}

// keepAll keeps several files fresh until the context ends.
func (p *process) keepAll(ctx context.Context, proxies []*handedOut) {
	var all []<-chan error
	for _, out := range proxies {
		all = append(all, safego.Go(func() error { p.keeper(out).Keep(ctx, out.life); return nil }))
	}
	for _, kept := range all {
		if err := <-kept; err != nil { // a panic, which must not end the command
			p.note("%s: a proxy is not refreshed any more: %v", name, err)
		}
	}
}
