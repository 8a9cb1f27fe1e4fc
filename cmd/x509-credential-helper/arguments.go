package main

import (
	"errors"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// errHelp says that a command's help was asked for.
var errHelp = errors.New("help was asked for")

// arguments are the words after a command, sorted out.
type arguments struct {
	options []string // with their values
	words   []string // everything else
}

// arrange sorts the words after a command into options and the rest, so that
// options work before and after arguments: package flag, below urfave/cli, takes
// everything after the first argument for arguments without a word. A command
// that starts another one keeps its order; there the first argument ends the
// options. "--" ends them everywhere.
func arrange(command *cli.Command, args []string, ordered bool) (*arguments, error) {
	a := &arguments{}
	for i := 0; i < len(args); i++ {
		word := args[i]
		switch {
		case word == "--":
			a.words = append(a.words, args[i+1:]...)
			return a, nil
		case len(word) < 2 || word[0] != '-':
			if ordered {
				a.words = args[i:]
				return a, nil
			}
			a.words = append(a.words, word)
			continue
		}
		name, value, given := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if name == "h" || name == "help" {
			return nil, errHelp
		}
		flag := findFlag(command, name)
		if flag == nil {
			return nil, unknownOption(command, name)
		}
		switch takesValue := flag.(cli.DocGenerationFlag).TakesValue(); {
		case given && value == "", takesValue && !given && i+1 == len(args):
			return nil, usagef(helpHint(command), "%s: --%s needs a value", command.Name, name)
		case takesValue && !given:
			i++
			word += "=" + args[i]
		}
		a.options = append(a.options, word)
	}
	return a, nil
}

func findFlag(command *cli.Command, name string) cli.Flag {
	for _, f := range command.Flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

func unknownOption(command *cli.Command, option string) error {
	var names []string
	for _, f := range command.Flags {
		names = append(names, f.Names()...)
	}
	hint := helpHint(command)
	if s := closest(option, names); s != "" {
		hint = "did you mean --" + s + "?"
	}
	return usagef(hint, "%s has no option --%s", command.Name, option)
}

func helpHint(command *cli.Command) string { return "run: " + name + " help " + command.Name }

// duration reads an option as people write durations.
func duration(c *cli.Context, option string) (time.Duration, error) {
	d, err := time.ParseDuration(c.String(option))
	if err != nil || d < 0 {
		return 0, usagef("write 90m or 12h", "%s: --%s %q is no duration", c.Command.Name, option, c.String(option))
	}
	if d > longest {
		return 0, usagef("write 90m or 12h", "%s: --%s %q is longer than a year", c.Command.Name, option, c.String(option))
	}
	return d.Truncate(time.Second), nil
}

// longest is the longest duration of the protocol.
const longest = 365 * 24 * time.Hour
