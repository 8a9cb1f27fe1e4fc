package main

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
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
	now   time.Time
}

// The columns. Those from folded on may be long and move below the others.
var header = []string{"PROFILE", "TIME LEFT", "PASS PHRASE", "STORED IN", "VO", "IDENTITY"}

const (
	timeColumn = 1
	folded     = 4
	gap        = "  "
)

// text is the whole answer.
func (t table) text(a *helper.StatusAnswer) string {
	profiles := slices.Clone(a.Profiles)
	for i, s := range profiles {
		if a.Incomplete != nil && s.Error != nil && s.Error.Message == a.Incomplete.Message {
			profiles[i].Error = nil // it stands below, once for all
		}
	}
	return t.render(profiles) + t.stores(a)
}

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
		if i+1 == len(profiles) || profiles[i+1].Profile != s.Profile {
			hint(&b, t.nextLogin(s))
		}
		if s.Error != nil {
			wrap(&b, gap, s.Error.Message, t.width)
			hint(&b, s.Error.Hint)
		}
	}
	return b.String()
}

// nextLogin says how long a session of a profile is good for, "" where it has none.
func (t table) nextLogin(s helper.ProfileStatus) string {
	if s.NextLogin == nil {
		return ""
	}
	left := int64(s.NextLogin.Sub(t.now).Seconds())
	if left <= 0 {
		return "a login is needed; run: " + name + " login " + s.Profile
	}
	return "next login in " + helper.Span(left) + ", by " + clock(*s.NextLogin)
}

// hint is not wrapped: a command in it can be copied only if it stays whole.
func hint(b *strings.Builder, text string) {
	if text != "" {
		b.WriteString(gap + text + "\n")
	}
}

// stores says which stores cannot be used and why, where that matters: those
// before the one that is used instead, the keyring, which is wanted for pass
// phrases, and what may have more proxies than are shown.
func (t table) stores(a *helper.StatusAnswer) string {
	var list []helper.StoreStatus
	used, incomplete := false, a.Incomplete
	for _, s := range a.Stores {
		hides := a.Incomplete != nil && !s.Usable && strings.HasSuffix(a.Incomplete.Message, s.Reason)
		if hides {
			s.Hint, incomplete = a.Incomplete.Hint, nil
		}
		switch last := len(list) - 1; {
		case s.Usable:
			used = true
		case used && !hides && s.Store != string(cache.Keyring):
		case last >= 0 && list[last].Reason == s.Reason:
			list[last].Store += ", " + s.Store
		default:
			list = append(list, s)
		}
	}
	var b strings.Builder
	for _, s := range list {
		wrap(&b, "", s.Store+" not usable: "+s.Reason, t.width)
		hint(&b, s.Hint)
	}
	if incomplete != nil {
		wrap(&b, "", incomplete.Message, t.width)
		hint(&b, incomplete.Hint)
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
		return t.bar(s.ExpiresIn, s.Lifetime) + " " + helper.Span(s.ExpiresIn)
	case helper.StateExpired:
		return "expired " + helper.Span(-s.ExpiresIn) + " ago"
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
