package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

func (p *process) rcauthCommand() *cli.Command {
	command := func(name, usage, text string, run func(context.Context, string, bool) error) *cli.Command {
		c := &cli.Command{Name: name, Usage: usage, ArgsUsage: "[PROFILE]", Description: text}
		if name != "revoke" {
			c.Flags = []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "as one JSON object"}}
		}
		c.Action = func(c *cli.Context) error {
			if err := atMost(c, 1); err != nil {
				return err
			}
			err := run(c.Context, c.Args().First(), c.Bool("json"))
			if err != nil && c.Bool("json") {
				_ = p.answer(helper.AsError(err))
			}
			return err
		}
		return c
	}
	const session = "Nobody is asked anything: the session of the last login is used, and renewed by it.\n\n"
	const which = "Without PROFILE it is that of X509_CREDENTIAL_PROFILE, else default_profile."
	return &cli.Command{
		Name:        "rcauth",
		Usage:       "ask an RCauth Master Portal who you are, or end your session there",
		Category:    forPeople,
		Description: "For logging in there is login, for proxies get and exec.",
		Subcommands: []*cli.Command{
			command("userinfo", "what the portal knows of you", session+which, p.userinfo),
			command("info", "how long the portal can give proxies without a login", session+which, p.proxyInfo),
			command("revoke", "end the session at the portal, and forget it here",
				`The tokens of the session are good for nothing any more. Proxies that were fetched
live on until they expire.

`+which, p.revoke),
		},
	}
}

// userinfoAnswer is docs/schema/rcauth.json, as is infoAnswer.
type userinfoAnswer struct {
	Version  int    `json:"version"`
	Profile  string `json:"profile"`
	Portal   string `json:"portal"`
	Subject  string `json:"subject"`
	DN       string `json:"dn_rfc2253,omitempty"`
	Name     string `json:"name,omitempty"`
	Email    string `json:"email,omitempty"`
	IdP      string `json:"idp,omitempty"`
	IdPName  string `json:"idp_name,omitempty"`
	AuthTime string `json:"auth_time,omitempty"`
}

func (p *process) userinfo(ctx context.Context, profile string, asJSON bool) error {
	a := &userinfoAnswer{Version: helper.Version}
	err := p.atPortal(ctx, profile, func(ctx context.Context, b *rcauth.Backend, spec *helper.Spec) error {
		claims, err := b.UserInfo(ctx, spec)
		if err != nil {
			return err
		}
		a.Profile, a.Portal = spec.Profile.Name, spec.Target.Endpoint
		a.Subject, a.DN, a.Name, a.Email = clean(claims.Subject), clean(claims.DN), clean(claims.Name), clean(claims.Email)
		a.IdP, a.IdPName, a.AuthTime = clean(claims.IdP), clean(claims.IdPName), stampOrNone(claims.AuthTime)
		return nil
	})
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(p.stdout, a)
	}
	return p.fields([][2]string{
		{"portal", a.Portal}, {"you are", a.Subject}, {"subject DN", a.DN}, {"name", a.Name}, {"email", a.Email},
		{"identity provider", strings.TrimSpace(a.IdPName + " " + a.IdP)}, {"logged in", a.AuthTime},
	})
}

type infoAnswer struct {
	Version         int    `json:"version"`
	Profile         string `json:"profile"`
	Portal          string `json:"portal"`
	Username        string `json:"username"`
	TimeLeft        int64  `json:"time_left"`        // seconds
	NotAfter        string `json:"not_after"`        // of the portal's own proxy
	MaxLifetime     int64  `json:"max_lifetime"`     // seconds, of a proxy that may be asked for
	DefaultLifetime int64  `json:"default_lifetime"` // seconds
}

func (p *process) proxyInfo(ctx context.Context, profile string, asJSON bool) error {
	a := &infoAnswer{Version: helper.Version}
	err := p.atPortal(ctx, profile, func(ctx context.Context, b *rcauth.Backend, spec *helper.Spec) error {
		info, err := b.Info(ctx, spec)
		if err != nil {
			return err
		}
		a.Profile, a.Portal, a.Username = spec.Profile.Name, spec.Target.Endpoint, clean(info.Username)
		a.TimeLeft, a.NotAfter = int64(info.TimeLeft/time.Second), stamp(time.Now().Add(info.TimeLeft))
		a.MaxLifetime = int64((info.MaxLifetime - info.Tolerance) / time.Second)
		a.DefaultLifetime = int64(info.DefaultLifetime / time.Second)
		return nil
	})
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(p.stdout, a)
	}
	left := helper.Span(a.TimeLeft) + ", until " + clock(time.Now().Add(time.Duration(a.TimeLeft)*time.Second))
	if a.TimeLeft <= 0 {
		left = "none: the next proxy needs a login"
	}
	return p.fields([][2]string{
		{"portal", a.Portal}, {"name there", a.Username}, {"left without login", left},
		{"longest proxy", helper.Span(a.MaxLifetime)}, {"usual proxy", helper.Span(a.DefaultLifetime)},
	})
}

// revoke ends the session at the portal before it is forgotten here: the other
// way round nobody could end it any more.
func (p *process) revoke(ctx context.Context, profile string, _ bool) error {
	which, ended := "", false
	err := p.atPortal(ctx, profile, func(ctx context.Context, b *rcauth.Backend, spec *helper.Spec) (err error) {
		which = spec.Profile.Name
		ended, err = b.Revoke(ctx, spec)
		return err
	})
	if err != nil {
		return err
	}
	h := p.newHelper("rcauth")
	if _, err := h.Erase(ctx, &helper.EraseRequest{Selection: helper.Selection{Profile: which}, What: []string{rcauth.KindSession}}); err != nil {
		return err
	}
	text := "the session has ended, at the portal and here"
	if !ended {
		text = "the session is forgotten here; at the portal there was none to end"
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %s\n", which, text)
	return err
}

// atPortal does something with the session of a profile, under its lock.
func (p *process) atPortal(ctx context.Context, named string, do func(context.Context, *rcauth.Backend, *helper.Spec) error) error {
	h := p.newHelper("rcauth")
	profile, backend, err := p.portalProfile(h, named)
	if err != nil {
		return err
	}
	warnings, err := h.Use(ctx, profile.Name, func(ctx context.Context, _ helper.Backend, spec *helper.Spec) error {
		return do(ctx, backend, spec)
	})
	p.notes(warnings)
	return err
}

// fields writes what there is, one a line.
func (p *process) fields(rows [][2]string) error {
	var b strings.Builder
	for _, row := range rows {
		if row[1] != "" {
			fmt.Fprintf(&b, "%-18s  %s\n", row[0], clean(row[1]))
		}
	}
	_, err := p.stdout.WriteString(b.String())
	return err
}
