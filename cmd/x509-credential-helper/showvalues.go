package main

import (
	"fmt"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// What scripts get here and not from the C tools, on purpose. voms is
// voms-proxy-info 2.1.0, grid is grid-proxy-info 7.3; TestDifferential holds all
// else against them.
//
//	identity    voms prints the issuer, which is the first proxy for the second;
//	            with -issuer it prints one line for both
//	type        voms has "RFC compliant proxy" for all of RFC 3820, limited or not
//	timeleft    voms looks at the first certificate only; grid prints -1 for 0;
//	            both count a proxy whose time has not come
//	strength    both print 8 times the size of a signature: 576 for a P-256 key
//	exists      both accept a proxy whose time has not come or with another's key,
//	            voms one without a key, grid one without its user's certificate
//	keyusage    voms prints its page for people, with a line more
//	text        voms prints its page before; the text is our own
//	valid       voms ignores it without -exists; here it is for -acexists as well
//	order       grid: as asked; here as voms has it
//	expired     both exit with 0 for whatever is printed, attributes included

// showValues prints what a script asked for and finds its exit status.
func (p *process) showValues(s *shownProxy, o *showOptions) error {
	var b strings.Builder
	v := values{s, o, &b}
	if o.all || o.chain {
		v.page()
	}
	for _, flag := range proxyValues {
		if o.asked[flag.name] {
			v.ofProxy(flag.name)
		}
	}
	for _, a := range s.acs {
		for _, flag := range acValues {
			if o.asked[flag.name] && !a.hidden {
				v.ofAC(flag.name, a)
			}
		}
	}
	if _, err := p.stdout.WriteString(b.String()); err != nil {
		return err
	}
	why := v.whyNot()
	if why == "" {
		return nil
	}
	if len(o.asked) > 0 || o.all || o.chain { // questions of yes or no are answered by the status alone
		p.complain(why, "")
	}
	return notGood
}

// values writes the values of one proxy, one on a line.
type values struct {
	*shownProxy
	o *showOptions
	b *strings.Builder
}

func (v values) line(value any) { fmt.Fprintln(v.b, value) }

// name writes a name in DER.
func (v values) name(raw []byte) string {
	write := gsi.OneLine
	if v.o.rfc2253 {
		write = gsi.RFC2253
	}
	text, err := write(raw)
	if err != nil {
		return ""
	}
	return text
}

// identity is the name of the end-entity certificate, which good() has found.
func (v values) identity() string {
	if v.info == nil {
		return ""
	}
	return v.name(v.info.IdentityRaw)
}

func (v values) typeText() string {
	if v.info == nil {
		return "unknown"
	}
	return v.info.TypeText()
}

func (v values) ofProxy(name string) {
	leaf := v.chain[0]
	switch name {
	case "subject":
		v.line(v.name(leaf.RawSubject))
	case "issuer":
		v.line(v.name(leaf.RawIssuer))
	case "identity":
		v.line(v.identity())
	case "type":
		v.line(v.typeText())
	case "strength":
		_, bits := keyOf(leaf)
		v.line(bits)
	case "path":
		v.line(v.file.path)
	case "timeleft":
		v.line(v.use(v.notBefore, v.notAfter))
	case "keyusage":
		v.line(keyUsages(leaf))
	case "text":
		for i, c := range v.chain {
			if i == 0 || v.o.chain {
				dumpCertificate(v.b, c, v.name)
			}
		}
	}
}

func (v values) ofAC(name string, a shownAC) {
	switch name {
	case "vo":
		v.line(a.VO)
	case "acsubject":
		v.line(v.holder(a))
	case "acissuer":
		v.line(v.acIssuer(a))
	case "uri":
		v.line(a.URI())
	case "actimeleft":
		v.line(v.use(a.NotBefore, a.NotAfter))
	case "fqan":
		for _, fqan := range a.FQANs {
			v.line(fqan)
		}
	case "serial":
		v.line(serialText(a.Serial))
	case "targets":
		for _, target := range a.Targets {
			v.line("target    : " + target) // as voms-proxy-info
		}
	}
}

// holder is the subject of the certificate that the attributes are for; they
// have its issuer and serial number only.
func (v values) holder(a shownAC) string {
	for _, c := range v.chain {
		if a.HeldBy(c) {
			return v.name(c.RawSubject)
		}
	}
	return ""
}

func (v values) acIssuer(a shownAC) string {
	if len(a.IssuerRaw) == 0 {
		return a.Issuer
	}
	return v.name(a.IssuerRaw)
}

// whyNot says why the exit status is not 0, "" where it is.
func (v values) whyNot() string {
	switch {
	case !v.shownProxy.good():
		return v.whyBad()
	case v.o.verify && len(v.problems) > 0:
		return v.problems[0].blame(v.problems[0].text())
	case v.o.exists && !v.exists():
		return "there is no such proxy"
	}
	if v.o.asksOfAC() {
		if why := v.whyNoAttributes(); why != "" {
			return why
		}
	}
	for _, vo := range v.o.acexists {
		if !v.acExists(vo) {
			return "there are no such attributes of " + voName(vo)
		}
	}
	return ""
}

// whyNoAttributes: there must be some, and all that were printed be valid now.
func (v values) whyNoAttributes() string {
	if len(v.acs) == 0 {
		return "the proxy has no VOMS attributes"
	}
	for _, a := range v.acs {
		switch {
		case a.hidden:
		case v.state(a.NotBefore, a.NotAfter) != stateValid:
			return "the attributes of " + voName(a.VO) + " are not valid now"
		case v.o.asked["fqan"] && len(a.FQANs) == 0:
			return "the attributes of " + voName(a.VO) + " name no group or role"
		}
	}
	return ""
}

// exists: a tool could use it, for as long and with as many bits as were asked.
// Attributes are not looked at: that is --acexists.
func (v values) exists() bool {
	_, bits := keyOf(v.chain[0])
	left := v.use(v.notBefore, v.notAfter)
	return v.key == "plain" && left > 0 && left >= int64(v.o.valid.Seconds()) && bits >= v.o.bits
}

func (v values) acExists(vo string) bool {
	for _, a := range v.acs {
		left := v.use(a.NotBefore, a.NotAfter)
		if a.VO == vo && !a.hidden && left > 0 && left >= int64(v.o.valid.Seconds()) {
			return true
		}
	}
	return false
}

// page is the layout of voms-proxy-info -all and -chain.
func (v values) page() {
	if v.o.chain {
		v.line("=== Proxy Chain Information ===")
		for i := len(v.chain) - 1; i >= 1; i-- {
			v.certificate(i)
			v.line("")
		}
		v.line("=== Proxy Information ===")
	}
	v.certificate(0)
	if !v.o.all {
		return
	}
	for _, a := range v.acs {
		if !a.hidden {
			v.attributes(a)
		}
	}
}

func (v values) field(name string, value any) { fmt.Fprintf(v.b, "%-10s: %v\n", name, value) }

func (v values) certificate(depth int) {
	c := v.chain[depth]
	_, bits := keyOf(c)
	v.field("subject", v.name(c.RawSubject))
	v.field("issuer", v.name(c.RawIssuer))
	if depth > 0 {
		if info, err := gsi.Inspect(v.chain[depth:]); err == nil && info.Depth > 0 {
			v.field("type", info.TypeText())
		}
		if v.o.all {
			v.field("key usage", keyUsages(c))
		}
		v.field("strength", fmt.Sprint(bits, " bits"))
		v.field("timeleft", hms(v.use(c.NotBefore, c.NotAfter)))
		return
	}
	v.field("identity", v.identity())
	v.field("type", v.typeText())
	v.field("strength", fmt.Sprint(bits, " bits"))
	v.field("path", v.file.path)
	v.field("timeleft", hms(v.use(v.notBefore, v.notAfter)))
	if v.o.all {
		v.field("key usage", keyUsages(c))
	}
}

func (v values) attributes(a shownAC) {
	v.line("=== VO " + a.VO + " extension information ===")
	v.field("VO", a.VO)
	v.field("subject", v.holder(a))
	v.field("issuer", v.acIssuer(a))
	for _, fqan := range a.FQANs {
		v.field("attribute", fqan)
	}
	for _, g := range a.Generic {
		text := g.Name + " = " + g.Value
		if g.Qualifier != "" {
			text += " (" + g.Qualifier + ")"
		}
		v.field("attribute", clean(text))
	}
	v.field("timeleft", hms(v.use(a.NotBefore, a.NotAfter)))
	for _, target := range a.Targets {
		v.field("target", target)
	}
	v.field("uri", a.URI())
}

func hms(seconds int64) string {
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds%3600/60, seconds%60)
}
