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
}

// newProcess notes how we were started, then closes the doors.
func newProcess() *process {
	p := &process{
		args:    os.Args[1:],
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

// run does what the arguments say and returns the exit status.
func (p *process) run() int {
	ctx, stop := p.context()
	defer stop()
	if len(p.args) > 0 && helper.IsVerb(p.args[0]) {
		return p.serve(ctx, p.args[0])
	}
	return p.command(ctx)
}

// context ends with the first signal that asks us to end. Signals that we were
// started to ignore, as nohup(1) does and shells do for background jobs, stay
// ignored, also for a tool that we become.
func (p *process) context() (context.Context, context.CancelFunc) {
	var wanted []os.Signal
	for _, s := range endSignals {
		if !signal.Ignored(s) {
			wanted = append(wanted, s)
		}
	}
	if len(wanted) == 0 { // NotifyContext would take none for all
		return context.WithCancel(context.Background())
	}
	return signal.NotifyContext(context.Background(), wanted...)
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
