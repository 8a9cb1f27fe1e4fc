package main

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term"
)

func (p *process) statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show which proxies there are and how long they live",
		ArgsUsage: "[PROFILE]",
		Category:  forPeople,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "as one JSON object"},
			&cli.BoolFlag{Name: "check", Usage: "say nothing, only exit with 0 or 1"},
			&cli.StringFlag{Name: "min-lifetime", Value: "5m", Usage: "with --check: the proxy must live at least `TIME` (default 5m)"},
		},
		Description: `Nothing is fetched. --check looks at PROFILE, else the profile of
X509_CREDENTIAL_PROFILE, else default_profile, and exits with 0 if it has a
proxy that lives long enough, with 1 if not; everything else means that this
could not be found out.`,
		Action: func(c *cli.Context) error {
			if err := atMost(c, 1); err != nil {
				return err
			}
			min, err := duration(c, "min-lifetime")
			if err != nil {
				return err
			}
			if c.IsSet("min-lifetime") && !c.Bool("check") {
				return usagef("add --check", "status: --min-lifetime is for --check only")
			}
			o := statusOptions{profile: c.Args().First(), json: c.Bool("json"), check: c.Bool("check"), min: min}
			return p.status(c.Context, o)
		},
	}
}

type statusOptions struct {
	profile     string
	json, check bool
	min         time.Duration
}

func (p *process) status(ctx context.Context, o statusOptions) error {
	answer, err := p.findStatus(ctx, o)
	if err != nil {
		if o.json {
			_ = p.answer(helper.AsError(err))
		}
		return err
	}
	if o.json {
		enc := json.NewEncoder(p.stdout)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(answer); err != nil {
			return err
		}
	}
	switch {
	case o.check:
		return checkStatus(answer, o.min)
	case o.json:
		return nil
	}
	if len(answer.Profiles) == 0 {
		where := "set HOME, or X509_CREDENTIAL_HELPER_CONFIG to the path of one"
		if file := userConfig(p.getenv, p.home()); file != "" {
			where = "write one into " + file
		}
		p.complain("there is no profile in the configuration", where+", or try: "+name+" sandbox")
		return nil
	}
	t := table{style: p.style(), width: term.Width(p.stdout), now: time.Now()}
	_, err = p.stdout.WriteString(t.text(answer))
	return err
}

// userConfig is the file in which a user's profiles are looked for.
func userConfig(getenv func(string) string, home string) string {
	return helper.DefaultConfigPaths(getenv, home).User
}

// findStatus is the state of one profile, or of all.
func (p *process) findStatus(ctx context.Context, o statusOptions) (*helper.StatusAnswer, error) {
	h := p.newHelper("status")
	answer, err := h.Status(ctx)
	if err != nil {
		return nil, err
	}
	profile := o.profile
	if profile == "" && o.check {
		if profile = p.getenv("X509_CREDENTIAL_PROFILE"); profile == "" {
			profile = h.Config.DefaultProfile
		}
		if profile == "" {
			return nil, helper.Errorf(helper.CodeNotConfigured, "no profile was named and the configuration has no default_profile").
				WithHint("run: %s status --check PROFILE", name)
		}
	}
	if profile == "" {
		isDefault := func(s helper.ProfileStatus) bool { return s.Default }
		if d := h.Config.DefaultProfile; d != "" && len(answer.Profiles) > 0 && !slices.ContainsFunc(answer.Profiles, isDefault) {
			p.note("note: default_profile is %q, and there is no profile of that name", helper.CleanText(d))
		}
		return answer, nil
	}
	answer.Profiles = slices.DeleteFunc(answer.Profiles, func(s helper.ProfileStatus) bool { return s.Profile != profile })
	if len(answer.Profiles) == 0 {
		if _, err := h.Config.Profile(profile); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// checkStatus is content with one credential of the profile that lives long
// enough. A state that is not known is an error, never "no".
func checkStatus(a *helper.StatusAnswer, min time.Duration) error {
	for _, s := range a.Profiles {
		if s.State == helper.StateError && s.Error != nil {
			return s.Error
		}
		if s.State == helper.StateValid && time.Duration(s.ExpiresIn)*time.Second >= min {
			return nil
		}
	}
	if a.Incomplete != nil {
		return a.Incomplete
	}
	return exitStatus(1)
}
