package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// page lays out what people read: labels on the left, text wrapped to the
// terminal. Names are never cut nor wrapped, so that they can be copied.
type page struct {
	style style
	width int // of the terminal; 0: nobody's, lines may be as long as they are

	b strings.Builder
}

// gutter is the width of the labels.
const gutter = 11

// narrow says whether labels stand above what they name.
func (p *page) narrow() bool { return p.width > 0 && p.width < 60 }

// proxy is the page of one proxy.
func (p *page) proxy(s *shownProxy, verified bool) string {
	p.who(s)
	p.what(s)
	p.whereFrom(s)
	for _, a := range s.acs {
		p.attributes(s, a)
	}
	p.chainOf(s)
	p.complaints(s, verified)
	return p.b.String()
}

// who comes first: whose it is.
func (p *page) who(s *shownProxy) {
	if s.info == nil {
		p.name("subject", oneLine(s.chain[0].RawSubject))
		return
	}
	p.name("identity", s.info.Identity)
}

func (p *page) what(s *shownProxy) {
	if s.info != nil {
		p.text("type", s.info.TypeText()+depthText(s.info.Depth))
		if text := rightsText(s.info); text != "" {
			p.text("rights", text)
		}
	}
	p.text("time left", p.timeLeft(s))
	if text := s.firstEnd(); text != "" {
		p.more(text)
	}
}

func depthText(depth int) string {
	if depth > 1 {
		return fmt.Sprintf(", the last of %d proxies", depth)
	}
	return ""
}

// rightsText says what servers let the holder do.
func rightsText(info *gsi.Info) string {
	var text string
	switch info.Rights {
	case gsi.RightsInheritAll:
		text = "all that its user may"
	case gsi.RightsLimited:
		text = "limited: may move data, but start no jobs"
	case gsi.RightsIndependent:
		text = "independent: only what is granted to the proxy itself"
	case gsi.RightsOther:
		text = "restricted in a language that is not understood"
	default:
		return ""
	}
	switch {
	case info.PathLen == 0:
		text += "; no proxy may be made from it"
	case info.PathLen == 1:
		text += "; one more proxy may follow"
	case info.PathLen > 1:
		text += fmt.Sprintf("; %d more proxies may follow", info.PathLen)
	}
	if info.Type != gsi.TypeRFC3820 && info.Type != gsi.TypeEEC {
		text += "; TLS servers refuse it"
	}
	return text
}

// timeLeft is for the whole: certificates and attributes.
func (p *page) timeLeft(s *shownProxy) string {
	end := s.ends.notAfter
	left := s.left(end)
	switch s.state(s.begins, end) {
	case stateExpired:
		return p.paint(red, "expired "+helper.Span(-left)+" ago, at "+clock(end))
	case stateNotYet:
		return p.paint(red, "valid only in "+helper.Span(s.left(s.begins))+", from "+clock(s.begins)) + " until " + clock(end)
	}
	color, life := green, int64(end.Sub(s.begins).Seconds())
	if left*5 < life {
		color = yellow
	}
	return p.paint(color, table{style: p.style}.bar(left, life)+" "+helper.Span(left)) + ", until " + clock(end)
}

// firstEnd says which end it is, where that is not plain.
func (s *shownProxy) firstEnd() string {
	switch {
	case s.ends.what == "attributes" && s.notAfter.Sub(s.ends.notAfter) >= time.Minute: // less would not show
		end := " end first, the certificates live until "
		if s.now.After(s.ends.notAfter) {
			end = " have ended, the certificates live until "
		}
		if s.now.After(s.notAfter) {
			end = " ended first, the certificates at "
		}
		return "the attributes of " + voName(s.ends.vo) + end + clock(s.notAfter)
	case s.ends.depth > 0 && s.chain[0].NotAfter.After(s.ends.notAfter):
		return s.shortName(s.ends.depth) + " ends first, the first certificate by itself would live until " + clock(s.chain[0].NotAfter)
	}
	return ""
}

// shortName is what a proxy adds to its issuer's name, and the whole name of
// whatever is no proxy.
func (s *shownProxy) shortName(depth int) string {
	c := s.chain[depth]
	subject := oneLine(c.RawSubject)
	if rest, ok := strings.CutPrefix(subject, oneLine(c.RawIssuer)+"/"); ok {
		return rest
	}
	return subject
}

func (p *page) whereFrom(s *shownProxy) {
	algorithm, bits := keyOf(s.chain[0])
	key := fmt.Sprintf("%s %d, ", algorithm, bits)
	switch s.key {
	case "none":
		key += "not in the file"
	case "encrypted":
		key += "encrypted with a pass phrase"
	case "wrong":
		key += p.paint(red, "but the key in the file is another one")
	default:
		key += "in the file, not encrypted"
	}
	p.text("key", key)
	switch f := s.file; {
	case f.stdin:
		p.text("file", "standard input")
	case f.uid == -1:
		p.name("file", clean(f.path))
	default:
		owner := "yours"
		if !f.ours {
			owner = fmt.Sprintf("of user %d", f.uid)
		}
		p.text("file", fmt.Sprintf("%s, mode %04o, %s", clean(f.path), f.mode, owner))
	}
}

// attributes is a block of its own for each attribute certificate.
func (p *page) attributes(s *shownProxy, a shownAC) {
	left := s.left(a.NotAfter)
	when := p.paint(red, "expired "+helper.Span(-left)+" ago")
	switch s.state(a.NotBefore, a.NotAfter) {
	case stateValid:
		when = helper.Span(left) + " left, until " + clock(a.NotAfter)
	case stateNotYet:
		when = p.paint(red, "valid only from "+clock(a.NotBefore)+" on")
	}
	if a.hidden {
		when += "; not used, a proxy below has attributes of its own"
	}
	p.b.WriteByte('\n')
	p.text("VOMS", voName(a.VO)+", "+when)
	for _, fqan := range a.FQANs {
		p.item(clean(fqan))
	}
	for _, g := range a.Generic {
		text := g.Name + " = " + g.Value
		if g.Qualifier != "" {
			text += " (" + g.Qualifier + ")"
		}
		p.item(clean(text))
	}
	if len(a.Targets) > 0 {
		p.item("only for " + clean(strings.Join(a.Targets, ", ")))
	}
	p.item("from " + a.Issuer)
	if uri := a.URI(); uri != "" {
		p.item("at " + clean(uri))
	}
}

// chainOf draws the certificates as they issued each other, the user's first.
// Of a proxy's subject only what it adds is shown.
func (p *page) chainOf(s *shownProxy) {
	p.b.WriteString("\nchain\n")
	indent := "  "
	last := s.chain[len(s.chain)-1]
	if !bytes.Equal(last.RawIssuer, last.RawSubject) {
		p.lines(indent, oneLine(last.RawIssuer)+", not in the file")
		indent += "  "
	}
	for depth := len(s.chain) - 1; depth >= 0; depth-- {
		subject := s.shortName(depth)
		algorithm, bits := keyOf(s.chain[depth])
		about := fmt.Sprintf("%s, %s %d, %s", s.roleOf(depth), algorithm, bits, p.lifeOf(s, depth))
		if p.width == 0 || utf8.RuneCountInString(indent+subject+": "+plain(about)) <= p.width {
			p.b.WriteString(indent + subject + ": " + about + "\n")
		} else {
			p.b.WriteString(indent + subject + "\n")
			p.lines(indent+"  ", about)
		}
		indent += "  "
	}
}

func (p *page) lifeOf(s *shownProxy, depth int) string {
	c := s.chain[depth]
	switch s.state(c.NotBefore, c.NotAfter) {
	case stateExpired:
		return p.paint(red, "expired "+helper.Span(-s.left(c.NotAfter))+" ago")
	case stateNotYet:
		return p.paint(red, "valid only from "+clock(c.NotBefore)+" on")
	}
	return helper.Span(s.left(c.NotAfter)) + " left"
}

// roleOf says what a certificate of the chain is.
func (s *shownProxy) roleOf(depth int) string {
	switch {
	case s.info == nil:
		return "certificate"
	case depth > s.info.Depth && s.chain[depth].Version == 3 && !s.chain[depth].IsCA:
		return "no CA"
	case depth > s.info.Depth, s.chain[depth].IsCA && depth == s.info.Depth:
		return "CA"
	case depth == s.info.Depth:
		return "the user's certificate"
	}
	info, err := gsi.Inspect(s.chain[depth:])
	if err != nil {
		return "proxy"
	}
	kind := "proxy"
	switch info.Rights {
	case gsi.RightsLimited:
		kind = "limited proxy"
	case gsi.RightsIndependent:
		kind = "independent proxy"
	case gsi.RightsOther:
		kind = "restricted proxy"
	}
	switch info.Type {
	case gsi.TypeDraft:
		kind += " of the draft"
	case gsi.TypeLegacy:
		kind = "legacy " + kind
	}
	return kind
}

// complaints: what is wrong, then what some tool will not like.
func (p *page) complaints(s *shownProxy, verified bool) {
	if len(s.problems) > 0 {
		p.b.WriteString("\n" + p.paint(red, "problems") + "\n")
		for _, problem := range s.problems {
			p.lines("  ", s.complaint(problem))
		}
	}
	switch state := s.state(s.notBefore, s.notAfter); {
	case s.info == nil || s.info.Depth == 0:
	case state == stateExpired:
		p.lines("  ", "to run a tool with a fresh proxy: "+name+" exec -- TOOL")
	case state == stateNotYet:
		p.lines("  ", "if this machine's clock is wrong, that is why; look at it with: date -u")
	}
	if len(s.remarks) > 0 {
		p.b.WriteString("\n" + p.paint(yellow, "warnings") + "\n")
		for _, remark := range s.remarks {
			p.lines("  ", remark.message)
		}
	}
	switch {
	case verified && len(s.problems) == 0 && len(s.acs) > 0:
		p.b.WriteString("\n" + p.paint(green, "verified") + ": chain, trusted CA and attributes\n")
	case verified && len(s.problems) == 0:
		p.b.WriteString("\n" + p.paint(green, "verified") + ": chain and trusted CA\n")
	}
}

// complaint names the certificate as the drawing of the chain does, and the file
// that decided.
func (s *shownProxy) complaint(p problem) string {
	text := p.text()
	if p.subject != "" && p.depth >= 0 && p.depth < len(s.chain) {
		text = s.shortName(p.depth) + ": " + p.message
	}
	return p.blame(text)
}

func oneLine(raw []byte) string {
	text, err := gsi.OneLine(raw)
	switch {
	case err != nil:
		return "(unreadable name)"
	case text == "":
		return "(empty name)"
	}
	return text
}
