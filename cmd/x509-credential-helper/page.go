package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (p *page) paint(color, text string) string {
	if !p.style.color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// plain is a text without its colours.
func plain(text string) string {
	for _, color := range []string{red, green, yellow} {
		text = strings.ReplaceAll(text, "\x1b["+color+"m", "")
	}
	return strings.ReplaceAll(text, "\x1b[0m", "")
}

// name writes a label and what must not be wrapped; it stands below its label
// where the terminal is too narrow for both.
func (p *page) name(label, text string) {
	if p.narrow() || p.width > 0 && gutter+utf8.RuneCountInString(text) > p.width {
		p.b.WriteString(label + "\n  " + text + "\n")
		return
	}
	p.b.WriteString(pad(label) + text + "\n")
}

// text writes a label and words that may be wrapped.
func (p *page) text(label, text string) {
	if p.narrow() {
		p.b.WriteString(label + "\n")
		p.lines("  ", text)
		return
	}
	var b strings.Builder
	wrap(&b, strings.Repeat(" ", gutter), text, p.width)
	p.b.WriteString(pad(label) + strings.TrimLeft(b.String(), " "))
}

// more goes on with the text of the label above.
func (p *page) more(text string) {
	indent := strings.Repeat(" ", gutter)
	if p.narrow() {
		indent = "  "
	}
	p.lines(indent, text)
}

// item is a line that belongs to the label above.
func (p *page) item(text string) {
	indent := strings.Repeat(" ", gutter)
	if p.narrow() {
		indent = "    "
	}
	p.b.WriteString(indent + text + "\n")
}

// lines writes words below each other, wrapped.
func (p *page) lines(indent, text string) { wrap(&p.b, indent, text, p.width) }

func pad(label string) string {
	return label + strings.Repeat(" ", max(gutter-utf8.RuneCountInString(label), 1))
}

// wrap breaks a text at blanks. A word that is longer than a line gets a line of
// its own and is left to the terminal. Names have blanks and are wrapped only
// where they stand in a sentence.
func wrap(b *strings.Builder, indent, text string, width int) {
	column := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(plain(word))
		switch {
		case column == 0:
			b.WriteString(indent)
			column = utf8.RuneCountInString(indent)
		case width > 0 && column+1+n > width:
			b.WriteString("\n" + indent)
			column = utf8.RuneCountInString(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteByte('\n')
}

// clean drops what a terminal would obey instead of show, and what could make a
// text read otherwise than it is. Nothing is cut.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
}
