package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	// helperVar names another helper, with arguments.
	helperVar = "X509_CREDENTIAL_HELPER"
	// helperName is looked for on the PATH.
	helperName = "x509-credential-helper"

	// maxAnswer bounds an answer. A credential has at most 1 MiB.
	maxAnswer = 4 << 20
	// maxWords bounds what is kept of standard error.
	maxWords = 200

	// endTime is what a helper has to end once it was told to. It answers within a
	// second, except while a server has a refresh token in hand: to kill it then,
	// within the 20 s that it allows itself, would lose the token, and somebody
	// would have to log in again.
	endTime = 30 * time.Second

	// pipeTime is how long an answer is waited for after the helper's end: what it
	// started, as ssh's master, may hold its output open.
	pipeTime = time.Second
)

// ErrNoHelper is the cause of errors about a helper that is not there or cannot
// be started.
var ErrNoHelper = errors.New("there is no credential helper")

// FindHelper returns the command of the helper: $X509_CREDENTIAL_HELPER, split at
// blanks and without a shell, else x509-credential-helper on the PATH. One that
// lies in the working directory only because the PATH says so is not run.
func FindHelper() ([]string, error) {
	argv, where := strings.Fields(os.Getenv(helperVar)), "named by "+helperVar
	if len(argv) == 0 {
		argv, where = []string{helperName}, "on the PATH"
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, fmt.Errorf("%w: %q, %s, cannot be run (%w); install x509-credential-helper or set %s",
			ErrNoHelper, argv[0], where, errors.Unwrap(err), helperVar)
	}
	return append([]string{path}, argv[1:]...), nil
}

// process is the Runner of a Client that has no other. The request goes to the
// helper's standard input and nowhere else; ours is never handed on.
func (c *Client) process(ctx context.Context, verb string, request []byte) ([]byte, int, error) {
	argv := c.Command
	if len(argv) == 0 {
		var err error
		if argv, err = FindHelper(); err != nil {
			return nil, 0, err
		}
	}
	cmd := exec.Command(argv[0], append(argv[1:len(argv):len(argv)], verb)...)
	out, words := &bounded{most: maxAnswer}, &bounded{most: maxWords, drop: true}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = bytes.NewReader(request), out, words, pipeTime
	if c.Stderr != nil {
		cmd.Stderr = c.Stderr
	}
	if err := cmd.Start(); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrNoHelper, err)
	}
	defer context.AfterFunc(ctx, func() {
		_ = end(cmd.Process)
		time.AfterFunc(endTime, func() { _ = cmd.Process.Kill() }) // nothing, if it has ended
	})()
	_ = cmd.Wait() // what it says, the status and the answer say better
	status := cmd.ProcessState.ExitCode()
	switch {
	case out.over:
		return nil, status, fmt.Errorf("%w: it is longer than %d bytes", ErrBadAnswer, maxAnswer)
	case len(out.data) == 0:
		return nil, status, fmt.Errorf("%w: it wrote nothing (%s)%s", ErrBadAnswer, cmd.ProcessState, words.quoted())
	}
	return out.data, status, nil // the answer is what stands there, whatever the status
}

// errTooLong ends the reading of an answer, and with it the helper: nobody
// listens any more.
var errTooLong = errors.New("too long")

// bounded keeps the first bytes of what is written to it; more is an error or,
// with drop, nothing.
type bounded struct {
	data []byte
	most int
	drop bool
	over bool // there was more
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	room := min(b.most-len(b.data), len(p))
	b.data = append(b.data, p[:room]...)
	if b.over = b.over || room < len(p); b.over && !b.drop {
		return room, errTooLong
	}
	return len(p), nil
}

// quoted is what a helper said instead of an answer, fit for a line of ours.
func (b *bounded) quoted() string {
	if words := bytes.TrimSpace(b.data); len(words) > 0 {
		return fmt.Sprintf(": %q", words)
	}
	return ""
}
