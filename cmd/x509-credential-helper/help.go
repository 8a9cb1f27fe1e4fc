package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

func (p *process) helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "explain a command",
		ArgsUsage: "[COMMAND]",
		Category:  forPeople,
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return writeHelp(p.stdout, c.App, nil)
			}
			command := c.App.Command(c.Args().First())
			if command == nil {
				return usagef("run: "+name+" help", "%q is no command", helper.CleanText(c.Args().First()))
			}
			depth := 1
			if len(command.Subcommands) > 0 && c.NArg() > 1 {
				var err error
				if command, _, err = subcommand(command, c.Args().Slice()[1:]); err != nil {
					return err
				}
				depth++
			}
			if err := atMost(c, depth); err != nil {
				return err
			}
			return writeHelp(p.stdout, c.App, command)
		},
	}
}

// writeHelp explains one command, or lists all of them.
func writeHelp(w io.Writer, app *cli.App, command *cli.Command) error {
	var b strings.Builder
	if command == nil {
		listCommands(&b, app)
	} else {
		explain(&b, command)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func listCommands(b *strings.Builder, app *cli.App) {
	fmt.Fprintf(b, "%s gives grid tools X.509 proxies and keeps what\nis secret in the keyring of your system.\n", name)
	for _, category := range []string{forPeople, forTools} {
		fmt.Fprintf(b, "\n%s:\n", category)
		for _, c := range app.Commands {
			if c.Category == category {
				fmt.Fprintf(b, "  %-13s %s\n", c.Name, c.Usage)
			}
		}
	}
	fmt.Fprintf(b, "\nFirst steps:\n"+
		"  %[1]s sandbox               something to try it with\n"+
		"  %[1]s login                 get a proxy\n"+
		"  %[1]s exec -- gfal-ls URL   use it\n"+
		"  %[1]s help COMMAND          more about a command\n", name)
}

func explain(b *strings.Builder, c *cli.Command) {
	options := ""
	if len(c.Flags) > 0 {
		options = " [OPTION]..."
	}
	args := c.ArgsUsage
	if len(c.Subcommands) > 0 {
		args = "COMMAND [OPTION]..."
	}
	if args != "" {
		args = " " + args
	}
	fmt.Fprintf(b, "%s %s: %s\n\nUsage: %s %s%s%s\n", name, typed(c), c.Usage, name, typed(c), options, args)
	if c.Description != "" {
		fmt.Fprintf(b, "\n%s\n", c.Description)
	}
	if len(c.Subcommands) > 0 {
		b.WriteString("\nCommands:\n")
	}
	wide := 13
	for _, sub := range c.Subcommands {
		wide = max(wide, len(sub.Name)+1)
	}
	for _, sub := range c.Subcommands {
		fmt.Fprintf(b, "  %-*s %s\n", wide, sub.Name, sub.Usage)
	}
	if len(c.Flags) > 0 {
		b.WriteString("\nOptions:\n")
	}
	explainOptions(b, c.Flags)
}

// explainOptions writes one option a line, with its letter where options have
// letters, and what is too long for its column on a line of its own.
func explainOptions(b *strings.Builder, flags []cli.Flag) {
	width, indent := 22, ""
	if slices.ContainsFunc(flags, func(f cli.Flag) bool { return letterOf(f) != "" }) {
		width, indent = 28, "    "
	}
	for _, f := range flags {
		placeholder, usage := placeholder(f.(cli.DocGenerationFlag))
		option := indent + "--" + f.Names()[0] + placeholder
		if l := letterOf(f); l != "" {
			option = "-" + l + ", " + strings.TrimPrefix(option, indent)
		}
		if len(option) > width {
			option += "\n  " + strings.Repeat(" ", width)
		}
		fmt.Fprintf(b, "  %-*s %s\n", width, option, usage)
	}
}

// letterOf is the name of one letter that an option has, or "".
func letterOf(f cli.Flag) string {
	for _, n := range f.Names() {
		if len(n) == 1 {
			return n
		}
	}
	return ""
}

// placeholder takes the word in backquotes out of an option's text, as package
// flag does: "use `PROFILE`". A tab behind it takes it out of the text.
func placeholder(f cli.DocGenerationFlag) (word, usage string) {
	usage = f.GetUsage()
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return "", usage
	}
	word, after, _ := strings.Cut(rest, "`")
	if text, ok := strings.CutPrefix(after, "\t"); ok { // the text does without it
		return " " + word, text
	}
	return " " + word, before + word + after
}

// verbCommands are the verbs of the protocol as the help shows them; they are
// answered before anything here is looked at.
func verbCommands() []*cli.Command {
	verb := func(name, usage, description string) *cli.Command {
		return &cli.Command{Name: name, Usage: usage, Category: forTools, ArgsUsage: "< REQUEST", Description: description}
	}
	return []*cli.Command{
		verb("get", "a credential, from the cache or from a server",
			`  echo '{}' | `+name+` get
  echo '{"profile":"atlas","min_lifetime":3600,"output":"path"}' | `+name+` get

Fields of the request, all optional: profile, url, min_lifetime, lifetime, voms,
limited, cache ("prefer", "only", "bypass"), output ("pem", "path"), interactive
("never", "auto"), timeout, optional, client, version. Durations are in seconds.`),
		verb("store", "keep a secret in the keyring",
			`  printf '{"secret":{"kind":"passphrase","value":"%s"}}' "$p" | `+name+` store

Fields of the request: profile, url, secret. Its kind is "passphrase", with RCauth
"client_secret" or "refresh_token", or "key_passphrase" for an encrypted tls_key.
Nothing is tried; login does that.`),
		verb("erase", "forget credentials and secrets",
			`  echo '{"what":["all"]}' | `+name+` erase

Fields of the request: profile, url, what ("credential", kinds of secrets as in
store, "all"), fingerprint, and reason ("rejected") if a server refused that
credential.

  `+name+` erase --all

forgets everything of all profiles, and reads no request.`),
		verb("list", "what is in the cache, without secrets", "  "+name+" list < /dev/null"),
		verb("capabilities", "what this helper can do",
			"  "+name+" capabilities\n\nIt needs no configuration, no keyring and no network."),
	}
}
