package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
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
				return a, profileBefore(a.words)
			}
			a.words = append(a.words, word)
			continue
		}
		name, value, given := strings.Cut(strings.TrimLeft(word, "-"), "=")
		switch {
		case name == "h" && ownH(command, given, args[i+1:]):
			name, word = hoursOption, "--"+hoursOption+strings.TrimLeft(word, "-h")
		case name == "help", name == "h" && !given:
			return nil, errHelp
		}
		flag := findFlag(command, name)
		if flag == nil {
			return nil, unknownOption(command, name)
		}
		switch takesValue := flag.(cli.DocGenerationFlag).TakesValue(); {
		case given && value == "", takesValue && !given && i+1 == len(args):
			return nil, usagef(helpHint(command), "%s: --%s needs a value", typed(command), name)
		case takesValue && !given:
			i++
			word += "=" + args[i]
		}
		a.options = append(a.options, word)
	}
	return a, nil
}

// profileBefore refuses "exec PROFILE -- COMMAND". Behind a "--" of ours, one that
// is the command's own, as in "exec -- nice -- COMMAND", is none of our business.
func profileBefore(words []string) error {
	if len(words) < 2 || words[1] != "--" {
		return nil
	}
	word := helper.CleanText(words[0])
	return usagef(fmt.Sprintf("run: %[1]s exec --profile %[2]s -- ..., or, if %[2]s is the command: %[1]s exec -- %[2]s -- ...", name, word),
		"exec: the profile is an option")
}

// hoursOption is what -h stands for where a number follows, as in
// "grid-proxy-info -e -h 2". Help would be status 0, which such a script takes
// for a yes. It is no alias that urfave/cli knows: with one it takes "-hours 1"
// for -h=true, and prints help (measured with v2.27.7).
const hoursOption = "hours"

// ownH says whether -h is an option of the command.
func ownH(command *cli.Command, given bool, rest []string) bool {
	switch {
	case findFlag(command, hoursOption) == nil:
		return false
	case given:
		return true
	case len(rest) == 0:
		return false
	}
	_, err := strconv.Atoi(rest[0])
	return err == nil
}

// subcommand finds the command of a command, also behind options, and returns
// the words without it.
func subcommand(command *cli.Command, args []string) (*cli.Command, []string, error) {
	var names []string
	for _, c := range command.Subcommands {
		names = append(names, c.Name)
	}
	hint := name + " " + command.Name + " " + strings.Join(names, "|")
	wrong := ""
	for i, word := range args {
		for _, c := range command.Subcommands {
			if c.HasName(word) {
				return c, slices.Concat(args[:i], args[i+1:]), nil
			}
		}
		switch option := strings.TrimLeft(word, "-"); {
		case option != word && (option == "h" || option == "help"):
			return nil, nil, errHelp
		case option == word && wrong == "":
			wrong = word
		}
	}
	if wrong == "" {
		return nil, nil, usagef("run: "+hint, "%s needs one of its commands", command.Name)
	}
	if s := closest(wrong, names); s != "" {
		hint = "did you mean " + command.Name + " " + s + "?"
	} else {
		hint = "run: " + hint
	}
	return nil, nil, usagef(hint, "%s has no command %q", command.Name, helper.CleanText(wrong))
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
	return usagef(hint, "%s has no option --%s", typed(command), option)
}

// typed is a command as it is typed, "trust list". urfave/cli puts the program's
// name before those of the first level.
func typed(command *cli.Command) string { return strings.TrimPrefix(command.HelpName, name+" ") }

func helpHint(command *cli.Command) string { return "run: " + name + " help " + typed(command) }

// duration reads an option as people write durations.
func duration(c *cli.Context, option string) (time.Duration, error) {
	d, err := time.ParseDuration(c.String(option))
	if err != nil || d < 0 {
		return 0, usagef("write 90m or 12h", "%s: --%s %q is no duration", typed(c.Command), option, c.String(option))
	}
	if d > longest {
		return 0, usagef("write 90m or 12h", "%s: --%s %q is longer than a year", typed(c.Command), option, c.String(option))
	}
	return d.Truncate(time.Second), nil
}

// longest is the longest duration of the protocol.
const longest = 365 * 24 * time.Hour
