package main

import (
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
				Name:  "check",
				Usage: "only what is wrong, with the file that is to blame",
				Flags: flags(),
				Description: where + `

The exit status is 0 if nothing is wrong, and 1 if certificates of some CA are
refused now, or soon will be.`,
				Action: func(c *cli.Context) error { return p.trust(c, true) },
			},
		},
	}
}

func (p *process) trust(c *cli.Context, check bool) error {
	if err := atMost(c, 0); err != nil {
		return err
	}
	now := time.Now()
	dir, anchors, err := p.anchors(c.String("dir"), now)
	if err != nil {
		e := helper.Errorf(helper.CodeNotFound, "%s", clean(err.Error()))
		if c.Bool("json") {
			_ = p.answer(e)
		}
		p.complain(e.Message, e.Hint)
		return notGood
	}
	good := true
	for _, a := range anchors {
		good = good && a.Severity == gsi.SeverityOK
	}
	page := page{style: p.style(), width: term.Width(p.stdout)}
	switch {
	case c.Bool("json"):
		err = writeJSON(p.stdout, trustJSON(dir, anchors, now, check))
	case check:
		_, err = io.WriteString(p.stdout, page.anchorProblems(dir, anchors))
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

// anchors reads the trust directory.
func (p *process) anchors(named string, now time.Time) (string, []gsi.Anchor, error) {
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
	return path, dir.Anchors(now, gsi.TrustOptions{}), nil
}
