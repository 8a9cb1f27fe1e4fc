package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term"
)

// mpInstalled is what became of a server's trust roots.
type mpInstalled struct {
	myproxy.Installed
	dir         string
	bootstrap   bool
	server      string
	fingerprint string
}

func runTrustroots(ctx context.Context, m *mpCall) error {
	client, err := m.client(nil)
	if err != nil {
		return err
	}
	request, err := m.trustRequest(ctx)
	if err != nil {
		return err
	}
	installed, err := m.bootstrap(ctx, client)
	if err != nil {
		return err
	}
	if installed == nil {
		got, err := client.GetTrustRoots(ctx, request)
		if err != nil {
			return err
		}
		if err := m.confirmNew(ctx, got.Files); err != nil {
			return err
		}
		if installed, err = m.install(ctx, got, myproxy.All); err != nil {
			return err
		}
	}
	if m.c.Bool("json") {
		return m.answer(&mpAnswer{Server: installed.server, TrustRoots: installed.json()})
	}
	return m.say("Trust roots have been installed in %s.", clean(installed.dir))
}

// trustRequest has user and pass phrase only where both were given, for a
// connection that is verified.
func (m *mpCall) trustRequest(ctx context.Context) (r myproxy.TrustRootsRequest, err error) {
	user, pass := m.c.IsSet("username"), m.c.Bool("stdin-pass")
	switch {
	case !user && !pass:
		return r, nil
	case user != pass:
		return r, usagef("give both, or none", "myproxy trustroots: a user name and a pass phrase are sent only together")
	case m.c.Bool("bootstrap"):
		return r, usagef("leave out -l and -S", "myproxy trustroots: a server that cannot be verified yet is not sent a pass phrase")
	}
	r.Username = m.c.String("username")
	r.Passphrase, err = m.line(ctx)
	return r, err
}

// bootstrap is -b. A server that is trusted already is asked for its trust roots
// over a verified connection; one that no CA of ours vouches for is asked over one
// that is not, without a user name or pass phrase, and somebody has to compare the
// fingerprint. Any other fault, a revoked certificate for instance, stays one. It
// returns nil without -b.
func (m *mpCall) bootstrap(ctx context.Context, client *myproxy.Client) (*mpInstalled, error) {
	if !m.c.Bool("bootstrap") {
		if m.c.IsSet("fingerprint") {
			return nil, usagef("add -b", "myproxy %s: --fingerprint is for --bootstrap only", m.command)
		}
		return nil, nil
	}
	if err := myproxy.CheckFingerprint(m.c.String("fingerprint")); err != nil { // also where it is not needed
		return nil, usagef("write it as the administrator has published it", "myproxy %s: %v", m.command, err)
	}
	dir, err := m.installDir()
	if err != nil {
		return nil, err
	}
	plain := *client
	plain.Identity = nil
	got, err := plain.GetTrustRoots(ctx, myproxy.TrustRootsRequest{})
	first := mayBootstrap(err)
	if first {
		got, err = plain.Bootstrap(ctx, myproxy.BootstrapRequest{
			Fingerprint: m.c.String("fingerprint"), Confirm: m.confirmServer(dir),
		})
	}
	var refused *myproxy.ServerError
	switch {
	case !first && m.command == "logon" && (errors.As(err, &refused) || err == nil && len(got.Files) == 0):
		return nil, nil // it is verified, and may send some along with the proxy
	case err != nil:
		return nil, err
	case !first:
		return m.install(ctx, got, m.trustMode())
	}
	m.trust = dir
	installed, err := m.install(ctx, got, myproxy.All)
	if err == nil {
		installed.bootstrap = true
	}
	return installed, err
}

// mayBootstrap says whether the reason not to trust a server is that nothing is
// known about its CA.
func mayBootstrap(err error) bool {
	var trust *gsi.TrustError
	return errors.As(err, &trust) && (trust.Reason == gsi.TrustNoDirectory || trust.Reason == gsi.TrustUnknownIssuer)
}

// trustMode: the C programs and MyProxyClient install whatever a verified server
// sends, so under their names it stays so.
func (m *mpCall) trustMode() myproxy.InstallMode {
	if m.p.called != nil {
		return myproxy.All
	}
	return myproxy.UpdateOnly
}

func (m *mpCall) install(ctx context.Context, got *myproxy.TrustRoots, mode myproxy.InstallMode) (*mpInstalled, error) {
	dir, err := m.installDir()
	if err != nil {
		return nil, err
	}
	if len(got.Files) == 0 {
		return nil, helper.Errorf(helper.CodeServerRefused, "%s has no trust roots to give", showHosts([]string{got.Server}))
	}
	i := &mpInstalled{dir: dir, server: got.Server, fingerprint: got.Fingerprint}
	if i.Installed, err = myproxy.InstallTrustRoots(ctx, dir, got.Files, mode); err != nil {
		return nil, err
	}
	if mode == myproxy.UpdateOnly && len(i.New) > 0 {
		m.p.note("note: %s not installed; run: %s myproxy trustroots", count(len(i.New), "new CA was", "new CAs were"), name)
	}
	return i, nil
}

// renewTrust is -T: what came along with a proxy. Servers without trust roots
// send none, which is no error here.
func (m *mpCall) renewTrust(ctx context.Context, files map[string][]byte) (*mpInstalled, error) {
	if len(files) == 0 {
		m.p.note("note: the server has no trust roots to give")
		return nil, nil
	}
	return m.install(ctx, &myproxy.TrustRoots{Files: files}, m.trustMode())
}

// confirmServer asks whether a server that nobody has verified is the right one.
func (m *mpCall) confirmServer(dir string) func(context.Context, myproxy.ServerChain) error {
	if m.c.IsSet("fingerprint") {
		return nil
	}
	return func(ctx context.Context, who myproxy.ServerChain) error {
		tty := term.New()
		if !tty.Foreground() {
			return helper.Errorf(helper.CodeInteractionRequired, "%s cannot be verified yet, and there is no terminal to ask on whether it is to be trusted; it shows the fingerprint %s", who.Server, who.Fingerprint).
				WithHint("compare that with what its administrator has published, then run: %s", m.again("--fingerprint", who.Fingerprint))
		}
		text, err := serverText(dir, who)
		if err != nil {
			return err
		}
		return m.yes(ctx, tty, text)
	}
}

func oneLineOf(rawDN []byte) string {
	text, err := gsi.OneLine(rawDN)
	if err != nil {
		return "a name that cannot be shown"
	}
	return clean(text)
}

// serverText is what somebody has to know who is asked to trust a server.
func serverText(dir string, who myproxy.ServerChain) (string, error) {
	cas, err := myproxy.NewAuthorities(dir, who.Files)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "No CA that is trusted here vouches for %s.\n", who.Server)
	if len(who.Certificates) > 0 {
		leaf, top := who.Certificates[0], who.Certificates[len(who.Certificates)-1]
		fmt.Fprintf(&b, "  it says that it is  %s\n  it is vouched for by  %s\n", oneLineOf(leaf.RawSubject), oneLineOf(top.RawIssuer))
	}
	fmt.Fprintf(&b, "  fingerprint  %s\n", who.Fingerprint)
	b.WriteString(authorities(cas))
	fmt.Fprintf(&b, "Compare the fingerprint with what its administrator has published.\nInstall this in %s and trust it from now on? (yes/no) ", clean(dir))
	return b.String(), nil
}

func authorities(cas []myproxy.Authority) string {
	var b strings.Builder
	fmt.Fprintf(&b, "It sends %s:\n", count(len(cas), "CA that is new here", "CAs that are new here"))
	for _, ca := range cas {
		fmt.Fprintf(&b, "  %s\n    %s\n", clean(ca.Subject), ca.Fingerprint)
	}
	return b.String()
}

// confirmNew asks before CAs are installed that are new here. The server is one
// that was verified. Under the names of other programs nobody is asked.
func (m *mpCall) confirmNew(ctx context.Context, files map[string][]byte) error {
	if m.c.Bool("yes") || m.p.called != nil {
		return nil
	}
	dir, err := m.installDir()
	if err != nil {
		return err
	}
	cas, err := myproxy.NewAuthorities(dir, files)
	if err != nil || len(cas) == 0 {
		return err
	}
	tty := term.New()
	if !tty.Foreground() {
		return helper.Errorf(helper.CodeInteractionRequired, "the server has %s, and there is no terminal to ask on whether they are to be trusted", count(len(cas), "CA that is new here", "CAs that are new here")).
			WithHint("if they are, run: %s", m.again("--yes"))
	}
	return m.yes(ctx, tty, authorities(cas)+fmt.Sprintf("Install this in %s? (yes/no) ", clean(dir)))
}

func (m *mpCall) yes(ctx context.Context, tty *term.Terminal, question string) error {
	answer, err := tty.ReadLine(ctx, question)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return helper.Errorf(helper.CodeInteractionRequired, "the answer could not be read from the terminal: %w", err)
	case strings.TrimSpace(strings.ToLower(answer)) != "yes":
		return helper.Errorf(helper.CodeCancelled, "nothing was installed, because the answer was not yes")
	}
	return nil
}

// again is the command line as it was typed, with more words.
func (m *mpCall) again(more ...string) string {
	var words []string
	for _, w := range append(append([]string{}, m.p.argv...), more...) {
		words = append(words, shellWord(w))
	}
	return strings.Join(words, " ")
}

// some says whether anything of it is in the directory now.
func (i *mpInstalled) some() bool {
	return i != nil && len(i.InstallReport.Installed)+len(i.Updated)+len(i.Unchanged)+len(i.Kept) > 0
}

func (i *mpInstalled) json() *mpTrustAnswer {
	if i == nil {
		return nil
	}
	a := &mpTrustAnswer{
		Directory: clean(i.dir), Bootstrap: i.bootstrap, Fingerprint: i.fingerprint,
		Installed: names(i.InstallReport.Installed), Updated: names(i.Updated), Unchanged: names(i.Unchanged),
		LeftOut: names(i.LeftOut), New: []mpAuthority{},
	}
	for _, ca := range i.New {
		a.New = append(a.New, mpAuthority{clean(ca.Subject), ca.Fingerprint})
	}
	return a
}

// names is a list that is never null.
func names(list []string) []string { return append([]string{}, list...) }
