package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// mpCommand is one of the myproxy commands.
type mpCommand struct {
	name, usage, description string
	options                  []mpOption
	run                      func(ctx context.Context, m *mpCall) error
}

// mpCommands is a function so that nothing of it is made for the verbs of the
// protocol.
func mpCommands() []mpCommand {
	return []mpCommand{
		{"logon", "get a proxy, and write it to a file", mpLogonText, logonOptions(), runLogon},
		{"put", "store a proxy of your certificate, for later logons", mpPutText, putOptions(), runPut},
		{"store", "store your certificate and its encrypted key", mpStoreText, storeOptions(), runStore},
		{"retrieve", "get a stored certificate and key back", mpRetrieveText, retrieveOptions(), runRetrieve},
		{"info", "list what is stored, until when and for whom", mpInfoText, ownerOptions(), runInfo},
		{"change-passphrase", "change the pass phrase of a stored credential", mpChangeText, changeOptions(), runChange},
		{"destroy", "remove a stored credential", mpDestroyText, ownerOptions(), runDestroy},
		{"trustroots", "install the CA certificates, policies and CRLs of a server", mpTrustText, trustrootsOptions(), runTrustroots},
	}
}

// What several commands have in their help.
const (
	mpOwnerText = `
The server goes by the owner, the subject of the client certificate: that of
--tls-cert, else X509_USER_PROXY, X509_USER_CERT with X509_USER_KEY, the host's
certificate if its key can be read, or ~/.globus/usercert.pem.`
	mpStatusText = `

The exit status is 0, or 1 if it failed, or 2 for a wrong command line (1 under the
name of a C program).`
)

const (
	mpLogonText = `The pass phrase is asked for on the terminal, or read with -S, or taken from the
keyring with --profile. The proxy is verified before it is written, to a file that
only you can read. A client certificate is shown if there is one: that of
--tls-cert, else those that info looks for; with none the connection is
anonymous.` + mpStatusText
	mpPutText = `The certificate is that of -C, else of X509_USER_CERT with X509_USER_KEY, else
~/.globus/usercert.pem; a proxy file will do. Its key stays here. The new pass
phrase is asked for twice. With -S the first line of standard input is the pass
phrase of the key, if that is encrypted, and the next one the new one.` + mpStatusText
	mpStoreText = `The pass phrase that opens the key becomes that of every later logon. The key is
sent encrypted, as it lies in its file; one that is not encrypted is refused.
Without --tls-cert the client certificate is what info looks for, else the one that
is stored.` + mpStatusText
	mpRetrieveText = `Only what was stored with store -E can be fetched like that. Without -o, -c and -y
it goes to X509_USER_CERT and X509_USER_KEY, else to ~/.globus/usercert.pem and
userkey.pem, which must not exist. The key stays encrypted.` + mpStatusText
	mpInfoText = `Nothing stored is exit status 1.
` + mpOwnerText + mpStatusText
	mpChangeText = `The new pass phrase is asked for twice; with -S two lines are read, the old one and
the new one. In the keyring it is replaced for every profile of that server, user and
credential name.
` + mpOwnerText + mpStatusText
	mpDestroyText = `Proxies that were fetched before live on until they expire.
` + mpOwnerText + mpStatusText
	mpTrustText = `The files go where --cadir says, else to X509_CERT_DIR, else to
/etc/grid-security/certificates for root and ~/.globus/certificates for others: all of
them or none. CAs that are new there are shown, and installed only after a yes.
The server must be one that can be verified. For the first one there is -b.` + mpStatusText
)

func (p *process) myproxyCommand() *cli.Command {
	c := &cli.Command{
		Name:     "myproxy",
		Usage:    "everything else that a MyProxy server can do",
		Category: forPeople,
		Description: `Scripts that call myproxy-logon, myproxy-init and so on work as before when these
names are links to this program; so does myproxyclient. The options have the letters
that they have there.`,
	}
	for _, command := range mpCommands() {
		c.Subcommands = append(c.Subcommands, &cli.Command{
			Name: command.name, Usage: command.usage, Description: command.description,
			Flags:  mpFlags(command.options),
			Action: p.myproxyAction(command),
		})
	}
	return c
}

func mpFlags(options []mpOption) []cli.Flag {
	var flags []cli.Flag
	for _, o := range options {
		switch {
		case o.name == "help" || o.name == "usage": // every command has them
		case o.refused == "":
			flags = append(flags, o.flag())
		}
	}
	return flags
}

// myproxyAction runs a command. Its failures are all status 1, and with --json
// an object, too; the protocol's finer statuses would mean other things to
// scripts that know the C programs.
func (p *process) myproxyAction(command mpCommand) cli.ActionFunc {
	return func(c *cli.Context) error {
		m := &mpCall{p: p, c: c, command: command.name}
		defer m.close()
		err := m.run(c.Context, command.run)
		var usage *usageError
		var status exitStatus
		switch {
		case errors.As(err, &usage):
			return p.theirUsage(command.name, usage)
		case err == nil || errors.As(err, &status):
			return err
		}
		e := m.coded(c.Context, err)
		if c.Bool("json") {
			_ = p.answer(e)
		}
		if e.Code == helper.CodeCancelled && c.Context.Err() != nil {
			return e
		}
		p.complain(e.Message, e.Hint)
		if c.Bool("error-trace") || c.Bool("verbose") {
			m.trace(err)
		}
		return exitStatus(1)
	}
}

func (m *mpCall) run(ctx context.Context, run func(context.Context, *mpCall) error) error {
	if err := atMost(m.c, 0); err != nil {
		return err
	}
	if m.c.Bool("version") {
		return m.printVersion()
	}
	if err := m.configure(); err != nil {
		return err
	}
	if m.c.Bool("print-profile") {
		return m.printProfile()
	}
	return run(ctx, m)
}

// printVersion is like that of the C programs, which name their protocol.
func (m *mpCall) printVersion() error {
	who := name + " myproxy " + m.command
	if m.p.called != nil {
		who = m.p.called.name
	}
	_, err := fmt.Fprintf(m.p.stdout, "%s version MYPROXYv2 (%s %s)\n", who, name, version())
	return err
}

// trace writes what an error is made of, one cause a line.
func (m *mpCall) trace(err error) {
	for depth := 1; err != nil; depth++ {
		m.p.note("  %d. %s", depth, clean(err.Error()))
		err = errors.Unwrap(err)
	}
}

// calledLine is commandLine for another program's name.
func (p *process) calledLine(app *cli.Command) ([]string, error) {
	if p.called.command != "" {
		return p.myproxyLine(p.called.command, p.args)
	}
	sub, rest, err := subcommand(app, p.args)
	switch {
	case errors.Is(err, errHelp):
		return []string{"help", "myproxy"}, nil
	case err != nil:
		return []string{"myproxy"}, err
	}
	return p.myproxyLine(sub.Name, rest)
}

// myproxyLine is commandLine for a myproxy command.
func (p *process) myproxyLine(command string, args []string) ([]string, error) {
	path := []string{"myproxy", command}
	sorted, err := p.mpArguments(command, args)
	switch {
	case errors.Is(err, errHelp):
		return []string{"help", "myproxy", command}, nil
	case err != nil:
		return path, err
	}
	return slices.Concat(path, sorted.options, []string{"--"}, sorted.words), nil
}

func (p *process) mpArguments(command string, args []string) (*arguments, error) {
	commands := mpCommands()
	i := slices.IndexFunc(commands, func(c mpCommand) bool { return c.name == command })
	line, help := p.typed(command)
	w := &mpWords{options: commands[i].options, command: line, hint: "run: " + help, foreign: p.called != nil}
	return w.parse(args)
}
