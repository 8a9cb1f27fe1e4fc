package main

import (
	"context"
	"os"
	"slices"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term"
)

// serve answers a verb of the protocol. Whatever happens, standard output gets
// one JSON object.
func (p *process) serve(ctx context.Context, verb string) int {
	out := &once{file: p.stdout}
	status := helper.CodeInternal.ExitStatus()
	err := safego.Call(func() error {
		p.before()
		all := eraseAll(p.args)
		if len(p.args) > 1 && !all {
			return helper.Errorf(helper.CodeInvalidRequest, "nothing may follow %q: the request is JSON on standard input", verb).
				WithHint("run: %s help %s", name, verb)
		}
		h := p.newHelper(verb)
		if all {
			status = h.ServeEraseAll(ctx, out)
			return nil
		}
		h.StdinIsTerminal = term.IsTerminal(p.stdin)
		status = h.Serve(ctx, verb, p.stdin, out)
		return nil
	})
	if err == nil || out.written {
		return status
	}
	return p.answer(helper.AsError(err))
}

// eraseAll knows the only words that may follow a verb: they are for an epilog
// script, which has no request to write.
func eraseAll(args []string) bool { return slices.Equal(args, []string{"erase", "--all"}) }

// answer writes an error as the answer of a verb.
func (p *process) answer(e *helper.Error) int {
	_, _ = p.stdout.Write(helper.EncodeError(e)) // nobody is left to be told
	return e.Code.ExitStatus()
}

// once notes that an answer was written, so that a panic after it does not add
// a second one.
type once struct {
	file    *os.File
	written bool
}

// Write implements io.Writer.
func (o *once) Write(p []byte) (int, error) {
	o.written = true
	return o.file.Write(p)
}
