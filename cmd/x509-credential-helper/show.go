package main

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term"
)

// notGood is the exit status for a proxy that is missing, unreadable, expired,
// not yet valid, or not what was asked for: what voms-proxy-info and
// grid-proxy-info have for it, as far as they notice.
const notGood = exitStatus(1)

func (p *process) showCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "explain a proxy file: whose, for what, until when, what is wrong",
		ArgsUsage: "[FILE]",
		Category:  forPeople,
		Flags:     showFlags(),
		Description: `FILE is that of X509_USER_PROXY, else /tmp/x509up_u and your user number; - is
standard input. Certificates without a key and encrypted keys are shown as well.
The time that is left is that of the whole chain, and of the VOMS attributes.

Scripts that call voms-proxy-info or grid-proxy-info may call this instead, also
with one dash: -timeleft -file FILE. Each value is on a line of its own, in the
order below. -e, -v, -b, -f, -s, -i and -h NUMBER stand for exists, valid, bits,
file, subject, issuer and hours.

The exit status is 0 for a proxy that is valid now; 1 for one that is expired, not
yet valid, unreadable or not there, whatever was asked, and for attributes that
are asked for and not there or expired; 2 for a wrong command line; 130 after a
signal.`,
		Action: func(c *cli.Context) error {
			o, err := showOptionsOf(c)
			if err != nil {
				return err
			}
			return p.show(c.Context, o)
		},
	}
}

// The values that can be asked for, in the order in which they are printed:
// that of voms-proxy-info. (grid-proxy-info prints them in the order in which
// they were asked for.) Those from acValues on are of each VOMS attribute
// certificate.
var (
	proxyValues = []valueFlag{
		{"subject", "s", "subject of the first certificate"},
		{"issuer", "i", "issuer of the first certificate"},
		{"identity", "", "subject of the user's own certificate"},
		{"type", "", "kind of proxy"},
		{"strength", "", "bits of its key"},
		{"path", "", "path of the file"},
		{"timeleft", "", "seconds until the first certificate of the chain ends, 0 if one has"},
		{"keyusage", "", "key usages of the first certificate"},
		{"text", "", "everything in the first certificate; with --chain, in all of them"},
	}
	acValues = []valueFlag{
		{"vo", "", "VO of each VOMS attribute certificate"},
		{"acsubject", "", "whom it is for"},
		{"acissuer", "", "who issued it"},
		{"uri", "", "server that it came from"},
		{"actimeleft", "", "seconds until it ends, 0 if it has"},
		{"fqan", "", "its groups and roles, the primary one first"},
		{"serial", "", "its serial number"},
		{"targets", "", "hosts that it is for, if not for all"},
	}
)

type valueFlag struct{ name, alias, usage string }

func (v valueFlag) flag() cli.Flag {
	f := &cli.BoolFlag{Name: v.name, Usage: v.usage}
	if v.alias != "" {
		f.Aliases = []string{v.alias}
	}
	return f
}

func showFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "the same as the argument `FILE`"},
		&cli.BoolFlag{Name: "json", Usage: "everything as one JSON object"},
		&cli.BoolFlag{Name: "verify", Usage: "go by trusted CAs, CRLs and the vomsdir, too; exit with 1 for any fault"},
		&cli.BoolFlag{Name: "exists", Aliases: []string{"e"}, Usage: "say nothing, exit with 0 if there is a valid proxy with its key"},
		&cli.StringSliceFlag{Name: "acexists", Usage: "exit with 0 if there are valid attributes of `VO`; may be repeated"},
		&cli.StringFlag{Name: "valid", Aliases: []string{"v"}, Usage: "with --exists or --acexists: for `H:M` hours and minutes more"},
		&cli.StringFlag{Name: hoursOption, Usage: "the same for `H` hours"},
		&cli.StringFlag{Name: "bits", Aliases: []string{"b"}, Usage: "with --exists: with a key of at least `N` bits"},
		&cli.BoolFlag{Name: "all", Usage: "in the layout of voms-proxy-info -all"},
		&cli.BoolFlag{Name: "chain", Usage: "in that layout, the certificates above the first as well"},
	}
	for _, v := range proxyValues {
		flags = append(flags, v.flag())
	}
	for _, v := range acValues {
		flags = append(flags, v.flag())
	}
	return append(flags,
		&cli.BoolFlag{Name: "rfc2253", Usage: "write names as CN=Jane Doe,O=Example"},
		&cli.BoolFlag{Name: "dont-verify-ac", Usage: "nothing: attributes are verified with --verify only"},
		&cli.BoolFlag{Name: "debug", Usage: "nothing: there is no more to say"},
	)
}

// showOptions is what a command line asks of a proxy.
type showOptions struct {
	file         string // "": the default one
	json, verify bool

	all, chain, rfc2253 bool
	asked               map[string]bool // of proxyValues and acValues

	exists   bool
	acexists []string
	valid    time.Duration
	bits     int
}

// script says whether values were asked for, and not a page for people.
func (o *showOptions) script() bool {
	return o.all || o.chain || o.exists || len(o.asked) > 0 || len(o.acexists) > 0
}

func (o *showOptions) asksOfAC() bool {
	for _, v := range acValues {
		if o.asked[v.name] {
			return true
		}
	}
	return false
}

func showOptionsOf(c *cli.Context) (*showOptions, error) {
	if err := atMost(c, 1); err != nil {
		return nil, err
	}
	o := &showOptions{
		file: c.String("file"), json: c.Bool("json"), verify: c.Bool("verify"),
		all: c.Bool("all"), chain: c.Bool("chain"), rfc2253: c.Bool("rfc2253"),
		exists: c.Bool("exists"), acexists: c.StringSlice("acexists"), asked: map[string]bool{},
	}
	for _, list := range [][]valueFlag{proxyValues, acValues} {
		for _, v := range list {
			if c.Bool(v.name) {
				o.asked[v.name] = true
			}
		}
	}
	if c.NArg() == 1 {
		if o.file != "" {
			return nil, usagef("name one of them", "show: two files were named")
		}
		if o.file = c.Args().First(); o.file == "" {
			return nil, usagef(helpHint(c.Command), "show: the name of the file is empty")
		}
	}
	if o.json && o.script() {
		return nil, usagef("take the value out of the JSON", "show: --json has everything, it goes with no option for single values")
	}
	return o, o.setRequirements(c)
}

func (o *showOptions) setRequirements(c *cli.Context) error {
	for _, name := range []string{"valid", "hours", "bits"} {
		if c.IsSet(name) && !o.exists && (name == "bits" || len(o.acexists) == 0) {
			return usagef("add --exists", "show: --%s is for --exists only", name)
		}
	}
	if c.IsSet("valid") && c.IsSet("hours") {
		return usagef("leave --hours out", "show: --valid and --hours say the same")
	}
	var err error
	switch {
	case c.IsSet("valid"):
		o.valid, err = hoursAndMinutes(c.String("valid"), "")
	case c.IsSet("hours"):
		o.valid, err = hoursAndMinutes(c.String(hoursOption), ":0")
	}
	if err != nil {
		return err
	}
	if c.IsSet("bits") {
		if o.bits, err = strconv.Atoi(c.String("bits")); err != nil || o.bits < 0 {
			return usagef("write for instance 2048", "show: --bits %q is no number of bits", clean(c.String("bits")))
		}
	}
	return nil
}

// hoursAndMinutes reads H:M with the limits of grid-proxy-info; missing is what
// the text does not have of it.
func hoursAndMinutes(text, missing string) (time.Duration, error) {
	h, m, ok := strings.Cut(text+missing, ":")
	hours, err := strconv.ParseUint(h, 10, 16)
	minutes, err2 := strconv.ParseUint(m, 10, 8)
	if !ok || err != nil || err2 != nil || minutes > 60 {
		return 0, usagef("write for instance --valid 0:30, hours and minutes", "show: %q is no time", clean(text))
	}
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute, nil
}

// show reads the file and answers. Nothing of the helper is started for it: no
// configuration, no keyring.
func (p *process) show(ctx context.Context, o *showOptions) error {
	now := time.Now()
	proxy, err := p.readProxy(ctx, o.file, now)
	if err != nil {
		return p.notShown(o, err)
	}
	if o.verify {
		proxy.verify(p.getenv)
	}
	switch {
	case o.json:
		err = writeJSON(p.stdout, proxy.json(o.verify))
	case o.script():
		return p.showValues(proxy, o)
	default:
		page := page{style: p.style(), width: term.Width(p.stdout)}
		_, err = io.WriteString(p.stdout, page.proxy(proxy, o.verify))
	}
	if err != nil {
		return err
	}
	if !proxy.good() || o.verify && len(proxy.problems) > 0 {
		return notGood
	}
	return nil
}

// notShown says why there is nothing to show; the status is always the same, but
// for a signal. -exists has never said a word.
func (p *process) notShown(o *showOptions, err error) error {
	e := helper.AsError(err)
	if o.json {
		_ = p.answer(e)
	}
	if e.Code == helper.CodeCancelled {
		return e
	}
	if !o.exists || len(o.asked) > 0 {
		p.complain(e.Message, e.Hint)
	}
	return notGood
}
