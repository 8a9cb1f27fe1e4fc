package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// trustHeader names the columns. The last one is long and moves below the
// others where the terminal is too narrow for it.
var trustHeader = []string{"CA", "HASH", "TIME LEFT", "CRL", "POLICY", "SUBJECT"}

const (
	trustFolded = 5

	// narrowestName is what a column of names is worth having for.
	narrowestName = 12
)

// anchors is the table of all trusted CAs. Nothing is cut: what does not fit in
// its column gets a line of its own.
func (p *page) anchors(anchors []gsi.Anchor, now time.Time) string {
	rows := [][]string{trustHeader}
	for _, a := range anchors {
		rows = append(rows, anchorRow(a, now))
	}
	widths, total := measure(rows)
	columns := len(trustHeader)
	if p.width > 0 && total > p.width {
		columns = trustFolded
		rest := total - widths[0] - widths[trustFolded] - len(gap)
		widths[0] = min(widths[0], max(p.width-rest, 0))
		if widths[0] < narrowestName {
			widths = nil
		}
	}
	if widths != nil {
		p.b.WriteString(line(rows[0][:columns], widths))
	}
	for i, row := range rows[1:] {
		p.anchor(anchors[i], row, widths, columns)
	}
	return p.b.String()
}

// anchor is one CA; without widths there is no room for a table.
func (p *page) anchor(a gsi.Anchor, row []string, widths []int, columns int) {
	shown := row[0]
	if a.Severity != gsi.SeverityOK {
		shown = p.paint(severityColor(a.Severity), shown)
	}
	switch {
	case widths == nil:
		p.b.WriteString(shown + "\n")
		p.lines(gap, anchorText(a, row))
	case utf8.RuneCountInString(row[0]) > widths[0]:
		p.b.WriteString(shown + "\n" + line(append([]string{""}, row[1:columns]...), widths))
	default:
		p.b.WriteString(shown + strings.TrimPrefix(line(row[:columns], widths), row[0]))
	}
	if columns < len(row) && row[trustFolded] != none {
		p.b.WriteString(gap + row[trustFolded] + "\n")
	}
	for _, problem := range a.Problems {
		if problem.Severity != gsi.SeverityOK {
			p.lines(gap, clean(problemText(problem)))
		}
	}
}

// anchorText is a row of the table in words.
func anchorText(a gsi.Anchor, row []string) string {
	if a.Subject == "" {
		return "no certificate"
	}
	words := []string{"hash " + row[1], row[2] + " left"}
	if strings.HasPrefix(row[2], "expired") || strings.HasPrefix(row[2], "not") {
		words[1] = row[2]
	}
	if row[3] != none {
		words = append(words, "CRL "+row[3])
	}
	return strings.Join(append(words, "policy: "+row[4]), ", ")
}

func severityColor(s gsi.Severity) string {
	switch s {
	case gsi.SeverityError:
		return red
	case gsi.SeverityWarning:
		return yellow
	}
	return green
}

// anchorName is what people call a CA.
func anchorName(a gsi.Anchor) string {
	switch {
	case a.Alias != "":
		return clean(a.Alias)
	case a.Subject != "":
		if i := strings.LastIndex(a.Subject, "/CN="); i >= 0 {
			return clean(a.Subject[i+len("/CN="):])
		}
		return clean(a.Subject)
	}
	return clean(filepath.Base(a.File))
}

func anchorRow(a gsi.Anchor, now time.Time) []string {
	return []string{anchorName(a), orNone(a.Hash), leftText(a.NotBefore, a.NotAfter, now), crlText(a, now), orNone(a.Policy), orNone(a.Subject)}
}

func leftText(notBefore, notAfter, now time.Time) string {
	switch {
	case notAfter.IsZero():
		return none
	case now.After(notAfter):
		return "expired " + helper.Span(int64(now.Sub(notAfter).Seconds())) + " ago"
	case now.Before(notBefore):
		return "not yet valid"
	}
	return helper.Span(int64(notAfter.Sub(now).Seconds()))
}

// crlText is the state of the best revocation list of a CA.
func crlText(a gsi.Anchor, now time.Time) string {
	crl := bestCRL(a)
	switch {
	case crl == nil:
		return none
	case crl.Fault != "" && crl.Fault != gsi.TrustCRLExpired:
		return "unusable"
	case crl.NextUpdate.IsZero():
		return "no end"
	}
	return leftText(crl.ThisUpdate, crl.NextUpdate, now)
}

// bestCRL is the one that counts and ends last, else the first.
func bestCRL(a gsi.Anchor) *gsi.CRLStatus {
	var best *gsi.CRLStatus
	for i := range a.CRLs {
		crl := &a.CRLs[i]
		switch {
		case best == nil, best.Fault != "" && crl.Fault == "":
			best = crl
		case crl.Fault == "" && !best.NextUpdate.IsZero() && (crl.NextUpdate.IsZero() || crl.NextUpdate.After(best.NextUpdate)):
			best = crl
		}
	}
	return best
}

// anchorProblems says what is wrong, one CA after the other.
func (p *page) anchorProblems(t *trusted) string {
	bad := 0
	for _, a := range t.anchors {
		if a.Severity == gsi.SeverityOK {
			continue
		}
		bad++
		p.b.WriteString(p.paint(severityColor(a.Severity), a.Severity.String()) + gap + anchorName(a))
		if a.Hash != "" {
			p.b.WriteString(", hash " + a.Hash)
		}
		p.b.WriteByte('\n')
		if a.Subject != "" {
			p.b.WriteString("  " + clean(a.Subject) + "\n")
		}
		for _, problem := range a.Problems {
			if problem.Severity != gsi.SeverityOK {
				p.lines("  ", clean(problemText(problem)))
			}
		}
	}
	what := "trusted CAs in " + clean(t.dir)
	if t.needed {
		what = "CAs that are needed in " + clean(t.dir)
	}
	if bad == 0 {
		return fmt.Sprintf("nothing is wrong with the %s (%d)\n", what, len(t.anchors))
	}
	p.b.WriteByte('\n')
	p.lines("", fmt.Sprintf("something is wrong with %d of the %d %s", bad, len(t.anchors), what))
	return p.b.String()
}

// problemText is a problem and the file that is to blame.
func problemText(problem gsi.AnchorProblem) string {
	if problem.File == "" || strings.Contains(problem.Detail, problem.File) {
		return problem.Detail
	}
	return problem.Detail + " (" + problem.File + ")"
}
