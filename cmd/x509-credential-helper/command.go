package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/consumer"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// The groups of commands in the help.
const (
	forPeople = "For people"
	forTools  = "For tools (a JSON request on standard input, a JSON answer on standard output)"
)

// usageStatus is the exit status of a command line that is wrong.
const usageStatus = 2

// usageError is a command line that is wrong, and what to type instead.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

func usagef(hint, format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...), hint: hint}
}

// exitStatus ends the program with a status and without a word.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// command runs a command for people and returns the exit status.
func (p *process) command(ctx context.Context) int {
	app := p.newApp()
	args, err := p.commandLine(app)
	switch {
	case args == nil:
		return p.unknownCommand(app, err)
	case err != nil:
		return p.report(ctx, args[0], err)
	}
	err = safego.Call(func() error {
		p.before()
		return app.RunContext(ctx, append([]string{name}, args...))
	})
	return p.report(ctx, args[0], err)
}

// newApp describes the commands to urfave/cli. It parses options and lays out
// help; it must not print errors (to standard output, measured with v2.27.7)
// nor end the process.
func (p *process) newApp() *cli.App {
	app := &cli.App{
		Name:            name,
		HideHelp:        true,
		HideVersion:     true,
		Writer:          p.stdout,
		ErrWriter:       p.stderr,
		ExitErrHandler:  func(*cli.Context, error) {},
		OnUsageError:    onUsageError,
		SkipFlagParsing: true,
		Commands: append([]*cli.Command{
			p.loginCommand(), p.logoutCommand(), p.statusCommand(), p.execCommand(), p.envCommand(), p.pathCommand(), p.keepFreshCommand(),
			p.shimsCommand(),
			p.showCommand(), p.trustCommand(), p.myproxyCommand(), p.rcauthCommand(), p.rotateKeysCommand(), p.sandboxCommand(), p.versionCommand(), p.helpCommand(),
		}, verbCommands()...),
	}
	prepare(app.Commands, "")
	return app
}

// prepare gives commands, and those of commands, what all have.
func prepare(commands []*cli.Command, above string) {
	for _, c := range commands {
		c.HelpName = above + c.Name
		c.HideHelp = true // -h is handled here, so that it works everywhere
		c.OnUsageError = onUsageError
		prepare(c.Subcommands, c.HelpName+" ")
	}
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	return usagef(helpHint(c.Command), "%s: %v", typed(c.Command), err)
}

// commandLine finds the command and puts its options first, where the parser
// sees them. The forms that every program understands become commands. It
// returns nil if there is no such command.
func (p *process) commandLine(app *cli.App) ([]string, error) {
	if p.called != nil {
		return p.calledLine(app.Command("myproxy"))
	}
	if len(p.args) == 0 {
		return nil, errors.New("no command was given")
	}
	first, rest := p.args[0], p.args[1:]
	switch first {
	case "-h", "-help", "--help":
		return append([]string{"help"}, rest...), nil
	case "-v", "-version", "--version":
		return append([]string{"version"}, rest...), nil
	}
	command := app.Command(first)
	if command == nil {
		return nil, fmt.Errorf("%q is no command", helper.CleanText(first))
	}
	path := []string{first}
	if len(command.Subcommands) > 0 {
		sub, others, err := subcommand(command, rest)
		switch {
		case errors.Is(err, errHelp):
			return []string{"help", first}, nil
		case err != nil:
			return path, err
		}
		command, rest, path = sub, others, append(path, sub.Name)
	}
	if first == "myproxy" {
		return p.myproxyLine(command.Name, rest)
	}
	sorted, err := arrange(command, rest, first == "exec")
	switch {
	case errors.Is(err, errHelp):
		return append([]string{"help"}, path...), nil
	case err != nil:
		return path, err
	}
	return slices.Concat(path, sorted.options, []string{"--"}, sorted.words), nil
}

// unknownCommand answers a first word that is no command: to programs in the
// protocol's form, to people with the word that they may have meant.
func (p *process) unknownCommand(app *cli.App, err error) int {
	e := helper.Errorf(helper.CodeUnsupportedVerb, "%w", err).WithHint("run: %s help", name)
	if len(p.args) > 0 {
		var names []string
		for _, c := range app.Commands {
			names = append(names, c.Name)
		}
		if s := closest(p.args[0], names); s != "" {
			e = e.WithHint("did you mean %q?", s)
		}
	}
	if !p.forPeople() {
		_ = p.answer(e)
	} else if len(p.args) == 0 {
		_ = writeHelp(p.stderr, app, nil)
		return usageStatus
	}
	p.complain(e.Message, e.Hint)
	return usageStatus
}

// report tells people why a command failed and returns its exit status.
func (p *process) report(ctx context.Context, command string, err error) int {
	var usage *usageError
	var status exitStatus
	var start *consumer.StartError
	var exited *consumer.Exited
	if command == "env" && err != nil {
		p.failEnv(err)
	}
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &exited):
		return exited.Repeat()
	case errors.As(err, &usage):
		p.complain(usage.text, usage.hint)
		if command == "exec" {
			return consumer.StatusFailed // 2 would look like the tool's own
		}
		if p.standsForC() {
			return 1 // as they end, and their scripts expect
		}
		return usageStatus
	case errors.As(err, &start):
		p.complain(start.Error(), "")
		return start.Status
	}
	e := helper.AsError(err)
	if lost := (*fs.PathError)(nil); e.Code == helper.CodeInternal && errors.As(err, &lost) && lost.Path == p.stdout.Name() {
		e = helper.Errorf(helper.CodeInternal, "standard output cannot be written: %w", lost.Err)
	}
	if e.Code == helper.CodeCancelled && ctx.Err() != nil {
		e = helper.Errorf(helper.CodeCancelled, "cancelled") // who sent the signal knows where
	}
	p.complain(e.Message, e.Hint)
	if command == "exec" && e.Code != helper.CodeCancelled {
		return consumer.StatusFailed
	}
	return e.Code.ExitStatus()
}

// complain writes one sentence and, below it, what to do.
func (p *process) complain(text, hint string) {
	if hint != "" {
		hint = "\n  " + hint
	}
	p.note("%s: %s%s", name, text, hint)
}

// note tells people something. Names of files come from other people, too, and
// a terminal would obey what is in them.
func (p *process) note(format string, args ...any) {
	lines := strings.Split(fmt.Sprintf(format, args...), "\n")
	for i, line := range lines {
		lines[i] = clean(line)
	}
	_, _ = fmt.Fprintln(p.stderr, strings.Join(lines, "\n"))
}

func (p *process) notes(warnings []helper.Warning) {
	for _, w := range warnings {
		p.note("note: %s", w.Message)
	}
}

// atMost refuses arguments that a command has no use for.
func atMost(c *cli.Context, n int) error {
	if c.NArg() <= n {
		return nil
	}
	return usagef(helpHint(c.Command), "%s: unexpected argument %q", typed(c.Command), helper.CleanText(c.Args().Get(n)))
}

// closest finds the word that somebody who typed s may have meant, or "". The
// beginning of a word counts.
func closest(s string, words []string) string {
	for _, w := range slices.Sorted(slices.Values(words)) {
		if strings.HasPrefix(w, s) && len(s) > 1 {
			return w
		}
	}
	return helper.Closest(s, words)
}
