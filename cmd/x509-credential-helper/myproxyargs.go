package main

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// mpWords reads the words after a myproxy command as getopt_long(3) does, which
// is what the programs use that it stands in for: letters may stand together
// and have their value behind them ("-bTlalice"), long names may be cut as long
// as they are clear, and arguments may stand between. The result is what
// urfave/cli understands.
type mpWords struct {
	options []mpOption
	foreign bool   // called by the name of another program
	command string // how it is called in errors
	hint    string

	pattern bool // after -x
	seen    map[string]bool
	parsed  arguments
	rest    []string
}

// parse sorts the words. Its errors are errHelp and *usageError.
func (w *mpWords) parse(args []string) (*arguments, error) {
	w.seen = map[string]bool{}
	w.rest = args
	for len(w.rest) > 0 {
		word := w.rest[0]
		w.rest = w.rest[1:]
		var err error
		switch {
		case word == "--":
			w.parsed.words = append(w.parsed.words, w.rest...)
			return &w.parsed, nil
		case strings.HasPrefix(word, "--"):
			err = w.long(word[2:])
		case len(word) < 2 || word[0] != '-':
			w.parsed.words = append(w.parsed.words, word)
		case w.singleDash(word[1:]):
			err = w.long(word[1:])
		default:
			err = w.letters(word[1:])
		}
		if err != nil {
			return nil, err
		}
	}
	return &w.parsed, nil
}

// singleDash says whether a long name stands behind a single dash, as this
// program takes it everywhere. Under the name of another program that is so for
// the words only that its help has in this form.
func (w *mpWords) singleDash(word string) bool {
	long, _, _ := strings.Cut(word, "=")
	if w.foreign {
		return word == "help" || word == "usage" || word == "version"
	}
	return len(long) > 1 && w.exact(long) != nil
}

func (w *mpWords) exact(long string) *mpOption {
	long = strings.ReplaceAll(long, "_", "-")
	for i := range w.options {
		if w.options[i].has(long) {
			return &w.options[i]
		}
	}
	return nil
}

// find takes a long name, or the beginning of one.
func (w *mpWords) find(long string) (*mpOption, error) {
	if o := w.exact(long); o != nil {
		return o, nil
	}
	begin := strings.ReplaceAll(long, "_", "-")
	// Other programs' names first: what is clear there stays so, whatever
	// names of ours begin like it.
	for _, own := range []bool{false, true} {
		var found []*mpOption
		for i := range w.options {
			o := &w.options[i]
			names := strings.Fields(o.also)
			if own || o.theirs() {
				names = append(names, o.name)
			}
			if slices.ContainsFunc(names, func(n string) bool { return begin != "" && strings.HasPrefix(n, begin) }) {
				found = append(found, o)
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return nil, usagef(w.hint, "%s: --%s may be --%s or --%s", w.command, helper.CleanText(long), found[0].name, found[1].name)
		}
	}
	return nil, w.unknown("--" + long)
}

// theirs says whether our name of the option is one of the other programs.
func (o *mpOption) theirs() bool {
	return o.letter != 0 && o.also == "" || o.refused != ""
}

func (w *mpWords) unknown(option string) error {
	var names []string
	for i := range w.options {
		names = append(append(names, w.options[i].name), strings.Fields(w.options[i].also)...)
	}
	hint := w.hint
	if s := closest(strings.TrimLeft(option, "-"), names); s != "" && strings.HasPrefix(option, "--") {
		hint = "did you mean --" + s + "?"
	}
	return usagef(hint, "%s has no option %s", w.command, helper.CleanText(option))
}

// long takes "name", "name=value", or "name" with its value in the next word.
func (w *mpWords) long(word string) error {
	long, value, given := strings.Cut(word, "=")
	o, err := w.find(long)
	switch {
	case err != nil:
		return err
	case o.value == "" && given:
		return usagef(w.hint, "%s: --%s takes no value", w.command, o.name)
	case o.value == "" || given:
		return w.take(o, value)
	}
	return w.takeNext(o, "--"+long)
}

// letters takes the letters behind one dash.
func (w *mpWords) letters(word string) error {
	for i, r := range word {
		o := w.letter(r)
		if o == nil {
			return w.unknown("-" + string(r))
		}
		if o.value == "" {
			if err := w.take(o, ""); err != nil {
				return err
			}
			continue
		}
		value := word[i+utf8.RuneLen(r):]
		if !w.foreign { // -f=FILE, as with every other command of ours
			value = strings.TrimPrefix(value, "=")
		}
		if value != "" {
			return w.take(o, value)
		}
		return w.takeNext(o, "-"+string(r))
	}
	return nil
}

func (w *mpWords) letter(r rune) *mpOption {
	for i := range w.options {
		if r != 0 && rune(w.options[i].letter) == r {
			return &w.options[i]
		}
	}
	return nil
}

func (w *mpWords) takeNext(o *mpOption, written string) error {
	if len(w.rest) == 0 {
		return usagef(w.hint, "%s: %s needs a value", w.command, written)
	}
	value := w.rest[0]
	w.rest = w.rest[1:]
	return w.take(o, value)
}

// take notes one option. The last one counts where it may not be repeated, but
// for policies: which of two people may have a credential is no matter of
// order.
func (w *mpWords) take(o *mpOption, value string) error {
	switch {
	case o.name == "help" || o.name == "usage":
		return errHelp
	case o.refused != "":
		return usagef("", "%s: --%s is not taken: %s", w.command, o.name, o.refused)
	case o.name == optionPattern || o.name == optionCommon:
		w.pattern = o.name == optionPattern
		return nil
	case o.value == "":
		w.parsed.options = append(w.parsed.options, "--"+o.name)
		return nil
	case o.pattern && w.seen[o.name]:
		return usagef("write one pattern that fits both", "%s: --%s was given twice", w.command, o.name)
	case o.pattern && !w.pattern:
		value = "*/CN=" + value
	}
	w.seen[o.name] = true
	w.parsed.options = append(w.parsed.options, "--"+o.name+"="+value)
	return nil
}
