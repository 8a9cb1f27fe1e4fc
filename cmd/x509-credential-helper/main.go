package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term"
)

// name is what the program is called in texts, whatever file it was started as.
const name = "x509-credential-helper"

func main() {
	p := newProcess()
	os.Exit(p.run())
}

// process is this process as it was started.
type process struct {
	argv    []string // as we were started
	called  *mpName  // the program that we were started as; nil is our own name
	shim    string   // the tool that we stand in front of, or ""
	args    []string // without the program's name
	environ []string // before any library had a chance to change it
	stdin   *os.File
	stdout  *os.File
	stderr  *os.File
	limits  limits // those of the start, for tools that we become

	// before is called before a verb is served or a command run. Tests put a
	// panic there.
	before func()
	// keyringDeadline is how long the keyring may take; 0 is its guard's own.
	// On a busy machine tests are more patient than people.
	keyringDeadline time.Duration
	// serverDeadline is how long a server may take to be connected to, and for
	// a message; 0 is the client's own.
	serverDeadline time.Duration
	// kernelService names our keys in the kernel's keyring; "" is the name that
	// they have in earnest. The keyring is that of the user, whatever HOME says,
	// so tests have names of their own.
	kernelService string
}

// newProcess notes how we were started, then closes the doors.
func newProcess() *process {
	called, args := calledAs(os.Args)
	p := &process{
		argv:    os.Args,
		called:  called,
		shim:    shimOf(os.Args, os.Environ()),
		args:    args,
		environ: os.Environ(),
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		before:  func() {},
	}
	if p.getenv("X509CH_DEBUG") != "1" {
		p.limits = harden()
	}
	return p
}

// run does what the arguments say and returns the exit status. Signals are not
// given back at the end: the process ends, and threads would wait for each other.
func (p *process) run() int {
	switch {
	case p.shim != "":
		return p.runShim(p.context())
	case p.called != nil, len(p.args) == 0, !helper.IsVerb(p.args[0]):
		return p.command(p.context())
	case p.args[0] == "capabilities":
		// It waits for nothing, and listening to signals costs three threads,
		// a tenth of its time.
		return p.serve(context.Background(), p.args[0])
	}
	return p.serve(p.context(), p.args[0])
}

// context ends with the first signal that asks us to end. Signals that we were
// started to ignore, as nohup(1) does and shells do for background jobs, stay
// ignored, also for a tool that we become.
func (p *process) context() context.Context {
	var wanted []os.Signal
	for _, s := range endSignals {
		if !signal.Ignored(s) {
			wanted = append(wanted, s)
		}
	}
	if len(wanted) == 0 { // NotifyContext would take none for all
		return context.Background()
	}
	ctx, _ := signal.NotifyContext(context.Background(), wanted...)
	return ctx
}

// getenv reads the environment of the start.
func (p *process) getenv(name string) string {
	for _, kv := range p.environ {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// forPeople says whether somebody looks at standard output.
func (p *process) forPeople() bool { return term.IsTerminal(p.stdout) }
