package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// style is what a terminal can show.
type style struct {
	color   bool
	unicode bool
}

// style goes by https://no-color.org and by the locale. What is not shown on a
// terminal has no colours.
func (p *process) style() style {
	var s style
	s.color = p.forPeople() && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb"
	for _, variable := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := p.getenv(variable); locale != "" {
			locale = strings.ToUpper(locale)
			s.unicode = strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
			break
		}
	}
	return s
}

// table shows the state of profiles to people: one line each, or, on a terminal
// that is too narrow for that, what is long on lines of its own.
type table struct {
	style style
	width int // of the terminal; 0: nobody's, lines may be as long as they are
}

// The columns. Those from folded on may be long and move below the others.
var header = []string{"PROFILE", "TIME LEFT", "PASS PHRASE", "STORED IN", "VO", "IDENTITY"}

const (
	timeColumn = 1
	folded     = 4
	gap        = "  "
)

// render returns the text for the states of profiles.
func (t table) render(profiles []helper.ProfileStatus) string {
	rows := [][]string{header}
	for _, s := range profiles {
		rows = append(rows, t.row(s))
	}
	widths, total := measure(rows)
	columns := len(header)
	if t.width > 0 && total > t.width {
		columns = folded
	}
	var b strings.Builder
	b.WriteString(line(header[:columns], widths))
	for i, s := range profiles {
		row := rows[i+1]
		text := line(row[:columns], widths)
		b.WriteString(strings.Replace(text, row[timeColumn], t.paint(row[timeColumn], s), 1))
		for _, cell := range slices.Backward(row[columns:]) {
			if cell != none {
				b.WriteString(gap + cell + "\n")
			}
		}
		if s.Error != nil {
			b.WriteString(gap + s.Error.Message + "\n")
			if s.Error.Hint != "" {
				b.WriteString(gap + s.Error.Hint + "\n")
			}
		}
	}
	return b.String()
}

// measure returns the width of each column and of the widest line.
func measure(rows [][]string) (widths []int, total int) {
	widths = make([]int, len(header))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, n := range widths {
		total += n + len(gap)
	}
	return widths, total - len(gap)
}

func line(row []string, widths []int) string {
	var b strings.Builder
	for i, cell := range row {
		b.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)) + gap)
	}
	return strings.TrimRight(b.String(), " ") + "\n"
}

func (t table) row(s helper.ProfileStatus) []string {
	profile := s.Profile
	if s.Default {
		profile += " *"
	}
	vo := strings.Join(s.VOMS, " ")
	if s.Limited {
		vo = strings.TrimSpace(vo + " (limited)")
	}
	return []string{profile, t.timeLeft(s), orNone(s.Passphrase), orNone(s.StoredIn), orNone(vo), orNone(s.Identity)}
}

// none is what an empty cell shows.
const none = "-"

func orNone(s string) string {
	if s == "" {
		return none
	}
	return helper.CleanText(s)
}

// barCells is the length of a full bar.
const barCells = 10

func (t table) timeLeft(s helper.ProfileStatus) string {
	switch s.State {
	case helper.StateValid:
		return t.bar(s.ExpiresIn, s.Lifetime) + " " + span(s.ExpiresIn)
	case helper.StateExpired:
		return "expired " + span(-s.ExpiresIn) + " ago"
	case helper.StateNone:
		return "no proxy"
	}
	return "unknown"
}

// bar is the share of its life that a proxy has left. Whatever lives shows at
// least one cell.
func (t table) bar(left, life int64) string {
	full, empty := "#", "."
	if t.style.unicode {
		full, empty = "█", "░"
	}
	n := 0
	if life > 0 {
		n = int((left*barCells + life - 1) / life)
	}
	n = min(max(n, 1), barCells)
	return strings.Repeat(full, n) + strings.Repeat(empty, barCells-n)
}

// paint colours the time that is left: green, yellow in the last fifth of the
// life, red when it is over.
func (t table) paint(cell string, s helper.ProfileStatus) string {
	if !t.style.color {
		return cell
	}
	color := "32"
	switch {
	case s.State == helper.StateError, s.State == helper.StateExpired:
		color = "31"
	case s.State == helper.StateNone:
		return cell
	case s.ExpiresIn*5 < s.Lifetime:
		color = "33"
	}
	return "\x1b[" + color + "m" + cell + "\x1b[0m"
}

// span is a number of seconds as people say it: its two largest units, rounded.
func span(seconds int64) string {
	const minute, hour, day, year = 60, 3600, 86400, 365 * 86400
	switch {
	case seconds < minute:
		return fmt.Sprintf("%d s", max(seconds, 0))
	case seconds < hour:
		return units(seconds, minute, "min", 1, "s")
	case seconds < 2*day:
		return units(seconds, hour, "h", minute, "min")
	}
	if seconds < 2*year {
		return units(seconds, day, "d", hour, "h")
	}
	return units(seconds, year, "y", day, "d")
}

func units(seconds, big int64, bigName string, small int64, smallName string) string {
	seconds = (seconds + small/2) / small * small
	if rest := seconds % big / small; rest > 0 {
		return fmt.Sprintf("%d %s %d %s", seconds/big, bigName, rest, smallName)
	}
	return fmt.Sprintf("%d %s", seconds/big, bigName)
}
