package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term"
)

// passphrase is that of a stored credential: from standard input, from the
// keyring, or typed.
func (m *mpCall) passphrase(ctx context.Context, user string, hosts []string) (secret.Secret, error) {
	if m.c.Bool("stdin-pass") {
		return m.line(ctx)
	}
	if value, err := m.kept(ctx, user, hosts); err != nil || value != nil {
		return value, err
	}
	return m.ask(ctx, m.question(user, hosts))
}

// question is how the program asks that we stand in for: scripts for expect(1)
// wait for its words.
func (m *mpCall) question(user string, hosts []string) string {
	switch called := m.p.called; {
	case called != nil && called.name == mpClientName:
		return fmt.Sprintf("Enter password for user '%s' on MyProxy server '%s':", user, showHosts(hosts))
	case called != nil && called.ask != "":
		return called.ask
	}
	return fmt.Sprintf("MyProxy pass phrase of %q at %s: ", user, showHosts(hosts))
}

// newPassphrase asks for a new pass phrase, twice.
func (m *mpCall) newPassphrase(ctx context.Context, question string) (secret.Secret, error) {
	if m.c.Bool("stdin-pass") {
		return m.line(ctx)
	}
	for try := 1; ; try++ {
		first, err := m.ask(ctx, question)
		if err != nil {
			return nil, err
		}
		again, err := m.ask(ctx, cAgain+question)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(first, again) {
			return first, nil
		}
		if try == attempts {
			return nil, helper.Errorf(helper.CodeInvalidRequest, "the two pass phrases were different each time")
		}
		m.p.note("The two are different. Again:")
	}
}

// line reads the next line of standard input. Where that is a terminal, the
// terminal is asked, which does not show what is typed.
func (m *mpCall) line(ctx context.Context) (secret.Secret, error) {
	if term.IsTerminal(m.p.stdin) {
		return m.ask(ctx, "Pass phrase: ")
	}
	if m.lines == nil {
		m.lines = bufio.NewReaderSize(m.p.stdin, longestLine)
	}
	value, err := m.p.stdinLine(ctx, m.lines)
	m.secrets = append(m.secrets, value)
	return value, err
}

// ask asks on the terminal.
func (m *mpCall) ask(ctx context.Context, question string) (secret.Secret, error) {
	tty := term.New()
	if !tty.Foreground() {
		e := helper.Errorf(helper.CodeInteractionRequired, "there is no terminal to ask for a pass phrase on")
		if m.has("stdin-pass") {
			return nil, e.WithHint("give it on standard input, with -S")
		}
		return nil, e
	}
	value, err := tty.ReadSecret(ctx, question)
	m.secrets = append(m.secrets, value)
	switch {
	case err == nil && len(value) == 0:
		return nil, helper.Errorf(helper.CodeInvalidRequest, "no pass phrase was typed")
	case err != nil && ctx.Err() == nil:
		return nil, helper.Errorf(helper.CodeInteractionRequired, "the pass phrase could not be read from the terminal: %w", err)
	}
	return value, err
}

// has says whether the command has an option.
func (m *mpCall) has(option string) bool { return findFlag(m.c.Command, option) != nil }

// kept is the pass phrase of --profile in the keyring, or nil. It goes to the
// servers, and for the credential, only that it was kept for, and not while they have refused it.
func (m *mpCall) kept(ctx context.Context, user string, hosts []string) (secret.Secret, error) {
	p := m.profile
	if p == nil || p.target.Principal != user || p.target.CredentialName != m.credentialName() || p.target.Endpoint != strings.Join(hosts, ",") || accountOf(p.target) == "" {
		return nil, nil
	}
	lock, err := p.helper.Cache.LockSecret(ctx, accountOf(p.target))
	if err != nil {
		return nil, err
	}
	p.lock = lock
	value, err := lock.Get(ctx)
	if err != nil {
		m.unlock()
		if errors.Is(err, cache.ErrNotFound) {
			return nil, nil
		}
		return nil, err
	}
	refused, err := lock.Refused(ctx, value)
	if err != nil || refused == nil {
		return value, err
	}
	return nil, helper.Errorf(helper.CodeAuthenticationFailed, "the server refused the stored pass phrase of profile %q, and it is not sent again for %s: %s",
		p.Name, helper.Span(int64(refused.RetryAfter/time.Second)), refused.Message).
		WithHint("run: %s login %s", name, p.Name)
}

// accountOf is the keyring's entry for a profile's pass phrase, "" for a profile
// that needs none.
func accountOf(target *helper.Target) string {
	for _, s := range target.Secrets {
		if s.Kind == myproxy.KindPassphrase {
			return s.Account
		}
	}
	return ""
}

// sending notes that a stored pass phrase is about to go out, so that nobody
// tries it for ever if no answer is heard.
func (m *mpCall) sending(value secret.Secret) func(context.Context) error {
	if m.profile == nil || m.profile.lock == nil {
		return nil
	}
	return func(ctx context.Context) error { return m.profile.lock.Try(ctx, value, m.profile.target.Endpoint) }
}

// judge notes what became of a stored pass phrase. The note matters more than
// ctx: without it the next caller would send the same one again.
func (m *mpCall) judge(ctx context.Context, value secret.Secret, err error) {
	if m.profile == nil || m.profile.lock == nil {
		return
	}
	var server *myproxy.ServerError
	switch heard := errors.As(err, &server); {
	case heard && server.Kind == myproxy.KindAuthentication:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := m.profile.lock.Refuse(ctx, value, m.profile.target.Endpoint, server.Error()); err != nil {
			m.p.note("note: the refusal could not be noted: %s", clean(err.Error()))
		}
	case heard, err == nil:
		_ = m.profile.lock.Accept() // a note that stays is only a delay
	}
}
