package rcauth

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// terminal is somebody who does what a test says when the address is shown, and
// pastes these lines.
type terminal struct {
	shown    func(helper.LoginPrompt)
	paste    chan string
	problems chan string
}

func (u *terminal) Show(_ context.Context, p helper.LoginPrompt) error {
	if p.Problem != "" {
		u.problems <- p.Problem
		return nil
	}
	u.shown(p)
	return nil
}

func (u *terminal) Paste(ctx context.Context) (string, error) {
	select {
	case line, ok := <-u.paste:
		if ok {
			return line, nil
		}
		return "", errors.New("the input has ended")
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// startLogin prepares a login at a portal of the sandbox that comes back to uri.
func startLogin(t *testing.T, uri string, shown func(*sandbox.Portal, helper.LoginPrompt)) (*browserLogin, *terminal) {
	t.Helper()
	g := newGrid(t, "", func(_ *sandbox.PortalOptions, c *sandbox.PortalClient) { c.RedirectURIs = []string{uri} })
	ui := &terminal{paste: make(chan string, 8), problems: make(chan string, 8)}
	ui.shown = func(p helper.LoginPrompt) { shown(g.portal, p) }
	return &browserLogin{
		client:       &Client{Portal: g.portal.URL(), ClientID: gridClientID, HTTP: NewHTTPClient(g.portal.Roots()), Clock: g.clock},
		redirectURIs: []string{uri}, profile: "p", ui: ui,
	}, ui
}

// TestLoginTimesOut: an unapproved client and an unregistered redirect show in the
// browser alone, so the end of the time says where to look and whom to ask.
func TestLoginTimesOut(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	l, _ := startLogin(t, freeURI(t, "127.0.0.1"), func(*sandbox.Portal, helper.LoginPrompt) {})
	late := deadlineContext{ctx}
	l.ui.(*terminal).shown = func(helper.LoginPrompt) { cancel(nil) }
	_, _, finish, err := l.run(late)
	e := helper.AsError(err)
	if e.Code != helper.CodeTimeout || !strings.Contains(e.Hint, "not approved") || !strings.Contains(e.Hint, l.client.RedirectURI) || !strings.Contains(e.Hint, "administrator (for EGI: Check-in support)") {
		t.Errorf("%s: %v (%s)", e.Code, e, e.Hint)
	}
	finish(helper.LoginOutcome{Error: e})
}

// deadlineContext ends as if its time were over.
type deadlineContext struct{ context.Context }

func (c deadlineContext) Err() error {
	if c.Context.Err() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

// TestLoginPaste: what is wrong is explained without a word of it, also with the
// marks of a terminal around it, and the right one ends the login.
func TestLoginPaste(t *testing.T) {
	const uri = "https://gateway.example.org/callback"
	var ui *terminal
	var l *browserLogin
	l, ui = startLogin(t, uri, func(p *sandbox.Portal, prompt helper.LoginPrompt) {
		end, err := p.Browser().Authorize(t.Context(), prompt.URL)
		if err != nil {
			t.Error(err)
		}
		if prompt.Listening {
			t.Error("it says that somebody listens at an https address")
		}
		for _, line := range []string{"", "s3cret nonsense", uri + "?code=s3cret&state=s3cret", uri + "?code=s3cret", "\x1b[200~" + end + "\x1b[201~"} {
			ui.paste <- line
		}
	})
	a, code, finish, err := l.run(t.Context())
	if err != nil || code == "" || a == nil {
		t.Fatalf("%q, %v", code, err)
	}
	finish(helper.LoginOutcome{})
	close(ui.problems)
	n := 0
	for problem := range ui.problems {
		n++
		if strings.Contains(problem, "s3cret") {
			t.Errorf("it repeats what was pasted: %s", problem)
		}
	}
	if n != 3 {
		t.Errorf("%d problems", n)
	}
}

// TestLoginInputEnds: who closes the input of a login that can only be pasted
// gives up; where a browser may come it is waited for.
func TestLoginInputEnds(t *testing.T) {
	l, ui := startLogin(t, "https://gateway.example.org/callback", func(*sandbox.Portal, helper.LoginPrompt) {})
	close(ui.paste)
	_, _, _, err := l.run(t.Context())
	if e := helper.AsError(err); e.Code != helper.CodeCancelled {
		t.Errorf("%s: %v", e.Code, e)
	}
	pages := make(chan string, 1)
	l, ui = startLogin(t, freeURI(t, "127.0.0.1"), func(p *sandbox.Portal, prompt helper.LoginPrompt) {
		safego.Go(func() error { // the page waits for finish
			_, page, _ := p.Browser().Login(context.WithoutCancel(t.Context()), prompt.URL)
			pages <- page
			return nil
		})
	})
	close(ui.paste)
	_, code, finish, err := l.run(t.Context())
	if err != nil || code == "" {
		t.Fatalf("%q, %v", code, err)
	}
	finish(helper.LoginOutcome{Identity: gridDN})
	if page := <-pages; !strings.Contains(page, "CN=Jane Roe") {
		t.Errorf("the page:\n%s", page)
	}
}

// TestLoginCancelled: a signal is no time-out, and leaves nothing that listens.
func TestLoginCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	uri := freeURI(t, "127.0.0.1")
	l, _ := startLogin(t, uri, func(*sandbox.Portal, helper.LoginPrompt) { cancel() })
	_, _, finish, err := l.run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	finish(helper.LoginOutcome{Error: helper.AsError(err)})
	again, err := listen(t.Context(), []string{uri})
	if err != nil {
		t.Fatal(err)
	}
	again.finish(Outcome{})
}
