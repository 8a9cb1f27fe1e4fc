package rcauth

import (
	"cmp"
	"context"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// Login implements helper.Interactive.
func (b *Backend) Login(ctx context.Context, spec *helper.Spec, ui helper.LoginUI) (helper.Return, error) {
	f, err := b.prepare(spec)
	if err != nil {
		return nil, b.coded(ctx, spec.Profile, err)
	}
	defer f.client.HTTP.CloseIdleConnections()
	back, err := f.login(ctx, ui)
	if err != nil {
		return nil, b.coded(ctx, spec.Profile, err)
	}
	return back, nil
}

// returned is a user with a code. The page in the browser waits for what comes of
// the whole.
type returned struct {
	f       *fetcher
	attempt *Attempt
	code    string
	finish  func(helper.LoginOutcome)
}

// Complete implements helper.Return.
func (r *returned) Complete(ctx context.Context, spec *helper.Spec) (*helper.Result, error) {
	r.f.spec = spec
	defer r.f.client.HTTP.CloseIdleConnections()
	res, err := r.f.complete(ctx, r.attempt, r.code)
	if err != nil {
		return nil, r.f.b.coded(ctx, spec.Profile, err)
	}
	return res, nil
}

// Over implements helper.Return.
func (r *returned) Over(o helper.LoginOutcome) { r.finish(o) }

// login brings the user to the portal and back.
func (f *fetcher) login(ctx context.Context, ui helper.LoginUI) (*returned, error) {
	if err := f.set.needProxies(); err != nil {
		return nil, err
	}
	redirects, err := f.set.needRedirects()
	if err != nil {
		return nil, err
	}
	if err := f.takeSecret(ctx); err != nil {
		return nil, err
	}
	l := &browserLogin{
		client: f.client, redirectURIs: redirects, profile: f.spec.Profile.Name,
		idphint: cmp.Or(f.spec.IdentityProvider, f.set.idphint), ui: ui,
	}
	a, code, finish, err := l.run(ctx)
	if err != nil {
		e := f.b.coded(ctx, f.spec.Profile, err)
		finish(helper.LoginOutcome{Error: e})
		return nil, e
	}
	return &returned{f, a, code, finish}, nil
}

// complete makes a session and a proxy of a code. Userinfo comes before the
// proxy, which may use up the access token.
func (f *fetcher) complete(ctx context.Context, a *Attempt, code string) (*helper.Result, error) {
	t, err := f.client.Exchange(ctx, a, code)
	if err != nil {
		return nil, err
	}
	f.session = &session{
		V: 1, RefreshToken: string(t.RefreshToken), RefreshEnds: t.RefreshExpires.UTC(),
		LoginAt: f.b.opts.Clock().UTC().Truncate(time.Second), Nonce: a.Nonce, Subject: t.Claims.Subject,
	}
	who, err := f.userInfo(ctx, t)
	if err != nil {
		return nil, err
	}
	res, err := f.firstProxy(ctx, t, who.DN, t.Claims.DN)
	if err != nil {
		return nil, err
	}
	res.Session, err = f.session.encode()
	return res, err
}

// firstProxy is the proxy of a login.
func (f *fetcher) firstProxy(ctx context.Context, t *Tokens, dns ...string) (*helper.Result, error) {
	if t.RefreshToken == nil && len(f.spec.VOMS) == 0 {
		res, err := f.longProxy(ctx, t, dns...)
		if err == nil {
			res.Warnings = append(res.Warnings, noRefreshToken("proxies are derived from the one of this login until that ends"))
		}
		return res, err
	}
	if t.RefreshToken != nil {
		_ = f.client.Renew(ctx, t.AccessToken) // then the session ends sooner, which is said
	}
	res, err := f.proxy(ctx, t.AccessToken, dns...)
	if err != nil {
		return nil, err
	}
	f.session.ProxyEnds = longEnd(res.Chain)
	if t.RefreshToken == nil {
		f.session.ProxyEnds = res.Chain[0].NotAfter.UTC()
		res.Warnings = append(res.Warnings, noRefreshToken("the next proxy with attributes of a VO needs another login"))
	}
	return res, nil
}

func noRefreshToken(so string) helper.Warning {
	return helper.Warning{Code: "no_refresh_token", Message: "the portal gives this client no refresh token: " + so}
}
