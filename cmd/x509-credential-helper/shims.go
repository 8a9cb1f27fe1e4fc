package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/consumer"
)

func (p *process) shimsCommand() *cli.Command {
	return &cli.Command{
		Name:     "shims",
		Usage:    "let gfal-copy, xrdcp, curl … find their proxy without exec",
		Category: forPeople,
		Description: `A shim is a link in a directory of yours that stands on the PATH before the
tool's own:

  ` + name + ` shims install ~/.x509/shims gfal-copy gfal-ls xrdcp xrdfs curl
  export PATH=~/.x509/shims:$PATH

From then on gfal-copy takes the proxy of the profile whose "match" fits the URL
it is called with. A call that no profile is for, and one that has no URL, is
passed on as it is: the default profile is never taken. Of several URLs, those
that no profile is for are opened with the others' proxy.

Below exec, and with X509_CREDENTIAL_HELPER_SHIM=off, shims pass on everything.`,
		Subcommands: []*cli.Command{
			{
				Name:      "install",
				Usage:     "make shims for tools in a directory",
				ArgsUsage: "DIR TOOL...",
				Description: `DIR is made if it is not there. Nothing is overwritten that is no shim, and nobody
but you may be able to write to DIR. Run it again after this program has moved.`,
				Action: p.installShims,
			},
			{
				Name: "list", Usage: "show the shims in a directory and what they start", ArgsUsage: "DIR",
				Action: p.listShims,
			},
			{
				Name: "remove", Usage: "remove all shims in a directory, or those of some tools", ArgsUsage: "DIR [TOOL]...",
				Description: "What is no shim stays.",
				Action:      p.removeShims,
			},
		},
	}
}

// shimsDir is the directory that a command of shims is about.
func shimsDir(c *cli.Context) (string, error) {
	if c.NArg() == 0 {
		return "", usagef(helpHint(c.Command), "%s: which directory?", typed(c.Command))
	}
	dir, err := filepath.Abs(c.Args().First())
	if err != nil {
		return "", helper.Errorf(helper.CodeStorageError, "%w", err)
	}
	return dir, nil
}

func (p *process) installShims(c *cli.Context) error {
	dir, err := shimsDir(c)
	if err != nil {
		return err
	}
	tools := c.Args().Tail()
	if len(tools) == 0 {
		return usagef("for example: "+name+" shims install "+helper.CleanText(c.Args().First())+" gfal-copy xrdcp", "shims install: for which tools?")
	}
	for _, tool := range tools {
		if tool == name || mpNamed(tool) != nil {
			return usagef("run: ln -s "+shellWord(program())+" "+shellWord(filepath.Join(dir, tool)), "shims install: %s is a name of this program, not of a tool", helper.CleanText(tool))
		}
	}
	if err := consumer.InstallShims(dir, program(), tools); err != nil {
		return helper.Errorf(helper.CodeStorageError, "%w", err)
	}
	if err := p.writeShims(dir, tools); err != nil {
		return err
	}
	if path := p.getenv("PATH"); !strings.HasPrefix(path+":", dir+":") {
		p.note("To use them, put this into ~/.profile:\n  export PATH=%s:$PATH", shellWord(dir))
	}
	return nil
}

func (p *process) listShims(c *cli.Context) error {
	dir, err := shimsDir(c)
	if err != nil {
		return err
	}
	if err := atMost(c, 1); err != nil {
		return err
	}
	tools, err := consumer.Shims(dir)
	if err != nil {
		return helper.Errorf(helper.CodeNotFound, "%w", err).WithHint("to make some, run: %s shims install %s gfal-copy xrdcp", name, shellWord(dir))
	}
	return p.writeShims(dir, tools)
}

// writeShims says of each shim what it starts.
func (p *process) writeShims(dir string, tools []string) error {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, tool := range tools {
		target, err := consumer.RealTool(tool, p.environ)
		if err != nil {
			target = "not on the PATH"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\n", filepath.Join(dir, tool), helper.CleanText(target))
	}
	return w.Flush()
}

func (p *process) removeShims(c *cli.Context) error {
	dir, err := shimsDir(c)
	if err != nil {
		return err
	}
	removed, err := consumer.RemoveShims(dir, c.Args().Tail())
	for _, tool := range removed {
		_, _ = fmt.Fprintf(p.stdout, "removed %s\n", filepath.Join(dir, tool))
	}
	if err != nil {
		return helper.Errorf(helper.CodeNotFound, "%w", err)
	}
	return nil
}
