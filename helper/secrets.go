package helper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// noteBudget bounds the noting of a refusal.
const noteBudget = 5 * time.Second

// heldSecrets are the secrets of one fetch. The lock of the first is held
// until close.
type heldSecrets struct {
	h       *Helper
	w       *wish
	lock    *cache.SecretLock // of the primary secret
	primary secret.Secret
	stored  bool   // the primary came from the keyring
	sent    bool   // it went out
	asking  func() // called before a human is asked: time to use
	local   bool   // the keyring's, for a file of this machine, was handed out

	ready    bool // a new value of the primary one can be kept
	warnings []Warning
}

// openedSecret is a local secret that a human typed at a login.
type openedSecret struct {
	ref   *SecretRef
	value secret.Secret
}

// takeSecrets locks the primary secret and finds its value: given, kept in the
// keyring, or typed by a human. One that the server has refused is not sent
// again.
func (h *Helper) takeSecrets(ctx context.Context, w *wish, asking func()) (*heldSecrets, error) {
	s := &heldSecrets{h: h, w: w, asking: asking}
	ref := w.primary()
	if ref == nil {
		return s, nil
	}
	lock, err := h.Cache.LockSecret(ctx, ref.Account)
	if err != nil {
		return nil, h.storage(err)
	}
	s.lock = lock
	if err := s.find(ctx, ref); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *heldSecrets) find(ctx context.Context, ref *SecretRef) error {
	if s.w.given != nil && ref.isSession() {
		return s.makeReady(ctx, ref)
	}
	if s.w.given != nil {
		s.primary, s.w.typed = s.w.given.value, true
		return checkRef(ref, s.primary)
	}
	value, err := s.lock.Get(ctx)
	switch {
	case err == nil:
		s.primary, s.stored = value, true
		return s.checkRefused(ctx)
	case errors.Is(err, cache.ErrNotFound):
		return s.ask(ctx, ref)
	case s.h.doesWithout(err):
		return s.withoutKeyring(ctx, ref, err)
	}
	return s.h.storage(err)
}

// makeReady sees to it that a session can be kept: before a human logs in for it,
// and when they are back. A keyring that has gone in between leaves them a proxy.
func (s *heldSecrets) makeReady(ctx context.Context, ref *SecretRef) error {
	if !s.w.given.keep {
		return nil
	}
	err := s.Ready(ctx, ref.Kind, nil)
	if s.w.given.back != nil && s.h.doesWithout(err) {
		return nil // keepSession says so
	}
	return err
}

// withoutKeyring asks for the secret that could not be had, if somebody is
// there: what they type is no downgrade. A keyring that is locked has asked for
// its own pass word, and whoever dismissed that meant it.
func (s *heldSecrets) withoutKeyring(ctx context.Context, ref *SecretRef, err error) error {
	if ref.Question != "" && s.h.mayAsk(s.w.request) {
		return s.ask(ctx, ref)
	}
	e := s.h.coded(err)
	e.Message = "the " + secretWord(ref.Kind) + " of profile \"" + s.w.profile.Name + "\" cannot be read: " + e.Message
	return s.h.loginAction(e, s.w.profile.Name)
}

// checkRefused stops a pass phrase that the server has refused.
func (s *heldSecrets) checkRefused(ctx context.Context) error {
	r, err := s.lock.Refused(ctx, s.primary)
	if err != nil || r == nil {
		return s.h.storage(err)
	}
	if r.Unheard {
		e := Errorf(CodeRateLimited, "the pass phrase of profile %q was sent more than once and no answer was heard; it is not sent again for %s, lest the server lock the account",
			s.w.profile.Name, span(r.RetryAfter))
		e.RetryAfter = int64(r.RetryAfter / time.Second)
		return e.WithHint("allow more time with \"timeout\"")
	}
	e := Errorf(CodeAuthenticationFailed, "the server refused the stored pass phrase of profile %q, and it is not sent again for %s: %s",
		s.w.profile.Name, span(r.RetryAfter), r.Message)
	e.RetryAfter = int64(r.RetryAfter / time.Second)
	return s.h.loginAction(e, s.w.profile.Name)
}

// ask types the secret in, where a human may be asked.
func (s *heldSecrets) ask(ctx context.Context, ref *SecretRef) error {
	if ref.Question == "" || !s.h.mayAsk(s.w.request) {
		return s.h.missing(ref, s.w.profile)
	}
	s.asking()
	s.w.typed = true
	value, err := s.h.readSecret(ctx, ref, s.w.request.Client)
	s.primary = value
	return err
}

// missing says that a secret is not there.
func (h *Helper) missing(ref *SecretRef, p *Profile) *Error {
	e := Errorf(CodeInteractionRequired, "no %s is stored for profile %q", secretWord(ref.Kind), p.Name)
	return h.loginAction(e, p.Name)
}

// readSecret asks on the terminal. What is asked comes from the configuration;
// who asks is only what a caller says of itself.
func (h *Helper) readSecret(ctx context.Context, ref *SecretRef, who Client) (secret.Secret, error) {
	prompt := ref.Question
	if who != (Client{}) {
		prompt += " (asked for by " + who.String() + ")"
	}
	value, err := h.Terminal.ReadSecret(ctx, prompt+": ")
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, Errorf(CodeInteractionRequired, "the %s could not be read from the terminal: %w", secretWord(ref.Kind), err)
	}
	if len(value) == 0 {
		return nil, Errorf(CodeCancelled, "no %s was typed", secretWord(ref.Kind))
	}
	return value, checkRef(ref, value)
}

func checkRef(ref *SecretRef, value secret.Secret) error {
	if err := checkSecret(value); err != nil {
		return err
	}
	if ref.Check == nil {
		return nil
	}
	if err := ref.Check(value); err != nil {
		return Errorf(CodeInvalidRequest, "this %s cannot be used: %w", secretWord(ref.Kind), err)
	}
	return nil
}

// Get implements Secrets.
func (s *heldSecrets) Get(ctx context.Context, kind string) (secret.Secret, error) {
	if ref := s.w.primary(); ref != nil && ref.Kind == kind {
		return s.primary, nil
	}
	i := slices.IndexFunc(s.w.target.Secrets, func(r SecretRef) bool { return r.Kind == kind })
	if i < 0 {
		return nil, fmt.Errorf("the backend asked for a secret %q that it had not named", kind)
	}
	return s.other(ctx, &s.w.target.Secrets[i])
}

// other finds a secret that is not the primary one: kept in the keyring, or
// typed. A login asks anew where it can, because what is kept may be wrong; one
// that lasts only if somebody has found it so.
func (s *heldSecrets) other(ctx context.Context, ref *SecretRef) (secret.Secret, error) {
	mayAsk := ref.Question != "" && s.h.mayAsk(s.w.request)
	if again := s.w.given != nil && s.w.given.askAgain; again && ref.Lasting && !mayAsk {
		return nil, Errorf(CodeInteractionRequired, "the %s that is kept was refused, and there is no terminal to ask for another on", secretWord(ref.Kind)).
			WithHint("run the login on a terminal, or give the right one to: x509-credential-helper store")
	}
	if s.w.given == nil || !mayAsk || ref.Lasting && !s.w.given.askAgain {
		value, err := s.h.Cache.Secret(ctx, ref.Account)
		switch {
		case err == nil:
			s.local = s.local || ref.Local
			return value, nil
		case !mayAsk && ref.Question != "" && s.w.given != nil && (errors.Is(err, cache.ErrNotFound) || s.h.doesWithout(err)):
			return nil, noTerminal(ref, s.w.profile)
		case !errors.Is(err, cache.ErrNotFound) && !(mayAsk && s.h.doesWithout(err)):
			return nil, s.h.storage(err)
		case !mayAsk:
			return nil, s.h.missing(ref, s.w.profile)
		}
	}
	s.asking()
	s.w.typed = true
	value, err := s.h.readSecret(ctx, ref, s.w.request.Client)
	if err == nil && s.w.given != nil {
		s.w.given.opened = append(s.w.given.opened, openedSecret{ref, value})
	}
	return value, err
}

// noTerminal is a login that has nobody to ask.
func noTerminal(ref *SecretRef, p *Profile) *Error {
	return Errorf(CodeInteractionRequired, "login asks for the %s on a terminal, and there is none", secretWord(ref.Kind)).
		WithHint("run: x509-credential-helper login %s in a terminal, or store it first: x509-credential-helper help store", p.Name)
}

// sending notes that the stored secret is about to go out. If the answer is
// not heard, the note is what keeps the next callers from trying for ever.
func (s *heldSecrets) sending(ctx context.Context) error {
	if !s.stored {
		return nil
	}
	s.sent = true
	return s.h.storage(s.lock.Try(ctx, s.primary, s.w.target.Endpoint))
}

// judge notes what became of the stored secret.
func (s *heldSecrets) judge(ctx context.Context, err error) error {
	e := s.h.coded(err)
	ref := s.w.primary()
	refused := e.Code == CodeAuthenticationFailed && ref != nil
	session := ref != nil && ref.isSession()
	switch human := e.Code == CodeInteractionRequired; {
	case refused && !session, human && s.local: // what is kept does not open the file
		s.h.loginAction(e, s.w.profile.Name)
	case (refused || human) && session && e.Action == nil:
		hint := e.Hint
		if s.h.loginAction(e, s.w.profile.Name); hint != "" {
			e.Hint = hint
		}
	}
	switch {
	case session: // it is the server's, not the user's; nobody locks an account for it
	case refused && s.stored:
		// The note matters more than the caller's deadline: without it the
		// next caller would send the same pass phrase again.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteBudget)
		defer cancel()
		if err := s.lock.Refuse(ctx, s.primary, s.w.target.Endpoint, e.Message); err != nil {
			e.Causes = append(e.Causes, "the refusal could not be noted: "+CleanText(err.Error()))
		}
	case s.sent && wasHeard(e.Code):
		_ = s.lock.Accept() // a note that stays is only a delay
	}
	return e
}

// wasHeard says whether a failure is a server's answer rather than its silence.
func wasHeard(c Code) bool {
	switch c.ExitStatus() {
	case CodeNotFound.ExitStatus(), CodeServerRefused.ExitStatus(), CodeInvalidCredential.ExitStatus():
		return true
	}
	return false
}

// accepted forgets refusals, and keeps a secret that login was given.
func (s *heldSecrets) accepted(ctx context.Context) error {
	if err := s.keepOpened(ctx); err != nil {
		return err
	}
	if s.lock == nil {
		return nil
	}
	if g := s.w.given; g != nil && g.keep {
		switch err := s.lock.Put(ctx, g.value); {
		case err == nil:
			g.kept = string(cache.Keyring)
		case s.h.doesWithout(err): // it has gone since the login began; the proxy is good
			g.why = err
		default:
			return s.h.storage(err)
		}
	}
	_ = s.lock.Accept() // a refusal that stays is only a delay
	return nil
}

// keepOpened keeps what was typed at a login to open files of this machine.
func (s *heldSecrets) keepOpened(ctx context.Context) error {
	if s.w.given == nil || !s.w.given.keep {
		return nil
	}
	for _, o := range s.w.given.opened {
		lock, err := s.h.Cache.LockSecret(ctx, o.ref.Account)
		if err == nil {
			err = lock.Put(ctx, o.value)
			_ = lock.Close()
		}
		switch {
		case err == nil:
			s.w.given.kept = string(cache.Keyring)
		case s.h.doesWithout(err):
			s.w.given.why = err
		default:
			return s.h.storage(err)
		}
	}
	return nil
}

func (s *heldSecrets) close() {
	if s.lock != nil {
		_ = s.lock.Close()
		s.lock = nil
	}
}

// loginAction says that a human is needed, and what to run.
func (h *Helper) loginAction(e *Error, profile string) *Error {
	e.Action = &Action{Kind: "login", Argv: []string{h.Program, "login", "--", profile}}
	return e.WithHint("run: x509-credential-helper login %s", profile)
}

// secretWord is a kind of secret as people call it.
func secretWord(kind string) string {
	switch kind {
	case "passphrase":
		return "pass phrase"
	case "key_passphrase":
		return "pass phrase of the key"
	case "client_secret":
		return "client secret"
	case "refresh_token":
		return "session"
	}
	return kind
}
