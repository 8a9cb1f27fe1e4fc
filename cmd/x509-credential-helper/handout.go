package main

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/consumer"
)

// proxyFlags are the options of every command that hands out the file of a
// proxy.
func proxyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "profile", Usage: "use `PROFILE` instead of the default one"},
		&cli.StringFlag{Name: "url", Usage: "use the profile that matches `URL`"},
		&cli.StringFlag{Name: "min-lifetime", Usage: "the proxy must live at least `TIME` (default 5m, 10m in a batch job)"},
		&cli.StringSliceFlag{Name: "voms", Usage: "ask for the attribute `VO`[:FQAN] instead of the profile's; may be repeated"},
		&cli.BoolFlag{Name: "limited", Usage: "use a limited proxy"},
		&cli.BoolFlag{Name: "no-prompt", Usage: "ask nobody for a pass phrase"},
	}
}

// proxyRequest reads them.
func proxyRequest(c *cli.Context) (*helper.GetRequest, error) {
	r := helper.DefaultGetRequest()
	r.Profile, r.URL = c.String("profile"), c.String("url")
	r.Output = helper.OutputPath
	r.Interactive = helper.InteractiveAuto // asks only in the foreground of a terminal
	r.Timeout = 300 * time.Second
	if c.IsSet("min-lifetime") { // else the profile's
		var err error
		if r.MinLifetime, err = duration(c, "min-lifetime"); err != nil {
			return nil, err
		}
	}
	if c.Bool("no-prompt") {
		r.Interactive = helper.InteractiveNever
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

// profileRequest is proxyRequest for commands that take the profile as their
// argument, too.
func profileRequest(c *cli.Context) (*helper.GetRequest, error) {
	if err := atMost(c, 1); err != nil {
		return nil, err
	}
	r, err := proxyRequest(c)
	if word := c.Args().First(); err == nil && word != "" {
		if r.Profile != "" || r.URL != "" {
			return nil, usagef(helpHint(c.Command), "%s: the profile is named twice", typed(c.Command))
		}
		r.Profile = word
	}
	return r, err
}

// handedOut is a proxy file that was found good just now.
type handedOut struct {
	request *helper.GetRequest // with the profile that was chosen
	proxy   consumer.Proxy
	life    consumer.Life
	profile string
	info    *gsi.Info
}

// handOut gets a proxy into its file and looks at that as a tool will.
func (p *process) handOut(ctx context.Context, h *helper.Helper, r *helper.GetRequest) (*handedOut, error) {
	answer, err := h.Get(ctx, r)
	if err != nil {
		return nil, err
	}
	p.notes(answer.Warnings)
	c := answer.Credential
	info, err := consumer.Check(c.Path, r.MinLifetime, time.Now())
	if err != nil {
		return nil, helper.Errorf(helper.CodeInvalidCredential, "%w", err)
	}
	chosen := *r
	chosen.Profile, chosen.URL = answer.Profile, ""
	out := &handedOut{
		request: &chosen,
		proxy:   consumer.Proxy{File: c.Path},
		life:    consumer.Life{RefreshAfter: c.RefreshAfter, NotAfter: c.NotAfter},
		profile: answer.Profile,
		info:    info,
	}
	if profile, err := h.Config.Profile(answer.Profile); err == nil {
		out.proxy.CADir, out.proxy.VOMSDir = profile.CADir, profile.VOMSDir
	}
	if dir, err := gsi.FindTrustDir(out.proxy.CADir, p.getenv); err == nil {
		out.proxy.Anchors = dir
	}
	return out, nil
}

// planFor looks for the profiles of the URLs in a command, where nobody has said
// which one to use.
func (p *process) planFor(h *helper.Helper, r *helper.GetRequest, argv []string) (*consumer.Plan, error) {
	if r.Profile != "" || r.URL != "" || p.getenv("X509_CREDENTIAL_PROFILE") != "" {
		return &consumer.Plan{}, nil
	}
	return planOf(h, argv)
}

// planOf goes by the URLs alone. The default profile has to match, too.
func planOf(h *helper.Helper, argv []string) (*consumer.Plan, error) {
	plan, err := consumer.NewPlan(argv, func(url string) (string, error) {
		profile, err := h.Config.Match(url)
		var e *helper.Error
		switch {
		case errors.As(err, &e) && e.Code == helper.CodeInvalidRequest:
			return "", nil // odd for us, perhaps not for the tool; nobody claims it
		case err != nil || profile == nil:
			return "", err
		}
		return profile.Name, nil
	})
	var two *consumer.TwoProfilesError
	if errors.As(err, &two) {
		return nil, helper.Errorf(helper.CodeInvalidRequest, "%w", two).
			WithHint("choose one with --profile, or copy in two steps; xrdcp takes two for root:// URLs")
	}
	return plan, err
}
