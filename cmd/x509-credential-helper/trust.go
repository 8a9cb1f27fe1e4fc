package main

import (
	"errors"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term"
)

func (p *process) trustCommand() *cli.Command {
	flags := func() []cli.Flag {
		return []cli.Flag{
			&cli.StringFlag{Name: "dir", Usage: "look at `DIR` instead"},
			&cli.BoolFlag{Name: "json", Usage: "as one JSON object"},
		}
	}
	const where = `The directory is that of X509_CERT_DIR, else ~/.globus/certificates, else
/etc/grid-security/certificates.`
	return &cli.Command{
		Name:        "trust",
		Usage:       "show which CAs are trusted, until when, and what is wrong with them",
		Category:    forPeople,
		Description: where + " Nothing is fetched or changed.",
		Subcommands: []*cli.Command{
			{
				Name:  "list",
				Usage: "all trusted CAs, the most urgent first",
				Flags: flags(),
				Description: where + `

POLICY says whether the CA has a signing_policy file, only a namespaces file, or
none. CRL is the time until its revocation list is too old. The exit status is 0.`,
				Action: func(c *cli.Context) error { return p.trust(c, false) },
			},
			{
				Name:      "check",
				Usage:     "only what is wrong, with the file that is to blame",
				ArgsUsage: "[PROFILE]",
				Flags:     flags(),
				Description: where + `

With PROFILE it is that profile's, read as the profile says. For one of RCauth only
the two CAs count from which its proxies come, and where to get them is said.

The exit status is 0 if nothing is wrong, and 1 if certificates of some CA are
refused now, or soon will be.`,
				Action: func(c *cli.Context) error { return p.trust(c, true) },
			},
		},
	}
}

func (p *process) trust(c *cli.Context, check bool) error {
	most := 0
	if check {
		most = 1
	}
	if err := atMost(c, most); err != nil {
		return err
	}
	now := time.Now()
	t, err := p.trusted(c, now)
	var usage *usageError
	if errors.As(err, &usage) {
		return err
	}
	if err != nil {
		e := trustError(err)
		if c.Bool("json") {
			_ = p.answer(e)
		}
		p.complain(e.Message, e.Hint)
		return notGood
	}
	dir, anchors := t.dir, t.anchors
	good := true
	for _, a := range anchors {
		good = good && a.Severity == gsi.SeverityOK
	}
	page := page{style: p.style(), width: term.Width(p.stdout)}
	switch {
	case c.Bool("json"):
		err = writeJSON(p.stdout, trustJSON(dir, anchors, now, check))
	case check:
		_, err = io.WriteString(p.stdout, page.anchorProblems(t)+t.advice)
	default:
		_, err = io.WriteString(p.stdout, page.anchors(anchors, now))
	}
	switch {
	case err != nil:
		return err
	case check && !good:
		return notGood
	}
	return nil
}

// trusted is what the command line speaks of.
func (p *process) trusted(c *cli.Context, now time.Time) (*trusted, error) {
	profile, named := c.Args().First(), c.String("dir")
	switch {
	case profile != "" && named != "":
		return nil, usagef("leave out one of them", "trust check: the profile %q has a directory, and --dir names another", helper.CleanText(profile))
	case profile != "":
		return p.trustedBy(profile, now)
	}
	t := &trusted{}
	var err error
	t.dir, t.anchors, err = p.anchors(named, now, gsi.TrustOptions{})
	return t, err
}

// anchors reads a trust directory, that of the environment where none is named.
func (p *process) anchors(named string, now time.Time, how gsi.TrustOptions) (string, []gsi.Anchor, error) {
	path := named
	if path == "" {
		var err error
		if path, err = gsi.FindTrustDir("", p.getenv); err != nil {
			return "", nil, err
		}
	}
	dir, err := gsi.OpenTrustDir(path)
	if err != nil {
		return "", nil, err
	}
	return path, dir.Anchors(now, how), nil
}
