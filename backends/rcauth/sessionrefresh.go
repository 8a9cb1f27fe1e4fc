package rcauth

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// fetcher is one use of a session.
type fetcher struct {
	b       *Backend
	spec    *helper.Spec
	set     *settings
	client  *Client
	session *session
}

// open makes everything ready that needs no network.
func (b *Backend) open(ctx context.Context, spec *helper.Spec) (*fetcher, error) {
	f, err := b.prepare(spec)
	if err != nil {
		return nil, err
	}
	kept, err := spec.Secrets.Get(ctx, KindSession)
	if err != nil {
		return nil, err
	}
	if f.session, err = parseSession(kept); err != nil {
		return nil, err
	}
	if f.session.RefreshToken == "" {
		return f, nil // the portal will not be asked
	}
	return f, f.takeSecret(ctx)
}

// prepare refuses what no portal does.
func (b *Backend) prepare(spec *helper.Spec) (*fetcher, error) {
	s, err := b.settings(spec.Profile)
	if err != nil {
		return nil, err
	}
	if len(spec.VOMS) > 1 {
		// A parameter that is sent twice is 400 (measured), and how several VOs
		// stand in one nobody knows.
		return nil, helper.Errorf(helper.CodeUnsupportedFeature, "attributes of %d VOs were asked for, but a Master Portal gives those of one", len(spec.VOMS)).
			WithHint("ask for one VO, or one group or role")
	}
	c, err := b.client(s, spec.Trust)
	if err != nil {
		return nil, err
	}
	return &fetcher{b: b, spec: spec, set: s, client: c}, nil
}

func (f *fetcher) takeSecret(ctx context.Context) (err error) {
	f.client.ClientSecret, err = f.spec.Secrets.Get(ctx, KindClientSecret)
	return err
}

// keep puts the session into the keyring.
func (f *fetcher) keep(ctx context.Context, s *session) error {
	kept, err := s.encode()
	if err != nil {
		return err
	}
	defer kept.Wipe()
	if err := f.spec.Secrets.Put(ctx, KindSession, kept); err != nil {
		return err
	}
	f.session = s
	return nil
}

// reload reads the session once more and says whether it is another one: a host
// that shares the keyring has no lock with us.
func (f *fetcher) reload(ctx context.Context) (other bool, err error) {
	kept, err := f.spec.Secrets.Reload(ctx, KindSession)
	if err != nil {
		return false, err
	}
	s, err := parseSession(kept)
	if err != nil {
		return false, err
	}
	other = s.RefreshToken != f.session.RefreshToken
	f.session = s
	return other, nil
}

// refresh exchanges the refresh token and keeps the new one before anything
// else. One that the portal does not know any more may have been replaced by
// another host.
func (f *fetcher) refresh(ctx context.Context) (*Tokens, error) {
	if _, err := f.client.Discover(ctx); err != nil { // what is slow or broken shows here
		return nil, err
	}
	if _, err := f.reload(ctx); err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		if f.session.RefreshToken == "" {
			return nil, f.needLogin()
		}
		before := *f.session
		t, err := f.refreshOnce(ctx)
		var refused *PortalError
		if !errors.As(err, &refused) || refused.Kind != KindRefreshToken {
			return t, err
		}
		if other, err := f.reload(ctx); err != nil {
			return nil, err
		} else if other && !again {
			continue
		}
		return nil, f.lose(ctx, before, refused)
	}
}

// refreshOnce marks the session, which shows that the keyring can be written to,
// and refreshes it. From then on until the new token is kept nothing cuts it off.
func (f *fetcher) refreshOnce(ctx context.Context) (*Tokens, error) {
	before := *f.session
	mark := before
	mark.Began, mark.Broken = f.b.opts.Clock().UTC().Truncate(time.Second), ""
	kept, err := mark.encode()
	if err != nil {
		return nil, err
	}
	defer kept.Wipe()
	if err := f.spec.Secrets.Ready(ctx, KindSession, kept); err != nil {
		return nil, err
	}
	held, release, err := f.spec.Secrets.Hold(ctx)
	if err != nil { // it was cancelled just now: nothing began
		_ = f.keep(context.WithoutCancel(ctx), &before)
		return nil, err
	}
	defer release()
	t, err := f.client.Refresh(held, secret.Secret(before.RefreshToken), before.Nonce, before.Subject)
	if t != nil {
		next := before.renewed(t)
		if failed := f.keep(held, &next); failed != nil {
			return nil, failed
		}
		return t, err
	}
	// What comes now only explains a refusal of the next refresh.
	switch broken, over := breach(err); {
	case !over:
		_ = f.keep(held, &before)
	case broken != "":
		mark.Broken = broken
		_ = f.keep(held, &mark)
	}
	return nil, err
}

// renewed is the session after a refresh. Where the portal sent no new token the
// old one goes on, and so does its end if nothing else was said.
func (s session) renewed(t *Tokens) session {
	if string(t.RefreshToken) != s.RefreshToken || !t.RefreshExpires.IsZero() {
		s.RefreshToken, s.RefreshEnds = string(t.RefreshToken), t.RefreshExpires.UTC()
	}
	s.Subject = cmp.Or(s.Subject, t.Claims.Subject)
	s.Began, s.Broken = time.Time{}, ""
	return s
}

// userInfo asks who the user of new tokens is, who must be the session's (OpenID
// Connect Core 1.0 section 5.3.2).
func (f *fetcher) userInfo(ctx context.Context, t *Tokens) (*Claims, error) {
	who, err := f.client.UserInfo(ctx, t.AccessToken)
	if err == nil && f.session.Subject != "" && who.Subject != f.session.Subject {
		return nil, &AnswerError{Op: opUserInfo, Reason: "is about somebody else than the id_token"}
	}
	return who, err
}

// breach says what a failed refresh means for the token: over is that it may be
// dead, broken why; "" is that the portal itself said so.
func breach(err error) (broken string, over bool) {
	var lost *TransportError
	var refused *PortalError
	var bad *AnswerError
	var id *IDTokenError
	switch {
	case errors.As(err, &lost):
		return brokenUnheard, lost.Sent && lost.Op == opRefresh
	case errors.As(err, &refused):
		if refused.Kind == KindRefreshToken {
			return "", true
		}
		return brokenAnswer, refused.Status >= 500 && refused.Op == opRefresh
	case errors.As(err, &bad):
		return brokenAnswer, bad.Op == opRefresh
	case errors.As(err, &id):
		return brokenAnswer, true
	}
	return "", false
}

// lose remembers that the session is gone, and why: the portal need not be asked
// again.
func (f *fetcher) lose(ctx context.Context, s session, refused *PortalError) error {
	s.Lost, s.LostAt = s.why(), f.b.opts.Clock().UTC().Truncate(time.Second)
	s.RefreshToken, s.Began, s.Broken = "", time.Time{}, ""
	_ = f.keep(ctx, &s) // then the next one finds out itself
	e := f.needLogin()
	e.Causes = append(e.Causes, refused.Error())
	return e
}

// why is how a session came to be refused.
func (s *session) why() string {
	const layout = "2006-01-02 15:04:05 MST"
	switch at := s.Began.Format(layout); {
	case s.Began.IsZero():
		return "it was ended there, or has run out"
	case s.Broken == brokenUnheard:
		return "the network or the portal broke off a refresh at " + at + ", and the answer with the new token never arrived"
	case s.Broken == brokenAnswer:
		return "the portal's answer to a refresh at " + at + " could not be used"
	default:
		return "a refresh at " + at + " was cut off before its answer was kept, by kill -9, a crash or a power failure"
	}
}

// needLogin says why there is no session to be used.
func (f *fetcher) needLogin() *helper.Error {
	if f.session.Lost != "" {
		return helper.Errorf(helper.CodeInteractionRequired, "the portal does not know the session of profile %q any more: %s", f.spec.Profile.Name, f.session.Lost)
	}
	return helper.Errorf(helper.CodeInteractionRequired, "profile %q has no session with a refresh token", f.spec.Profile.Name)
}
