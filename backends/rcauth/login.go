package rcauth

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// browserLogin is one login in a browser, from the listener to the code.
type browserLogin struct {
	client       *Client  // its RedirectURI is set to the one that was taken
	redirectURIs []string // registered; the first whose port is free is taken
	profile      string
	idphint      string
	ui           helper.LoginUI
}

// run listens, begins, shows the URL and waits for the redirect or for its
// paste. finish has to be called once with what came of it, by whoever knows that
// last: the browser gets its page then, and finish returns after that was written.
func (l *browserLogin) run(ctx context.Context) (a *Attempt, code string, finish func(helper.LoginOutcome), err error) {
	door, err := l.open(ctx)
	finish = func(o helper.LoginOutcome) {
		if door != nil {
			door.finish(l.outcome(o))
		}
	}
	if err != nil {
		return nil, "", finish, err
	}
	a, code, err = l.meet(ctx, door)
	return a, code, finish, err
}

// open listens at the first registered address that is free. Without a
// listener, because the address is a web server's, the URL has to be pasted.
func (l *browserLogin) open(ctx context.Context) (*listener, error) {
	if len(l.redirectURIs) == 1 {
		if u, err := url.Parse(l.redirectURIs[0]); err == nil && !isLoopback(u) {
			l.client.RedirectURI = l.redirectURIs[0]
			return nil, nil
		}
	}
	door, err := listen(ctx, l.redirectURIs)
	if err != nil {
		return nil, helper.Errorf(helper.CodeBusy, "the login cannot begin: %w", err).
			WithHint("is another login going on? Else end what has the port, or register more ports and name them in redirect_ports")
	}
	l.client.RedirectURI = door.URI
	return door, nil
}

// meet shows the URL and waits for what comes first: the browser, or somebody
// who pastes the address at which theirs has ended.
func (l *browserLogin) meet(ctx context.Context, door *listener) (*Attempt, string, error) {
	a, err := l.client.Begin(ctx, l.idphint)
	if err != nil {
		return nil, "", err
	}
	prompt := helper.LoginPrompt{Profile: l.profile, URL: a.URL, RedirectURI: l.client.RedirectURI, Listening: door != nil}
	var arrived <-chan arrival
	if door != nil {
		arrived = door.arrived
		door.expect(func(raw string) (string, error) { return a.ParseRedirect(raw, l.client.RedirectURI) })
	}
	if err := l.ui.Show(ctx, prompt); err != nil {
		return nil, "", err
	}
	pasting, stop := context.WithCancel(ctx)
	pasted := make(chan arrival, 1)
	done := safego.Go(func() error {
		l.paste(pasting, a, pasted, door != nil)
		return nil
	})
	var got arrival
	select {
	case got = <-arrived:
	case got = <-pasted:
	case <-ctx.Done():
		got.err = l.nobodyCame(ctx)
	}
	stop()
	<-done // the terminal is as it was only now
	return a, got.code, got.err
}

// paste reads from the terminal until something is a redirect of this login.
// Whoever closes the input gives up, unless a browser may still come.
func (l *browserLogin) paste(ctx context.Context, a *Attempt, pasted chan<- arrival, listening bool) {
	for ctx.Err() == nil {
		text, err := l.ui.Paste(ctx)
		switch {
		case err == nil:
		case listening || ctx.Err() != nil:
			return
		default:
			pasted <- arrival{err: helper.Errorf(helper.CodeCancelled, "no address was pasted")}
			return
		}
		if text = unmarked(text); text == "" {
			continue
		}
		code, err := a.ParseRedirect(text, l.client.RedirectURI)
		var refused *AuthorizationError
		if err == nil || errors.As(err, &refused) {
			pasted <- arrival{code, err}
			return
		}
		problem := helper.LoginPrompt{Problem: pasteProblem(err)}
		if l.ui.Show(ctx, problem) != nil {
			return
		}
	}
}

// unmarked takes off the marks that a terminal may put around what is pasted.
func unmarked(text string) string {
	return strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "\x1b[200~"), "\x1b[201~"))
}

// pasteProblem says what is wrong with what was pasted, which may hold a code
// and is not repeated.
func pasteProblem(err error) string {
	if errors.Is(err, ErrWrongState) {
		return "That address belongs to another login: use the one above."
	}
	return "That cannot be used: " + helper.CleanText(err.Error())
}

// nobodyCame tells a signal from the end of the time. What the portal shows when
// it does not know a client or its redirect stays in the browser: we never hear
// of it (measured).
func (l *browserLogin) nobodyCame(ctx context.Context) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	e := helper.Errorf(helper.CodeTimeout, "nobody came back from the login at %s in time", portalHost(l.client.Portal))
	return e.WithHint("if the browser shows an error of the portal, the client is not approved yet or %s is not registered for it: ask the portal's administrator (for EGI: Check-in support)", l.client.RedirectURI)
}

// outcome is what the page has to say.
func (l *browserLogin) outcome(o helper.LoginOutcome) Outcome {
	e, refused := o.Error, new(AuthorizationError)
	switch {
	case e == nil:
		return Outcome{State: LoggedIn, Profile: l.profile, Identity: o.Identity, Until: o.NotAfter, Next: o.NextLogin}
	case errors.As(error(e), &refused) && refused.Code == "access_denied":
		return Outcome{State: Declined, Profile: l.profile}
	}
	return Outcome{State: Failed, Profile: l.profile, Message: e.Message, Hint: e.Hint}
}

// portalHost is a portal as people call it.
func portalHost(portal string) string {
	if u, err := url.Parse(portal); err == nil && u.Host != "" {
		return u.Host
	}
	return portal
}
